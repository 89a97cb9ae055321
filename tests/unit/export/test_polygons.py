"""Outlines: exact, by their own definition and by pycocotools' reading of them."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as oracle

from clickgrain.errors import DataError
from clickgrain.export.polygons import area, fill, joined, loops

OLD_NUMPY = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own
MASKS = arrays.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def has_holes(mask):
    return any(area(loop) < 0 for loop in loops(mask))


@settings(deadline=None)
@given(MASKS)
def test_signed_areas_add_up_to_the_pixels(mask):
    assert sum(area(loop) for loop in loops(mask)) == mask.sum()


@settings(deadline=None)
@given(MASKS)
def test_one_joined_polygon_holds_any_mask(mask):
    if mask.any():
        assert (fill([joined(loops(mask))], mask.shape) == mask).all()


@OLD_NUMPY
@settings(deadline=None)
@given(MASKS)
def test_polygons_without_holes_are_read_back_by_us_and_by_pycocotools(mask):
    outlines = loops(mask)
    if not mask.any() or has_holes(mask):
        return
    assert (fill(outlines, mask.shape) == mask).all()
    coded = oracle.frPyObjects([loop.ravel().astype(float).tolist() for loop in outlines], *mask.shape)
    assert (oracle.decode(oracle.merge(coded)).astype(bool) == mask).all()


@given(MASKS)
@settings(deadline=None)
def test_holes_are_those_of_opencv(mask):
    _, hierarchy = cv2.findContours(np.pad(mask, 1).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    four = np.pad(mask, 1)
    background, _ = cv2.connectedComponents((~four).astype(np.uint8), connectivity=8)
    assert has_holes(mask) == (background > 2)
    assert (hierarchy is None) == (not mask.any())


def test_a_square_has_four_corners():
    mask = np.zeros((6, 8), bool)
    mask[1:4, 2:7] = True
    (loop,) = loops(mask)
    assert sorted(map(tuple, loop.tolist())) == [(2, 1), (2, 4), (7, 1), (7, 4)]


def test_pixels_that_touch_at_a_corner_are_two_loops():
    assert len(loops(np.eye(2, dtype=bool))) == 2
    assert len(loops(~np.eye(3, dtype=bool))) == 2


@pytest.mark.parametrize("polygon", [[(1.1, 1.2), (9, 2.1), (4, 8.3)], [(0.2, 0.3), (7.9, 1), (5, 6.5), (1, 7.7)]])
def test_filling_takes_the_pixels_whose_centre_is_inside(polygon):
    y, x = np.mgrid[:10, :12] + 0.5
    corners = np.array(polygon)
    side = [
        (b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0]) for a, b in zip(corners, np.roll(corners, -1, 0))
    ]
    assert (fill([polygon], (10, 12)) == np.all(np.array(side) > 0, axis=0)).all()


def test_many_loops_are_joined_in_reasonable_steps():
    mask = np.indices((40, 40)).sum(0) % 2 == 0
    assert (fill([joined(loops(mask))], mask.shape) == mask).all()


POINT = st.tuples(st.floats(-4, 16), st.floats(-4, 16))


@settings(deadline=None, max_examples=200)
@given(st.lists(POINT, min_size=3, max_size=9))
def test_filling_is_the_even_odd_rule_point_by_point(polygon):
    expected = np.zeros((10, 12), bool)
    for y, x in np.ndindex(expected.shape):
        crossings = 0
        for start, end in zip(polygon, [*polygon[1:], polygon[0]]):
            (x1, y1), (x2, y2) = sorted((start, end), key=lambda point: point[1])
            if y1 <= y + 0.5 < y2:
                crossings += x1 + (y + 0.5 - y1) / (y2 - y1) * (x2 - x1) <= x + 0.5
        expected[y, x] = crossings % 2
    assert (fill([polygon], expected.shape) == expected).all()


@pytest.mark.parametrize("corner", [(np.nan, 1), (np.inf, 1), (1e300, 1), (1, -1e9)])
def test_corners_that_are_nowhere_are_refused(corner):
    with pytest.raises(DataError, match="corner"):
        fill([[(1, 1), (9, 1), corner]], (10, 12))


def test_a_polygon_that_crosses_more_than_there_is_to_fill_is_refused():
    with pytest.raises(DataError, match="too intricate"):
        fill([[(0, 0), (5, 100)] * 10_000 + [(9, 9)]], (100, 100))
    mask = np.indices((300, 300)).sum(0) % 2 == 0  # as intricate as masks are
    assert (fill([joined(loops(mask))], mask.shape) == mask).all()
