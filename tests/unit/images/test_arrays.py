from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickgrain.errors import ImageError
from clickgrain.images import (
    check_image,
    fit_size,
    read_image,
    resize,
    resize_long_side,
    rotation_hint,
    save_mask,
)


def noise(height=20, width=30, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_an_image_passes_unchanged():
    image = noise()
    assert check_image(image) is image


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        ("a.jpg", "np.asarray"),
        (np.zeros((4, 4), np.uint8), "np.repeat"),
        (np.zeros((4, 4, 4), np.uint8), r"image\[..., :3\]"),
        (np.zeros((3, 4, 5), np.uint8), "transpose"),
        (np.zeros((4, 4, 3), np.float32), "scale it to 0..255"),
        (np.zeros((4, 4, 3), bool), "multiply it by 255"),
        (np.zeros((0, 4, 3), np.uint8), "no pixel"),
        (np.zeros((2, 4, 4, 3), np.uint8), "one image"),
    ],
)
def test_anything_else_is_refused_with_the_way_to_convert_it(value, advice):
    with pytest.raises(ImageError, match=advice):
        check_image(value)


@pytest.mark.parametrize(
    ("size", "side", "multiple", "expected"),
    [
        ((480, 640), 384, 8, (288, 384)),
        ((640, 480), 384, 8, (384, 288)),
        ((100, 100), 384, 8, (384, 384)),
        ((427, 640), 384, 1, (256, 384)),
        ((1, 10000), 384, 8, (8, 384)),
    ],
)
def test_fit_size(size, side, multiple, expected):
    assert fit_size(size, side, multiple) == expected


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 64), st.integers(1, 16))
def test_fit_size_keeps_long_side_multiples_and_aspect(height, width, units, multiple):
    side = units * multiple
    fitted = fit_size((height, width), side, multiple)
    assert max(fitted) == side
    assert min(fitted) >= multiple
    assert all(value % multiple == 0 for value in fitted)
    exact = min(height, width) * side / max(height, width)
    assert abs(min(fitted) - exact) <= max(multiple / 2, multiple - exact) + 1e-6


def test_shrinking_averages_areas():
    image = noise(24, 32)
    means = image.reshape(6, 4, 8, 4, 3).mean(axis=(1, 3))
    assert np.abs(resize(image, (6, 8)) - means).max() <= 0.51


def test_growing_is_bilinear_between_pixel_centres():
    image = np.array([[[0] * 3, [100] * 3]], np.uint8)
    assert resize(image, (1, 4))[0, :, 0].tolist() == [0, 25, 75, 100]


def test_shrinking_one_side_and_growing_the_other():
    image = np.repeat(noise(1, 30), 20, axis=0)
    both = resize(image, (40, 10))
    assert both.shape == (40, 10, 3)
    assert np.abs(both - image[:1].reshape(1, 10, 3, 3).mean(axis=2)).max() <= 0.51


def test_same_size_is_the_same_image_and_no_size_is_refused():
    image = noise()
    assert resize(image, (20, 30)) is image
    with pytest.raises(ImageError, match="at least 1 pixel"):
        resize(image, (0, 30))


def test_resize_long_side():
    assert resize_long_side(noise(20, 30), 15).shape == (10, 15, 3)
    assert resize_long_side(noise(30, 20), 60).shape == (60, 40, 3)


def test_swapped_sides_hint_at_the_rotation_of_a_photo():
    assert "without its EXIF rotation" in rotation_hint((20, 30), (30, 20))
    assert "EXIF" in rotation_hint([20, 30], (30, 20))
    assert rotation_hint((20, 30), (20, 31)) == rotation_hint((20, 30, 3), (30, 20)) == ""


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64])
def test_masks_are_written_as_0_and_255(tmp_path, dtype):
    mask = noise()[..., 0] > 127
    save_mask(tmp_path / "new" / "mask.png", mask.astype(dtype))
    written = read_image(tmp_path / "new" / "mask.png")
    np.testing.assert_array_equal(written, np.repeat(mask[..., None] * np.uint8(255), 3, axis=2))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["mask.png"]


@pytest.mark.parametrize("mask", [np.zeros((4, 4), np.float32), np.zeros((4, 4, 1), bool), np.zeros((0, 4), bool)])
def test_what_is_no_mask_is_refused(tmp_path, mask):
    with pytest.raises(ImageError, match=r"mask\.png: a mask is an H x W bool array"):
        save_mask(tmp_path / "mask.png", mask)


def test_a_mask_that_cannot_be_written_keeps_the_old_one(tmp_path, monkeypatch):
    save_mask(tmp_path / "mask.png", np.ones((4, 4), bool))
    before = (tmp_path / "mask.png").read_bytes()

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ImageError, match=r"mask\.png: cannot be written \(No space left on device\); free space"):
        save_mask(tmp_path / "mask.png", np.zeros((4, 4), bool))
    assert (tmp_path / "mask.png").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["mask.png"]
