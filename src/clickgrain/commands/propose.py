"""`clickgrain propose`: photos become merge trees in a store."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro

from clickgrain.proposals.config import ProposeArgs


@dataclass(frozen=True)
class ProposeCommand(ProposeArgs):
    """Build the merge tree of every photo in a folder and keep the trees in a store.

    Run it again to continue after a stop: photos that have their tree are skipped, new and changed ones are done.
    """

    photos: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PHOTOS")]
    store: Annotated[Path, tyro.conf.arg(name="out", metavar="STORE")]
    ignore: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="PATTERN")] = ()


def propose(args: ProposeCommand) -> None:
    """Run the pipeline; what was made on stdout, what failed on stderr."""
    from clickgrain.commands.console import say_all, stderr
    from clickgrain.commands.predictors import check_device
    from clickgrain.features import load_extractor
    from clickgrain.proposals.pipeline import propose as run

    settings = asdict(args)
    device = check_device(settings.pop("device"))
    extractor = load_extractor(settings.pop("extractor"), device=device)
    report = run(
        settings.pop("photos"),
        settings.pop("store"),
        extractor=extractor,
        progress=stderr().is_terminal,
        **settings,
    )
    say_all(report.left_out)
    say_all(report.notes)
    say_all([failure.reason for failure in report.failed], style="red")
    print(report.summary().splitlines()[0])
