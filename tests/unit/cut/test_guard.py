"""What contradicts the last click is undone; what may be meant stays."""

import numpy as np
import pytest

from clickgrain.cut import guard_mask
from clickgrain.types import Mask, Prompt

SIZE = (200, 300)


def box(left, top, right, bottom, size=SIZE):
    mask = np.zeros(size, np.float32)
    mask[top:bottom, left:right] = 0.9
    return mask


def ask(*points, size=SIZE):
    return Prompt.of([p[:2] for p in points], [p[2] for p in points], size=size)


BEFORE = box(50, 50, 150, 150)
FIRST = (100, 100, 1)


def test_a_piece_around_the_click_is_added():
    after = np.maximum(BEFORE, box(150, 80, 190, 120))
    found = guard_mask(after, Mask(BEFORE), ask(FIRST, (170, 100, 1)))
    np.testing.assert_array_equal(found > 0.5, after > 0.5)


def test_a_click_near_the_outline_does_not_destroy_half_of_the_mask():
    """Ten pixels beside the mask are missing, and the network takes away its upper half."""
    wanted = np.maximum(BEFORE, box(150, 95, 160, 105))
    after = wanted * (np.arange(SIZE[0]) > 100)[:, None]
    found = guard_mask(after.astype(np.float32), Mask(BEFORE), ask(FIRST, (155, 100, 1))) > 0.5
    assert (found != (wanted > 0.5)).mean() < 0.003


def test_nor_does_it_take_in_half_of_the_background():
    after = np.maximum(BEFORE, box(150, 0, 300, 200))
    found = guard_mask(after, Mask(BEFORE), ask(FIRST, (153, 100, 1))) > 0.5
    assert found[100, 153]
    assert not found[:, 200:].any()


def test_thin_changes_elsewhere_stay():
    after = np.maximum(BEFORE, box(150, 90, 174, 110)) * (np.arange(SIZE[1]) > 55)[None]
    after = after.astype(np.float32)
    found = guard_mask(after, Mask(BEFORE), ask(FIRST, (162, 100, 1)))
    np.testing.assert_array_equal(found > 0.5, after > 0.5)


def test_an_error_ends_at_clicks_of_the_other_label():
    """A negative click in the middle of a large mask: a positive one 20 pixels away says how large the error is."""
    prompt = ask((80, 100, 1), (100, 100, 0))
    after = box(50, 50, 82, 150)
    found = guard_mask(after, Mask(BEFORE), prompt) > 0.5
    assert found[100, 145]
    assert not found[100, 100]
    alone = ask((52, 52, 1), (100, 100, 0))
    np.testing.assert_array_equal(guard_mask(after, Mask(BEFORE), alone) > 0.5, after > 0.5)


def test_a_click_that_the_mask_obeys_already_says_nothing():
    after = box(0, 0, 10, 10)
    assert guard_mask(after, Mask(BEFORE), ask(FIRST, (60, 60, 1))) is after


@pytest.mark.parametrize("label", [0, 1])
def test_a_click_on_a_hair_is_obeyed(label):
    """The error at the click is a line of one pixel, thinner than the copy that thickness is measured on."""
    size = (600, 900)
    hair = box(450, 100, 451, 500, size)
    before = np.zeros(size, np.float32) if label else box(300, 100, 600, 500, size)
    after = np.maximum(before, hair) if label else before * (hair == 0)
    found = guard_mask(after.astype(np.float32), Mask(before), ask((310, 110, 1), (450, 300, label), size=size))
    assert (found[300, 450] > 0.5) == bool(label)


def test_what_the_network_is_not_sure_of_stays_as_it_was():
    after = np.where(BEFORE > 0.5, 0.45, BEFORE).astype(np.float32) * (np.arange(SIZE[1]) > 58)[None]
    after = np.maximum(after, box(150, 80, 190, 120) + box(97, 97, 104, 104))  # clicks are obeyed
    found = guard_mask(after.astype(np.float32), Mask(BEFORE), ask(FIRST, (170, 100, 1))) > 0.5
    assert found[60:140, 70:140].all()
    assert not found[60:140, 50:58].any()


@pytest.mark.parametrize("size", [(1000, 1500), (100, 150), (400, 150)])
def test_at_any_size(size):
    scale = np.array(size) / SIZE
    before = box(*(np.array([50, 50, 150, 150]) * [*scale[::-1], *scale[::-1]]).astype(int), size)
    after = np.zeros(size, np.float32)
    x, y = int(153 * scale[1]), int(100 * scale[0])
    after[y, x] = 1
    found = guard_mask(after, Mask(before), ask((int(100 * scale[1]), y, 1), (x, y, 1), size=size)) > 0.5
    assert (found != (before > 0.5)).mean() < 0.01
    assert found[y, x]


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (700, 2)])
def test_images_of_odd_sizes(size):
    before, after = np.zeros(size, np.float32), np.ones(size, np.float32)
    found = guard_mask(after, Mask(before), ask((0, 0, 1), (size[1] - 1, size[0] - 1, 1), size=size))
    assert found.shape == size
    assert found[-1, -1] > 0.5
