"""`clickgrain evaluate-tree`: how good can proposals from an extractor's trees be?"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from clickgrain.commands.options import check_limit, parse_data, save_json
from clickgrain.errors import ConfigError


@dataclass(frozen=True)
class EvaluateTreeArgs:
    """Measure how well the regions of merge trees hold known objects, without training anything.

    Prints a table by object size: the IoU of the best node, its recall at .5, .7 and .9, and AR@k, the recall of
    the tree cut into k regions.

    Attributes:
        extractor: "default", "color-texture", a Hugging Face id or a local folder.
        data: a name and a folder, as in `clickgrain evaluate`.
        linkage: "ward" merges the features as everywhere; "edges" takes only their grid, and merges by the image's
            edges (`clickgrain.tree.edge_tree`).
        device: torch device of the extractor, e.g. cpu or cuda.
        cuts: the numbers of regions k.
        limit: only the first so many targets.
        out: JSON file for the figures, one row a target.
    """

    extractor: Annotated[str, tyro.conf.arg(metavar="E")]
    data: Annotated[str, tyro.conf.arg(metavar="NAME=DIR")]
    linkage: Literal["ward", "edges"] = "ward"
    device: str = "cpu"
    cuts: Annotated[tuple[int, ...], tyro.conf.arg(metavar="K [K ...]")] = (10, 30, 100, 300)
    limit: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: all)")] = None
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="(default: nothing is kept)")] = (
        None
    )

    def __post_init__(self) -> None:
        parse_data(self.data)
        check_limit(self.limit)
        if not self.cuts or min(self.cuts) < 1:
            raise ConfigError(f"--cuts {list(self.cuts)} must be numbers of regions, such as 10 30 100")


def evaluate_tree(args: EvaluateTreeArgs) -> None:
    """Build the trees and print the table; remarks on stderr."""
    from rich.console import Console

    from clickgrain.commands.console import bar, say_all
    from clickgrain.commands.predictors import check_device
    from clickgrain.evaluation.datasets import load_benchmark
    from clickgrain.evaluation.tables import remarks, tree_table
    from clickgrain.evaluation.tree_quality import edge_trees, evaluate_trees
    from clickgrain.features import load_extractor

    extractor = load_extractor(args.extractor, device=check_device(args.device))
    benchmark = load_benchmark(*parse_data(args.data))
    build = edge_trees(extractor) if args.linkage == "edges" else extractor
    with bar(f"{args.extractor} on {benchmark.name}") as progress:
        quality = evaluate_trees(build, benchmark, cuts=args.cuts, targets=args.limit, progress=progress)
    Console().print(tree_table(quality))
    say_all(remarks(quality.notes, quality.skipped))
    if args.out is not None:
        save_json(args.out, quality.to_json())
