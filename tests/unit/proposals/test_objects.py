"""Salient objects: two-coloured things on textured ground are found whole; where nothing is, nothing is found."""

import cv2
import numpy as np
import pytest

from clickgrain.features import load_extractor
from clickgrain.proposals.objects import saliency, salient_object
from clickgrain.tree import build_tree


def ground(seed, size=(144, 192)):
    """Greenish noise, blurred: textured, of one kind."""
    noise = np.random.default_rng(seed).normal(0, 40, (*size, 3))
    return np.clip(cv2.GaussianBlur(noise, (0, 0), 1.5) + np.array([90, 130, 80]), 0, 255)


def thing(seed=0, centre=(96, 72)):
    """A red bowl under a blue lid, and where it is."""
    image = ground(seed)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    inside = ((x - centre[0]) / 40) ** 2 + ((y - centre[1]) / 45) ** 2 < 1
    image[inside] = (200, 50, 40)
    image[inside & (y < centre[1])] = (40, 60, 190)
    image += np.random.default_rng(seed + 1).normal(0, 4, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), inside


def tree_of(image):
    return build_tree(load_extractor("color-texture")(image), image.shape[:2])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_thing_of_two_colours_is_found_whole(seed):
    image, inside = thing(seed)
    found = salient_object(image, tree_of(image))
    assert found is not None
    assert found.dtype == np.float32
    assert found.shape == inside.shape
    assert ((found > 0.5) & inside).sum() / ((found > 0.5) | inside).sum() > 0.9


def test_the_same_photo_gives_the_same_object_whatever_was_asked_before():
    image, _ = thing(3)
    tree = tree_of(image)
    first = salient_object(image, tree)
    cv2.setRNGSeed(99)
    salient_object(thing(4)[0], tree)
    assert np.array_equal(first, salient_object(image, tree))


def test_a_tree_of_another_size_will_do():
    image, inside = thing(0)
    wide = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    found = salient_object(image, tree_of(wide))
    assert found is not None
    assert (found[inside] > 0.5).mean() > 0.9


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((64, 96, 3), np.uint8),
        ground(7).astype(np.uint8),
        np.full((1, 1, 3), 99, np.uint8),
        np.repeat(np.repeat(np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8), 16, 0), 16, 1),
    ],
    ids=["black", "ground alone", "one pixel", "patchwork"],
)
def test_where_nothing_stands_out_nothing_is_found(image):
    assert salient_object(image, tree_of(image)) is None


def test_what_lies_at_the_border_is_background():
    image, _ = thing(0, centre=(96, 10))
    image[:45] = (200, 50, 40)
    assert salient_object(image, tree_of(image)) is None


def test_two_things_are_not_one_object():
    image, _ = thing(0, centre=(50, 72))
    other, there = thing(0, centre=(145, 72))
    image[there] = other[there]
    assert salient_object(image, tree_of(image)) is None


def test_saliency_is_high_inside_and_low_outside():
    image, inside = thing(0)
    salient = saliency(image, tree_of(image))
    assert salient.shape == inside.shape
    assert 0 <= salient.min() <= salient.max() <= 1
    assert salient[inside].mean() > 0.8
    assert salient[~inside].mean() < 0.1
