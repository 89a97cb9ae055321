"""The click simulation: its laws on fixed seeds, and what must hold for every mask."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import ndimage

from clickgrain.clicks.config import ClickSimulation
from clickgrain.clicks.simulation import (
    corrective_click,
    first_click,
    initial_clicks,
    simulated_box,
    simulated_scribble,
)
from clickgrain.errors import ConfigError, PromptError
from clickgrain.types import Prompt

PAPER, GRAIN = ClickSimulation.paper(), ClickSimulation.grain()
SQUARE = np.ones((3, 3), bool)
seeds = st.integers(0, 2**32 - 1)


def blob(seed, size=(40, 56), share=0.4):
    """A random smooth mask that covers about `share` of the image."""
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).random(size), 4)
    return smooth > np.quantile(smooth, 1 - share)


def at(array, points):
    x, y = np.asarray(points, np.int64).T
    return array[y, x]


def depth(region):
    """Slow oracle: distance to the nearest pixel outside the region or the image."""
    return ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]


def disk(size=48, radius=16):
    y, x = np.mgrid[:size, :size]
    return (x - 24) ** 2 + (y - 20) ** 2 <= radius**2


@pytest.fixture(scope="module")
def paper_draws():
    rng = np.random.default_rng(0)
    return [initial_clicks(disk(), rng, PAPER) for _ in range(4000)]


def test_counts_follow_the_published_law(paper_draws):
    positives = np.array([labels.sum() for _, labels in paper_draws])
    negatives = np.array([len(labels) for _, labels in paper_draws]) - positives
    assert positives.mean() == pytest.approx(4.886, abs=0.2)
    assert negatives.mean() == pytest.approx(3.905, abs=0.2)
    assert (positives == 1).mean() == pytest.approx(0.2, abs=0.02)
    assert (positives == 2).mean() == pytest.approx(0.16, abs=0.02)
    assert positives.min() == 1
    assert negatives.min() == 0
    assert max(positives.max(), negatives.max()) <= 24
    assert positives.max() > 15


def test_half_of_the_negatives_come_from_the_border_band(paper_draws):
    mask = disk()
    width = np.ceil(0.1 * np.sqrt(mask.sum()))
    band = ~mask & (ndimage.distance_transform_cdt(~mask, metric="chessboard") <= width)
    negatives = np.concatenate([points[labels == 0] for points, labels in paper_draws])
    by_background = 0.5 * band.sum() / (~mask).sum()
    assert at(band, negatives).mean() == pytest.approx(0.5 + by_background, abs=0.02)


def test_positives_are_uniform_in_the_mask_eroded_nine_times_in_ten(paper_draws):
    mask = disk()
    core = ndimage.binary_erosion(mask, SQUARE, iterations=3)
    positives = np.concatenate([points[labels == 1] for points, labels in paper_draws])
    assert at(core, positives).mean() == pytest.approx(0.9 + 0.1 * core.sum() / mask.sum(), abs=0.02)
    inner = positives[at(core, positives)]
    y, x = np.nonzero(core)
    np.testing.assert_allclose(inner.mean(axis=0), [x.mean(), y.mean()], atol=0.4)
    np.testing.assert_allclose(inner.std(axis=0), [x.std(), y.std()], atol=0.3)


def test_a_third_of_the_negatives_come_from_the_sibling():
    mask, sibling = np.zeros((40, 40), bool), np.zeros((40, 40), bool)
    mask[:20, :20], sibling[30:, 30:] = True, True
    settings, rng = replace(PAPER, share_sibling=0.3, share_border=1.0), np.random.default_rng(1)
    draws = [initial_clicks(mask, rng, settings, sibling=sibling | mask) for _ in range(1500)]
    negatives = np.concatenate([points[labels == 0] for points, labels in draws])
    assert at(sibling, negatives).mean() == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("sibling", [None, disk(), np.zeros((48, 48), bool)])
def test_without_a_sibling_outside_the_mask_the_published_mix_remains(sibling):
    settings, rng = replace(PAPER, share_sibling=1.0), np.random.default_rng(2)
    counts = [(initial_clicks(disk(), rng, settings, sibling=sibling)[1] == 0).sum() for _ in range(1000)]
    assert np.mean(counts) == pytest.approx(3.905, abs=0.4)


def test_share_of_single_first_clicks():
    rng = np.random.default_rng(3)
    lengths = [len(initial_clicks(disk(), rng, GRAIN)[0]) for _ in range(1500)]
    assert np.mean(np.array(lengths) == 1) == pytest.approx(0.85 + 0.15 * 0.2 * 0.2, abs=0.035)
    points, labels = initial_clicks(disk(), rng, PAPER, single=True)
    assert points.shape == (1, 2)
    assert labels.tolist() == [1]
    assert max(len(initial_clicks(disk(), rng, GRAIN, single=False)[0]) for _ in range(20)) > 1


@given(seeds, st.floats(0.02, 0.98), st.booleans())
def test_positives_lie_inside_and_negatives_outside(seed, share, ours):
    mask, sibling = blob(seed, share=share), blob(seed + 1)
    assume(mask.any())
    settings = GRAIN if ours else PAPER
    points, labels = initial_clicks(mask, np.random.default_rng(seed), settings, sibling=sibling)
    assert points.dtype == np.float32
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(at(mask, points), labels.astype(bool))
    Prompt.of(points, labels, size=mask.shape)


@given(seeds)
def test_nothing_is_drawn_where_valid_is_false(seed):
    rng, mask, valid = np.random.default_rng(seed), blob(seed), blob(seed + 1, share=0.6)
    assume((mask & valid).any())
    assume((~mask & valid).any())
    points, _ = initial_clicks(mask, rng, GRAIN, sibling=~mask, valid=valid, single=False)
    strokes = [simulated_scribble(mask, rng, label, valid=valid).points for label in (0, 1)]
    first = first_click(mask, rng, valid=valid)
    assert at(valid, np.concatenate([points, *strokes, [first]])).all()
    click = corrective_click(mask, blob(seed + 2), rng, valid=valid)
    assert click is None or valid[click[1], click[0]]
    x1, y1, x2, y2 = (int(v) for v in simulated_box(mask, rng, 0.0, valid=valid))
    assert (mask & valid)[y1:y2, x1:x2].sum() == (mask & valid).sum()


def test_soft_masks_act_as_their_binary_ones():
    mask = disk()
    soft = np.where(mask, 0.7, 0.5).astype(np.float32)
    for settings in (PAPER, GRAIN):
        hard, from_soft = (initial_clicks(m, np.random.default_rng(4), settings) for m in (mask, soft))
        np.testing.assert_array_equal(hard[0], from_soft[0])


def test_the_seed_decides_everything():
    def draw(seed):
        rng, mask, other = np.random.default_rng(seed), blob(5), blob(6)
        points, labels = initial_clicks(mask, rng, GRAIN, sibling=other, single=False)
        stroke = simulated_scribble(mask, rng).points.tolist()
        return (
            points.tolist(),
            labels.tolist(),
            corrective_click(mask, other, rng),
            simulated_box(mask, rng),
            stroke,
        )

    assert draw(7) == draw(7)
    assert draw(7) != draw(8)


@given(seeds)
def test_corrective_click_is_deep_in_the_larger_error(seed):
    target, prediction = blob(seed), blob(seed + 1)
    missed, added = depth(target & ~prediction), depth(prediction & ~target)
    x, y, label = corrective_click(target, prediction, np.random.default_rng(seed))
    error = missed if label else added
    assert label == int(missed.max() > added.max())
    assert error[y, x] > 0.5 * error.max()


def test_corrective_clicks_reach_every_deep_pixel():
    target = disk(radius=4)
    rng = np.random.default_rng(0)
    clicks = {corrective_click(target, np.zeros_like(target), rng)[:2] for _ in range(800)}
    y, x = np.nonzero(depth(target) > depth(target).max() / 2)
    assert clicks == set(zip(x.tolist(), y.tolist()))


def test_equal_depths_are_a_tie_wherever_the_arrays_lie_in_memory():
    target, prediction = blob(6686), blob(6687)  # both errors are sqrt(45) px deep
    assert depth(target & ~prediction).max() == depth(prediction & ~target).max()
    labels, kept = set(), []
    for i in range(64):
        kept.append(np.empty(8 * i + 1, np.uint8))
        labels.add(corrective_click(target, prediction, np.random.default_rng(i))[2])
    assert labels == {0}


def test_equal_errors_are_corrected_by_a_negative_click():
    target, prediction = np.zeros((9, 9), bool), np.zeros((9, 9), bool)
    target[1:4, 1:4], prediction[5:8, 5:8] = True, True
    x, y, label = corrective_click(target, prediction, np.random.default_rng(0))
    assert label == 0
    assert prediction[y, x]


def test_no_corrective_click_without_an_error():
    mask, valid = disk(), np.ones((48, 48), bool)
    wrong = mask.copy()
    wrong[0, 0], valid[0, 0] = True, False
    rng = np.random.default_rng(0)
    assert corrective_click(mask, mask.astype(np.float32), rng) is None
    assert corrective_click(mask, wrong, rng, valid=valid) is None
    assert corrective_click(np.zeros((3, 3), bool), np.zeros((3, 3), bool), rng) is None
    with pytest.raises(PromptError, match=r"prediction has shape \(3, 3\)"):
        corrective_click(mask, np.zeros((3, 3), bool), rng)


@given(seeds)
def test_first_clicks_lie_well_inside(seed):
    mask = blob(seed)
    deep, rng = depth(mask), np.random.default_rng(seed)
    x, y = first_click(mask, rng, share_centre=1.0)
    assert y * mask.shape[1] + x == deep.argmax()
    x, y = first_click(mask, rng, share_centre=0.0)
    assert deep[y, x] > 0.5 * deep.max()


def test_half_of_the_first_clicks_fall_on_the_centre():
    mask, rng = blob(9), np.random.default_rng(0)
    centre = first_click(mask, rng, share_centre=1.0)
    clicks = [first_click(mask, rng) for _ in range(600)]
    assert np.mean([click == centre for click in clicks]) == pytest.approx(0.5, abs=0.08)
    assert len(set(clicks)) > 50


@given(seeds, st.floats(0.0, 0.49))
def test_boxes_stay_near_the_object_and_inside_the_image(seed, jitter):
    mask = blob(seed)
    box = simulated_box(mask, np.random.default_rng(seed), jitter)
    y, x = np.nonzero(mask)
    exact = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1])
    sides = np.tile(exact[2:] - exact[:2], 2)
    assert (np.abs(box - exact) <= jitter * sides + 1e-9).all()
    Prompt.of(None, None, box=box, size=mask.shape)


def test_box_jitter_is_checked():
    with pytest.raises(ConfigError, match=r"jitter 0\.5"):
        simulated_box(disk(), np.random.default_rng(0), 0.5)


@given(seeds, st.sampled_from([0, 1]), st.floats(0.05, 0.95))
def test_scribbles_stay_inside_however_they_are_drawn(seed, label, share):
    mask = blob(seed, share=share)
    scribble = simulated_scribble(mask, np.random.default_rng(seed), label)
    drawn = np.zeros(mask.shape, np.uint8)
    cv2.polylines(drawn, [scribble.points.astype(np.int32)], False, 1)
    assert scribble.label == label
    assert (mask[drawn > 0] == bool(label)).all()
    assert (np.abs(np.diff(scribble.points, axis=0)).max(axis=1, initial=1) == 1).all()


def test_scribbles_are_long_and_smooth_where_there_is_room():
    mask, rng = disk(), np.random.default_rng(0)
    strokes = [simulated_scribble(mask, rng).points for _ in range(100)]
    assert np.median([len(s) for s in strokes]) > 12
    bends = [np.abs(np.diff(np.unwrap(np.arctan2(*(s[6:] - s[:-6]).T)))) for s in strokes if len(s) > 8]
    assert np.concatenate(bends).max() < 1.0


def test_background_scribbles_begin_beside_the_object():
    mask = np.zeros((96, 96), bool)
    mask[40:60, 40:60] = True
    rng = np.random.default_rng(0)
    starts = np.array([simulated_scribble(mask, rng, 0).points[0] for _ in range(50)])
    distance = ndimage.distance_transform_cdt(~mask, metric="chessboard")
    assert (at(distance, starts) <= 6).all()


def _lines():
    one, row, column = (np.zeros((20, 30), bool) for _ in range(3))
    one[7, 11], row[5], column[:, 3] = True, True, True
    return {"pixel": one, "row": row, "column": column, "diagonal": np.eye(20, 30, dtype=bool)}


@pytest.mark.parametrize("name", ["pixel", "row", "column", "diagonal"])
def test_thin_masks_get_every_prompt(name):
    mask, rng = _lines()[name], np.random.default_rng(0)
    for _ in range(20):
        points, labels = initial_clicks(mask, rng, GRAIN, sibling=~mask)
        np.testing.assert_array_equal(at(mask, points), labels.astype(bool))
        assert at(mask, [first_click(mask, rng)]).all()
        assert at(mask, simulated_scribble(mask, rng).points).all()
        Prompt.of(None, None, box=simulated_box(mask, rng), size=mask.shape)
        x, y, label = corrective_click(mask, np.zeros_like(mask), rng)
        assert mask[y, x]
        assert label == 1


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (16, 12)])
def test_a_mask_that_fills_the_image_gets_no_negatives(size):
    mask, rng = np.ones(size, bool), np.random.default_rng(0)
    for settings in (PAPER, GRAIN):
        assert all(initial_clicks(mask, rng, settings, sibling=mask)[1].all() for _ in range(20))
    assert simulated_box(mask, rng, 0.0) == (0.0, 0.0, float(size[1]), float(size[0]))
    with pytest.raises(PromptError, match="needs background"):
        simulated_scribble(mask, rng, 0)


def test_empty_masks_are_refused_by_all():
    empty, rng = np.zeros((6, 6), bool), np.random.default_rng(0)
    for draw in (first_click, simulated_box, simulated_scribble):
        with pytest.raises(PromptError, match="empty"):
            draw(empty, rng)
    with pytest.raises(PromptError, match="empty"):
        initial_clicks(empty, rng, PAPER)
    with pytest.raises(PromptError, match=r"sibling has shape \(2, 2\)"):
        initial_clicks(~empty, rng, PAPER, sibling=np.ones((2, 2), bool))
