"""Settings of the demo; imports nothing heavy."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from clickgrain.errors import check_range

EXTRACTOR = "color-texture"  # the extractor whose features make the trees


@dataclass(frozen=True)
class DemoArgs:
    """See the whole story on photos that come with scikit-image, in a few minutes and without any network.

    Trees are built, a small model is trained on some photos, and a robot clicks things in the others with that
    model, tree mode and OpenCV's GrabCut. The report's path is printed last.
    """

    # folder for all output; a second run continues with what it finds.
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("demo")
    # of training. Everything else takes about one minute on two cores.
    minutes: Annotated[float, tyro.conf.arg(metavar="M")] = 2.0
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0  # of everything random.

    def __post_init__(self) -> None:
        check_range(self, "minutes", 0, above=True)
        check_range(self, "seed", 0)


@dataclass(frozen=True)
class DemoScale:
    """How large the demo is; smaller for tests."""

    learn: int = 99  # photos to learn from, at most
    held_out: int = 99  # photos that targets are made of, at most
    side: int = 256  # long side of photos and targets in pixels
    composites: int = 80  # made for training
    targets: int = 20  # to click
    crop: int = 96  # side of the crops that the network trains on, in pixels
    batch: int = 8  # crops per step
    widths: tuple[int, ...] = (8, 16, 24, 32, 48)  # channels of the image encoder at strides 2, 4, 8, 16, 32
    steps: int | None = None  # of training; None: as many as fill the minutes
