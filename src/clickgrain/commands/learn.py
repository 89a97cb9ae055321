"""`clickgrain learn` and `clickgrain train`: photos become a click model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from clickgrain.training.config import LearnArgs


@dataclass(frozen=True)
class LearnCommand(LearnArgs):
    """Make a click model of your own from a folder of unlabelled photos.

    Merge trees are built, then a model is trained on clicks simulated on their regions. Stop it at any time:
    the same command continues. Afterwards give DIR to --model.
    """

    photos: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PHOTOS")]
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    start: Annotated[
        str | None,
        tyro.conf.arg(name="from", metavar="MODEL", help_behavior_hint="(default: the model in the package)"),
    ] = None
    ignore: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="PATTERN")] = ()
    cutouts: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None


@dataclass(frozen=True)
class TrainCommand(LearnCommand):
    """Train a click model on photos whose merge trees `clickgrain propose` has put into a store.

    The second half of `clickgrain learn`; it needs --store.
    """


def learn(args: LearnCommand) -> None:
    """Run all stages; the model's folder on stdout, the rest on stderr."""
    from clickgrain.training.learn import learn as run

    _finish(run(args))


def train(args: TrainCommand) -> None:
    """Run the training stage."""
    from clickgrain.training.learn import train as run

    _finish(run(args))


def _finish(result: object) -> None:
    from clickgrain.commands.console import say, say_all
    from clickgrain.training.learn import LearnResult

    assert isinstance(result, LearnResult)
    say_all(result.failed, style="red")
    numbers = ", ".join(f"{name} {value:.2f}" for name, value in result.fit.metrics.items())
    say(f"{result.fit.steps} steps on {result.photos} photos and composites; {numbers or 'no validation'}")
    if result.fit.skipped:
        say(
            f"{result.fit.skipped} of the steps were skipped because loss or gradient were not finite",
            style="yellow",
        )
    print(result.folder)
