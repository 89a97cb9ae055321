"""Settings of `clickgrain study`, without torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from clickgrain.errors import ConfigError
from clickgrain.training.learn_args import RecipeName, check_numbers

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
SHARES = (0.01, 0.05, 0.1, 1.0)


@dataclass(frozen=True)
class StudyArgs:
    """Train one variant after the other with one thing changed, and count the clicks that each needs.

    Attributes:
        study: what is varied.
        photos: folder of unlabelled photos, walked recursively.
        data: a name and a folder to evaluate on, as in `clickgrain evaluate`.
        out: folder for tables, trees and runs; studies in one folder share the runs they have in common.
        recipe: what is trained, before anything is varied.
        extractor: whose features make the merge trees.
        device: auto, cpu, cuda or another torch device.
        photos_limit: only so many of the photos (a fixed choice).
        data_limit: only the first so many targets.
        steps: the recipe's when not given.
        batch: crops per step.
        crop: side of the crops in pixels.
        lr: peak learning rate.
        seeds: every variant is trained once per seed.
        variants: only these (a variant's number in the table, or its name).
        extractors: of the study `extractors`.
        shares: of the labels, in the study `labels`.
        labelled: labelled set to fine-tune on, in the study `labels`; half of the images of `data` when None.
    """

    study: StudyName
    photos: Path
    data: str
    out: Path
    recipe: RecipeName = "auto"
    extractor: str = "default"
    device: str = "auto"
    photos_limit: int | None = None
    data_limit: int | None = None
    steps: int | None = None
    batch: int | None = None
    crop: int | None = None
    lr: float | None = None
    seeds: tuple[int, ...] = (0,)
    variants: tuple[str, ...] = ()
    extractors: tuple[str, ...] = EXTRACTORS
    shares: tuple[float, ...] = SHARES
    labelled: str | None = None

    def __post_init__(self) -> None:
        check_numbers(self.steps, self.batch, self.crop, self.lr)
        for name in ("photos_limit", "data_limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"--{name.replace('_', '-')} {value} must be 1 or more")
        if not self.seeds or min(self.seeds) < 0 or len(set(self.seeds)) < len(self.seeds):
            raise ConfigError(f"--seeds {self.seeds} must be different numbers of 0 or more, e.g. --seeds 0 1 2")
        if not self.shares or not all(0 < share <= 1 for share in self.shares):
            raise ConfigError(f"--shares {self.shares} must lie above 0, up to 1, e.g. --shares 0.01 0.1 1")
