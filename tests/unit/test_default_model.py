"""The model in the package answers clicks on images that it has never seen."""

from pathlib import Path

import numpy as np
import pytest
from skimage import data

import clickgrain
from clickgrain.segmenter import Segmenter
from clickgrain.weights import find_model, load_model

WEIGHTS = Path(clickgrain.__file__).parent / "data" / "default" / "model.safetensors"


@pytest.fixture(scope="module")
def seg():
    return Segmenter.load()


@pytest.fixture(scope="module")
def coffee(seg):
    return seg.encode(data.coffee())


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def drawn(seed):
    """A textured ellipse on other texture, and its mask."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:240, :320]
    mask = ((x - rng.integers(110, 210)) / rng.integers(40, 80)) ** 2 + (
        (y - rng.integers(90, 150)) / rng.integers(40, 70)
    ) ** 2 < 1
    colours = rng.integers(30, 220, (2, 3))
    colours[1] = (colours[0] + 110) % 256
    noise = rng.normal(0, 14, (240, 320, 1))
    return np.clip(colours[mask.astype(int)] + noise, 0, 255).astype(np.uint8), mask


def test_it_is_small_and_complete():
    config, tensors = load_model("default")
    assert find_model("default") == WEIGHTS.parent
    assert WEIGHTS.stat().st_size <= 20 * 2**20
    assert (config["kind"], config["tree"]) == ("grain", "color-texture")
    assert all(np.isfinite(tensor.numpy()).all() for tensor in tensors.values())


@pytest.mark.parametrize("seed", range(4))
def test_one_click_cuts_out_what_stands_out(seg, seed):
    image, mask = drawn(seed)
    y, x = np.argwhere(mask).mean(0)
    assert iou(seg.predict([[x, y]], [1], encoded=seg.encode(image)).binary, mask) > 0.9


def test_clicks_are_obeyed(seg, coffee):
    rng, mask = np.random.default_rng(0), None
    points = rng.uniform((5, 5), (595, 395), (8, 2)).round()
    labels = [1, 0, 1, 1, 0, 0, 1, 0]
    for k in range(1, 9):
        mask = seg.predict(points[:k], labels[:k], previous=mask, encoded=coffee)
        for (x, y), label in zip(points[:k].astype(int), labels):
            assert mask.binary[y, x] == bool(label)


def test_a_level_walks_from_part_to_scene(seg, coffee):
    areas = [
        seg.predict([[330, 200]], [1], level=level, encoded=coffee).binary.mean() for level in (0.3, 0.6, 0.95)
    ]
    assert areas[0] < areas[1] < areas[2]


def test_corrections_help(seg):
    image, mask = drawn(9)
    image[mask & (np.arange(320) > 160)] = 255 - image[mask & (np.arange(320) > 160)]  # two halves, two colours
    encoded = seg.encode(image)
    y, x = np.argwhere(mask & (np.arange(320) <= 160)).mean(0)
    first = seg.predict([[x, y]], [1], encoded=encoded)
    y2, x2 = np.argwhere(mask & (np.arange(320) > 160)).mean(0)
    second = seg.predict([[x, y], [x2, y2]], [1, 1], previous=first, encoded=encoded)
    assert iou(second.binary, mask) > max(iou(first.binary, mask), 0.85)
