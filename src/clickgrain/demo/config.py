"""Settings of the demo; imports nothing heavy."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from clickgrain.errors import ConfigError

EXTRACTOR = "color-texture"  # the extractor whose features make the trees


@dataclass(frozen=True)
class DemoArgs:
    """See the whole story on photos that come with scikit-image, in a few minutes and without any network.

    Trees are built, a small model is trained on some photos, and a robot clicks things in the others with that
    model, tree mode and OpenCV's GrabCut. The report's path is printed last.

    Attributes:
        out: folder for all output; a second run continues with what it finds.
        minutes: of training. Everything else takes about one minute on two cores.
        seed: of everything random.
    """

    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("demo")
    minutes: Annotated[float, tyro.conf.arg(metavar="M")] = 2.0
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0

    def __post_init__(self) -> None:
        if not 0 < self.minutes < float("inf"):
            raise ConfigError(f"--minutes {self.minutes:g} must be a number above 0")
        if self.seed < 0:
            raise ConfigError(f"--seed {self.seed} must be 0 or more")


@dataclass(frozen=True)
class DemoScale:
    """How large the demo is; smaller for tests.

    Attributes:
        learn: photos to learn from, at most.
        held_out: photos that targets are made of, at most.
        side: long side of photos and targets in pixels.
        composites: made for training.
        targets: to click.
        crop: side of the crops that the network trains on, in pixels.
        batch: crops per step.
        widths: channels of the image encoder at strides 2, 4, 8, 16, 32.
        steps: of training; None: as many as fill the minutes.
    """

    learn: int = 99
    held_out: int = 99
    side: int = 256
    composites: int = 80
    targets: int = 20
    crop: int = 96
    batch: int = 8
    widths: tuple[int, ...] = (8, 16, 24, 32, 48)
    steps: int | None = None
