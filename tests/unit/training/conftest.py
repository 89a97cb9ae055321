"""Photos, image sets and settings small enough to train on while a test waits."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from clickgrain.clicks.config import ClickSimulation
from clickgrain.features import load_extractor
from clickgrain.features.config import EncoderConfig
from clickgrain.models.config import GrainConfig
from clickgrain.models.grain import GrainModel
from clickgrain.proposals.config import Sampler
from clickgrain.training import validation
from clickgrain.training.composites import add_composites
from clickgrain.training.config import DataArgs, TrainArgs
from clickgrain.training.image_set import Entry, ImageSet
from clickgrain.tree import build_tree

SIDE = 96
DATA = {
    "crop": 64,
    "photo_side": SIDE,
    "held_out": 0.25,
    "sampler": Sampler("area", min_area=0.02, max_area=0.6),
}
CLICKS = replace(ClickSimulation.grain(), corrective=(0, 1), recursive=(1, 2))
"""Few rounds: every click of a sample costs as much as the first."""


def draw(seed: int, height: int = 72, width: int = 96) -> np.ndarray:
    """A few coloured ellipses on a textured ground, H x W x 3 uint8."""
    rng = np.random.default_rng(seed)
    ground = rng.uniform(40, 200, 3) + rng.normal(0, 8, (height, width, 1))
    image = np.ascontiguousarray(np.clip(ground, 0, 255).astype(np.uint8))
    for _ in range(3):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (int(rng.integers(9, max(width // 4, 12))), int(rng.integers(9, max(height // 4, 12))))
        cv2.ellipse(image, centre, axes, float(rng.uniform(0, 180)), 0, 360, rng.uniform(0, 255, 3).tolist(), -1)
    return image


def image_set_of(images, side: int = SIDE, names=None) -> ImageSet:
    """An image set of arrays, with their trees."""
    extractor = load_extractor("color-texture")
    image_set = ImageSet(side)
    for i, image in enumerate(images):
        tree = build_tree(extractor(image), image.shape[:2])
        image_set.add(Entry(image, tree), names[i] if names else f"photo{i}.png")
    return image_set


@pytest.fixture(scope="session")
def drawn():
    return draw


@pytest.fixture(scope="session")
def make_image_set():
    return image_set_of


@pytest.fixture(scope="session")
def extractor():
    return load_extractor("color-texture")


def four() -> ImageSet:
    return image_set_of([draw(seed) for seed in range(4)])


@pytest.fixture(scope="session")
def image_set():
    """Four photos; nothing may be added."""
    return four()


@pytest.fixture
def fresh():
    """The same to add to."""
    return four()


@pytest.fixture(scope="session")
def composed(extractor):
    """An image set of the same four photos, or of those given, and so many composites."""

    def make(count, image_set=None, **settings):
        image_set = image_set or four()
        add_composites(image_set, count, extractor, **({"seed": 0} | settings))
        return image_set

    return make


@pytest.fixture(scope="session")
def mixed(composed):
    """Four photos and three composites of them."""
    return composed(3)


@pytest.fixture(scope="session")
def settings():
    """`TrainArgs` for a few tiny steps; `data` takes changes of `DataArgs`."""

    def make(data=None, **changes):
        own = {
            "steps": 4, "batch": 2, "lr": 5e-3, "warmup": 2, "ema": 0.9, "precision": "float32", "threads": 1,
            "validate_every": 0, "validation_targets": 2, "clicks": CLICKS,
            "data": DataArgs(**(DATA | (data or {}))),
        }  # fmt: skip
        return TrainArgs(**(own | changes))

    return make


@pytest.fixture(scope="module")
def one_thread():
    """Sums in one order: results repeat to the last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_config():
    return GrainConfig(EncoderConfig((4, 4, 6, 8, 8), (1, 1, 1, 1, 1)), (4, 4, 6, 8), long_side=64)


@pytest.fixture(scope="session")
def make_model(tiny_config):
    """A fresh tiny `grain` model, by seed."""

    def make(seed=0):
        torch.manual_seed(seed)
        return GrainModel(tiny_config)

    return make


@pytest.fixture(scope="module")
def few_robot_clicks():
    """Validation of two clicks: with ten it takes two thirds of the time of a run of three steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validation, "MOST_CLICKS", 2)
        patch.setattr(validation, "CLICKS", (1,))
        yield


@pytest.fixture
def photos(tmp_path) -> Path:
    """A folder of six drawn photos, one of them in a sub-folder."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for seed in range(6):
        path = folder / ("more" if seed == 5 else "") / f"p{seed}.png"
        assert cv2.imwrite(str(path), draw(seed)[..., ::-1])
    return folder
