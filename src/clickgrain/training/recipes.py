"""Recipes: a model config and its training settings, as functions headed by what they cost and reach."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from clickgrain.clicks.args import ClickSimulation
from clickgrain.errors import ConfigError
from clickgrain.models.grain_config import GrainConfig
from clickgrain.models.loss_weights import LossWeights
from clickgrain.models.paper_config import PaperConfig
from clickgrain.proposals.laws import SamplingLaw
from clickgrain.training.args import DataArgs, TrainArgs


@dataclass(frozen=True)
class Recipe:
    """What is trained, and how.

    Attributes:
        model: config of the network.
        args: of the run.
        backbone: Hugging Face id or folder whose weights start the network, or None.
    """

    model: GrainConfig | PaperConfig
    args: TrainArgs
    backbone: str | None = None

    def with_settings(self, **changes: Any) -> "Recipe":
        """The recipe with other values; None leaves a value as it is.

        Keys are fields of `TrainArgs`, or of `DataArgs`, or "tree" (the extractor behind a grain model's maps).
        """
        given = {key: value for key, value in changes.items() if value is not None}
        tree = given.pop("tree", None)
        model = replace(self.model, tree=tree) if tree and isinstance(self.model, GrainConfig) else self.model
        own = {key: given.pop(key) for key in list(given) if key in DataArgs.__dataclass_fields__}
        args = replace(self.args, **given, data=replace(self.args.data, **own))
        return replace(self, model=model, args=args)


def grain_small() -> Recipe:
    """The click model for two cores.

    command:  clickgrain learn PHOTOS --out DIR --recipe grain-small
    hardware: 2 CPU cores, 3 GiB of memory for some hundred photos
    time:     the table in docs/experiments.md has the measured time and score of 500 photos
    """
    args = TrainArgs(
        steps=3000, batch=24, lr=2e-3, validate_every=500,
        data=DataArgs(
            crop=160, tiles=4, window=(0.2, 1.05), whole_looks=0.5, masks_per_image=1,
            objects=0.4, hidden=0.7, edges=0.3, large=0.4,
        ),
    )  # fmt: skip
    return Recipe(GrainConfig.small(), args)


def grain() -> Recipe:
    """The click model for a GPU and thousands of photos.

    command:  clickgrain learn PHOTOS --out DIR --recipe grain --device cuda
    hardware: one GPU with 16 GiB or more; photos are kept decoded in memory (200 KB each)
    time:     not measured yet; see docs/experiments.md
    """
    data = DataArgs(
        crop=224, tiles=4, window=(0.2, 1.05), whole_looks=0.5, masks_per_image=4,
        objects=0.4, hidden=0.7, edges=0.3, large=0.4,
    )  # fmt: skip
    args = TrainArgs(
        steps=40_000, batch=64, lr=1.5e-3, warmup=500, ema=0.9995, compile=True, validate_every=4000,
        validation_targets=64, data=data,
    )  # fmt: skip
    return Recipe(GrainConfig(), args)


def paper() -> Recipe:
    """The published recipe (MIS, ICCV 2023): SimpleClick ViT-B/16 at 448, from MAE weights, on DINO ViT-S/8 trees.

    command:  clickgrain propose PHOTOS --extractor facebook/dino-vits8 --out trees.db
              clickgrain train PHOTOS --store trees.db --recipe paper --device cuda --out DIR
    hardware: one GPU with 40 GiB or more
    time:     14,600 steps of 32 crops, as published; not run by us
    """
    data = DataArgs(
        crop=448, photo_side=512, window=(0.66, 1.12), rotate=1.0, composites=0.0, composites_per_photo=0.0,
        masks_per_image=1, law=SamplingLaw("paper", decay=0.9, min_area=0.05), color=0.3,
    )  # fmt: skip
    args = TrainArgs(
        steps=14_600, batch=32, lr=5e-5, warmup=0, schedule="steps", weight_decay=0.0, clip=1e9, ema=0.0,
        supervise="last", validate_every=2000, data=data, clicks=ClickSimulation.paper(), losses=LossWeights(),
    )  # fmt: skip
    return Recipe(PaperConfig(), args, backbone="facebook/vit-mae-base")


RECIPES: dict[str, Callable[[], Recipe]] = {"grain": grain, "grain-small": grain_small, "paper": paper}


def load_recipe(name: str, device: str) -> Recipe:
    """A recipe by name; "auto" is grain on a GPU and grain-small elsewhere.

    Raises:
        ConfigError: for an unknown name.
    """
    if name == "auto":
        name = "grain-small" if device == "cpu" else "grain"
    if name not in RECIPES:
        raise ConfigError(f"--recipe {name!r} is unknown; use auto, {', '.join(RECIPES)}")
    return RECIPES[name]()
