"""Models of others answer in the page; code runs only when the user names it, never because a project file does."""

import sys

import numpy as np
import pytest

from clickgrain.annotate import models
from clickgrain.annotate.documents import BoxStep, Click, LevelStep
from clickgrain.annotate.models import choose_model, describe_model, load_segmenter
from clickgrain.annotate.project import Project
from clickgrain.errors import PromptError, WeightsError
from tests.sam_pair import write_pair

MODULE = """
import numpy as np
from pathlib import Path

class Reds:
    '''All that is red, where that is what the image has; only the last image that was set.'''
    def set_image(self, image):
        self.red = image[..., 0].astype(int) - image[..., 1] > 60
    def predict(self, points, labels, previous=None):
        from clickgrain.types import Mask
        if len(points) > 2:
            raise RuntimeError("two clicks are enough")
        return Mask(self.red.astype(np.float32))

def make():
    with Path(__file__).with_suffix(".ran").open("a") as file:
        file.write("x")
    return Reds()
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A factory by import path; the file that shows whether it ran."""
    (tmp_path / "their_model.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(models, "_TOLD", set())
    yield "python:their_model:make", tmp_path / "their_model.ran"
    sys.modules.pop("their_model", None)


def test_an_import_path_answers_clicks_on_each_image(module, photos, iou, red):
    source, _ = module
    project = Project(photos, model=source)
    try:
        first = project.replayer.fold(project.scene(1), (Click(x=20, y=20),)).binary
        second = project.replayer.fold(project.scene(2), (Click(x=20, y=20),)).binary  # another image in between
        again = project.replayer.fold(project.scene(1), (Click(x=21, y=20),)).binary
        assert iou(first, red) > 0.9
        assert np.array_equal(first, again)
        assert not np.array_equal(first, second)
        assert project.model.kind == "python"
        level = LevelStep(level=0.7)  # a wish that it does not know
        assert np.array_equal(project.replayer.fold(project.scene(1), (level, Click(x=20, y=20))).binary, first)
        with pytest.raises(PromptError, match="box"):
            project.replayer.fold(project.scene(1), (BoxStep(box=(5, 5, 30, 30)),))
        assert project.scene(1).tree.n_leaves > 1  # regions to point at, all the same
        with pytest.raises(PromptError, match="two clicks are enough"):
            project.replayer.fold(project.scene(1), tuple(Click(x=20, y=y) for y in (18, 20, 22)))
    finally:
        project.close()


def test_a_project_file_makes_no_code_run(module, photos):
    source, ran = module
    Project(photos, model=source).close()
    models._TOLD.clear()  # another process
    ran.unlink(missing_ok=True)
    project = Project(photos)
    try:
        assert project.model.source != source
        assert f"give --model {source}" in project.notice
        with pytest.raises(WeightsError, match="only if you name it yourself"):
            describe_model(source)
        with pytest.raises(WeightsError, match="only if you name it yourself"):
            load_segmenter(source, "cpu")
    finally:
        project.close()
    assert not ran.exists()
    choose_model(source)
    load_segmenter(source, "cpu")
    assert ran.exists()


def test_a_pair_of_onnx_files_answers_and_the_object_says_which_model(tmp_path, photos, iou, red):
    pytest.importorskip("onnxruntime")
    write_pair(tmp_path)
    project = Project(photos, model=f"onnx:{tmp_path}")
    try:
        scene = project.scene(1)
        fold = project.replayer.fold(scene, (Click(x=20, y=20),))
        assert iou(fold.binary, red) > 0.85
        assert scene.model == project.model.hash
        first = project.scene(1).encoded.state.predictor
        assert first is not project.scene(2).encoded.state.predictor  # each image keeps what was computed of it
        assert 0 < project.scene(1).encoded.state.own_bytes < 10_000_000
        assert first._encoder is project.scene(2).encoded.state.predictor._encoder
    finally:
        project.close()
    project = Project(photos)  # remembered: a network is no code
    try:
        assert project.model.source == f"onnx:{tmp_path}"
    finally:
        project.close()
