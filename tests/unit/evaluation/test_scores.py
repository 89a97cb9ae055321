import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from clickgrain.evaluation.protocol import Scorer, boundary, disobeyed, iou


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 60))
def test_the_boundary_is_what_repeated_erosion_takes_away(seed, height, width):
    rng = np.random.default_rng(seed)
    mask = cv2.GaussianBlur(rng.random((height, width)), (0, 0), 1 + 4 * rng.random()) > 0.5
    steps = max(1, round(0.02 * float(np.hypot(height, width))))
    eroded = ndimage.binary_erosion(mask, np.ones((3, 3)), iterations=steps, border_value=0)
    assert (boundary(mask) == (mask & ~eroded)).all()


def test_a_shifted_square_has_a_worse_boundary_than_area():
    target, moved = np.zeros((2, 200, 200), np.bool_)
    target[50:150, 50:150] = True
    moved[50:150, 53:153] = True
    scorer = Scorer(target)
    assert scorer.iou(moved) == pytest.approx(97 / 103)
    assert scorer.boundary_iou(moved) == pytest.approx(iou(boundary(target), target | True, boundary(moved)))
    assert scorer.boundary_iou(moved) < 0.7 < scorer.iou(moved)
    assert scorer.boundary_iou(target) == 1


def test_ignored_pixels_neither_count_nor_make_a_boundary():
    target = np.zeros((100, 100), np.uint8)
    target[20:80, 20:80] = 255
    target[20:80, 60:] = 128
    prediction = np.zeros((100, 100), np.bool_)
    prediction[20:80, 20:90] = True
    scorer = Scorer(target)
    assert scorer.iou(prediction) == 1
    assert scorer.boundary_iou(prediction) == 1


def test_clicks_on_the_wrong_side_are_counted():
    prediction = np.array([[True, False]])
    assert disobeyed(prediction, [(0, 0, 1), (1, 0, 1), (0, 0, 0), (1, 0, 0)]) == 2
