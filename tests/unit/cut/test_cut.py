"""The cut draws a mask to the image's edges, obeys clicks, and stays out where it would harm."""

import subprocess
import sys

import cv2
import numpy as np
import pytest

from clickgrain.cut import CutSettings, cut_mask, cut_region, in_one_piece
from clickgrain.types import Prompt, Scribble

SIZE = (120, 160)
CENTER = (80, 60)


def disk(radius, size=SIZE, center=CENTER):
    y, x = np.mgrid[: size[0], : size[1]]
    return np.hypot(x - center[0], y - center[1]) <= radius


def scene(object_, seed=0):
    """Noisy green on noisy brown."""
    colors = np.where(object_[..., None], (60, 150, 70), (150, 110, 80))
    return np.clip(colors + np.random.default_rng(seed).normal(0, 12, (*object_.shape, 3)), 0, 255).astype(np.uint8)


def doubtful(object_, shift=4, seed=1):
    """A network's answer: moved by some pixels, soft at the outline."""
    moved = np.roll(object_, (shift, -shift), (0, 1)).astype(np.float32)
    soft = np.array([np.convolve(row, np.ones(9) / 9, "same") for row in moved])
    soft = np.array([np.convolve(column, np.ones(9) / 9, "same") for column in soft.T]).T
    return np.clip(soft, 0.02, 0.98).astype(np.float32)


def clicks(positives=(CENTER,), negatives=(), size=SIZE):
    points = [*positives, *negatives]
    return Prompt.of(points, [1] * len(positives) + [0] * len(negatives), size=size)


def iou(one, two):
    return (one & two).sum() / (one | two).sum()


@pytest.mark.parametrize("radius", [28, 45])
def test_the_outline_goes_to_the_edge_of_the_image(radius):
    truth = disk(radius)
    before = doubtful(truth, shift=2)
    after = cut_mask(before, scene(truth), clicks())
    assert iou(before > 0.5, truth) < 0.94
    assert iou(after > 0.5, truth) > 0.98


def test_a_large_image_is_cut_from_coarse_to_fine():
    size, center = (960, 1280), (640, 480)
    truth = disk(300, size, center)
    settings = CutSettings()
    before = doubtful(truth, shift=6)
    assert (np.abs(before - 0.5) < 0.3).sum() > settings.free
    after = cut_mask(before, scene(truth), clicks((center,), size=size), settings)
    assert iou(after > 0.5, truth) > 0.98


def test_the_image_may_be_smaller_than_the_mask():
    size, center = (960, 1280), (640, 480)
    truth = disk(300, size, center)
    after = cut_mask(
        doubtful(truth, shift=6), scene(disk(150, (480, 640), (320, 240))), clicks((center,), size=size)
    )
    assert after.shape == size
    assert iou(after > 0.5, truth) > 0.98


def test_half_of_the_networks_doubt_stays():
    truth = disk(40)
    before = doubtful(truth)
    after = cut_mask(before, scene(truth), clicks())
    part = slice(20, 100), slice(40, 120)  # farther away nothing is changed
    decided = np.where(after > 0.5, 0.95, 0.05)
    np.testing.assert_allclose(after[part], (0.5 * decided + 0.5 * before.clip(0.06, 0.94))[part], atol=1e-6)
    np.testing.assert_array_equal(after[:, -2:], before[:, -2:])
    assert after.dtype == np.float32
    assert after.min() >= 0
    assert after.max() <= 1


def test_clicks_and_strokes_keep_their_label():
    """Against colors and network: a positive click outside the disk, a negative one inside, a negative stroke."""
    truth = disk(40)
    stroke = Scribble(np.array([[60, 60], [60, 80]], np.float32), 0)
    prompt = Prompt.of([CENTER, (123, 60), (80, 95)], [1, 1, 0], size=SIZE, scribbles=[stroke])
    after = cut_mask(doubtful(truth), scene(truth), prompt) > 0.5
    assert after[60, 80]
    assert after[60, 123]
    assert not after[95, 80]
    assert not after[60:80, 60].any()


def test_clicks_of_both_labels_side_by_side_are_obeyed():
    truth = disk(40)
    after = cut_mask(doubtful(truth), scene(truth), clicks([(118, 60), (80, 60)], [(120, 60)])) > 0.5
    assert after[60, 118]
    assert not after[59:62, 120].any()


def test_what_was_given_is_left_as_it_is():
    truth = disk(40)
    before, image = doubtful(truth), scene(truth)
    copies = before.copy(), image.copy()
    before.setflags(write=False)
    image.setflags(write=False)
    cut_mask(before, image, clicks())
    np.testing.assert_array_equal(before, copies[0])
    np.testing.assert_array_equal(image, copies[1])


def test_the_smallest_masks_are_left_alone():
    truth = disk(6)
    before = doubtful(truth, shift=1)
    assert cut_mask(before, scene(truth), clicks()) is before


def test_small_masks_are_cut_with_half_the_color():
    truth = disk(16)
    before, two = doubtful(truth, shift=2), clicks([CENTER, (81, 61)])
    image = (scene(truth) + np.random.default_rng(1).normal(0, 30, (*SIZE, 3))).clip(0, 255).astype(np.uint8)
    after = cut_mask(before, image, two)
    assert iou(after > 0.5, truth) > iou(before > 0.5, truth) + 0.02
    np.testing.assert_array_equal(after, cut_mask(before, image, two, CutSettings(small=0, color=0.5)))
    assert (after != cut_mask(before, image, two, CutSettings(small=0))).any()


@pytest.mark.parametrize("value", [0.0, 0.4, 0.6, 1.0])
def test_masks_of_nothing_and_everything(value):
    before = np.full(SIZE, value, np.float32)
    after = cut_mask(before, scene(disk(40)), clicks(negatives=[(3, 3)]))
    assert after.shape == SIZE
    assert (after > 0.5).mean() == pytest.approx(float(value > 0.5), abs=0.2)


def test_one_color_cannot_say_anything():
    truth = disk(40)
    before = doubtful(truth, shift=0)
    after = cut_mask(before, np.full((*SIZE, 3), 127, np.uint8), clicks())
    assert iou(after > 0.5, before > 0.5) > 0.9


@pytest.mark.parametrize("size", [(1, 2000), (2000, 1), (2, 900), (41, 41)])
def test_images_of_odd_sizes(size):
    before = np.linspace(0, 1, size[0] * size[1], dtype=np.float32).reshape(size)
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    prompt = clicks([(size[1] - 1, size[0] - 1)], size=size)
    after = cut_mask(before, image, prompt, CutSettings(least=1, free=100))
    assert after.shape == size
    assert after[-1, -1] > 0.5


def test_colors_count_less_at_the_first_click():
    truth = disk(45)
    before, image = doubtful(truth), scene(truth)
    one, two = clicks(), clicks([CENTER, (81, 61)])
    halved = cut_mask(before, image, two, CutSettings(color=0.5))
    disks = np.zeros(SIZE, bool)
    disks[50:72, 70:92] = True  # both clicks lie here, deep inside
    np.testing.assert_array_equal(cut_mask(before, image, one)[~disks], halved[~disks])
    assert (cut_mask(before, image, two) != halved).any()


def test_any_number_of_free_pixels_takes_the_compiled_code():
    """In a process of its own, where no other test has compiled anything."""
    code = """
import numpy as np
from clickgrain.cut import CutSettings, cut, cut_mask, warm_up
from clickgrain.types import Prompt
def compiled():
    return {name: value.nopython_signatures for name, value in vars(cut).items() if hasattr(value, "py_func")}
warm_up()
known = compiled()
for count in (0, 1, 2, 50):
    before = np.full((120, 160), 0.01, np.float32)
    before[20:100, 40:120] = 0.99
    before[5, 5 : 5 + count] = 0.4
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    cut_mask(before, image, Prompt.of([[80, 60]], [1], size=(120, 160)), CutSettings(band=0))
assert len(known) >= 2 and compiled() == known, compiled()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_same_every_time():
    truth = disk(45)
    one, two = (cut_mask(doubtful(truth), scene(truth), clicks()) for _ in range(2))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("leaf", [4, 10])
def test_a_region_of_leaves_gets_the_outline_of_the_image(leaf):
    truth = disk(30)
    leaves = truth.reshape(SIZE[0] // leaf, leaf, SIZE[1] // leaf, leaf).mean((1, 3)) > 0.5
    staircase = leaves.repeat(leaf, 0).repeat(leaf, 1)
    found = cut_region(leaves.astype(np.float32), scene(truth))
    assert iou(staircase, truth) < 0.94
    assert iou(found, truth) > 0.98


def test_a_region_that_the_image_does_not_outline_stays(monkeypatch):
    leaves = disk(6, (30, 40), (20, 15)).astype(np.float32)
    region = cv2.resize(leaves, SIZE[::-1]) > 0.5
    assert iou(cut_region(leaves, scene(np.zeros(SIZE, bool))), region) > 0.85
    monkeypatch.setattr("clickgrain.cut.cut.cut_mask", lambda probability, *_: np.zeros_like(probability))
    assert (cut_region(leaves, scene(region)) == region).all()


def test_one_click_means_one_piece():
    left, right = disk(25, center=(40, 60)), disk(25, center=(120, 60))
    likely = np.where(left | right, 0.9, 0.1).astype(np.float32)
    piece = in_one_piece(likely, np.float32([45, 60]))
    assert np.array_equal(piece > 0.5, left)
    assert piece[right] == pytest.approx(0.1)
    assert np.array_equal(piece[~right], likely[~right])
    assert in_one_piece(likely, np.float32([80, 10])) is likely  # clicked on background: nothing to choose by
    assert in_one_piece(np.where(left, likely, 0.1), np.float32([-3, 500])).max() > 0.5


def test_two_objects_and_a_bridge_of_background_become_one():
    left, right = disk(25, center=(40, 60)), disk(25, center=(120, 60))
    bridge = np.zeros(SIZE, bool)
    bridge[52:68, 40:120] = True
    likely = np.select([left, right | bridge], [0.95, 0.6], 0.02).astype(np.float32)
    prompt = clicks([(40, 60)])
    answer = in_one_piece(cut_mask(likely, scene(left | right), prompt), prompt.points[0])
    assert iou(answer > 0.5, left) > 0.98
