"""Random actions on a project, against a plain stack of what an editor would show."""

import shutil
import tempfile
from pathlib import Path

import cv2
import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from clickgrain.annotate import actions
from clickgrain.annotate.http_errors import RequestError
from clickgrain.annotate.masks import encode
from clickgrain.annotate.project import Project
from clickgrain.annotate.requests import IMAGE_REQUEST, Posted

SIZE = (24, 32)
POINTS = st.tuples(st.integers(0, SIZE[1] - 1), st.integers(0, SIZE[0] - 1))
NUMBERS = st.integers(1, 6)
LEVELS = st.sampled_from([0.3, 0.5, 0.7, 0.9])
STEPS = st.one_of(
    st.builds(lambda p, label: {"type": "click", "x": p[0], "y": p[1], "label": label}, POINTS, st.integers(0, 1)),
    st.builds(lambda p, level: {"type": "region", "x": p[0], "y": p[1], "level": level}, POINTS, LEVELS),
    st.builds(lambda level: {"type": "level", "level": level}, LEVELS),
    st.builds(
        lambda p, q, label: {"type": "brush", "points": [p, q], "radius": 2, "label": label},
        POINTS,
        POINTS,
        st.integers(0, 1),
    ),
)


class Editor(RuleBasedStateMachine):
    """Image 1 of a project: `done` and `undone` are what the user has seen."""

    @initialize()
    def begin(self):
        self.folder = Path(tempfile.mkdtemp())
        image = np.full((*SIZE, 3), 90, np.uint8)
        image[5:15, 6:20] = (30, 200, 90)
        assert cv2.imwrite(str(self.folder / "a.png"), image)
        self.open()
        self.done, self.undone = [self.document], []

    def open(self):
        self.project = Project(self.folder, model="tree")

    def teardown(self):
        if hasattr(self, "project"):
            self.project.close()
            shutil.rmtree(self.folder)

    @property
    def document(self):
        return self.project.logs.history(1).document

    def act(self, **action):
        """Carry it out; nothing at all has happened if it is refused."""
        before = self.project.logs.history(1).seq
        try:
            actions.act(self.project, 1, Posted(seq=before, active=1.0), IMAGE_REQUEST.validate_python(action))
        except RequestError:
            assert self.project.logs.history(1).seq == before
            return
        if action["kind"] == "undo":
            self.undone.append(self.done.pop())
        elif action["kind"] == "redo":
            self.done.append(self.undone.pop())
        else:
            self.done.append(self.document)
            self.undone.clear()

    @rule(steps=st.lists(STEPS, min_size=1, max_size=2), number=st.none() | NUMBERS)
    def draw(self, steps, number):
        self.act(kind="object.add_steps", object=number, steps=steps)

    @rule(number=NUMBERS, steps=st.lists(STEPS, min_size=1, max_size=2))
    def replace(self, number, steps):
        self.act(kind="object.set_steps", object=number, steps=steps)

    @rule(number=NUMBERS, label=st.none() | st.integers(1, 3), locked=st.booleans())
    def edit(self, number, label, locked):
        self.act(kind="object.edit", object=number, label=label, locked=locked)

    @rule(number=NUMBERS, locked=st.booleans())
    def lock(self, number, locked):
        self.act(kind="object.edit", object=number, locked=locked)

    @rule(number=NUMBERS, to=st.integers(0, 5))
    def move(self, number, to):
        self.act(kind="object.move", object=number, to=to)

    @rule(numbers=st.lists(NUMBERS, min_size=2, max_size=3, unique=True))
    def merge(self, numbers):
        self.act(kind="object.merge", objects=numbers)

    @rule(number=NUMBERS)
    def split(self, number):
        self.act(kind="object.split", object=number)

    @rule(number=NUMBERS)
    def delete(self, number):
        self.act(kind="object.delete", objects=[number])

    @rule(level=LEVELS)
    def partition(self, level):
        self.act(kind="partition", level=level)

    @rule(status=st.sampled_from(["todo", "done"]))
    def status(self, status):
        self.act(kind="status", status=status)

    @rule(times=st.integers(1, 5))
    def undo(self, times):
        for _ in range(times):
            self.act(kind="undo")

    @rule(times=st.integers(1, 5))
    def redo(self, times):
        for _ in range(times):
            self.act(kind="redo")

    @precondition(lambda self: len(self.done) > 1)
    @rule()
    def undo_of_everything_and_redo(self):
        last, count = self.document, len(self.done) - 1
        for _ in range(count):
            self.act(kind="undo")
        assert self.document.objects == ()
        for _ in range(count):
            self.act(kind="redo")
        assert self.document == last

    @rule()
    def close_and_open_again(self):
        self.project.close()
        self.open()

    @invariant()
    def it_is_what_the_user_has_seen(self):
        if not hasattr(self, "project"):
            return
        history = self.project.logs.history(1)
        assert history.document == self.done[-1]
        assert tuple(history.next_to(kind) is not None for kind in ("undo", "redo")) == (
            len(self.done) > 1,
            bool(self.undone),
        )

    @invariant()
    def every_mask_is_there_and_as_described(self):
        for item in self.document.objects if hasattr(self, "project") else ():
            coded = encode(self.project.logs.mask(item.mask))
            assert (coded.hash, coded.area, coded.bbox, coded.size) == (item.mask, item.area, item.bbox, SIZE)


Editor.TestCase.settings = settings(max_examples=12, stateful_step_count=25, deadline=None)
TestRandomActions = Editor.TestCase
