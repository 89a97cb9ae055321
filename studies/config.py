"""Settings of `python -m studies`, without torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from clickgrain.commands.parsing import parse_data
from clickgrain.errors import ConfigError
from clickgrain.training.config import RecipeName

StudyName = Literal[
    "maps", "proposals", "connectivity", "smoothness", "first-click", "decay", "extractors", "labels"
]
EXTRACTORS = (
    "color-texture",
    "default",
    "facebook/dino-vits8",
    "facebook/dino-vits16",
    "facebook/dino-vitb8",
    "facebook/dino-vitb16",
    "facebook/dinov2-small",
    "facebook/vit-mae-base",
)

Count = Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: all)")]
Setting = Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: the recipe's)")]


@dataclass(frozen=True)
class StudyArgs:
    """Train one variant after the other with one thing changed, and count the clicks that each needs.

    The table grows with every variant that is done, in DIR/NAME.md, .json and .html. Stop it whenever you like: the
    same command continues. Studies with the same DIR share the runs they have in common.

    Attributes:
        study: what is varied; see --list.
        photos: folder of unlabelled photos, walked recursively.
        data: a name and a folder to evaluate on, as in `clickgrain evaluate`.
        out: folder for tables, trees and runs.
        list: show the studies and leave; with NAME its variants.
        recipe: what is trained, before anything is varied.
        extractor: whose features make the merge trees.
        device: auto, cpu, cuda or another torch device.
        photos_limit: only so many of the photos (a fixed choice).
        data_limit: only the first so many targets.
        steps: optimiser steps.
        batch: crops per step.
        crop: side of the crops in pixels.
        lr: peak learning rate.
        seeds: every variant is trained once per seed.
        variants: only these: numbers in the list of variants, or names. The first is always run.
        extractors: of the study extractors.
        shares: of the labels, in the study labels.
        labelled: labelled set to fine-tune on, in the study labels.
    """

    study: Annotated[StudyName | None, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")] = None
    photos: Annotated[Path | None, tyro.conf.arg(metavar="PHOTOS")] = None
    data: Annotated[str | None, tyro.conf.arg(metavar="NAME=DIR")] = None
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    list: bool = False
    recipe: RecipeName = "auto"
    extractor: str = "default"
    device: str = "auto"
    photos_limit: Count = None
    data_limit: Count = None
    steps: Setting = None
    batch: Setting = None
    crop: Setting = None
    lr: Annotated[float | None, tyro.conf.arg(metavar="LR", help_behavior_hint="(default: the recipe's)")] = None
    seeds: Annotated[tuple[int, ...], tyro.conf.arg(metavar="N [N ...]")] = (0,)
    variants: Annotated[
        tuple[str, ...], tyro.conf.arg(metavar="V [V ...]", help_behavior_hint="(default: all)")
    ] = ()
    extractors: Annotated[tuple[str, ...], tyro.conf.arg(metavar="E [E ...]")] = EXTRACTORS
    shares: Annotated[tuple[float, ...], tyro.conf.arg(metavar="S [S ...]")] = (0.01, 0.05, 0.1, 1.0)
    labelled: Annotated[
        str | None, tyro.conf.arg(metavar="NAME=DIR", help_behavior_hint="(default: half the images of --data)")
    ] = None

    def __post_init__(self) -> None:
        for flag in () if self.list else ("study", "photos", "data", "out"):
            if getattr(self, flag) is None:
                raise ConfigError(
                    f"{'NAME' if flag == 'study' else f'--{flag}'} is missing; write python -m studies NAME"
                    " --photos PHOTOS --data NAME=DIR --out DIR, or python -m studies --list"
                )
        for data in filter(None, (self.data, self.labelled)):
            parse_data(data)
        for name in ("photos_limit", "data_limit", "steps", "batch"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"--{name.replace('_', '-')} {value} must be 1 or more")
        if not self.seeds or min(self.seeds) < 0 or len(set(self.seeds)) < len(self.seeds):
            raise ConfigError(f"--seeds {self.seeds} must be different numbers of 0 or more, e.g. --seeds 0 1 2")
        if not self.shares or not all(0 < share <= 1 for share in self.shares):
            raise ConfigError(f"--shares {self.shares} must lie above 0, up to 1, e.g. --shares 0.01 0.1 1")
