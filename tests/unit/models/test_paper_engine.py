from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clickgrain.clicks.config import MapSpec
from clickgrain.errors import ConfigError, PromptError
from clickgrain.models import paper_engine
from clickgrain.models.base import ClickModel, Decoded
from clickgrain.models.config import PaperConfig
from clickgrain.models.paper import PaperModel, TorchPaper
from clickgrain.models.zoom import Window, Zoom
from clickgrain.types import Mask, Prompt, Scribble

TINY = PaperConfig(image_size=32, patch_size=8, dim=24, depth=2, heads=2, head_channels=16)
NONE = np.zeros((0, 2), np.float32)


class Echo(ClickModel):
    """A known answer: object on the positive disks (and the previous mask, if `remember`); keeps what it saw."""

    def __init__(self, size=64, radius=4.0, remember=False):
        super().__init__()
        self.config = SimpleNamespace(image_size=size)
        self.map_spec = MapSpec(("previous", "disk+", "disk-"), radius=radius)
        self.remember, self.seen = remember, []

    def encode(self, images):
        return (images,)

    def decode(self, encoded, maps):
        self.seen.append((encoded[0].clone(), maps.clone()))
        previous, positive, negative = maps[:, :1], maps[:, 1:2], maps[:, 2:]
        object_ = torch.maximum(positive, previous) if self.remember else positive
        return Decoded((object_ - negative - 0.5) * 20, object_.mean((1, 2, 3)))


def engine_of(model, **settings):
    return paper_engine.PaperEngine(TorchPaper(model), **settings)


def photo(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def clicks(points, labels=None, size=(4096, 4096), **rest):
    return Prompt.of(points, [1] * len(points) if labels is None else labels, size=size, **rest)


def ask(engine, image, points, previous=None, **rest):
    return engine.answer(engine.encode(image), clicks(points, size=image.shape[:2], **rest), previous)


def block(size, top, bottom, left, right):
    """Mask of rows top..bottom and columns left..right."""
    mask = np.zeros(size, bool)
    mask[top : bottom + 1, left : right + 1] = True
    return mask


def slow_window(before, positives, last, size, expansion=1.4, least=200, keep=0.5):
    """The published rule over explicit sets of pixels, rows and columns."""
    height, width = size
    marked = set() if before is None else {(int(r), int(c)) for r, c in np.argwhere(before)}
    rows, columns = list(range(height)), list(range(width))
    if marked:
        marked |= {(int(y), int(x)) for x, y in positives}
        spans = []
        for axis, length in ((0, height), (1, width)):
            values = sorted(pixel[axis] for pixel in marked)
            middle = 0.5 * (values[0] + values[-1])
            half = 0.5 * max(expansion * (values[-1] - values[0] + 1), least)
            first, final = round(middle - half), round(middle + half)
            spans.append([i for i in range(first, final + 1) if 0 <= i < length])
        rows, columns = spans
    new = (rows[0], rows[-1], columns[0], columns[-1])
    if last is None:
        return new
    old_rows, old_columns = set(range(last[0], last[1] + 1)), set(range(last[2], last[3] + 1))
    if any(int(y) not in old_rows or int(x) not in old_columns for x, y in positives):
        return new
    row_iou = len(old_rows & set(rows)) / len(old_rows | set(rows))
    column_iou = len(old_columns & set(columns)) / len(old_columns | set(columns))
    return new if row_iou * column_iou < keep else tuple(last)


@st.composite
def scenes(draw):
    height, width = draw(st.integers(1, 60)), draw(st.integers(1, 60))

    def span(length):
        a, b = draw(st.integers(0, length - 1)), draw(st.integers(0, length - 1))
        return min(a, b), max(a, b)

    before = draw(st.sampled_from(["none", "empty", "block"]))
    mask = {"none": None, "empty": np.zeros((height, width), bool)}.get(before)
    if before == "block":
        mask = block((height, width), *span(height), *span(width))
    last = draw(st.none() | st.just(0))
    if last is not None:
        last = Window(*span(height), *span(width))
    n = draw(st.integers(0, 3))
    x = [draw(st.floats(0, width, exclude_max=True, width=32)) for _ in range(n)]
    y = [draw(st.floats(0, height, exclude_max=True, width=32)) for _ in range(n)]
    positives = np.array(list(zip(x, y)), np.float32).reshape(-1, 2)
    return mask, positives, last, (height, width), draw(st.sampled_from([1, 7, 20, 200]))


@settings(max_examples=300, deadline=None)
@given(scenes())
def test_the_region_follows_the_published_rule(scene):
    before, positives, last, size, least = scene
    window = Zoom(min_side=least).window(before, positives, None, last, size)
    assert window == slow_window(before, positives, last, size, least=least)
    height, width = size
    assert 0 <= window.top <= window.bottom < height
    assert 0 <= window.left <= window.right < width
    assert window.holds(positives)
    assert Window.of_box(window.box) == window


def test_regions_by_hand():
    zoom, size = Zoom(), (1000, 2000)
    mask = block(size, 400, 499, 800, 1199)
    # 100 rows -> 140, under 200; 400 columns -> 560
    assert zoom.window(mask, NONE, None, None, size) == Window(350, 550, 720, 1280)
    assert zoom.window(block(size, 0, 9, 1990, 1999), NONE, None, None, size) == Window(0, 104, 1894, 1999)
    far = np.array([[1500.0, 449.0]], np.float32)  # a positive click counts as part of the object
    assert zoom.window(mask, far, None, None, size) == Window(350, 550, 659, 1641)
    assert zoom.window(None, far, None, None, size) == Window(0, 999, 0, 1999)


def test_the_region_stays_while_it_fits():
    zoom, size = Zoom(), (1000, 1000)
    mask = block(size, 400, 599, 400, 599)
    new = zoom.window(mask, NONE, None, None, size)
    near = Window(new.top + 10, new.bottom + 10, new.left, new.right)
    assert zoom.window(mask, NONE, None, near, size) == near
    assert zoom.window(mask, np.array([[500, near.bottom]], np.float32), None, near, size) == near
    below = np.array([[500, near.bottom + 1]], np.float32)
    assert zoom.window(mask, below, None, near, size) != near
    # rows and columns overlap by about 0.7 each: either alone would do, the product does not
    off = Window(new.top + 50, new.bottom + 50, new.left + 50, new.right + 50)
    assert 0.4 < new.overlap(off) < 0.5
    assert zoom.window(mask, NONE, None, off, size) == new


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_click_comes_back_where_it_was_made(data):
    height, width = data.draw(st.integers(40, 160)), data.draw(st.integers(40, 160))
    side = data.draw(st.sampled_from([32, 64, 96, 128]))
    engine = engine_of(Echo(side), zoom=Zoom(min_side=30), flip=data.draw(st.booleans()))
    top, left = data.draw(st.integers(0, height - 21)), data.draw(st.integers(0, width - 21))
    x, y = data.draw(st.integers(left + 6, left + 14)), data.draw(st.integers(top + 6, top + 14))
    previous = None
    if data.draw(st.booleans()):
        previous = Mask(block((height, width), top, top + 20, left, left + 20).astype(np.float32))
    mask = ask(engine, photo(height, width), [[x, y]], previous)
    window = Window.of_box(mask.roi)
    weight = mask.probability.astype(np.float64)
    # away from the border the disk is whole; its centre of mass is the click, to a pixel of image or network
    pixel = [max(1.0, n / side) for n in window.size]
    reach = [4.5 * n / side + 2 for n in window.size]
    whole_y = window.top + reach[0] <= y <= window.bottom - reach[0]
    whole_x = window.left + reach[1] <= x <= window.right - reach[1]
    if whole_y and whole_x:
        assert abs((weight.sum(1) * np.arange(height)).sum() / weight.sum() - y) <= pixel[0]
        assert abs((weight.sum(0) * np.arange(width)).sum() / weight.sum() - x) <= pixel[1]
    assert mask.binary[y, x] or min(window.size) > 4 * side


def test_clicks_are_mapped_by_the_published_formula():
    model = Echo(64)
    engine, size = engine_of(model, zoom=Zoom(min_side=40)), (100, 120)
    previous = Mask(block(size, 30, 49, 50, 69).astype(np.float32))
    mask = ask(engine, photo(*size), [[64, 33]], previous)
    window = Window.of_box(mask.roi)
    assert window == Window(round(39.5 - 20), round(39.5 + 20), round(59.5 - 20), round(59.5 + 20))
    disk = model.seen[0][1][0, 1].numpy()
    rows, columns = np.indices(disk.shape)
    height, width = window.size
    assert np.isclose((disk * rows).sum() / disk.sum(), 64 * (33 - window.top) / height, atol=0.05)
    assert np.isclose((disk * columns).sum() / disk.sum(), 64 * (64 - window.left) / width, atol=0.05)


def test_the_network_sees_the_region_with_its_corners_aligned():
    model, size = Echo(65), (80, 90)
    image, before = photo(*size), np.random.default_rng(1).random(size, np.float32)
    before[:20] = before[60:] = 0
    mask = ask(engine_of(model, zoom=Zoom(min_side=1, expansion=1.1)), image, [[40, 40]], Mask(before))
    window = Window.of_box(mask.roi)
    pixels, maps = model.seen[0]
    rows, columns = slice(window.top, window.bottom + 1), slice(window.left, window.right + 1)
    for seen, truth in ((pixels[0].permute(1, 2, 0), image), (maps[0, 0], before)):
        expected = _bilinear(truth[rows, columns].astype(np.float64), 65)
        np.testing.assert_allclose(seen.numpy(), expected, atol=2e-3)


def _bilinear(values, side):
    """Corner pixels on corner pixels, by interpolation along one axis after the other."""
    for axis in (0, 1):
        where = np.linspace(0, values.shape[axis] - 1, side)
        low = np.minimum(where.astype(int), max(values.shape[axis] - 2, 0))
        share = (where - low).reshape([-1 if i == axis else 1 for i in range(values.ndim)])
        high = np.minimum(low + 1, values.shape[axis] - 1)
        values = values.take(low, axis) * (1 - share) + values.take(high, axis) * share
    return values


def test_click_one_sees_the_whole_image_and_later_ones_the_object():
    model, size = Echo(64), (300, 400)
    engine, image = engine_of(model), photo(*size)
    first = ask(engine, image, [[150, 120]])
    assert first.roi == (0, 0, 400, 300)
    second = ask(engine, image, [[150, 120], [160, 130]], first)
    assert second.roi is not None
    assert second.roi != first.roi
    third = ask(engine, image, [[150, 120], [160, 130], [152, 122]], second)
    assert third.roi == second.roi
    outside = np.ones(size, bool)
    outside[int(second.roi[1]) : int(second.roi[3]), int(second.roi[0]) : int(second.roi[2])] = False
    assert third.probability[outside].max() == 0
    assert third.binary[120, 150]


def test_a_plain_probability_gives_the_region_and_is_seen():
    model, size = Echo(64, remember=True), (300, 400)
    engine, image = engine_of(model), photo(*size)
    before = np.zeros(size, np.float32)
    before[100:140, 300:340] = 0.8
    before[200:, :100] = 0.4  # seen by the network where in view, but not part of the object
    mask = ask(engine, image, [[320, 120]], Mask(before))
    assert Window.of_box(mask.roi) == slow_window(before > 0.5, np.array([[320, 120]]), None, size)
    assert model.seen[0][1][0, 0].max() == pytest.approx(0.8)
    assert mask.binary[105, 305]
    assert not mask.binary[80, 305]


def test_an_empty_previous_mask_shows_the_whole_image():
    mask = ask(engine_of(Echo(32)), photo(300, 250), [[5, 5], [9, 9]], Mask(np.zeros((300, 250), np.float32)))
    assert mask.roi == (0, 0, 250, 300)


def test_negative_clicks_outside_the_region_neither_move_it_nor_fail():
    size = (400, 400)
    engine, previous = engine_of(Echo(64)), Mask(block(size, 10, 40, 10, 40).astype(np.float32))
    alone = ask(engine, photo(*size), [[20, 20]], previous)
    mask = ask(engine, photo(*size), [[20, 20], [390, 390]], previous, labels=[1, 0])
    assert mask.roi == alone.roi
    np.testing.assert_array_equal(mask.probability, alone.probability)


def test_only_negative_clicks_are_answered():
    mask = ask(engine_of(Echo(32)), photo(50, 60), [[20, 20]], labels=[0])
    assert not mask.binary.any()


def test_flip_averages_logits_and_a_symmetric_scene_does_not_change():
    model, image = Echo(64), photo(64, 64)
    plain = ask(engine_of(model), image, [[20, 30]])
    flipped = ask(engine_of(model, flip=True), image, [[20, 30]])
    np.testing.assert_allclose(flipped.probability, plain.probability, atol=1e-4)
    pixels, maps = model.seen[-1]
    assert torch.equal(pixels[1], pixels[0].flip(2))
    torch.testing.assert_close(maps[1], maps[0].flip(2), atol=1e-3, rtol=0)


class Lopsided(Echo):
    """Logits that grow from left to right, whatever is asked."""

    def decode(self, encoded, maps):
        ramp = torch.linspace(-8, 4, maps.shape[3]).expand(len(maps), 1, *maps.shape[2:])
        return Decoded(ramp, torch.tensor([0.2, 0.6])[: len(maps)])


def test_flip_averages_logits_rather_than_probabilities():
    mask = ask(engine_of(Lopsided(64), flip=True), photo(64, 64), [[3, 3]])
    # (ramp + mirrored ramp) / 2 is -2 everywhere; the mean of the probabilities would vary
    np.testing.assert_allclose(mask.probability, 1 / (1 + np.exp(2.0)), atol=1e-6)
    assert mask.score == pytest.approx(0.4)
    assert ask(engine_of(Lopsided(64)), photo(64, 64), [[3, 3]]).score == pytest.approx(0.2)


def test_a_box_alone_stands_for_a_click_at_its_centre_and_is_zoomed_in_on():
    model, size = Echo(64), (500, 600)
    engine, image = engine_of(model), photo(*size)
    mask = ask(engine, image, [], box=[300, 100, 401, 141])
    assert Window.of_box(mask.roi) == slow_window(block(size, 100, 140, 300, 400), NONE, None, size)
    assert mask.binary[120, 350]
    inside = ask(engine, image, [[310, 105]], box=[300, 100, 401, 141])
    assert inside.roi == mask.roi
    assert inside.binary[105, 310]
    assert not inside.binary[120, 350]


def test_a_scribble_counts_as_a_row_of_clicks():
    stroke = Scribble(np.array([[20, 20], [80, 40]], np.float32))
    mask = ask(engine_of(Echo(64)), photo(100, 100), [], scribbles=[stroke])
    for share in (0, 0.3, 0.55, 1):
        assert mask.binary[round(20 + 20 * share), round(20 + 60 * share)]
    erased = Scribble(stroke.points, 0)
    assert not ask(engine_of(Echo(64)), photo(100, 100), [], scribbles=[erased]).binary.any()


def test_level_changes_nothing():
    engine, image = engine_of(Echo(64)), photo(70, 90)
    plain, fine = ask(engine, image, [[30, 30]]), ask(engine, image, [[30, 30]], level=0.2)
    np.testing.assert_array_equal(plain.probability, fine.probability)
    assert fine.level is None
    assert fine.alternatives == []


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (3, 200)])
def test_images_of_odd_sizes(size):
    engine, image = engine_of(Echo(32), flip=True), photo(*size)
    mask = ask(engine, image, [[0, 0]])
    again = ask(engine, image, [[0, 0]], mask)
    assert again.probability.shape == size
    assert again.binary[0, 0]


def test_a_previous_mask_of_another_image_is_refused():
    engine = engine_of(Echo(32))
    with pytest.raises(PromptError, match="previous mask is 30 x 40, the image 40 x 30"):
        ask(engine, photo(40, 30), [[1, 1]], Mask(np.zeros((30, 40), np.float32)))


def test_frozen_and_mirrored_arrays_are_taken():
    image, engine = photo(40, 50), engine_of(Echo(32))
    plain = ask(engine, image, [[20, 10]])
    before = plain.probability.copy()
    before.setflags(write=False)
    frozen = image.copy()
    frozen.setflags(write=False)
    mirrored = image[:, ::-1].copy()[:, ::-1]
    for array in (frozen, mirrored):
        np.testing.assert_array_equal(ask(engine, array, [[20, 10]]).probability, plain.probability)
        ask(engine, array, [[20, 10]], Mask(before))


@pytest.fixture(scope="module")
def paper():
    torch.manual_seed(0)
    return PaperModel(TINY)


def test_the_real_network_answers_and_ends_in_evaluation_mode(paper):
    paper.train()
    engine = engine_of(paper)
    assert not paper.training
    image = photo(60, 90)
    mask = ask(engine, image, [[40, 30]])
    again = ask(engine, image, [[40, 30]])
    np.testing.assert_array_equal(mask.probability, again.probability)
    assert mask.probability.shape == (60, 90)
    assert 0 <= mask.score <= 1
    larger = engine_of(paper, image_size=48)
    assert ask(larger, image, [[40, 30]]).probability.shape == (60, 90)
    with pytest.raises(ConfigError, match="multiples of 16"):
        ask(engine_of(paper, image_size=40), image, [[40, 30]])


def test_threads_do_not_disturb_each_other(paper):
    engine = engine_of(paper, zoom=Zoom(min_side=20))
    encoded = [engine.encode(photo(50, 60, seed)) for seed in (0, 1)]

    def session(i):
        mask = None
        for n in range(1, 4):
            points = [[20 + 3 * k, 25 - 4 * k] for k in range(n)]
            mask = engine.answer(encoded[i % 2], clicks(points, size=(50, 60)), mask)
        return mask.probability

    alone = [session(i) for i in range(2)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(session, range(8)))
    for i, probability in enumerate(together):
        np.testing.assert_array_equal(probability, alone[i % 2])
    assert np.abs(alone[0] - alone[1]).max() > 1e-4
