"""Prompts are validated once, for everybody; masks are computed when asked."""

import numpy as np
import pytest

from clickgrain.errors import PromptError, WeightsError
from clickgrain.types import Mask, Prompt, Scribble

SIZE = (30, 40)


@pytest.mark.parametrize(
    ("points", "labels", "more", "message"),
    [
        ([[40, 5]], [1], {}, "outside the image of 40 x 30"),
        ([[1e300, 5]], [1], {}, "outside the image of 40 x 30"),
        ([[10**400, 5]], [1], {}, "too large"),
        (None, None, {"box": [0, 0, 1e300, 5]}, "is not four numbers"),
        ([[-1, 5]], [1], {}, "outside"),
        ([[float("nan"), 5]], [1], {}, "outside"),
        ([[1, 2]], [2], {}, "not 0 or 1"),
        ([[1, 2]], [1, 0], {}, "1 points but 2 labels"),
        ([1, 2], [1], {}, "N x 2"),
        ([[1, 2]], [[1]], {}, "flat list"),
        (None, None, {}, "empty"),
        ([[1, 2]], [1], {"level": 1.5}, "outside 0..1"),
        (None, None, {"box": [5, 5, 5, 9]}, "empty or outside"),
        (None, None, {"box": [5, 5, 50, 9]}, "empty or outside"),
        (None, None, {"box": [1, 2, 3]}, "four numbers"),
    ],
)
def test_what_is_wrong_is_said(points, labels, more, message):
    with pytest.raises(PromptError, match=message):
        Prompt.of(points, labels, size=SIZE, **more)


def test_a_scribble_outside_the_image_is_refused():
    with pytest.raises(PromptError, match="outside"):
        Prompt.of(None, None, size=SIZE, scribbles=[Scribble([[1, 1], [45, 2]])])
    with pytest.raises(PromptError, match="K x 2"):
        Scribble([1, 2])
    with pytest.raises(PromptError, match="label"):
        Scribble([[1, 2]], 3)


def test_sides_hold_clicks_and_strokes_by_label():
    prompt = Prompt.of([[1, 2], [3, 4]], [1, 0], size=SIZE, scribbles=[Scribble([[10, 10], [20, 10]], 0)])
    negatives, positives = prompt.by_label(spacing=5)
    np.testing.assert_array_equal(positives, [[1, 2]])
    np.testing.assert_allclose(negatives, [[3, 4], [10, 10], [15, 10], [20, 10]])


def test_a_stroke_of_one_point_is_a_point():
    np.testing.assert_array_equal(Scribble([[3, 4]]).resampled(5), [[3, 4]])


def test_a_closely_sampled_stroke_has_no_gap_wider_than_asked():
    angle = np.linspace(0, 3, 50)
    stroke = Scribble(np.stack([20 + 15 * np.cos(angle), 15 + 10 * np.sin(angle)], 1))
    points = stroke.resampled(4)
    assert np.hypot(*np.diff(points, axis=0).T).max() <= 4 + 1e-3


@pytest.mark.parametrize(
    ("more", "extends"),
    [
        ({}, True),
        ({"points": [[1, 2], [3, 4], [5, 6]], "labels": [1, 0, 1]}, True),
        ({"points": [[1, 2]], "labels": [1]}, False),
        ({"labels": [1, 1]}, False),
        ({"points": [[1, 2], [3, 5]]}, False),
        ({"box": [0, 0, 9, 9]}, False),
        ({"level": 0.5}, False),
        ({"scribbles": [Scribble([[1, 1], [5, 5]])]}, False),
    ],
)
def test_a_prompt_extends_the_one_that_it_adds_clicks_to(more, extends):
    asked = {"points": [[1, 2], [3, 4]], "labels": [1, 0], "size": (20, 30)}
    assert Prompt.of(**{**asked, **more}).extends(Prompt.of(**asked)) is extends


def test_scaling_keeps_pixel_centres():
    prompt = Prompt.of([[0, 0], [39, 29]], [1, 0], size=SIZE, box=[2, 4, 10, 20], level=0.4)
    double = prompt.scaled(2, 2)
    np.testing.assert_allclose(double.points, [[0.5, 0.5], [78.5, 58.5]])
    assert double.box == (4, 8, 20, 40)
    assert double.level == 0.4


def test_a_mask_is_computed_once_and_when_asked():
    calls = []

    def render():
        calls.append(1)
        return np.array([[0.2, 0.5], [0.51, 1.0]], np.float64)

    mask = Mask(render, score=0.9, alternatives=lambda: [Mask(render)])
    assert not calls
    np.testing.assert_array_equal(mask.binary, [[False, False], [True, True]])
    assert mask.probability.dtype == np.float32
    assert len(calls) == 1
    assert len(mask.alternatives) == 1
    assert Mask(render).alternatives == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_mask_of_no_numbers_is_refused_where_it_is_made(value):
    whole = np.zeros((3, 4), np.float32)
    for more in ({"score": value}, {"level": value}):
        with pytest.raises(WeightsError, match="use another model"):
            Mask(whole, **more)
    odd = whole.copy()
    odd[1, 2] = value
    for mask in (Mask(odd), Mask(lambda: odd)):
        for what in ("probability", "binary"):
            with pytest.raises(WeightsError, match="no numbers"):
                getattr(mask, what)
