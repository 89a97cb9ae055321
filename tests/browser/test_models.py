"""Models: another one is chosen on the page, or one of the user's own is named on the command line."""

import math
import os

import pytest

from tests.sam_pair import write_pair


@pytest.fixture
def tiny(tmp_path):
    """A network of a few thousand parameters, untrained; its folder."""
    from clickgrain.features.config import EncoderConfig
    from clickgrain.models.config import GrainConfig
    from clickgrain.models.registry import build_model
    from clickgrain.weights import save_model

    sizes = EncoderConfig((4, 4, 6, 8, 8), (1, 1, 1, 1, 1))
    config = GrainConfig(sizes, (4, 4, 6, 8), long_side=64).to_json()
    save_model(tmp_path / "tiny", config=config, tensors=build_model(config).state_dict())
    return tmp_path / "tiny"


@pytest.fixture
def two_models(own_server, tiny):
    """A server in tree mode whose project has used a network before."""
    from clickgrain.annotate.project import Project

    server = own_server()
    server.kill()
    Project(server.folder, model=str(tiny)).close()
    server.start()
    return server


def test_another_model_answers_the_next_click(two_models, tab, expect):
    page = tab().open(two_models.address)
    page.take(44, 56)
    page.page.get_by_role("button", name="Learn from this folder").click()
    page.page.get_by_label("Model in use").select_option(label="tiny")
    page.until("clickgrain.store.state.model.kind === 'grain'")
    page.page.keyboard.press("Escape")
    expect(page.page.locator(".learn")).to_be_hidden()
    page.page.locator("#stage").focus()
    page.press("Enter", wait=False)
    assert len(page.click(110, 58)) == 2
    actions = page.page.evaluate("fetch('/api/images/1/log').then((answer) => answer.json())")["actions"]
    assert actions[1]["model"] == page.page.evaluate("clickgrain.store.state.model.hash")
    assert actions[0]["model"] != actions[1]["model"]


MODULE = """
import numpy as np

class Reds:
    '''All that is red.'''
    def set_image(self, image):
        self.red = image[..., 0].astype(int) - image[..., 1] > 60
    def predict(self, points, labels, previous=None):
        from clickgrain.types import Mask
        return Mask(self.red.astype(np.float32))
"""


def test_ones_own_python_model_answers_and_every_object_says_so(own_server, tab, expect, tmp_path):
    (tmp_path / "their_model.py").write_text(MODULE)
    server = own_server(
        environment={"PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}{os.pathsep}{tmp_path}"},
        model="python:their_model:Reds",
    )
    page = tab(auto=True).open(server.address, "photo00")
    expect(page.page.locator("#bar .model")).to_have_text("their_model:Reds")
    (made,) = page.click(44, 56)
    assert made["area"] == pytest.approx(math.pi * 26**2, rel=0.05)
    expect(page.page.locator(".answered")).to_have_text("Clicks answered by their_model:Reds")
    page.page.get_by_label("Auto").uncheck()  # regions to point at, history and copies are ours
    page.press("Enter", wait=False)
    page.take(114, 56, notches=0)
    expect(page.page.locator(".answered")).to_have_count(0)  # a region is no model's answer
    assert len(page.press("Control+z")) == 1
    page.page.get_by_role("row", name="Object 1").click()
    expect(page.page.locator(".answered")).to_have_text("Clicks answered by their_model:Reds")


def test_a_pair_of_onnx_files_answers_in_the_page(own_server, tab, expect, tmp_path):
    pytest.importorskip("onnxruntime")
    write_pair(tmp_path)
    model = f"onnx:{tmp_path / 'encoder.onnx'},{tmp_path / 'decoder.onnx'}"
    page = tab(auto=True).open(own_server(1, model=model).address)
    expect(page.page.locator("#bar .model")).to_have_text("decoder.onnx")
    (made,) = page.click(44, 56)
    assert made["area"] == pytest.approx(math.pi * 26**2, rel=0.15)
    expect(page.page.locator(".answered")).to_have_text("Clicks answered by decoder.onnx")
