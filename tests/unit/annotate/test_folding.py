"""Masks as folds over steps, with tree mode answering."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from pydantic import TypeAdapter

import clickgrain.annotate.masks as module
from clickgrain.annotate.documents import BrushStep, Steps
from clickgrain.annotate.http_errors import RequestError
from clickgrain.annotate.masks import MaskReplayer, encode, paint
from clickgrain.errors import PromptError
from clickgrain.tree.leaf_map import node_mask, node_over
from clickgrain.types import Mask

STEPS = TypeAdapter(Steps)


@pytest.fixture
def masks():
    return {}


@pytest.fixture
def fold(scene, masks):
    folder = MaskReplayer(masks.__getitem__)
    return lambda *steps: folder.fold(scene, STEPS.validate_python(steps))


def click(x, y, label=1):
    return {"type": "click", "x": x, "y": y, "label": label}


def box(x1, y1, x2, y2, label=1):
    return {"type": "box", "box": [x1, y1, x2, y2], "label": label}


def test_a_click_takes_what_it_falls_on(fold, red, iou):
    mask = fold(click(20, 20)).binary
    assert mask[20, 20]
    assert iou(mask, red) > 0.9


def test_the_same_steps_give_the_same_mask_whatever_came_before(scene, fold):
    steps = [click(20, 20), click(50, 36), click(5, 40, 0)]
    grown = [fold(*steps[: i + 1]) for i in range(3)][-1]
    fresh = MaskReplayer({}.__getitem__).fold(scene, STEPS.validate_python(steps))
    assert (grown.binary == fresh.binary).all()


def test_a_first_click_on_an_enlarged_image_is_answered_from_what_is_seen(scene, fold):
    view = (3, 2, 39, 40)
    predict = partial(scene.segmenter.predict, encoded=scene.encoded)
    seen, first = predict([(20, 20)], [1], view=view), {**click(20, 20), "view": view}
    assert (fold(first).binary == seen.binary).all()
    corrected = predict([(20, 20), (45, 36)], [1, 1], previous=seen)
    assert (fold(first, {**click(45, 36), "view": (0, 0, 40, 40)}).binary == corrected.binary).all()
    level = predict([(20, 20)], [1], level=0.3, view=view)
    assert (fold(first, {"type": "level", "level": 0.3}).binary == level.binary).all()
    assert (fold({**first, "usual": 0.3}).binary == level.binary).all()
    larger = {**click(20, 20), "view": (3, 2, 90, 40)}  # of an image whose file was replaced by a smaller one
    assert (fold(larger).binary == predict([(20, 20)], [1], view=(3, 2, 64, 40)).binary).all()
    gone = {**click(20, 20), "view": (70, 2, 90, 40)}
    assert (fold(gone).binary == predict([(20, 20)], [1]).binary).all()


def test_a_click_taken_away_is_as_if_it_had_never_been(fold):
    with_it = fold(click(20, 20), click(50, 36))
    without = fold(click(20, 20))
    assert (with_it.binary != without.binary).any()
    assert (fold(click(20, 20)).binary == without.binary).all()


def test_a_region_is_exactly_what_hovering_shows(scene, fold):
    for level in (0.0, 0.4, 0.7, 1.0):
        shown = node_mask(
            scene.tree, scene.leaves, node_over(scene.tree, scene.leaves, (20, 20), level), scene.size
        )
        taken = fold({"type": "region", "x": 20, "y": 20, "level": level})
        assert (taken.binary == shown).all()


def test_a_level_after_a_region_takes_the_region_at_that_level(fold):
    moved = fold({"type": "region", "x": 20, "y": 20, "level": 0.2}, {"type": "level", "level": 0.8})
    direct = fold({"type": "region", "x": 20, "y": 20, "level": 0.8})
    assert (moved.binary == direct.binary).all()


def test_corrections_of_a_region_start_from_its_level(scene, fold):
    region = {"type": "region", "x": 20, "y": 20, "level": 0.9}
    corrected = fold(region, click(63, 0, 0))
    asked = fold({"type": "level", "level": 0.9}, click(20, 20), click(63, 0, 0))
    assert (corrected.binary == asked.binary).all()
    assert corrected.level == 0.9
    assert fold(click(20, 20), {**region, "level": 0.2}).level is None


def test_a_level_alone_makes_nothing_and_counts_for_the_next_click(fold):
    assert not fold({"type": "level", "level": 1.0}).binary.any()
    assert fold({"type": "level", "level": 1.0}, click(20, 20)).binary.all()


def test_alternatives_differ_and_can_be_chosen(fold):
    first = fold(click(20, 20))
    assert first.is_ambiguous
    assert 1 <= len(first.alternatives) <= 3
    for number, other in enumerate(first.alternatives):
        chosen = fold(click(20, 20), {"type": "choose", "alternative": number})
        assert (chosen.binary == other.binary).all()
        assert (chosen.binary != first.binary).any()
    with pytest.raises(RequestError, match="no alternative"):
        fold(
            click(20, 20),
            {"type": "choose", "alternative": 2},
            {"type": "choose", "alternative": 2},
            {"type": "choose", "alternative": 2},
        )


def test_two_clicks_are_not_ambiguous(fold):
    assert not fold(click(20, 20), click(50, 36)).is_ambiguous


def test_a_box_asks_for_what_fills_it(fold, red, iou):
    mask = fold({"type": "box", "box": [9, 9, 32, 32]}).binary
    assert iou(mask, red) > 0.8


def test_a_scribble_is_many_clicks(fold):
    mask = fold({"type": "scribble", "points": [[15, 20], [25, 20]]}).binary
    assert mask[20, 15]
    assert mask[20, 25]


def test_painted_pixels_stay_under_later_clicks(fold):
    stroke = {"type": "brush", "points": [[55, 5], [60, 5]], "radius": 2, "label": 1}
    mask = fold(click(20, 20), stroke, click(24, 24)).binary
    assert mask[5, 55]
    assert mask[5, 60]


def test_a_click_of_the_other_label_takes_a_stroke_away(fold):
    stroke = {"type": "brush", "points": [[55, 5], [60, 5]], "radius": 2, "label": 1}
    mask = fold(click(20, 20), stroke, click(57, 5, 0)).binary
    assert not mask[5, 55]
    assert not mask[5, 60]


def test_a_given_mask_is_the_mask_and_clicks_go_on_from_it(fold, masks, red):
    coded = encode(red)
    masks[coded.hash] = red
    assert (fold({"type": "mask", "mask": coded.hash}).binary == red).all()
    assert fold({"type": "mask", "mask": coded.hash}, click(20, 20), click(50, 36)).binary[36, 50]


@pytest.mark.parametrize(
    "step",
    [
        click(64, 10),
        {"type": "region", "x": 10, "y": 48, "level": 0.5},
        {"type": "brush", "points": [[64, 1]], "radius": 1},
        {"type": "scribble", "points": [[1, 1], [1, 60]]},
        {"type": "box", "box": [10, 10, 10, 20]},
        {"type": "box", "box": [10, 10, 70, 20]},
    ],
)
def test_what_lies_outside_is_refused(fold, step):
    with pytest.raises(PromptError):
        fold(step)


@pytest.mark.parametrize("points", [[(3, 4)], [(3, 4), (12, 9)], [(0, 0), (15, 0), (15, 11)]])
@pytest.mark.parametrize("radius", [0.4, 1, 2.5, 4])
def test_a_brush_paints_the_pixels_within_its_radius(points, radius):
    mask = np.zeros((12, 16), np.uint8)
    paint(mask, BrushStep(points=points, radius=radius))
    y, x = np.mgrid[:12, :16]
    distance = np.full(mask.shape, np.inf)
    for (ax, ay), (bx, by) in zip(points, points[1:] or points):
        t = np.linspace(0, 1, 400)[:, None, None]
        distance = np.minimum(distance, np.hypot(x - (ax + t * (bx - ax)), y - (ay + t * (by - ay))).min(0))
    sure = np.abs(distance - radius) > 0.07
    corners = np.zeros(mask.shape, bool)
    corners[[p[1] for p in points], [p[0] for p in points]] = True
    assert ((mask == 1) == ((distance <= radius) | corners))[sure].all()


def test_an_eraser_takes_away():
    mask = np.ones((12, 16), np.uint8)
    paint(mask, BrushStep(points=((5, 5),), radius=2, label=0))
    assert mask[5, 5] == 0
    assert mask[0, 0] == 1


def test_memory_of_prefixes_is_bounded(scene, monkeypatch):
    monkeypatch.setattr("clickgrain.annotate.masks.KEPT_BYTES", 0)
    folder = MaskReplayer({}.__getitem__)
    for x in range(10):
        folder.fold(scene, STEPS.validate_python([click(x, 5)]))
    assert len(folder._kept) == 4


class Held:
    """A segmenter that answers when the gate opens, and counts."""

    def __init__(self, segmenter):
        self.segmenter, self.asked = segmenter, 0
        self.gate, self.inside = threading.Event(), threading.Event()

    def predict(self, *arguments, **more):
        self.asked += 1
        self.inside.set()
        assert self.gate.wait(20)
        return self.segmenter.predict(*arguments, **more)


def test_what_is_known_or_needs_no_model_waits_for_no_prediction(scene):
    held = Held(scene.segmenter)
    scene = replace(scene, segmenter=held)
    folder = MaskReplayer({}.__getitem__)
    known = STEPS.validate_python([click(20, 20)])
    held.gate.set()
    first = folder.fold(scene, known)
    held.gate.clear()
    held.inside.clear()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(folder.fold, scene, STEPS.validate_python([click(50, 36)]))
        assert held.inside.wait(20)
        assert folder.fold(scene, known) is first
        painted = STEPS.validate_python([{"type": "brush", "points": [[5, 5]], "radius": 2}])
        region = STEPS.validate_python([{"type": "region", "x": 5, "y": 5, "level": 0.5}])
        assert folder.fold(scene, painted).binary[5, 5]
        assert folder.fold(scene, region).binary[5, 5]
        assert not slow.done()
        held.gate.set()
        assert slow.result(20).binary[36, 50]


def test_the_same_click_of_many_tabs_is_answered_once(scene):
    held = Held(scene.segmenter)
    folder, steps = MaskReplayer({}.__getitem__), STEPS.validate_python([click(20, 20)])
    with ThreadPoolExecutor(6) as pool:
        folds = [pool.submit(folder.fold, replace(scene, segmenter=held), steps) for _ in range(6)]
        assert held.inside.wait(20)
        held.gate.set()
        assert len({id(fold.result(20)) for fold in folds}) == 1
    assert held.asked == 1


@pytest.mark.parametrize(("cores", "most"), [(1, 1), (2, 2)])
def test_as_many_images_are_answered_at_once_as_there_are_cores(scene, monkeypatch, cores, most):
    monkeypatch.setattr(module, "core_count", lambda: cores)
    folder, steps, inside, seen = MaskReplayer({}.__getitem__), STEPS.validate_python([click(20, 20)]), [], []
    enough = threading.Event()

    class Slow:
        def predict(self, *args, **rest):
            inside.append(None)
            seen.append(len(inside))
            if len(inside) == most:
                enough.set()
            assert enough.wait(20)
            mask = scene.segmenter.predict(*args, **rest)
            inside.pop()
            return mask

    images = [replace(scene, segmenter=Slow(), stamp=f"file {i}", turn=threading.Lock()) for i in range(5)]
    with ThreadPoolExecutor(5) as pool:
        folds = list(pool.map(lambda image: folder.fold(image, steps), images))
    assert all(fold.binary[20, 20] for fold in folds)
    assert max(seen) == most


def test_photos_and_models_are_not_mixed_up(scene):
    folder, steps = MaskReplayer({}.__getitem__), STEPS.validate_python([click(20, 20)])
    first = folder.fold(scene, steps)
    assert folder.fold(replace(scene, stamp="another file"), steps) is not first
    assert folder.fold(replace(scene, model="another"), steps) is not first
    assert folder.fold(scene, steps) is first


def test_a_negative_click_or_scribble_never_adds_a_pixel(scene, fold, monkeypatch):
    everything = np.ones(scene.size, np.float32)
    before = fold(click(20, 20)).binary
    monkeypatch.setattr(scene.segmenter, "predict", lambda *_, **__: Mask(everything))  # a model that grows anyway
    scribble = {"type": "scribble", "points": [[50, 36], [52, 38]], "label": 0}
    for step in (click(50, 36, 0), scribble):
        after = fold(click(20, 20), step).binary
        assert (after == before).all()
    assert fold(click(20, 20), click(50, 36)).binary.all()


def test_a_box_adds_to_the_object_in_hand(fold):
    disk, both = fold(click(20, 20)).binary, fold(click(20, 20), box(38, 28, 60, 46)).binary
    assert (both & disk == disk).all()
    assert both[36, 48]
    again = fold(click(20, 20), box(38, 28, 60, 46), click(48, 36)).binary
    assert again[20, 20]
    assert again[36, 48]


def test_a_negative_box_takes_away_what_is_in_it_and_it_stays_away(fold):
    disk = fold(click(20, 20)).binary
    less = fold(click(20, 20), box(20, 0, 40, 48, 0)).binary
    assert (less[:, :20] == disk[:, :20]).all()
    assert not less[:, 20:40].any()
    assert not fold(click(20, 20), box(20, 0, 40, 48, 0), click(14, 20)).binary[:, 20:40].any()
    assert fold(click(20, 20), box(20, 0, 40, 48, 0), click(25, 20)).binary[20, 25]


def test_corners_hold_exactly_the_pixels_whose_centers_are_inside(fold, scene):
    square = [(10, 5), (30, 5), (30, 25), (10, 25)]
    hole = [(15.4, 10), (20.6, 10), (20.6, 15), (15.4, 15)]
    stroke = {"type": "brush", "points": [[50, 40]], "radius": 3}
    wanted = np.zeros(scene.size, bool)
    wanted[5:25, 10:30] = True
    wanted[10:15, 15:21] = False  # 15.5 and 20.5 are inside the hole
    cornered = fold(click(20, 20), stroke, {"type": "polygon", "rings": [square, hole]})
    assert np.array_equal(cornered.binary, wanted)  # the stroke before is in the corners, or taken out by them
    assert cornered.alternatives == []
    painted = fold(
        {"type": "polygon", "rings": [square]}, {"type": "brush", "points": [[12, 40]], "radius": 2}
    ).binary
    assert painted[5:25, 10:30].all()
    assert painted[40, 12]
    more = fold({"type": "polygon", "rings": [square]}, click(50, 36)).binary
    assert more[36, 50]  # clicks go on from it
