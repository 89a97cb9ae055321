"""The names and shapes that users rely on."""

import inspect
import subprocess
import sys

import pytest

import clickgrain as cg

SIGNATURES = {
    "read_image": ["path"],
    "load_extractor": ["name"],
    "build_tree": ["features", "image_size"],
    "sample_proposal": ["tree", "rng", "decay", "min_area"],
    "sample_proposals": ["tree", "rng", "n"],
    "evaluate": ["predictor", "benchmark"],
    "load_benchmark": ["name", "root"],
}


@pytest.mark.parametrize("name", sorted(cg.__all__))
def test_every_public_name_is_there(name):
    assert getattr(cg, name).__doc__
    assert name in dir(cg)


@pytest.mark.parametrize(("name", "leading"), SIGNATURES.items())
def test_leading_parameters(name, leading):
    parameters = list(inspect.signature(getattr(cg, name)).parameters)
    assert parameters[: len(leading)] == leading


def test_segmenter_answers_as_a_predictor():
    assert isinstance(cg.Segmenter.load("tree"), cg.Predictor)
    predict = list(inspect.signature(cg.Segmenter.predict).parameters)[1:]
    assert predict == ["points", "labels", "box", "scribbles", "level", "previous", "encoded", "view"]


def test_the_published_law_is_the_default():
    parameters = inspect.signature(cg.sample_proposal).parameters
    assert (parameters["decay"].default, parameters["min_area"].default) == (0.9, 0.05)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="No clickgrain attribute nothing"):
        cg.nothing  # noqa: B018


def test_importing_the_package_loads_nothing():
    code = "import sys, clickgrain; print([m for m in ('numpy', 'torch', 'cv2', 'numba') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_default_is_a_trained_model_and_what_its_trees_grow_on():
    assert cg.Segmenter.load("default").engine.network.config.kind == "grain"
    assert cg.load_extractor("default").name == cg.load_extractor("color-texture").name
