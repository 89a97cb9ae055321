"""What the image's features say of an answer to a correction."""

import numpy as np
import pytest

from clickgrain.cut import Discriminant, cut
from clickgrain.types import Prompt

GRID, SIZE = (24, 32), (96, 128)
OBJECT = np.zeros(GRID, bool)
OBJECT[6:18, 8:24] = True


def features(apart, rng, dims=4):
    """h x w x d of unit noise; the object's mean differs by `apart` in the first dimension."""
    values = rng.normal(size=(*GRID, dims))
    values[OBJECT, 0] += apart
    return values.astype(np.float32)


def told(apart, seed=0):
    rng = np.random.default_rng(seed)
    return Discriminant.of(features(apart, rng), features(apart, rng))


def enlarged(mask):
    return np.kron(mask, np.ones((4, 4))).astype(np.float32)


def clicks(count):
    return Prompt.of([[64, 48]] * count, [1] * count, size=SIZE)


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def test_it_is_fishers_discriminant(monkeypatch):
    """The oracle is scikit-learn's, less its prior; without ridge, limit and clicks both are the same."""
    analysis = pytest.importorskip("sklearn.discriminant_analysis")
    monkeypatch.setattr(cut, "RIDGE", 0.0)
    monkeypatch.setattr(cut, "LIMIT", np.inf)
    both = told(1.0)
    nothing = Prompt()
    found = both.log_odds(enlarged(OBJECT), nothing)
    held = OBJECT[found > 0].mean()  # which is ours
    oracle = analysis.LinearDiscriminantAnalysis(solver="lsqr").fit(both.values, OBJECT.ravel())
    expected = oracle.decision_function(both.values) - np.log(OBJECT.mean() / (1 - OBJECT.mean()))
    np.testing.assert_allclose(found.ravel() / held, expected, rtol=1e-3, atol=1e-3)


def test_an_answer_that_the_features_contradict_is_corrected():
    answer = np.clip(enlarged(OBJECT), 0.1, 0.9)
    answer[24:48, 8:32] = 0.55  # a leak
    answer[48:72, 72:96] = 0.45  # and a part that is missing
    wanted = enlarged(OBJECT) > 0.5
    refined = told(3.0).refine(answer, clicks(5))
    assert iou(answer > 0.5, wanted) < 0.75 < 0.95 < iou(refined > 0.5, wanted)


def test_features_that_do_not_tell_them_apart_say_next_to_nothing():
    odds = told(0.0).log_odds(enlarged(OBJECT), clicks(5))
    assert np.abs(odds).mean() < 0.6 < 2 < np.abs(told(4.0).log_odds(enlarged(OBJECT), clicks(5))).mean()


def test_one_of_many_that_look_the_same_is_left_alone():
    """Cells among cells: the others are as likely, so features do not say which one is meant."""
    cells = np.zeros(GRID, bool)
    for row in range(2, 22, 7):
        for column in range(2, 30, 7):
            cells[row : row + 4, column : column + 4] = True
    one = cells & (np.add.outer(np.arange(24), np.arange(32)) < 10)
    values = np.random.default_rng(3).normal(size=(*GRID, 4)).astype(np.float32)
    values[cells, 0] += 5
    both = Discriminant.of(values, values)
    among = np.abs(both.log_odds(enlarged(one), clicks(5)))
    alone = np.abs(both.log_odds(enlarged(cells), clicks(5)))
    assert among.max() < 0.4 < 1.5 < alone.mean()


def test_clicks_outweigh_the_answer():
    """A click on what the answer leaves out makes all of its kind likelier."""
    answer = enlarged(OBJECT) * 0.9
    corner = np.zeros(GRID, bool)
    corner[:4, :4] = True
    rng = np.random.default_rng(1)
    values = features(3.0, rng)
    values[corner, 1] += 6
    both = Discriminant.of(values, values)
    before = both.log_odds(answer, clicks(1))
    after = both.log_odds(answer, Prompt.of([[64, 48], [6, 6]], [1, 1], size=SIZE))
    assert (after - before)[corner].mean() > 0.2


def test_the_answer_stands_at_clicks_and_to_the_first_click():
    noise = np.random.default_rng(2).uniform(-0.1, 0.1, SIZE)
    answer = (0.2 + 0.6 * enlarged(OBJECT) + noise).astype(np.float32)
    both = told(3.0)
    prompt = Prompt.of([[64, 48], [2, 90], [127, 0]], [1, 0, 1], size=SIZE)
    refined = both.refine(answer, prompt)
    for x, y in ((64, 48), (2, 90), (127, 0)):
        around = slice(max(y - 2, 0), y + 3), slice(max(x - 2, 0), x + 3)
        np.testing.assert_array_equal(refined[around], answer[around])
    assert np.abs(refined - answer).max() > 0.05
    np.testing.assert_allclose(both.refine(answer, clicks(1)), answer, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_an_empty_or_full_answer_stays(value):
    answer = np.full(SIZE, value, np.float32)
    np.testing.assert_array_equal(told(3.0).refine(answer, clicks(4)), answer)


def test_features_that_are_all_the_same_change_nothing():
    flat = np.ones((*GRID, 3), np.float32)
    answer = np.clip(enlarged(OBJECT), 0.1, 0.9)
    np.testing.assert_allclose(Discriminant.of(flat, flat).refine(answer, clicks(4)), answer, atol=1e-5)
