"""`clickgrain study`: the paper's studies, each a table."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import tyro

from clickgrain.commands.options import parse_data
from clickgrain.errors import ConfigError
from clickgrain.training.learn_args import RecipeName
from clickgrain.training.studies.args import EXTRACTORS, SHARES, StudyArgs, StudyName


@dataclass(frozen=True)
class StudyCommand:
    """Train one variant after the other with one thing changed, and count the clicks that each needs.

    The table grows with every variant that is done, in DIR/NAME.md, .json and .html. Stop it whenever you like: the
    same command goes on where it was. Studies that are given the same DIR share the runs they have in common.

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
    photos_limit: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: all)")] = None
    data_limit: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: all)")] = None
    steps: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: the recipe's)")] = None
    batch: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: the recipe's)")] = None
    crop: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: the recipe's)")] = None
    lr: Annotated[float | None, tyro.conf.arg(metavar="LR", help_behavior_hint="(default: the recipe's)")] = None
    seeds: Annotated[tuple[int, ...], tyro.conf.arg(metavar="N [N ...]")] = (0,)
    variants: Annotated[
        tuple[str, ...], tyro.conf.arg(metavar="V [V ...]", help_behavior_hint="(default: all)")
    ] = ()
    extractors: Annotated[tuple[str, ...], tyro.conf.arg(metavar="E [E ...]")] = EXTRACTORS
    shares: Annotated[tuple[float, ...], tyro.conf.arg(metavar="S [S ...]")] = SHARES
    labelled: Annotated[
        str | None, tyro.conf.arg(metavar="NAME=DIR", help_behavior_hint="(default: half the images of --data)")
    ] = None

    def __post_init__(self) -> None:
        if self.list:
            return
        for flag in ("study", "photos", "data", "out"):
            if getattr(self, flag) is None:
                name = "NAME" if flag == "study" else f"--{flag}"
                raise ConfigError(
                    f"{name} is missing; write clickgrain study NAME --photos PHOTOS --data NAME=DIR --out DIR,"
                    " or clickgrain study --list"
                )
        for data in (self.data, self.labelled):
            if data is not None:
                parse_data(data)
        self.settings()

    def settings(self) -> StudyArgs:
        """What the study itself takes."""
        given = {field.name: getattr(self, field.name) for field in fields(StudyArgs)}
        if self.list:
            given |= {"photos": self.photos or Path(), "data": self.data or "", "out": self.out or Path()}
        return StudyArgs(**given)


def study(args: StudyCommand) -> None:
    """Run a study; its table on stdout, the rest on stderr."""
    if args.list:
        _list(args)
        return
    from clickgrain.training.studies.run import run_study

    settings = args.settings()
    table = run_study(settings)
    print(table.markdown())
    print(settings.out / f"{settings.study}.html")


def _list(args: StudyCommand) -> None:
    from clickgrain.training.studies.plans import STUDIES, plan

    if args.study is None:
        width = max(map(len, STUDIES))
        for name, known in STUDIES.items():
            print(f"{name:{width}}  {known.question}")
        return
    for number, variant in enumerate(plan(args.settings(), "cpu"), 1):
        print(f"{number:2} {variant.name}")
