import cv2
import numpy as np
import pytest

from clickgrain.proposals.cutouts import (
    cropped,
    edge_support,
    object_cutout,
    plain_background_object,
    region_cutout,
)
from clickgrain.tree import build_tree

SIZE = (96, 128)


def plain(colour=(250, 250, 250), noise=1.5, seed=0):
    pixels = np.random.default_rng(seed).normal(colour, noise, (*SIZE, 3))
    return np.clip(pixels, 0, 255).astype(np.uint8)


def disk(centre, radius):
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    return (x - centre[0]) ** 2 + (y - centre[1]) ** 2 <= radius**2


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize("background", [(250, 250, 250), (0, 0, 0), (40, 120, 60)])
def test_an_object_on_a_plain_background_is_found(background):
    image, truth = plain(background), disk((60, 50), 25)
    image[truth] = (200, 40, 30)
    alpha = plain_background_object(image)
    assert alpha.shape == SIZE
    assert alpha.dtype == np.float32
    found = alpha > 0.5
    assert not (found & ~truth).any()  # one pixel of rim less, never a pixel too many
    assert iou(found, truth) > 0.85


def test_highlights_belong_to_the_object_and_wide_holes_do_not():
    image = plain()
    image[disk((60, 50), 30)] = (30, 60, 160)
    image[disk((60, 40), 14)] = (250, 250, 250)
    image[disk((60, 68), 2)] = (250, 250, 250)
    alpha = plain_background_object(image)
    assert alpha[40, 60] == 0
    assert alpha[68, 60] == 1


def gradient():
    return np.repeat(np.tile(np.linspace(0, 255, SIZE[1]), (SIZE[0], 1))[..., None], 3, 2).astype(np.uint8)


def several():
    image = plain()
    for x in (20, 60, 100):
        image[disk((x, 50), 14)] = (20, 90, 30)
    return image


def tiny():
    image = plain()
    image[disk((60, 50), 3)] = 0
    return image


def framed():
    image = plain()
    image[20:70, 20:100] = (90, 60, 30)
    return image


def fading():
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    fade = np.exp(-((x - 64) ** 2 + (y - 48) ** 2) / (2 * 14**2))[..., None]
    return (plain() * (1 - fade)).astype(np.uint8)


def holey():
    image = plain()
    image[disk((60, 50), 30)] = (30, 60, 160)
    image[disk((60, 50), 22)] = (250, 250, 250)
    return image


@pytest.mark.parametrize("image", [holey(), plain(), gradient(), several(), tiny(), framed(), fading()])
def test_in_doubt_there_is_no_object(image):
    assert plain_background_object(image) is None
    assert object_cutout(image) is None


def test_an_object_cutout_is_cropped():
    image = plain()
    image[disk((60, 50), 20)] = (200, 40, 30)
    cutout = object_cutout(image)
    assert cutout.image.shape[:2] == cutout.alpha.shape
    assert max(cutout.alpha.shape) < 50
    assert cutout.alpha[0].sum() == 0


def test_cropping_keeps_to_the_image():
    alpha = np.zeros(SIZE, np.float32)
    alpha[:5, -7:] = 1
    cutout = cropped(plain(), alpha, margin=4)
    assert cutout.alpha.shape == (9, 11)
    assert cutout.alpha.sum() == 35


def test_edge_support_tells_edges_from_nothing():
    image, truth = plain((120, 120, 120)), disk((60, 50), 25)
    image[truth] = (200, 40, 30)
    assert edge_support(image, truth) > 0.95
    assert edge_support(image, disk((20, 20), 12)) < 0.05
    assert edge_support(image, np.zeros(SIZE, bool)) == 0


@pytest.fixture(scope="module")
def scene():
    """A clear disk on a textured ground, and its tree."""
    ground = np.random.default_rng(3).integers(60, 90, (12, 16, 3), np.uint8)
    image = cv2.resize(ground, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    truth = disk((64, 48), 22)
    image[truth] = (220, 180, 30)
    features = cv2.resize(image.astype(np.float32), (32, 24), interpolation=cv2.INTER_AREA)
    return image, build_tree(features, SIZE), truth


def test_a_region_that_looks_like_a_thing_is_cut_out(scene):
    image, tree, truth = scene
    found = 0
    for seed in range(10):
        cutout = region_cutout(image, tree, np.random.default_rng(seed), min_area=0.08, max_area=0.3)
        if cutout is not None:
            found += 1
            pixels = cutout.image[cutout.alpha > 0.5]
            assert (np.abs(pixels.astype(int) - (220, 180, 30)).max(1) < 40).mean() > 0.9
            assert 0.7 < cutout.alpha.sum() / truth.sum() < 1.1
    assert found >= 5


def test_no_region_where_nothing_stands_out(scene):
    _, tree, _ = scene
    assert region_cutout(plain(), tree, np.random.default_rng(0)) is None


def test_a_tree_without_inner_regions(make_random_tree):
    tree = make_random_tree(2, 2, seed=0, image_size=SIZE)
    assert region_cutout(plain(), tree, np.random.default_rng(0)) is None


def test_region_cutouts_are_seeded(scene):
    image, tree, _ = scene
    first, again = (region_cutout(image, tree, np.random.default_rng(4), min_area=0.01) for _ in range(2))
    np.testing.assert_array_equal(first.alpha, again.alpha)
