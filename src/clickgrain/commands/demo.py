"""`clickgrain demo`: the whole story on bundled photos."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from clickgrain.demo.args import DemoArgs


@dataclass(frozen=True)
class DemoCommand(DemoArgs):
    """See the whole story on photos that come with scikit-image, in a few minutes and without any network.

    Trees are built, a small model is trained on some photos, and a robot clicks things in the others with that
    model, tree mode and OpenCV's GrabCut. The report's path is printed last.
    """

    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = Path("demo")
    minutes: Annotated[float, tyro.conf.arg(metavar="M")] = 2.0
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0


def demo(args: DemoCommand) -> None:
    """Run all stages; the report's path on stdout, progress on stderr."""
    from clickgrain.demo.story import run_demo

    print(run_demo(args))
