import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickgrain.errors import ConfigError, ImageError
from clickgrain.proposals.composites import composite
from clickgrain.proposals.config import CompositeSettings
from clickgrain.proposals.cutouts import Cutout


def noise(height, width, seed=0, low=0, high=256):
    return np.random.default_rng(seed).integers(low, high, (height, width, 3), np.uint8)


def disk_piece(side=40):
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return noise(side, side, seed=9), (x**2 + y**2 <= (0.45 * side) ** 2).astype(np.float32)


def test_image_and_mask_have_the_background_s_size():
    result = composite(noise(60, 90), *disk_piece(), np.random.default_rng(0))
    image, mask = result
    assert (image.shape, image.dtype) == ((60, 90, 3), np.uint8)
    assert (mask.shape, mask.dtype) == ((60, 90), np.float32)
    assert mask.min() == 0
    assert 0.9 < mask.max() <= 1


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), feather=st.sampled_from([0.0, 1.0, 2.0]), side=st.integers(6, 80))
def test_the_mask_is_exact(seed, feather, side):
    """Black pasted on white: every pixel's darkness is the mask, edge and all."""
    white, black = np.full((64, 80, 3), 255, np.uint8), np.zeros((side, side, 3), np.uint8)
    law = CompositeSettings(jitter=0, match=0, finish=0, feather=feather)
    result = composite(white, black, disk_piece(side)[1], np.random.default_rng(seed), law)
    np.testing.assert_allclose(result.mask, 1 - result.image.mean(2) / 255, atol=0.003)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_outside_the_mask_the_photo_is_untouched(seed):
    background = noise(64, 80)
    law = CompositeSettings(finish=0)
    image, mask = composite(background, *disk_piece(), np.random.default_rng(seed), law)
    np.testing.assert_array_equal(image[mask == 0], background[mask == 0])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), low=st.floats(0.005, 0.1), ratio=st.floats(1.0, 6.0))
def test_areas_stay_within_the_law(seed, low, ratio):
    law = CompositeSettings(min_area=low, max_area=min(0.6, low * ratio), max_upscale=100)
    mask = composite(noise(96, 96), *disk_piece(), np.random.default_rng(seed), law).mask
    assert 0.85 * law.min_area <= mask.mean() <= 1.15 * law.max_area


def test_areas_reach_from_half_a_percent_to_sixty():
    law = CompositeSettings(max_upscale=100)
    areas = [composite(noise(64, 64), *disk_piece(), np.random.default_rng(s), law).mask.mean() for s in range(300)]
    assert min(areas) < 0.007
    assert max(areas) > 0.5
    share_small = np.mean(np.array(areas) < np.sqrt(0.005 * 0.6))
    assert 0.4 < share_small < 0.65  # half of the draws lie below the middle of the log range


def test_enlarging_is_held_back():
    law = CompositeSettings(min_area=0.005, max_area=0.6, max_upscale=1.0, feather=0)
    piece, alpha = disk_piece(12)
    masks = [composite(noise(96, 96), piece, alpha, np.random.default_rng(s), law).mask for s in range(40)]
    assert max(mask.sum() for mask in masks) <= 1.1 * alpha.sum()


def test_a_piece_may_be_cut_by_the_border_but_not_lost():
    law = CompositeSettings(min_area=0.01, max_area=0.3, feather=0, rotation=0)
    masks = [composite(noise(80, 80), *disk_piece(), np.random.default_rng(s), law).mask for s in range(80)]
    at_border = [m[0].any() or m[-1].any() or m[:, 0].any() or m[:, -1].any() for m in masks]
    assert 3 < sum(at_border) < 40
    assert min(mask.mean() for mask in masks) > 0.9 * 0.01


def test_thin_pieces_stay_visible():
    alpha = np.zeros((4, 300), np.float32)
    alpha[1:3] = 1
    for seed in range(20):
        mask = composite(noise(64, 64), noise(4, 300), alpha, np.random.default_rng(seed)).mask
        assert mask.max() > 0.5


def test_flip_and_rotation_change_the_shape():
    piece, alpha = noise(40, 40), np.zeros((40, 40), np.float32)
    alpha[5:35, 5:12] = 1
    alpha[28:35, 5:30] = 1  # an L
    law = {"min_area": 0.1, "max_area": 0.1, "jitter": 0, "match": 0, "feather": 0, "blur": 0, "finish": 0}

    def shape(**changes):
        mask = composite(
            noise(96, 96), piece, alpha, np.random.default_rng(1), CompositeSettings(**{**law, **changes})
        ).mask
        box = mask[mask.any(1)][:, mask.any(0)] > 0.5
        return box

    upright, mirrored = shape(rotation=0, flip=0), shape(rotation=0, flip=1)
    assert upright.shape == mirrored.shape
    assert (upright == mirrored[:, ::-1]).mean() > 0.95
    turned = shape(rotation=45, flip=0)
    assert turned.shape != upright.shape


def test_feathering_softens_the_edge_only():
    def soft(feather):
        law = CompositeSettings(min_area=0.2, max_area=0.2, feather=feather, rotation=0)
        mask = composite(noise(96, 96), *disk_piece(), np.random.default_rng(5), law).mask
        return ((mask > 0.05) & (mask < 0.95)).sum()

    assert soft(0) < soft(1) < soft(2)
    assert soft(1) < 600  # a ring of about 160 pixels' length


def test_colours_change_when_asked():
    background, (piece, alpha) = np.full((64, 64, 3), 200, np.uint8), disk_piece()
    piece = np.full_like(piece, 60)

    def inside(**changes):
        law = CompositeSettings(**{"jitter": 0, "match": 0, "blur": 0, "finish": 0, "feather": 0, **changes})
        image, mask = composite(background, piece, alpha, np.random.default_rng(2), law)
        return image[mask == 1].mean()

    assert inside() == pytest.approx(60, abs=1.5)
    assert 62 < inside(match=1) < 200
    assert abs(inside(jitter=1) - 60) > 2


def test_the_finish_leaves_the_mask_alone():
    args = (noise(64, 64), *disk_piece())
    with_finish, without = (
        composite(*args, np.random.default_rng(3), CompositeSettings(finish=finish)) for finish in (1.0, 0.0)
    )
    np.testing.assert_array_equal(with_finish.mask, without.mask)
    assert (with_finish.image != without.image).any()


def test_the_occluder_is_taken_out_of_the_mask():
    white = np.full((96, 96, 3), 255, np.uint8)
    black = np.zeros((40, 40, 3), np.uint8)
    red = np.zeros((40, 40, 3), np.uint8)
    red[..., 0] = 255
    alpha = disk_piece()[1]
    law = CompositeSettings(min_area=0.08, max_area=0.2, jitter=0, match=0, finish=0, blur=0)
    occluded = 0
    for seed in range(20):
        alone = composite(white, black, alpha, np.random.default_rng(seed), law).mask
        image, mask = composite(white, black, alpha, np.random.default_rng(seed), law, occluder=Cutout(red, alpha))
        hidden = 1 - mask.sum() / alone.sum()
        occluded += hidden > 0
        assert hidden == 0 or 0.05 <= hidden <= 0.6
        reddish = (image[..., 0] > 250) & (image[..., 1] < 5)
        assert mask[reddish].max(initial=0) < 0.03
        np.testing.assert_allclose(mask, 1 - image[..., 0] / 255, atol=0.005)  # what is black is the object
    assert occluded >= 12


def test_the_seed_decides():
    args = (noise(64, 64), *disk_piece())
    first, again, other = (composite(*args, np.random.default_rng(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.mask, again.mask)
    assert (first.mask != other.mask).any()


def test_inputs_are_not_written_to():
    background, (piece, alpha) = noise(64, 64), disk_piece()
    copies = background.copy(), piece.copy(), alpha.copy()
    composite(background, piece, alpha, np.random.default_rng(0))
    for array, copy in zip((background, piece, alpha), copies):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize(
    "alpha",
    [
        np.zeros((40, 40), np.float32),
        np.full((40, 40), 2, np.float32),
        np.full((40, 40), np.nan, np.float32),
        np.ones((40, 41), np.float32),
    ],
)
def test_a_bad_alpha_is_refused(alpha):
    with pytest.raises(ImageError, match="alpha"):
        composite(noise(64, 64), noise(40, 40), alpha, np.random.default_rng(0))


def test_a_bad_image_is_refused():
    with pytest.raises(ImageError):
        composite(noise(64, 64)[..., 0], *disk_piece(), np.random.default_rng(0))


@pytest.mark.parametrize(
    ("settings_", "flag"),
    [
        ({"min_area": 0}, "--composite.min-area"),
        ({"min_area": 0.7}, "--composite.max-area"),
        ({"flip": 1.5}, "--composite.flip"),
        ({"max_upscale": -1}, "--composite.max-upscale"),
    ],
)
def test_law_names_the_wrong_flag(settings_, flag):
    with pytest.raises(ConfigError, match=flag):
        CompositeSettings(**settings_)
