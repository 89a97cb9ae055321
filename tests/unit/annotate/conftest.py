"""A folder of small photos, a project on it in tree mode, and a client of its server."""

import cv2
import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient

from clickgrain.annotate import actions
from clickgrain.annotate.app import make_app
from clickgrain.annotate.cache import DiskCache
from clickgrain.annotate.labels import act_on_labels
from clickgrain.annotate.project import Project
from clickgrain.annotate.requests import IMAGE_REQUEST, PROJECT_REQUEST, Posted
from clickgrain.features.config import EncoderConfig
from clickgrain.models.config import GrainConfig
from clickgrain.models.registry import build_model
from clickgrain.scene import SceneMaker
from clickgrain.segmenter import Segmenter
from clickgrain.weights import save_model


def draw(number=0, size=(48, 64)):
    """A red disk and a green box on grey, slightly noisy; `number` moves the disk."""
    height, width = size
    y, x = np.mgrid[:height, :width]
    image = np.full((*size, 3), 128.0)
    image[np.hypot(x - 20 - 3 * number, y - 20) < 11] = (210, 40, 40)
    image[30:44, 40:58] = (40, 190, 60)
    image += np.random.default_rng(number).normal(0, 3, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def disk(number=0, size=(48, 64)):
    """H x W bool: where `draw` puts the red disk."""
    y, x = np.mgrid[: size[0], : size[1]]
    return np.hypot(x - 20 - 3 * number, y - 20) < 11


@pytest.fixture(scope="session")
def scene():
    """The first photo, encoded in tree mode."""
    return SceneMaker(Segmenter.load("tree"), "hash").make(draw())


@pytest.fixture(scope="session")
def red():
    """H x W bool: the red disk of the first photo."""
    return disk()


@pytest.fixture(scope="session")
def iou():
    return lambda a, b: (a & b).sum() / (a | b).sum()


@pytest.fixture(scope="session")
def take_photos():
    """Three photos in a folder below the one given."""

    def take(parent):
        folder = parent / "photos"
        (folder / "sub").mkdir(parents=True)
        for number, name in enumerate(("a1.png", "a2.png", "sub/a10.png")):
            assert cv2.imwrite(str(folder / name), draw(number)[..., ::-1])
        return folder

    return take


@pytest.fixture
def photos(tmp_path, take_photos):
    return take_photos(tmp_path)


@pytest.fixture
def project(photos):
    project = Project(photos, model="tree")
    yield project
    project.close()


@pytest.fixture
def act(project):
    """Carry out an action on an image (1 unless told) that has seen everything; the outcome."""

    def run(image=1, *, active=0.0, **action):
        post = Posted(seq=project.logs.history(image).seq, active=active)
        return actions.act(project, image, post, IMAGE_REQUEST.validate_python(action))

    return run


@pytest.fixture
def label(project):
    """Change labels; the labels afterwards."""

    def run(**action):
        post = Posted(seq=project.logs.labels().seq)
        act_on_labels(project.logs, post, PROJECT_REQUEST.validate_python(action))
        return project.logs.labels().document

    return run


@pytest.fixture
def click():
    """A step: a click at (x, y), positive unless told."""

    def make(x, y, label=1):
        return {"type": "click", "x": x, "y": y, "label": label}

    return make


@pytest.fixture
def tiny(tmp_path):
    """A grain model of a few thousand parameters, untrained; its folder."""
    sizes = EncoderConfig((4, 4, 6, 8, 8), (1, 1, 1, 1, 1))
    config = GrainConfig(sizes, (4, 4, 6, 8), long_side=64).to_json()
    folder = tmp_path / "tiny"
    torch.manual_seed(0)
    save_model(folder, config=config, tensors=build_model(config).state_dict())
    return folder


@pytest.fixture
def cache(tmp_path):
    return DiskCache(tmp_path / "cache")


@pytest.fixture
def client(project, cache):
    app = make_app(project, cache, hosts=("testserver",))
    with TestClient(app, headers={"X-Clickgrain": "1"}, raise_server_exceptions=False) as client:
        yield client
