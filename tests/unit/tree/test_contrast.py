"""Whether large regions stand out."""

import cv2
import numpy as np
import pytest

from clickgrain.features import ColorTexture
from clickgrain.tree import MergeTree, build_tree, edge_strength, region_contrast
from clickgrain.tree.contrast import AREA_RANGE


def on(image):
    tree = build_tree(ColorTexture()(image), image.shape[:2])
    return region_contrast(tree, edge_strength(image, tree.grid))


def texture(seed, size=(192, 192)):
    rng = np.random.default_rng(seed)
    return 120 + cv2.GaussianBlur(rng.normal(0, 60, (*size, 3)).astype(np.float32), (0, 0), 1.5)


def as_image(values):
    return np.clip(values, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("seed", range(5))
def test_by_masks_of_all_nodes(random_children, seed):
    """The same from the mask of every node, pair by pair."""
    h, w = 7, 9
    tree = MergeTree(random_children(h * w, seed), np.arange(h * w - 1), (h, w))
    strength = np.random.default_rng(seed).random((h, w)).astype(np.float32)
    outlined = []
    for node in range(tree.n_nodes):
        mask = tree.mask(node)
        if AREA_RANGE[0] <= mask.mean() <= AREA_RANGE[1]:
            parted = [
                (strength[y, x] + strength[v, u]) / 2
                for y in range(h)
                for x in range(w)
                for v, u in ((y, x + 1), (y + 1, x))
                if v < h and u < w and mask[y, x] != mask[v, u]
            ]
            outlined.append(np.mean(parted))
    assert region_contrast(tree, strength) == pytest.approx(max(outlined) / strength.mean(), rel=1e-5)


def test_a_thing_on_even_ground_stands_out_and_ever_less_among_texture():
    thing = np.zeros((192, 192, 1), np.float32)
    cv2.circle(thing, (100, 90), 50, 1, -1)
    found = [on(as_image(strength * (texture(0) - 120) + 90 + 70 * thing)) for strength in (0.05, 0.5, 1.0)]
    assert found[0] > 3
    assert found[0] > found[1] > found[2]


def test_many_small_things_on_textured_ground_do_not():
    image = texture(1)
    for y in range(16, 192, 24):
        for x in range(16, 192, 24):
            cv2.circle(image, (x, y), 6, (180, 180, 180), -1)
    assert on(as_image(image)) < 1.7


def test_it_depends_neither_on_brightness_nor_on_size():
    image = texture(2)
    image[40:150, 60:170] += 60
    one = on(as_image(image))
    assert on(as_image(0.5 * image)) == pytest.approx(one, rel=0.1)
    assert on(as_image(cv2.resize(image, (576, 576), interpolation=cv2.INTER_CUBIC))) == pytest.approx(one, rel=0.1)


@pytest.mark.parametrize("size", [(64, 64), (1, 1), (1, 40)])
def test_nothing_stands_out_of_an_even_image(size):
    assert on(np.full((*size, 3), 77, np.uint8)) == 0


def test_of_an_image_of_one_leaf():
    assert region_contrast(MergeTree(np.zeros((0, 2)), [], (1, 1)), np.ones((1, 1), np.float32)) == 0
