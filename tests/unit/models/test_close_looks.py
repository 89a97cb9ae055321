"""From the fifth click on an object that fills a part of the image is looked at closely, a small one earlier."""

from dataclasses import replace

import numpy as np
import pytest

from clickgrain.errors import PromptError
from clickgrain.features import ColorTexture
from clickgrain.models import grain_engine
from clickgrain.models.grain import TorchGrain
from clickgrain.models.grain_engine import SMALL, SMALL_FROM, ZOOM_FROM, GrainEngine, _cut_out
from clickgrain.models.zoom import Window
from clickgrain.types import Mask, Prompt, Scribble
from tests.unit.models.test_grain_engine import TINY, echo_model, photo, random_model

SIZE = (160, 240)
FIVE = [[60, 50], [70, 52], [64, 60], [58, 58], [66, 46]]


def blob(size=SIZE, centre=(64, 52), radius=14):
    y, x = np.mgrid[: size[0], : size[1]]
    return (np.hypot(x - centre[0], y - centre[1]) <= radius).astype(np.float32)


def ask(engine, encoded, points, previous, labels=None, **rest):
    prompt = Prompt.of(points, [1] * len(points) if labels is None else labels, size=encoded.size, **rest)
    return engine.answer(encoded, prompt, previous)


def iou(one, two):
    return (one & two).sum() / (one | two).sum()


@pytest.fixture
def engine():
    return GrainEngine(TorchGrain(random_model()), ColorTexture())


@pytest.fixture
def encoded(engine):
    return engine.encode(photo(size=SIZE))


@pytest.fixture
def looks(monkeypatch):
    """Shapes of what is encoded from now on."""
    shapes, real = [], grain_engine.edge_tree
    monkeypatch.setattr(
        grain_engine, "edge_tree", lambda image, grid: shapes.append(image.shape[:2]) or real(image, grid)
    )
    return shapes


class TestWhen:
    def test_from_the_fifth_click_on(self, engine, encoded):
        before = Mask(blob(radius=30))
        assert ask(engine, encoded, FIVE[: ZOOM_FROM - 1], before).roi is None
        x1, y1, x2, y2 = ask(engine, encoded, FIVE, before).roi
        assert (x1 + x2) / 2 == pytest.approx(64.5, abs=1.5)
        assert (y1 + y2) / 2 == pytest.approx(56.0, abs=3.5)  # cut off at the top
        assert x2 - x1 == pytest.approx(2 * 61, abs=2)

    @pytest.mark.parametrize(("radius", "small"), [(23, True), (25, False)])
    def test_small_objects_from_the_second_click_on(self, engine, encoded, radius, small):
        assert (2 * radius + 1 <= SMALL * SIZE[1]) == small
        before = Mask(blob(radius=radius))
        assert ask(engine, encoded, FIVE[: SMALL_FROM - 1], before).roi is None
        assert (ask(engine, encoded, FIVE[:SMALL_FROM], before).roi is not None) == small
        assert ask(engine, encoded, FIVE, before).roi is not None

    def test_a_speck_is_seen_with_what_is_around_it(self, engine, encoded):
        x1, _, x2, _ = ask(engine, encoded, FIVE[:2], Mask(blob(radius=3))).roi
        assert x2 - x1 == pytest.approx(SIZE[1] / 4, abs=2)

    @pytest.mark.parametrize(
        "rest",
        [{"level": 0.5}, {"box": [40, 30, 90, 80]}, {"scribbles": [Scribble([[60, 50], [66, 50]])]}],
        ids=lambda rest: next(iter(rest)),
    )
    def test_for_clicks_alone(self, engine, encoded, rest):
        assert ask(engine, encoded, FIVE, Mask(blob()), **rest).roi is None

    def test_not_without_an_object(self, engine, encoded):
        assert ask(engine, encoded, FIVE, Mask(np.zeros(SIZE, np.float32))).roi is None

    def test_not_where_it_would_be_most_of_the_image(self, engine, encoded):
        large = np.zeros(SIZE, np.float32)
        large[20:140, 20:200] = 1
        assert ask(engine, encoded, FIVE, Mask(large)).roi is None

    @pytest.mark.parametrize("size", [(8, 8), (20, 31), (40, 60)])
    def test_tiny_images(self, engine, size):
        points = [[size[1] // 2, size[0] // 2]] * 5
        mask = ask(
            engine, engine.encode(photo(size=size)), points, Mask(blob(size, (size[1] // 2, size[0] // 2), 2))
        )
        assert mask.probability.shape == size
        assert mask.binary[size[0] // 2, size[1] // 2]

    def test_a_previous_mask_of_another_image_is_refused(self, engine, encoded):
        with pytest.raises(PromptError, match="160 x 240"):
            ask(engine, encoded, FIVE, Mask(blob((120, 240))))


class TestWhatIsSeen:
    def test_the_previous_mask_stays_where_it_is(self):
        engine = GrainEngine(TorchGrain(echo_model("previous")), ColorTexture())
        encoded = engine.encode(np.full((*SIZE, 3), 120, np.uint8))
        found = ask(engine, encoded, FIVE, Mask(blob()))
        assert found.roi is not None
        assert iou(found.binary, blob() > 0.5) > 0.88

    def test_it_is_finer_than_a_look_at_the_whole(self):
        engine = GrainEngine(TorchGrain(echo_model("previous")), ColorTexture())
        encoded = engine.encode(np.full((*SIZE, 3), 120, np.uint8))
        cross = np.zeros(SIZE, np.float32)
        cross[24:80, 59:68] = cross[48:57, 35:92] = 1
        points = [[64, 52], [63, 30], [63, 72], [40, 52], [86, 52]]
        close, whole = (ask(engine, encoded, points[:n], Mask(cross)) for n in (5, 4))
        assert (close.roi is None, whole.roi is None) == (False, True)
        assert iou(close.binary, cross > 0.5) > iou(whole.binary, cross > 0.5) + 0.03

    def test_clicks_lie_where_they_were_made(self):
        engine = GrainEngine(TorchGrain(echo_model("disk+", replace(TINY, radius=6.0))), ColorTexture())
        encoded = engine.encode(np.full((*SIZE, 3), 120, np.uint8))
        points = [[64, 52]] * 5
        found = ask(engine, encoded, points, Mask(blob()))
        y, x = np.nonzero(found.binary)
        assert found.roi is not None
        assert (x.mean(), y.mean()) == pytest.approx((64, 52), abs=1)

    def test_nothing_is_left_outside_and_far_negatives_are_obeyed(self, engine, encoded):
        points, labels = [*FIVE, [230, 150], [2, 155]], [1] * 5 + [0, 0]
        found = ask(engine, encoded, points, Mask(blob()), labels)
        x1, y1, x2, y2 = map(int, found.roi)
        outside = np.ones(SIZE, bool)
        outside[y1:y2, x1:x2] = False
        assert not found.probability[outside].any()
        for (x, y), label in zip(points, labels):
            assert found.binary[y, x] == bool(label)

    def test_a_positive_click_far_away_is_inside(self, engine, encoded):
        found = ask(engine, encoded, [*FIVE, [120, 90]], Mask(blob()))
        assert found.binary[90, 120]


class TestGoingOn:
    def test_the_same_part_is_encoded_once(self, looks):
        engine = GrainEngine(TorchGrain(echo_model("previous")), ColorTexture())
        encoded, mask = engine.encode(photo(size=SIZE)), Mask(blob())
        for k in range(1, 5):
            mask = ask(engine, encoded, [*FIVE, *[[63, 55]] * k], mask)
            assert mask.roi is not None
        assert len(looks) == 2

    def test_only_a_whole_image_has_a_semantic_tree(self, engine, encoded):
        ask(engine, encoded, FIVE, Mask(blob()))
        (part,) = encoded.close.values()
        assert [image.context.leaves[0].semantic is None for image in (encoded, part)] == [False, True]

    def test_a_part_looks_up_its_semantic_vectors_in_the_whole(self, engine, encoded):
        """Cells that hold their own places: those of the part are places in the part."""
        rows, columns = encoded.cells.shape[:2]
        y, x = np.mgrid[:rows, :columns].astype(np.float32)
        places = np.stack([(y + 0.5) / rows, (x + 0.5) / columns], -1) * SIZE
        window = Window(40, 119, 60, 179)
        seen = _cut_out(places, window, SIZE)
        step = 80 / len(seen), 120 / seen.shape[1]
        np.testing.assert_allclose(seen[:, 0, 0], 40 + (np.arange(len(seen)) + 0.5) * step[0], atol=1e-3)
        np.testing.assert_allclose(seen[0, :, 1], 60 + (np.arange(seen.shape[1]) + 0.5) * step[1], atol=1e-3)

    def test_back_to_the_whole_image(self, engine, encoded):
        """A mask from a close look is a previous mask like any other."""
        close = ask(engine, encoded, FIVE, Mask(blob()))
        plain = Mask(close.probability.copy())
        for points, rest in ((FIVE[:2], {}), (FIVE, {"level": 0.7})):
            one, two = (ask(engine, encoded, points, previous, **rest) for previous in (close, plain))
            assert one.roi is None
            np.testing.assert_allclose(one.probability, two.probability, atol=1e-5)

    def test_other_readings_are_those_of_the_whole_image(self, engine, encoded):
        found = ask(engine, encoded, FIVE, Mask(blob()))
        assert len(found.alternatives) == 3
        assert all(other.probability.shape == SIZE and other.roi is None for other in found.alternatives)


class TestAroundTheLastClick:
    """What answers late corrections that would change much."""

    def around(self, name, previous, points, size=SIZE):
        engine = GrainEngine(TorchGrain(echo_model(name, replace(TINY, radius=6.0))), ColorTexture())
        encoded = engine.encode(np.full((*size, 3), 120, np.uint8))
        return engine.answer_around(encoded, Prompt.of(points, [1] * len(points), size=size), Mask(previous))

    def test_the_previous_mask_stays_near_and_far(self):
        previous = np.maximum(blob(), blob(centre=(200, 120)))
        found = self.around("previous", previous, [[64, 52], [60, 58]])
        assert iou(found.binary, previous > 0.5) > 0.8
        np.testing.assert_array_equal(found.probability[:, 150:], previous[:, 150:])

    @pytest.mark.parametrize("click", [(64, 52), (20, 20), (222, 140), (120, 80)])
    def test_clicks_lie_where_they_were_made(self, click):
        found = self.around("disk+", np.zeros(SIZE, np.float32), [[120, 20], click])
        y, x = np.nonzero(found.binary & (np.hypot(*(np.mgrid[:160, :240].T - click[::-1]).T) < 12))
        assert np.hypot(x.mean() - click[0], y.mean() - click[1]) < 3

    def test_its_answer_fades_into_the_previous_mask_but_not_at_the_images_border(self):
        found = self.around("previous", np.full(SIZE, 0.75, np.float32), [[10, 80]])
        assert found.probability[:, :5].min() > 0.5
        np.testing.assert_allclose(found.probability[:, 125:], 0.75)

    def test_not_in_small_images(self):
        assert self.around("previous", np.zeros((90, 110), np.float32), [[10, 10]], (90, 110)) is None
