"""`learn --cutouts`: a folder of whole things becomes composites whose targets have a high level."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from clickgrain.clicks.config import ClickSimulation
from clickgrain.errors import ConfigError, DataError, TrainingError
from clickgrain.training import config as recipes
from clickgrain.training.config import LearnArgs, Recipe
from clickgrain.training.learn import learn
from clickgrain.training.samples import make_batch


@pytest.fixture
def cutouts(tmp_path):
    folder = tmp_path / "cutouts"
    folder.mkdir()
    for i in range(3):
        rgba = np.zeros((48, 48, 4), np.uint8)
        cv2.ellipse(rgba, (24, 24), (20, 8 + 5 * i), 30 * i, 0, 360, (30, 60 * i, 220, 255), -1)
        assert cv2.imwrite(str(folder / f"thing{i}.png"), rgba)
    return folder


@pytest.fixture
def args(photos, tmp_path, settings, tiny_config, monkeypatch, few_robot_clicks):
    train = settings({"composites": 1.0, "composites_per_photo": 2.0, "cutouts": 1.0}, steps=2)
    monkeypatch.setitem(recipes.RECIPES, "grain-small", lambda: Recipe(tiny_config, train))
    return lambda **changes: LearnArgs(photos, tmp_path / "model", device="cpu", from_scratch=True, **changes)


def test_a_folder_of_cutouts_is_learned_from_and_others_in_it_are_named(args, cutouts, drawn):
    assert cv2.imwrite(str(cutouts / "opaque.png"), drawn(0))
    result = learn(args(cutouts=cutouts))
    assert result.fit.steps == 2
    (reason,) = result.failed
    assert "opaque.png has no transparency" in reason


def test_no_such_folder_is_said_before_trees_are_made(args, tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        learn(args(cutouts=tmp_path / "nowhere"))
    assert not (tmp_path / "model").exists()


def test_a_folder_of_photos_only(args, photos):
    with pytest.raises(TrainingError, match=r"none of the 6 images in .*--cutouts a folder of RGBA images"):
        learn(args(cutouts=photos))


def test_a_recipe_without_composites(args, cutouts):
    with pytest.raises(ConfigError, match="--cutouts is of no use to --recipe paper"):
        learn(args(cutouts=cutouts, recipe="paper"))


def test_a_target_that_is_a_whole_thing_is_told_as_one(composed, cutouts, settings):
    full = composed(3, cutouts=sorted(cutouts.iterdir()), share=1)
    told = replace(ClickSimulation.grain(), share_level=1.0)
    data = settings({"composites": 1.0}).data
    for step in range(4):
        batch = make_batch(full, [4, 5, 6], data, told, seed=0, step=step, count=4)
        for crop, image in enumerate(batch.images):
            assert batch.prompts[batch.index.index(crop)].level == full.level(image)
