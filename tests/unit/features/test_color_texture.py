"""Features without weights: colour on the patch, texture around it."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickgrain.errors import ImageError
from clickgrain.features import ColorTexture
from clickgrain.tree import build_tree

COLOR, GRADIENTS, DEVIATION = slice(0, 3), slice(3, 11), slice(11, 14)


def photo(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def plain(height, width, color=(128, 128, 128)):
    return np.full((height, width, 3), color, np.uint8)


class TestGrid:
    @settings(max_examples=30, deadline=None)
    @given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([1, 4, 8]))
    def test_whole_patches_of_finite_vectors(self, height, width, patch):
        extract = ColorTexture(patch_size=patch)
        features = extract(photo(height, width))
        assert features.shape[2] == extract.dim == 14
        for count, side in zip(features.shape, (height, width), strict=False):
            assert count >= 1
            assert abs(count - side / patch) <= 1
        assert features.dtype == np.float32
        assert np.isfinite(features).all()

    def test_larger_images_are_scaled_down_smaller_ones_keep_their_size(self):
        extract = ColorTexture(long_side=64)
        assert extract(photo(48, 64)).shape[:2] == (12, 16)
        assert extract(photo(96, 128)).shape[:2] == (12, 16)
        assert extract(photo(300, 100)).shape[:2] == (16, 5)
        assert extract(photo(24, 32)).shape[:2] == (6, 8)

    def test_one_pixel_and_one_row_or_column(self):
        extract = ColorTexture()
        assert extract(photo(1, 1)).shape == (1, 1, 14)
        assert extract(photo(1, 40)).shape == (1, 10, 14)
        assert extract(photo(40, 1)).shape == (10, 1, 14)


class TestValues:
    def test_colour_is_lab_in_steps_of_twenty(self):
        features = ColorTexture(power=1)(plain(32, 32, (255, 255, 255)))
        np.testing.assert_allclose(features[..., COLOR], np.broadcast_to([5, 0, 0], (8, 8, 3)), atol=1e-3)

    @settings(max_examples=20, deadline=None)
    @given(st.integers(0, 2**16))
    def test_range(self, seed):
        features = ColorTexture(power=1)(photo(32, 48, seed))
        assert (features[..., 0] >= 0).all()
        assert (features[..., 0] <= 5.001).all()
        assert (np.abs(features[..., 1:3]) <= 128 / 20).all()
        assert (features[..., GRADIENTS] >= 0).all()
        assert (features[..., GRADIENTS] <= 5 / 2).all()
        assert (features[..., DEVIATION] >= 0).all()
        assert (features[..., DEVIATION] <= 128 / 20).all()

    def test_a_plain_image_has_no_texture(self):
        features = ColorTexture(power=1)(plain(32, 32, (200, 30, 90)))
        np.testing.assert_allclose(features[..., 3:], 0, atol=2e-2)
        assert features[..., COLOR].std(axis=(0, 1)).max() < 1e-4

    def test_a_grey_image_has_no_colour(self):
        grey = np.repeat(photo(32, 32)[..., :1], 3, axis=2)
        features = ColorTexture(power=1)(grey)
        np.testing.assert_allclose(features[..., 1:3], 0, atol=1e-2)
        np.testing.assert_allclose(features[..., 12:14], 0, atol=2e-2)

    def test_stripes_answer_in_their_own_orientation(self):
        x = np.arange(64)
        upright = np.repeat((127 + 100 * np.sin(x * np.pi / 4))[None], 64, axis=0)
        colours = ColorTexture(power=1)
        strength = colours(cv2.merge([upright.astype(np.uint8)] * 3))[4:-4, 4:-4, GRADIENTS].mean((0, 1))
        assert strength[:4].argmax() == 0  # the derivative across upright stripes is along x
        assert strength[2] < 0.05 * strength[0]
        turned = colours(cv2.merge([upright.T.astype(np.uint8)] * 3))[4:-4, 4:-4, GRADIENTS].mean((0, 1))
        assert turned[:4].argmax() == 2

    def test_deviation_is_that_of_lab_around_the_patch(self):
        noise = np.random.default_rng(0).normal(0, 12, (64, 64, 1))
        image = (128 + noise).clip(0, 255).astype(np.uint8).repeat(3, 2)
        luminance = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[..., 0] / 20
        features = ColorTexture(power=1)(image)
        window = luminance[16:28, 16:28]  # patch (5, 5) and its neighbours
        assert features[5, 5, DEVIATION][0] == pytest.approx(window.std(), rel=1e-3)

    def test_weights_scale_their_channels(self):
        image = photo(32, 32)
        one, other = ColorTexture(power=1), ColorTexture(power=1, gradient_weight=1.5, deviation_weight=0.25)
        np.testing.assert_allclose(other(image)[..., COLOR], one(image)[..., COLOR])
        np.testing.assert_allclose(other(image)[..., GRADIENTS], 3 * one(image)[..., GRADIENTS], rtol=1e-5)
        np.testing.assert_allclose(other(image)[..., DEVIATION], one(image)[..., DEVIATION] / 4, rtol=1e-5)
        assert one.name != other.name


def test_a_power_shortens_vectors_and_keeps_their_direction():
    image = np.random.default_rng(0).integers(0, 255, (20, 24, 3), np.uint8)
    image[:8, :8] = 0
    plain, short = ColorTexture(power=1)(image), ColorTexture(power=0.75)(image)
    lengths = np.linalg.norm(plain, axis=-1)
    assert np.linalg.norm(short, axis=-1) == pytest.approx(lengths**0.75, rel=1e-4, abs=1e-4)
    cosine = (plain * short).sum(-1) / np.maximum(lengths * np.linalg.norm(short, axis=-1), 1e-9)
    assert cosine[lengths > 1e-3] == pytest.approx(1, abs=1e-5)
    assert ColorTexture(power=0.75).name != ColorTexture(power=1).name


def test_texture_tells_regions_of_the_same_mean_colour_apart():
    """Upright beside flat stripes, of one mean per patch: the first cut finds them by texture, by colour not."""
    stripes = np.where(np.arange(96) % 4 < 2, 98, 158).astype(np.uint8)[:, None, None]
    image = np.concatenate([stripes[:48].swapaxes(0, 1).repeat(64, 0), stripes[:64].repeat(48, 1)], axis=1).repeat(
        3, axis=2
    )
    truth = np.arange(24)[None] < 12

    def agreement(**weights):
        node = build_tree(ColorTexture(**weights)(image)).cut(2)
        same = (node == node[0, 0]) == truth
        return same.mean()

    assert agreement() > 0.9
    assert agreement(gradient_weight=0, deviation_weight=0) < 0.8


def test_repeats_itself_and_leaves_the_image_alone():
    image = photo(40, 56)
    image.flags.writeable = False
    before = image.copy()
    np.testing.assert_array_equal(ColorTexture()(image), ColorTexture()(image))
    np.testing.assert_array_equal(image, before)


def test_views_are_images_too():
    image = photo(40, 56)
    np.testing.assert_array_equal(ColorTexture()(image[:, ::-1]), ColorTexture()(image[:, ::-1].copy()))


@pytest.mark.parametrize(
    "wrong",
    [photo(8, 8) / 255, photo(8, 8)[..., 0], photo(8, 8)[..., :2], photo(8, 8)[:0], photo(8, 8).astype(np.int16)],
)
def test_other_arrays_are_refused(wrong):
    with pytest.raises(ImageError, match="uint8"):
        ColorTexture()(wrong)
