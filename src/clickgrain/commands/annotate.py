"""`clickgrain annotate`, the browser tool, and `clickgrain replay`, which makes its masks again."""

import json
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from clickgrain.annotate.config import AnnotateArgs
from clickgrain.commands.console import say
from clickgrain.commands.parsing import save_json
from clickgrain.devices import choose_device

if TYPE_CHECKING:
    from clickgrain.annotate.replay import Replayed


@dataclass(frozen=True)
class ReplayArgs:
    """Make every object's mask again from its clicks, and say whether it comes out the same."""

    # folder of photos that was annotated, or its project file.
    project: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PROJECT")]
    # answer with this model instead of the one that made each object.
    model: Annotated[str | None, tyro.conf.arg(metavar="M")] = None
    device: str = "cpu"  # torch device of the models.
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None  # also write the figures to this JSON file.


def annotate(args: AnnotateArgs) -> None:
    """Serve until Ctrl-C; the address, or one a person, on stdout, the rest on stderr."""
    from clickgrain.annotate.server import serve
    from clickgrain.images import count_pages
    from clickgrain.images.pages import split_pages
    from clickgrain.progress import Bar

    if args.photos.is_file() and (count := count_pages(args.photos)) > 1:
        with Bar(transient=True) as bar:
            folder = split_pages(args.photos, bar)
        say(f"{args.photos.name} has {count} pages: they are images in {folder}, which opens instead")
        args = replace(args, photos=folder)

    def tell(line: str) -> None:
        if line.startswith("http://"):
            print(line, flush=True)
        else:
            say(line)

    serve(replace(args, device=choose_device(args.device)), tell)


def replay(args: ReplayArgs) -> None:
    """One line per object on stdout, and a last line with the counts."""
    from clickgrain.annotate.project import open_project
    from clickgrain.annotate.replay import replay as run

    rows: list[Replayed] = []
    with closing(open_project(args.project, device=choose_device(args.device))) as project:
        for row in run(project, model=args.model):
            rows.append(row)
            result = f"iou={row.iou:.4f}" if row.iou is not None else f"failed: {row.problem}"
            result += " (the photo was replaced since)" if row.replaced else ""
            told = f"{row.image} object={row.object} label={row.label or '-'} clicks={row.clicks} {result}"
            print(told, flush=True)
    same = sum(row.is_same for row in rows)
    clicks = sum(row.clicks for row in rows)
    print(f"{len(rows)} objects, {same} the same in every pixel, {clicks} clicks")
    if args.out is not None:
        content = {"objects": [asdict(row) for row in rows], "same": same, "clicks": clicks}
        save_json(args.out, json.dumps(content, indent=1))
