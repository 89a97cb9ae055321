import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickgrain.errors import ImageError
from clickgrain.images import guided_upsample


def reference(low, guide, radius, eps):
    """He et al. 2013, equations 19 and 20, window by window in float64; slopes upsampled as in He and Sun 2015."""
    h, w = low.shape
    small = cv2.resize(guide, (w, h), interpolation=cv2.INTER_AREA).astype(np.float64).reshape(h, w, 3) / 255

    def windows(values):
        pad = [(radius, radius)] * 2 + [(0, 0)] * (values.ndim - 2)
        padded = np.pad(values, pad, mode="symmetric")
        side = 2 * radius + 1
        return np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(0, 1))

    slopes = np.zeros((h, w, 4))
    image_windows, p_windows = windows(small), windows(low.astype(np.float64))
    for y in range(h):
        for x in range(w):
            pixels = image_windows[y, x].reshape(3, -1).T
            p = p_windows[y, x].ravel()
            mu, p_bar = pixels.mean(axis=0), p.mean()
            sigma = np.cov(pixels.T, bias=True)
            a = np.linalg.solve(sigma + eps * np.eye(3), (pixels * p[:, None]).mean(axis=0) - mu * p_bar)
            slopes[y, x] = *a, p_bar - a @ mu
    slopes = windows(slopes).mean(axis=(-2, -1))
    rows, columns = (bilinear(n, size) for n, size in zip((h, w), guide.shape[:2]))
    native = np.einsum("Hh,Ww,hwc->HWc", rows, columns, slopes)
    return np.clip((native[..., :3] * guide / 255.0).sum(axis=2) + native[..., 3], 0, 1)


def bilinear(n, size):
    """size x n matrix of interpolation weights between pixel centres."""
    at = np.clip((np.arange(size) + 0.5) * n / size - 0.5, 0, n - 1)
    return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(n)))


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(4, 9), st.integers(4, 9)),
    st.tuples(st.integers(10, 40), st.integers(10, 40)),
    st.integers(1, 3),
    st.sampled_from([1e-4, 1e-2]),
)
def test_agrees_with_the_equations(seed, low_size, size, radius, eps):
    rng = np.random.default_rng(seed)
    low = rng.random(low_size).astype(np.float32)
    guide = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    expected = reference(low, guide, radius, eps)
    np.testing.assert_allclose(guided_upsample(low, guide, radius=radius, eps=eps), expected, atol=2e-5)


def test_grey_guides_are_well_behaved():
    rng = np.random.default_rng(0)
    low = rng.random((8, 8)).astype(np.float32)
    guide = np.repeat(rng.integers(0, 256, (30, 30, 1), dtype=np.uint8), 3, axis=2)
    expected = reference(low, guide, 2, 1e-4)
    np.testing.assert_allclose(guided_upsample(low, guide, radius=2, eps=1e-4), expected, atol=2e-5)


def test_a_flat_guide_gives_the_smoothed_map_and_radius_0_the_bilinear_one():
    low = np.random.default_rng(0).random((6, 8)).astype(np.float32)
    guide = np.full((48, 64, 3), 90, np.uint8)
    bilinear_map = cv2.resize(low, (64, 48), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(guided_upsample(low, guide, radius=0, eps=1e-3), bilinear_map, atol=1e-5)
    smooth = low
    for _ in range(2):
        smooth = cv2.blur(smooth, (3, 3), borderType=cv2.BORDER_REFLECT)
    expected = cv2.resize(smooth, (64, 48), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(guided_upsample(low, guide, radius=1, eps=1e-3), expected, atol=1e-5)


def crossing(row):
    """Where a falling row passes 0.5, in pixels."""
    last = np.flatnonzero(row >= 0.5)[-1]
    return last + (row[last] - 0.5) / (row[last] - row[last + 1])


@pytest.mark.parametrize("edge", [49, 51, 53, 55])
def test_borders_snap_to_the_edges_of_the_guide(edge):
    guide = np.full((96, 96, 3), (40, 60, 90), np.uint8)
    guide[:, :edge] = (200, 120, 60)
    low = np.zeros((12, 12), np.float32)
    low[:, : round(edge / 8)] = 1.0  # the low-resolution border lies on the nearest patch border
    plain = cv2.resize(low, (96, 96), interpolation=cv2.INTER_LINEAR)
    snapped = guided_upsample(low, guide, radius=2, eps=1e-3)
    distance = abs(crossing(snapped[48]) - (edge - 0.5))
    assert distance < abs(crossing(plain[48]) - (edge - 0.5))
    assert distance <= 0.5
    wrong = (snapped > 0.5) != (np.arange(96) < edge)
    assert wrong.mean() < ((plain > 0.5) != (np.arange(96) < edge)).mean()


def test_wide_images_in_many_strips_equal_one_strip(monkeypatch):
    rng = np.random.default_rng(0)
    low, guide = rng.random((5, 7)).astype(np.float32), rng.integers(0, 256, (37, 61, 3), dtype=np.uint8)
    whole = guided_upsample(low, guide, radius=1, eps=1e-3)
    monkeypatch.setattr("clickgrain.images.guided._STRIP", 100)
    np.testing.assert_allclose(guided_upsample(low, guide, radius=1, eps=1e-3), whole, atol=2e-6)


def test_result_is_float32_in_0_to_1_and_inputs_stay():
    rng = np.random.default_rng(0)
    low = (rng.random((5, 7)) > 0.5).astype(np.float32)
    guide = rng.integers(0, 256, (40, 56, 3), dtype=np.uint8)
    low_before, guide_before = low.copy(), guide.copy()
    result = guided_upsample(low, guide, radius=1, eps=1e-5)
    assert result.dtype == np.float32
    assert result.shape == (40, 56)
    assert result.min() >= 0
    assert result.max() <= 1
    np.testing.assert_array_equal(low, low_before)
    np.testing.assert_array_equal(guide, guide_before)


@pytest.mark.parametrize("shape", [(5, 7, 1), (5,), (0, 7)])
def test_maps_of_another_shape_are_refused(shape):
    with pytest.raises(ImageError, match="h x w"):
        guided_upsample(np.zeros(shape, np.float32), np.zeros((40, 56, 3), np.uint8))


@pytest.mark.parametrize(("radius", "eps"), [(-1, 1e-3), (1, 0.0), (1, float("nan"))])
def test_settings_that_do_not_work_are_refused(radius, eps):
    with pytest.raises(ImageError, match="give radius >= 0 and eps > 0"):
        guided_upsample(np.zeros((5, 7), np.float32), np.zeros((40, 56, 3), np.uint8), radius=radius, eps=eps)
