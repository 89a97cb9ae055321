"""`clickgrain finetune`: photos with masks, all or few of them, make a click model better."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from clickgrain.training.config import FinetuneArgs

_RECIPES = "(default: the recipe's)"


@dataclass(frozen=True)
class FinetuneCommand(FinetuneArgs):
    """Fine-tune a click model on a folder with images/<id>.* and masks/<id>#<k>.png, or NAME=DIR for a known set.

    Stop it at any time: the same command continues. Afterwards give DIR to --model.
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


def finetune(args: FinetuneCommand) -> None:
    """Fine-tune; the model's folder on stdout, the rest on stderr."""
    from clickgrain.commands.console import say, say_all
    from clickgrain.training.finetune import finetune as run

    result = run(args)
    say_all(result.failed, style="red")
    numbers = ", ".join(f"{name} {value:.2f}" for name, value in result.fit.metrics.items())
    say(f"{result.fit.steps} steps on {result.photos} labelled images; {numbers or 'no validation'}")
    if result.fit.skipped:
        say(
            f"{result.fit.skipped} of the steps were skipped because loss or gradient were not finite",
            style="yellow",
        )
    print(result.folder)
