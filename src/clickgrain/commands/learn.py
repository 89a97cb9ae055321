"""`clickgrain propose`, `learn`, `train` and `finetune`: photos become merge trees, and a click model."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from clickgrain.proposals.config import ProposeArgs
from clickgrain.training.config import FinetuneArgs, LearnArgs

if TYPE_CHECKING:
    from clickgrain.training.learn import LearnResult

_RECIPES = "(default: the recipe's)"
_Patterns = Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="PATTERN")]


@dataclass(frozen=True)
class ProposeCommand(ProposeArgs):
    """Build the merge tree of every photo in a folder and keep the trees in a store.

    Run it again to continue where it stopped: photos that have their tree are skipped, new and changed ones are
    done.
    """

    photos: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PHOTOS")]
    store: Annotated[Path, tyro.conf.arg(name="out", metavar="STORE")]
    ignore: _Patterns = ()


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
    ignore: _Patterns = ()
    cutouts: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None


@dataclass(frozen=True)
class TrainCommand(LearnCommand):
    """Train a click model on photos whose merge trees `clickgrain propose` has put into a store.

    The second half of `clickgrain learn`; it needs --store.
    """


@dataclass(frozen=True)
class FinetuneCommand(FinetuneArgs):
    """Fine-tune a click model on a folder with images/<id>.* and masks/<id>#<k>.png, or NAME=DIR for a known set.

    Stop it whenever you like: the same command continues where it was. Afterwards give DIR to --model.
    """

    photos: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PHOTOS_WITH_MASKS")]
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    start: Annotated[
        str | None, tyro.conf.arg(name="from", metavar="MODEL", help_behavior_hint='(default: "default")')
    ] = None
    steps: Annotated[int | None, tyro.conf.arg(help_behavior_hint="(default: a quarter of the recipe's)")] = None
    batch: Annotated[int | None, tyro.conf.arg(help_behavior_hint=_RECIPES)] = None
    crop: Annotated[int | None, tyro.conf.arg(help_behavior_hint=_RECIPES)] = None
    lr: Annotated[
        float | None, tyro.conf.arg(help_behavior_hint="(default: the recipe's, or a quarter of it with --from)")
    ] = None


def propose(args: ProposeCommand) -> None:
    """Run the pipeline; what was made on stdout, what failed on stderr."""
    from clickgrain.commands.console import say_all, stderr
    from clickgrain.devices import choose_device
    from clickgrain.features import load_extractor
    from clickgrain.proposals.pipeline import propose as build_trees

    settings = asdict(args)
    photos, store, name = (settings.pop(key) for key in ("photos", "store", "extractor"))
    extractor = load_extractor(name, device=choose_device(settings.pop("device")))
    report = build_trees(photos, store, extractor=extractor, progress=stderr().is_terminal, **settings)
    say_all(report.left_out)
    say_all(report.notes)
    say_all([failure.reason for failure in report.failed], style="red")
    print(report.summary().splitlines()[0])


def learn(args: LearnCommand) -> None:
    """Run all stages; the model's folder on stdout, the rest on stderr."""
    from clickgrain.training.learn import learn as learn_model

    _finish(learn_model(args), "photos and composites")


def train(args: TrainCommand) -> None:
    """Run the training stage."""
    from clickgrain.training.learn import train as train_model

    _finish(train_model(args), "photos and composites")


def finetune(args: FinetuneCommand) -> None:
    """Fine-tune; the model's folder on stdout, the rest on stderr."""
    from clickgrain.training.finetune import finetune as finetune_model

    _finish(finetune_model(args), "labelled images")


def _finish(result: "LearnResult", what: str) -> None:
    """Say how training went; the folder of the model on stdout."""
    from clickgrain.commands.console import say, say_all

    say_all(result.failed, style="red")
    numbers = ", ".join(f"{name} {value:.2f}" for name, value in result.fit.metrics.items())
    say(f"{result.fit.steps} steps on {result.photos} {what}; {numbers or 'no validation'}")
    if result.fit.skipped:
        say(
            f"{result.fit.skipped} of the steps were skipped because loss or gradient were not finite",
            style="yellow",
        )
    print(result.folder)
