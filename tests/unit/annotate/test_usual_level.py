"""The level that finished objects ask for, learned and used."""

import time

import numpy as np
import pytest

from clickgrain.annotate.documents import Click, RegionStep
from clickgrain.annotate.masks import encode
from clickgrain.annotate.usual_level import LAST, LEAST, LEVELS, UsualLevels

SMALL, LARGE = np.zeros((10, 10), bool), np.ones((10, 10), bool)
SMALL[2:5, 2:5] = True


def right_at(right):
    """Answers with the small mask at one level, and with everything at all others and without one."""
    return lambda level: SMALL if level == right else LARGE


def learned(*finished):
    """From (level, label, mask) of finished objects."""
    usual = UsualLevels()
    for level, label, mask in finished:
        usual.learn(label, mask, right_at(level))
    return usual


class TestLevels:
    @pytest.mark.parametrize("level", LEVELS)
    def test_the_level_that_suits_the_finished_objects(self, level):
        assert learned(*[(level, 1, SMALL)] * (LEAST - 1)).of(1) is None
        assert learned(*[(level, 1, SMALL)] * LEAST).of(1) == level

    def test_none_where_the_models_choice_is_as_good(self):
        assert learned(*[(0.45, 1, LARGE)] * LAST).of(1) is None

    def test_every_label_has_its_own(self):
        usual = learned(*[(0.35, 1, SMALL)] * LEAST, *[(0.65, 2, SMALL)] * LEAST, *[(0.45, None, LARGE)] * LEAST)
        assert [usual.of(label) for label in (1, 2, None, 3)] == [0.35, 0.65, None, None]

    def test_old_objects_are_forgotten(self):
        assert learned(*[(0.35, 1, SMALL)] * LAST, *[(0.65, 1, SMALL)] * LAST).of(1) == 0.65

    def test_it_is_asked_for_by_a_positive_click_that_begins_an_object(self):
        usual = learned(*[(0.45, 1, SMALL)] * LEAST)
        first, second, region = Click(x=1, y=2), Click(x=3, y=4), RegionStep(x=1, y=2, level=0.5)
        assert usual.first(1, (first, second)) == (Click(x=1, y=2, usual=0.45), second)
        assert usual.first(2, (first, second)) == (first, second)
        away = Click(x=1, y=2, label=0)
        assert [usual.first(1, steps) for steps in ((away,), (region,), ())] == [(away,), (region,), ()]


class TestFirstClicks:
    @pytest.fixture
    def usual(self, monkeypatch, project):
        """Objects without a label usually ask for level 0.3, in place of what was learned."""
        monkeypatch.setattr(project.usual, "of", lambda label: 0.3 if label is None else None)

    @pytest.fixture
    def added(self, project, act):
        """An object after steps were added to it, or to a new one."""

        def add(*steps, object=None, label=None):
            done = act(kind="object.add_steps", object=object, label=label, steps=list(steps))
            return project.logs.item(1, done.touched)

        return add

    def test_are_answered_at_it_and_later_ones_without(self, project, added, click, label, usual):
        number = label(kind="label.add", name="cell").labels[0].id
        plain = added(click(20, 20), label=number)
        assert plain.steps == (Click(x=20, y=20),)
        item = added(click(20, 20))
        assert item.steps == (Click(x=20, y=20, usual=0.3),)
        assert item.mask != plain.mask

        scene = project.scene(1)
        first = scene.segmenter.predict([(20, 20)], [1], level=0.3, encoded=scene.encoded)
        np.testing.assert_array_equal(project.logs.mask(item.mask), first.binary)
        item = added(click(45, 36), object=item.id)
        assert [step.usual for step in item.steps] == [0.3, None]
        both = scene.segmenter.predict([(20, 20), (45, 36)], [1, 1], previous=first, encoded=scene.encoded)
        np.testing.assert_array_equal(project.logs.mask(item.mask), both.binary)

    def test_offer_what_the_model_would_choose(self, project, added, act, click, label, usual):
        number = label(kind="label.add", name="cell").labels[0].id
        plain = added(click(20, 20), label=number)
        done = act(kind="object.add_steps", steps=[click(20, 20)])
        assert done.ambiguous
        item = added({"type": "choose", "alternative": 0}, object=done.touched)
        assert item.mask == plain.mask

    def test_look_as_their_preview(self, project, client, added, click, label, usual):
        number = label(kind="label.add", name="cell").labels[0].id
        where = {"x": 20, "y": 20}
        shown = [
            client.get("/api/images/1/preview", params=params).json()["data"]
            for params in (where, {**where, "name": number})
        ]
        items = [added(click(20, 20)), added(click(20, 20), label=number)]
        assert shown == [encode(project.logs.mask(item.mask)).text for item in items]
        assert shown[0] != shown[1]

    def test_steps_without_one_are_stored_as_ever(self, project, added, click):
        (step,) = added(click(20, 20)).steps
        assert step.model_dump(mode="json") == {"type": "click", "x": 20.0, "y": 20.0, "label": 1}


def test_an_object_is_finished_when_the_next_one_is_begun(project, act, click):
    level = LEVELS[0]
    scene = project.scene(1)
    free, small = (
        scene.segmenter.predict([(20, 20)], [1], level=each, encoded=scene.encoded).binary for each in (None, level)
    )
    assert (free & small).sum() / (free | small).sum() < 0.8, "else the test asks for nothing"
    steps = [click(20, 20), {"type": "level", "level": level}]
    for _ in range(LEAST):
        assert project.usual.of(None) is None
        act(kind="object.add_steps", steps=steps)
    act(kind="object.add_steps", steps=[{"type": "region", "x": 45, "y": 36, "level": 0.5}])
    deadline = time.monotonic() + 30
    while project.usual.of(None) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert project.usual.of(None) in LEVELS
    (step,) = project.logs.item(1, act(kind="object.add_steps", steps=[click(20, 20)]).touched).steps
    assert step.usual == project.usual.of(None)


def test_adding_to_one_object_finishes_none(project, act, click, monkeypatch):
    learned = []
    monkeypatch.setattr(project.usual, "learn", lambda *given: learned.append(given))
    number = act(kind="object.add_steps", steps=[click(20, 20)]).touched
    act(kind="object.add_steps", object=number, steps=[click(45, 36)])
    act(kind="object.delete", objects=[number])
    act(kind="object.add_steps", steps=[click(20, 20)])  # the one before is gone
    project.close()
    assert learned == []


def test_another_model_begins_without_one(project):
    for _ in range(LEAST):
        project.usual.learn(None, SMALL, right_at(0.45))
    assert project.usual.of(None) == 0.45
    project.use_model(project.model)
    assert project.usual.of(None) is None
