"""The level that the last objects ask for, so that the first click on the next one needs no change of size.

On cells among cells one click may mean a nucleus, a cell or the tissue, and no image says which. The objects that a
person has finished do: for each of them the levels are tried that would have given it by its first click.
"""

import threading
from collections import defaultdict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from clickgrain.annotate.documents import Click, Steps
from clickgrain.errors import ClickgrainError
from clickgrain.tree.leaf_map import to_size
from clickgrain.types import Bool, Float

if TYPE_CHECKING:
    from clickgrain.annotate.project import Project

LEVELS = (0.35, 0.45, 0.55, 0.65)
LEAST, LAST = 2, 10  # finished objects that a level is taken from: at least, and the last so many
MARGIN = 0.1  # by which a level's mean IoU must exceed that without a level


class UsualLevels:
    """The usual level by label (None: no label), from finished objects; safe to use from several threads."""

    def __init__(self) -> None:
        self._gains: dict[int | None, deque[Float]] = defaultdict(lambda: deque(maxlen=LAST))
        self._lock = threading.Lock()

    def learn(self, label: int | None, mask: Bool, answer: Callable[[float | None], Bool]) -> None:
        """Learn from a finished object's H x W mask; `answer` gives that of its first click alone at a level."""
        ious = []
        for level in (None, *LEVELS):
            found = answer(level)
            ious.append(np.count_nonzero(found & mask) / max(int(np.count_nonzero(found | mask)), 1))
        with self._lock:
            self._gains[label].append(np.array(ious[1:], np.float32) - np.float32(ious[0]))

    def first(self, label: int | None, steps: Steps) -> Steps:
        """The steps of a new object: a positive click that begins them asks for the label's usual level."""
        if not steps or not isinstance(steps[0], Click) or not steps[0].label:
            return steps
        return steps[0].model_copy(update={"usual": self.of(label)}), *steps[1:]

    def of(self, label: int | None) -> float | None:
        """The level for first clicks on the next object; None where the model's own choice is about as good."""
        with self._lock:
            gains = list(self._gains.get(label, ()))
        if len(gains) < LEAST:
            return None
        mean = np.mean(gains, axis=0)
        best = int(mean.argmax())
        return LEVELS[best] if mean[best] > MARGIN else None


class InHand:
    """Which object each person works on; one that they leave for another is finished, and its level is learned."""

    def __init__(self, project: "Project") -> None:
        self._project = project
        self._objects: dict[str, tuple[int, int]] = {}  # by person: image and number
        self._learner = ThreadPoolExecutor(1, "usual level")

    def close(self) -> None:
        """Learn no more."""
        self._learner.shutdown(cancel_futures=True)

    def take(self, image: int, number: int, user: str) -> None:
        """A person has added to an object."""
        before = self._objects.get(user)
        self._objects[user] = (image, number)
        if before not in (None, (image, number)):
            self._learner.submit(self._learn, *before)

    def _learn(self, image: int, number: int) -> None:
        project = self._project
        with suppress(ClickgrainError):  # the object or its image may be gone
            item = project.logs.item(image, number)
            first = item.steps[0] if item.steps else None
            if image not in project.encoded() or not isinstance(first, Click) or not first.label:
                return
            scene, point = project.scene(image), (first.x, first.y)
            predict = partial(scene.segmenter.predict, [point], [1], view=first.view, encoded=scene.encoded)

            def answer(level: float | None) -> Bool:
                with scene.turn:  # between the levels the user's clicks are answered
                    return predict(level=level).binary

            if item.model == scene.model:
                project.usual.learn(item.label, to_size(project.logs.mask(item.mask or ""), scene.size), answer)
