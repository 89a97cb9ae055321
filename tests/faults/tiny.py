"""`grain-small` at a size that trains in two seconds; run as a script, this is *Learn*'s process with it."""

import sys
from dataclasses import replace

from clickgrain.clicks.config import ClickSimulation
from clickgrain.features.config import EncoderConfig
from clickgrain.models.config import GrainConfig
from clickgrain.training import config as recipes
from clickgrain.training.config import DataArgs, Recipe, TrainArgs


def tiny_recipe():
    """With a checkpoint after every step."""
    model = GrainConfig(EncoderConfig((4, 4, 6, 8, 8), (1, 1, 1, 1, 1)), (4, 4, 6, 8), long_side=64)
    data = DataArgs(crop=32, photo_side=64, objects=0.2, held_out=0.2)
    args = TrainArgs(
        steps=8, batch=1, threads=1, validate_every=3, validation_targets=1, checkpoint_every=0.0, data=data,
        clicks=replace(ClickSimulation.grain(), corrective=(0, 1), recursive=(1, 2)),
    )  # fmt: skip
    return Recipe(model, args)


def patient_recipe():
    """With no checkpoint but the one that is written when the run is stopped: a test sees whether that is."""
    recipe = tiny_recipe()
    return replace(recipe, args=replace(recipe.args, checkpoint_every=1000.0, validate_every=1000))


if __name__ == "__main__":
    from clickgrain.annotate.learn_child import main

    recipes.RECIPES["grain-small"] = patient_recipe
    sys.exit(main(*sys.argv[1:]))
