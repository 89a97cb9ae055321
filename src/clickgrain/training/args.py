"""Settings of a training run, without torch, so that the command line can show them at once."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from clickgrain.clicks.args import ClickSimulation
from clickgrain.errors import ConfigError
from clickgrain.files import hash_bytes
from clickgrain.models.loss_weights import LossWeights
from clickgrain.proposals.laws import SamplingLaw
from clickgrain.training.learn_args import Precision

FORMER = {"float32": "32-true", "bf16": "bf16-mixed"}
"""Names of precisions in files that runs have left."""


@dataclass(frozen=True)
class DataArgs:
    """What a training sample is made of.

    Attributes:
        crop: side in pixels of the square crops that the network sees; a multiple of 32.
        photo_side: photos are kept decoded, shrunk to this long side.
        tiles: closer views of a photo that are pictures of their own, at most; photos under twice `photo_side` have
            none (`clickgrain.training.tiles`).
        window: smallest and largest part of a photo's long side that a crop shows, log-uniform.
        whole_looks: share of the close views (crops of less than 0.45 of the long side) that begin with what a look
            at the whole image would have answered (`clickgrain.training.whole_looks`), as close looks do in use.
        rotate: share of crops that are turned, by up to 15 degrees.
        any_orientation: crops may also be turned by quarters and flipped upside down, for images that have no up:
            micrographs, aerial images.
        composites: share of the samples made from composites, whose masks are exact.
        composites_per_photo: how many composites are made, per photo.
        cutouts: share of the composites that show a whole thing from the folder of `--cutouts`, where one is given.
        objects: share of the other samples made from photos with a salient object, whose mask is a target; 0
            looks for none.
        edges: share of the samples without an exact mask whose targets come from the photo's edge tree
            (`clickgrain.tree.edge_tree`) instead of the tree of its features.
        hidden: share of all samples whose proposals are regions that the click maps are not made of
            (`clickgrain.training.hidden`); nodes of the maps' own trees teach to trust the maps blindly.
        large: share of the samples whose proposals are drawn by the published law, which prefers large regions.
        masks_per_image: prompts per crop; the encoder runs once for all of them.
        law: how proposals are drawn.
        color: strength of brightness, contrast and saturation jitter; 0 for none.
        held_out: share of the photos kept for validation (at least 1, at most 64).
    """

    crop: int = 192
    photo_side: int = 256
    tiles: int = 0
    window: tuple[float, float] = (0.45, 1.05)
    whole_looks: float = 0.0
    rotate: float = 0.2
    any_orientation: bool = False
    composites: float = 0.5
    composites_per_photo: float = 1.0
    cutouts: float = 0.2
    objects: float = 0.0
    edges: float = 0.0
    hidden: float = 0.0
    large: float = 0.0
    masks_per_image: int = 2
    law: SamplingLaw = field(default_factory=lambda: SamplingLaw("area", min_area=0.002, max_area=0.8))
    color: float = 0.2
    held_out: float = 0.05

    def __post_init__(self) -> None:
        if self.crop < 32 or self.crop % 32:
            raise ConfigError(f"--data.crop {self.crop} must be a multiple of 32, 32 or more")
        if self.photo_side < 32:
            raise ConfigError(f"--data.photo-side {self.photo_side} is under 32 pixels")
        if not 0 < self.window[0] <= self.window[1] <= 4:
            raise ConfigError(f"--data.window {self.window} must be two parts of a photo's side, small one first")
        for name in (
            "whole_looks",
            "rotate",
            "composites",
            "cutouts",
            "objects",
            "edges",
            "hidden",
            "large",
            "held_out",
        ):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"--data.{name.replace('_', '-')} {getattr(self, name)} is outside 0..1")
        if self.masks_per_image < 1 or min(self.composites_per_photo, self.color, self.tiles) < 0:
            raise ConfigError(
                "--data.masks-per-image must be 1 or more; --data.composites-per-photo, --data.color and"
                " --data.tiles 0 or more"
            )


@dataclass(frozen=True)
class TrainArgs:
    """A training run. Order and augmentation are functions of `seed` and step alone.

    Attributes:
        steps: optimiser steps in all.
        batch: crops per step and process.
        lr: peak learning rate.
        warmup: steps of linear warm-up.
        schedule: "cosine" to zero, or "steps": x0.1 at 50/55 of the run (the paper's).
        weight_decay: of AdamW, on weights of two or more dimensions; "0" makes it Adam.
        clip: largest norm of the gradient.
        ema: decay of the weights' moving average, which is what is validated and saved.
        supervise: "two" random clicks of a sample, the same gradient in expectation as "all" at half the cost, or
            only the "last" (the paper's).
        rim: pixels of the crop on both sides of a proposal's outline that neither loss nor corrections look at; the
            masks of composites and objects are known exactly and have none.
        seed: of everything random.
        precision: of the forward passes; auto is bf16 where the device gains by it, float32 elsewhere.
        compile: run encoder and decoder through torch.compile.
        threads: workers that prepare batches; 0: all cores but one.
        validate_every: steps between validations; 0: only at the end.
        validation_targets: proposals, and as many composites, of held-out photos.
        checkpoint_every: seconds between checkpoints.
        data: see `DataArgs`.
        clicks: see `ClickSimulation`.
        losses: see `LossWeights`.
    """

    steps: int = 2000
    batch: int = 16
    lr: float = 1e-3
    warmup: int = 100
    schedule: Literal["cosine", "steps"] = "cosine"
    weight_decay: float = 0.02
    clip: float = 1.0
    ema: float = 0.998
    supervise: Literal["two", "all", "last"] = "two"
    rim: int = 0
    seed: int = 0
    precision: Precision = "auto"
    compile: bool = False
    threads: int = 0
    validate_every: int = 500
    validation_targets: int = 16
    checkpoint_every: float = 120.0
    data: DataArgs = field(default_factory=DataArgs)
    clicks: ClickSimulation = field(default_factory=ClickSimulation.grain)
    losses: LossWeights = field(default_factory=lambda: LossWeights(smoothness=0.0, dice=0.5, iou=0.2, kept=1.0))

    def __post_init__(self) -> None:
        for name, former in FORMER.items():
            if self.precision == former:
                object.__setattr__(self, "precision", name)
        for name in ("steps", "batch"):
            if getattr(self, name) < 1:
                raise ConfigError(f"--{name} {getattr(self, name)} must be 1 or more")
        for name in ("lr", "clip"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ConfigError(f"--{name} {getattr(self, name)} must be a number above 0")
        for name in ("warmup", "weight_decay", "rim", "threads", "validate_every", "checkpoint_every"):
            if getattr(self, name) < 0:
                raise ConfigError(f"--{name.replace('_', '-')} {getattr(self, name)} must be 0 or more")
        if self.seed < 0:
            raise ConfigError(f"--seed {self.seed} must be 0 or more")
        if not 0 <= self.ema < 1:
            raise ConfigError(f"--ema {self.ema} must lie in 0..1, below 1")
        if self.validation_targets < 1:
            raise ConfigError(f"--validation-targets {self.validation_targets} must be 1 or more")

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def fingerprint(self) -> str:
        """Hash of all that decides what the weights become; a checkpoint goes on only under the same one."""
        return hash_bytes(json.dumps(self.hashed(), sort_keys=True).encode())

    def hashed(self) -> dict[str, Any]:
        """What the fingerprint is made of."""
        values = self.to_json() | {"precision": FORMER.get(self.precision, self.precision)}
        for name in ("threads", "validate_every", "validation_targets", "checkpoint_every"):
            del values[name]
        return values
