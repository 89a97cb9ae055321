"""Settings of `learn` and `train`, without torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from clickgrain.errors import ConfigError

RecipeName = Literal["auto", "grain", "grain-small", "paper"]
Precision = Literal["auto", "float32", "bf16"]


@dataclass(frozen=True)
class LearnArgs:
    """Make a click model of your own from a folder of unlabelled photos. Run again to go on after a stop.

    Attributes:
        photos: folder of photos, walked recursively.
        out: folder for the model and all that is needed to go on; give it to --model afterwards.
        recipe: settings of training, and the network of a model from scratch; auto is grain on a GPU, grain-small
            elsewhere.
        extractor: whose features make the merge trees: "default" (the model in the package), "color-texture", a
            Hugging Face id or a folder.
        device: auto, cpu, cuda or another torch device.
        precision: of the network; auto is bf16 where this device gains by it, else float32. A run keeps its own.
        minutes: train for so long by the clock, over all sittings; building trees comes before.
        steps: the recipe's steps if neither this nor minutes is given.
        batch: crops per step.
        crop: side of the crops in pixels.
        lr: peak learning rate; a quarter of the recipe's where training goes on from a trained model.
        any_orientation: the photos have no up (micrographs, aerial images): crops are also turned by quarters and
            flipped upside down.
        seed: of everything random.
        start: the trained model to go on from, a folder or a Hugging Face id; the one in the package when None and
            the recipe is auto.
        from_scratch: start from fresh weights instead.
        store: proposal store to use (and continue); DIR/proposals.db when not given.
        ignore: patterns of files and folders to leave out.
        cutouts: folder of RGBA images, each the exact cutout of one whole thing; a fifth of the composites show
            them.
    """

    photos: Path
    out: Path
    recipe: RecipeName = "auto"
    extractor: str = "default"
    device: str = "auto"
    precision: Precision = "auto"
    minutes: float | None = None
    steps: int | None = None
    batch: int | None = None
    crop: int | None = None
    lr: float | None = None
    any_orientation: bool = False
    seed: int = 0
    start: str | None = None
    from_scratch: bool = False
    store: Path | None = None
    ignore: tuple[str, ...] = ()
    cutouts: Path | None = None

    def __post_init__(self) -> None:
        if self.minutes is not None and self.steps is not None:
            raise ConfigError("--minutes and --steps both say how long to train; give one of them")
        if self.minutes is not None and not 0 < self.minutes < float("inf"):
            raise ConfigError(f"--minutes {self.minutes:g} must be a number above 0")
        if self.from_scratch and self.start is not None:
            raise ConfigError("--from and --from-scratch contradict each other; give one of them")
        if self.seed < 0:
            raise ConfigError(f"--seed {self.seed} must be 0 or more")
        check_numbers(self.steps, self.batch, self.crop, self.lr)


def check_numbers(steps: int | None, batch: int | None, crop: int | None, lr: float | None) -> None:
    """Refuse numbers that no training can have, before photos and models are looked at; None is the recipe's.

    Raises:
        ConfigError: naming the flag.
    """
    for name, count in (("steps", steps), ("batch", batch)):
        if count is not None and count < 1:
            raise ConfigError(f"--{name} {count} must be 1 or more")
    if crop is not None and (crop < 32 or crop % 32):
        raise ConfigError(f"--crop {crop} must be a multiple of 32, 32 or more")
    if lr is not None and not 0 < lr < float("inf"):
        raise ConfigError(f"--lr {lr:g} must be a number above 0")
