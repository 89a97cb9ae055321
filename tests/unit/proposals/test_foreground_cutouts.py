"""Whole things: cutouts read from files, with surfaces from photos, put into others."""

import cv2
import numpy as np
import pytest
from PIL import Image

from clickgrain.errors import ConfigError, ImageError
from clickgrain.proposals.composites import composite
from clickgrain.proposals.config import CompositeSettings
from clickgrain.proposals.cutouts import WHOLE_OBJECTS, Cutout, read_cutout, retextured


def thing(side=64):
    """A red disk with a blue lower half, its RGBA file's array."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    rgba = np.zeros((side, side, 4), np.uint8)
    rgba[..., :3] = np.where((y > 0)[..., None], (30, 40, 220), (220, 30, 40))
    rgba[..., 3] = 255 * np.clip(0.4 * side - np.hypot(x, y) + 0.5, 0, 1)
    return rgba


def written(path, rgba, **options):
    Image.fromarray(rgba).save(path, **options)
    return path


def photo(seed=0, size=(90, 120)):
    rng = np.random.default_rng(seed)
    return np.clip(cv2.GaussianBlur(rng.normal(128, 90, (*size, 3)), (0, 0), 1.5) * 1.5 - 60, 0, 255).astype(
        np.uint8
    )


class TestReading:
    @pytest.mark.parametrize("suffix", ["png", "webp"])
    def test_the_mask_is_the_file_s_alpha(self, tmp_path, suffix):
        rgba = thing()
        image, alpha = read_cutout(written(tmp_path / f"a.{suffix}", rgba, lossless=True), 256)
        rows, columns = (np.flatnonzero((rgba[..., 3] > 0).any(axis)) for axis in (1, 0))
        box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        np.testing.assert_allclose(alpha, rgba[box][..., 3] / 255, atol=1e-6)
        np.testing.assert_array_equal(image[alpha > 0.5], rgba[box][..., :3][alpha > 0.5])

    def test_large_ones_are_shrunk(self, tmp_path):
        image, alpha = read_cutout(written(tmp_path / "a.png", thing(400)), 100)
        assert image.shape[:2] == alpha.shape
        assert max(alpha.shape) == 100
        assert 0 <= alpha.min() <= alpha.max() <= 1

    def test_glass_is_part_of_a_glass_and_crumbs_are_left_out(self, tmp_path):
        rgba = thing()
        rgba[24:40, 24:40, 3] = 150
        rgba[:2, :2, 3] = 255
        _, alpha = read_cutout(written(tmp_path / "a.png", rgba), 256)
        assert alpha[alpha.shape[0] // 2, alpha.shape[1] // 2] == 1
        assert alpha.shape == (52, 52)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda rgba: rgba[..., :3], "no transparency"),
            (lambda rgba: np.where(np.arange(4) == 3, 255, rgba).astype(np.uint8), "shows no object"),
            (lambda rgba: np.where(np.arange(4) == 3, 0, rgba).astype(np.uint8), "shows no object"),
        ],
    )
    def test_what_is_no_cutout_says_why(self, tmp_path, change, words):
        with pytest.raises(ImageError, match=words):
            read_cutout(written(tmp_path / "a.png", np.ascontiguousarray(change(thing()))), 64)

    def test_a_damaged_file(self, tmp_path):
        (tmp_path / "a.png").write_bytes(written(tmp_path / "b.png", thing()).read_bytes()[:200])
        with pytest.raises(ImageError, match=r"a\.png"):
            read_cutout(tmp_path / "a.png", 64)


class TestTexture:
    def test_the_outline_stays_and_the_seed_decides(self):
        rgba = thing()
        piece = Cutout(np.ascontiguousarray(rgba[..., :3]), rgba[..., 3].astype(np.float32) / 255)
        first, again, other = (retextured(piece, photo, np.random.default_rng(seed)) for seed in (1, 1, 2))
        np.testing.assert_array_equal(first.alpha, piece.alpha)
        np.testing.assert_array_equal(first.image, again.image)
        assert (first.image != other.image).any()

    def test_flat_colors_become_surfaces_and_parts_stay_apart(self):
        rgba = thing()
        piece = Cutout(np.ascontiguousarray(rgba[..., :3]), rgba[..., 3].astype(np.float32) / 255)
        apart = 0
        for seed in range(8):
            image = retextured(piece, photo, np.random.default_rng(seed)).image.astype(float)
            upper, lower = image[20:30, 20:44], image[34:44, 20:44]
            assert upper.std(axis=(0, 1)).max() > 2
            apart += np.abs(upper.mean((0, 1)) - lower.mean((0, 1))).max() > 15
        assert apart >= 6

    @pytest.mark.parametrize("side", [3, 7])
    def test_tiny_things_and_photos(self, side):
        piece = Cutout(np.full((side, side, 3), 90, np.uint8), np.ones((side, side), np.float32))
        for seed in range(5):
            made = retextured(piece, lambda: photo(0, (9, 12)), np.random.default_rng(seed))
            assert made.image.shape == (side, side, 3)


class TestPlacing:
    def test_sides_are_log_uniform_from_5_to_80_percent(self):
        rgba = thing()
        piece, alpha = np.ascontiguousarray(rgba[..., :3]), rgba[..., 3].astype(np.float32) / 255
        law = CompositeSettings(min_area=0.0002, sides=(0.05, 0.8), max_upscale=100, rotation=0)
        sides = []
        for seed in range(150):
            mask = composite(photo(), piece, alpha, np.random.default_rng(seed), law).mask > 0.5
            sides.append(max(np.ptp(np.flatnonzero(mask.any(axis))) + 1 for axis in (0, 1)) / 120)
        assert min(sides) < 0.07
        assert max(sides) > 0.6
        assert 0.35 < np.mean(np.array(sides) < np.sqrt(0.05 * 0.8 * 0.8)) < 0.65  # the disk fills 0.8 of its piece

    def test_a_shadow_darkens_the_photo_but_is_not_the_object(self):
        white = np.full((96, 96, 3), 200, np.uint8)
        rgba = thing()
        piece, alpha = np.full((64, 64, 3), 200, np.uint8), rgba[..., 3].astype(np.float32) / 255
        law = CompositeSettings(sides=(0.4, 0.4), jitter=0, match=0, finish=0, shadow=1, rotation=0, blur=0)
        for seed in range(10):
            image, mask = composite(white, piece, alpha, np.random.default_rng(seed), law)
            dark = image.max(2) < 185
            assert dark.any()
            assert np.abs(image[mask > 0.99].astype(int) - 200).max() <= 2
            assert not (dark & (mask > 0.9)).any()

    def test_light_and_noise_leave_the_mask_alone(self):
        rgba = thing()
        args = photo(), np.ascontiguousarray(rgba[..., :3]), rgba[..., 3].astype(np.float32) / 255
        plain = CompositeSettings(sides=(0.5, 0.5), finish=0)
        lit = CompositeSettings(sides=(0.5, 0.5), finish=0, light=1, noise=1)
        first, second = (composite(*args, np.random.default_rng(3), law) for law in (plain, lit))
        np.testing.assert_array_equal(first.mask, second.mask)
        assert (first.image != second.image).mean() > 0.5

    def test_any_cutout_and_any_photo_make_a_composite(self):
        rgba = thing(16)
        piece, alpha = np.ascontiguousarray(rgba[..., :3]), rgba[..., 3].astype(np.float32) / 255
        for seed in range(40):
            flat = np.full((48, 64, 3), seed * 6, np.uint8)
            image, mask = composite(flat, piece, alpha, np.random.default_rng(seed), WHOLE_OBJECTS)
            assert np.isfinite(mask).all()
            assert mask.max() > 0.5
            assert image.shape == (48, 64, 3)

    def test_the_law_names_the_wrong_flag(self):
        with pytest.raises(ConfigError, match=r"--composite\.sides"):
            CompositeSettings(sides=(0.8, 0.05))
