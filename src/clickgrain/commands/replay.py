"""`clickgrain replay`: masks made again from what the annotator did."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class ReplayArgs:
    """Make every object's mask again from its clicks, and say whether it comes out the same.

    Attributes:
        project: folder of photos that was annotated, or its project file.
        model: answer with this model instead of the one that made each object.
        device: torch device of the models.
        out: also write the figures to this JSON file.
    """

    project: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PROJECT")]
    model: Annotated[str | None, tyro.conf.arg(metavar="M")] = None
    device: str = "cpu"
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None


def replay(args: ReplayArgs) -> None:
    """One line an object on stdout, and a last line with the counts."""
    from clickgrain.annotate.project import open_project
    from clickgrain.annotate.replay import Replayed
    from clickgrain.annotate.replay import replay as run
    from clickgrain.commands.predictors import check_device
    from clickgrain.files import atomic_write

    project = open_project(args.project, device=check_device(args.device))
    rows: list[Replayed] = []
    try:
        for row in run(project, model=args.model):
            rows.append(row)
            print(_line(row), flush=True)
    finally:
        project.close()
    same = sum(row.is_same for row in rows)
    clicks = sum(row.clicks for row in rows)
    print(f"{len(rows)} objects, {same} the same in every pixel, {clicks} clicks")
    if args.out is not None:
        content = {"objects": [asdict(row) for row in rows], "same": same, "clicks": clicks}
        atomic_write(args.out, json.dumps(content, indent=1).encode())


def _line(row: object) -> str:
    from clickgrain.annotate.replay import Replayed

    assert isinstance(row, Replayed)
    result = f"iou={row.iou:.4f}" if row.iou is not None else f"failed: {row.problem}"
    result += " (the photo was replaced since)" if row.replaced else ""
    return f"{row.image} object={row.object} label={row.label or '-'} clicks={row.clicks} {result}"
