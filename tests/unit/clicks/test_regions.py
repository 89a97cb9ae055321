"""Erosion and border band against scipy, and the checks on masks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from clickgrain.clicks.simulation import as_bool, border_band, eroded, holds, object_and_background, uniform_points
from clickgrain.errors import PromptError

SQUARE = np.ones((3, 3), bool)
masks = st.tuples(st.integers(1, 24), st.integers(1, 24)).flatmap(lambda size: arrays(np.bool_, size))
blobs = masks.map(lambda mask: ndimage.binary_closing(np.pad(mask, 1), SQUARE)[1:-1, 1:-1] | mask)


@given(blobs, st.integers(0, 4))
def test_erosion_matches_scipy(mask, iterations):
    slow = mask
    for _ in range(iterations):
        slow = ndimage.binary_erosion(slow, SQUARE, border_value=1)
    wanted = slow if slow.sum() > 10 else mask
    np.testing.assert_array_equal(eroded(mask, iterations, 10), wanted)


@given(blobs, st.sampled_from([0.1, 0.35]))
def test_band_matches_scipy(mask, ratio):
    inside, outside = mask, ~mask
    if not mask.any():
        return
    width = int(np.ceil(ratio * np.sqrt(mask.sum())))
    distance = ndimage.distance_transform_cdt(outside, metric="chessboard")
    np.testing.assert_array_equal(border_band(inside, outside, ratio), outside & (distance <= width))


def test_erosion_keeps_the_region_at_exactly_the_least_area():
    mask = np.zeros((20, 20), bool)
    mask[5:12, 4:18] = True  # 7 x 14 erodes to 1 x 8
    assert eroded(mask, 3, 7).sum() == 8
    assert eroded(mask, 3, 8) is mask


def test_sides_respect_valid():
    mask = np.eye(4, dtype=bool)
    valid = np.ones((4, 4), bool)
    valid[0] = False
    inside, outside = object_and_background(mask, valid)
    assert inside.sum() == 3
    assert outside.sum() == 9
    assert not (inside | outside)[0].any()


def test_soft_masks_are_cut_above_half():
    soft = np.array([[0.5, 0.51], [np.nan, 1.0]], np.float32)
    np.testing.assert_array_equal(as_bool(soft, "mask"), [[False, True], [False, True]])


def test_empty_and_misshapen_masks_are_refused():
    with pytest.raises(PromptError, match=r"shape \(3, 5\) is empty;"):
        object_and_background(np.zeros((3, 5), bool), None)
    with pytest.raises(PromptError, match="empty where `valid`"):
        object_and_background(np.eye(3, dtype=bool), ~np.eye(3, dtype=bool))
    with pytest.raises(PromptError, match=r"mask has shape \(3,\)"):
        object_and_background(np.ones(3, bool), None)
    with pytest.raises(PromptError, match=r"valid has shape \(2, 2\)"):
        object_and_background(np.eye(3, dtype=bool), np.ones((2, 2), bool))


def test_points_are_x_y_and_uniform():
    region = np.zeros((3, 5), bool)
    region[1, 4] = region[2, 0] = True
    points = uniform_points(region, 2000, np.random.default_rng(0))
    assert {tuple(p) for p in points.tolist()} == {(4.0, 1.0), (0.0, 2.0)}
    assert (points[:, 0] == 4).mean() == pytest.approx(0.5, abs=0.05)
    assert uniform_points(np.zeros((2, 2), bool), 3, np.random.default_rng(0)).shape == (0, 2)


def test_holds_is_false_outside_the_image():
    region = np.ones((2, 3), bool)
    region[0, 0] = False
    pixels = np.array([[0, 0], [2, 1], [3, 1], [-1, 0], [1, 2], [1, -9]])
    np.testing.assert_array_equal(holds(region, pixels), [False, True, False, False, False, False])
