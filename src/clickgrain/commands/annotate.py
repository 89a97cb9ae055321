"""`clickgrain annotate`: the browser tool."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from clickgrain.annotate.config import AnnotateArgs


@dataclass(frozen=True)
class AnnotateCommand(AnnotateArgs):
    """Cut out and label objects in your photos, in the browser.

    A server on this machine opens a page; nothing leaves the machine. What you do is saved as you do it. Stop with
    Ctrl-C, and go on with the same command.
    """

    photos: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PHOTOS")]
    project: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    ignore: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="PATTERN")] = ()


def annotate(args: AnnotateCommand) -> None:
    """Serve until Ctrl-C; the address on stdout, the rest on stderr."""
    from clickgrain.annotate.server import serve
    from clickgrain.commands.console import say
    from clickgrain.commands.predictors import check_device

    check_device(args.device)

    def tell(line: str) -> None:
        if line.startswith("http://"):
            print(line, flush=True)
        else:
            say(line)

    serve(args, tell)
