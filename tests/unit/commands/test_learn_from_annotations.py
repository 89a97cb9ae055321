"""`learn --annotations` and `finetune clickgrain.db`: a project's objects teach, a third of them measures."""

import json

import cv2
import numpy as np
import pytest
import torch

from clickgrain.annotate import actions
from clickgrain.annotate.project import Project
from clickgrain.annotate.requests import IMAGE_REQUEST, Posted
from clickgrain.cli import main
from clickgrain.clicks.config import ClickSimulation
from clickgrain.features.config import EncoderConfig
from clickgrain.models.config import GrainConfig
from clickgrain.models.registry import build_model
from clickgrain.training import config as recipes
from clickgrain.training.config import DataArgs, Recipe, TrainArgs
from clickgrain.weights import read_config, save_model

CONFIG = GrainConfig(EncoderConfig((4, 4, 6, 8, 8), (1, 1, 1, 1, 1)), (4, 4, 6, 8), long_side=64)


@pytest.fixture
def start(tmp_path, monkeypatch):
    """A tiny model's folder; the recipe is of its size."""
    torch.manual_seed(0)
    save_model(tmp_path / "tiny", config=CONFIG.to_json(), tensors=build_model(CONFIG.to_json()).state_dict())
    args = TrainArgs(
        steps=2, batch=2, warmup=0, ema=0.5, precision="float32", threads=1, validate_every=0, validation_targets=2,
        clicks=ClickSimulation(corrective=(0, 1)), data=DataArgs(crop=64, photo_side=64, composites_per_photo=0.5),
    )  # fmt: skip
    monkeypatch.setitem(recipes.RECIPES, "grain-small", lambda: Recipe(CONFIG, args))
    return tmp_path / "tiny"


@pytest.fixture
def photos(tmp_path):
    """A folder of four photos and a project with three objects in each."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(4):
        image = np.random.default_rng(number).integers(90, 110, (48, 64, 3)).astype(np.uint8)
        for x in (12, 32, 52):
            cv2.circle(image, (x, 24), 7, (40 * number, 200, 90), -1)
        assert cv2.imwrite(str(folder / f"p{number}.png"), image)
    project = Project(folder, model="tree")
    for number in range(1, 5):
        for x in (12, 32, 52):
            step = {"type": "brush", "points": [[x, 24]], "radius": 7}
            request = IMAGE_REQUEST.validate_python({"kind": "object.add_steps", "steps": [step]})
            actions.act(project, number, Posted(seq=0), request, blind=True)
    project.close()
    return folder


@pytest.mark.parametrize("command", ["learn", "finetune"])
def test_two_thirds_teach_and_the_rest_measures(command, photos, start, tmp_path, capsys):
    project, out = photos / "clickgrain.db", tmp_path / "model"
    what = [photos, "--annotations", project, "--recipe", "grain-small"] if command == "learn" else [project]
    words = [command, *what, "--out", out, "--from", start, "--device", "cpu"]
    if command == "finetune":
        words += ["--steps", "2", "--recipe", "grain-small"]
    assert main([str(word) for word in words]) == 0
    told = capsys.readouterr()
    assert told.out.strip() == str(out)
    assert "on 4 objects in 4 images that it was not trained on" in " ".join(told.err.split())
    assert "the new model" in told.err
    assert read_config(out)["labelled"] is True
    assert len(json.loads((out / "run.json").read_text())["objects"]) == 8
    assert "not label-free" in (out / "README.md").read_text()


def test_too_few_objects_are_told_before_anything_is_trained(photos, start, tmp_path, capsys):
    project = Project(photos, model="tree")
    for number in range(1, 4):
        actions.act(project, number, Posted(seq=0), IMAGE_REQUEST.validate_python({"kind": "clear"}), blind=True)
    project.close()
    out = tmp_path / "model"
    assert main(["learn", str(photos), "--annotations", str(photos), "--out", str(out), "--from", str(start)]) == 1
    assert "3 accepted objects are too few" in capsys.readouterr().err
    assert not out.exists()
