"""Recipes: each builds, and its batches are what it says."""

import subprocess
import sys

import pytest
import torch

from clickgrain.clicks.config import ClickSimulation
from clickgrain.errors import ConfigError
from clickgrain.models.config import GrainConfig, PaperConfig
from clickgrain.models.registry import build_model
from clickgrain.training.config import RECIPES, load_recipe
from clickgrain.training.samples import make_batch
from clickgrain.training.step import ClickStep


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_builds_its_model(name):
    recipe = load_recipe(name, "cpu")
    with torch.device("meta"):
        model = build_model(recipe.model.to_json())
    assert model.config == recipe.model
    assert sum(p.numel() for p in model.parameters()) > 100_000


@pytest.mark.parametrize("name", RECIPES)
def test_a_batch_of_every_recipe(name, mixed):
    args = load_recipe(name, "cpu").with_settings(crop=64).args
    pictures = range(7 if args.data.composites else 4)
    batch = make_batch(mixed, pictures, args.data, args.clicks, seed=0, step=0, count=2)
    assert batch.masks.shape == (2 * args.data.masks_per_image, 1, 64, 64)
    assert len(batch.prompts) == len(batch.index) == 2 * args.data.masks_per_image


@pytest.mark.parametrize("name", RECIPES)
def test_a_step_of_every_recipe(name, mixed):
    recipe = load_recipe(name, "cpu").with_settings(crop=64)
    config = PaperConfig("ti", image_size=64, dim=24, depth=2, heads=2, head_channels=8)
    model = build_model((config if name == "paper" else GrainConfig.small(64)).to_json())
    batch = make_batch(mixed, range(4), recipe.args.data, recipe.args.clicks, seed=0, step=1, count=1)
    crops = mixed.crops(batch.images, batch.matrices, 64)
    loss, parts = ClickStep(model, recipe.args)(crops, batch)
    loss.backward()
    assert torch.isfinite(loss)
    assert set(parts) == {term for term, weight in recipe.args.losses.terms().items() if weight}


def test_the_published_recipe():
    recipe = load_recipe("paper", "cpu")
    args, data = recipe.args, recipe.args.data
    assert recipe.model == PaperConfig()
    assert (args.steps, args.batch, args.lr, args.schedule, args.weight_decay) == (14_600, 32, 5e-5, "steps", 0.0)
    assert (data.crop, data.composites, data.masks_per_image) == (448, 0.0, 1)
    assert (data.sampler.name, data.sampler.decay, data.sampler.min_area) == ("paper", 0.9, 0.05)
    assert args.clicks == ClickSimulation()
    assert (args.supervise, args.ema) == ("last", 0.0)
    assert args.losses.terms() == {
        "bce": 1.0,
        "dice": 0.0,
        "smoothness": 10.0,
        "iou": 0.0,
        "kept": 0.0,
    }


@pytest.mark.parametrize(("device", "name"), [("cpu", "grain-small"), ("cuda", "grain"), ("cuda:1", "grain")])
def test_auto_goes_by_the_device(device, name):
    assert load_recipe("auto", device) == RECIPES[name]()


def test_an_unknown_name_lists_the_others():
    with pytest.raises(
        ConfigError, match="'huge' is unknown; use auto, grain, grain-small, first-clicks, corrections, paper"
    ):
        load_recipe("huge", "cpu")


class TestSettings:
    def test_they_go_where_they_belong(self):
        recipe = load_recipe("grain-small", "cpu")
        changed = recipe.with_settings(steps=7, crop=96, tree="facebook/dino-vits8", lr=None)
        assert (changed.args.steps, changed.args.data.crop, changed.args.lr) == (7, 96, recipe.args.lr)
        assert changed.model.tree == "facebook/dino-vits8"
        assert changed.args.data.sampler == recipe.args.data.sampler

    def test_none_changes_nothing(self):
        recipe = load_recipe("paper", "cpu")
        assert recipe.with_settings(steps=None, crop=None, tree=None) == recipe

    def test_the_papers_model_has_no_tree(self):
        recipe = load_recipe("paper", "cpu")
        assert recipe.with_settings(tree="color-texture").model == recipe.model

    @pytest.mark.parametrize(("key", "value"), [("crop", 50), ("batch", 0), ("lr", 0.0)])
    def test_they_are_checked(self, key, value):
        with pytest.raises(ConfigError, match=key):
            load_recipe("grain", "cpu").with_settings(**{key: value})

    def test_unknown_ones_are_refused(self):
        with pytest.raises(TypeError, match="colour"):
            load_recipe("grain", "cpu").with_settings(colour=1)


def test_recipes_and_settings_load_nothing_heavy():
    code = "import sys, clickgrain.training.config; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"torch", "cv2", "numba", "transformers"} & set(done.stdout.split())
