"""Evaluations as tables for terminals."""

from collections.abc import Iterable, Sequence

from rich.table import Table

from clickgrain.evaluation.datasets import SIZE_CLASSES
from clickgrain.evaluation.result import Result
from clickgrain.evaluation.tree_quality import TreeQuality


def result_table(results: Iterable[Result]) -> Table:
    """One line per (model, benchmark): NoC (with interval), NoF, drops, mIoU at 1, 3, 5 clicks in %, seconds."""
    title = (
        "Clicks needed (NoC, 95 % interval), targets never reached (NoF), % of clicks after which IoU drops by over"
        " .05, mIoU in %, seconds per click"
    )
    table = _table(title, ("model", "data"), "NoC85", "NoC90", "NoF85", "NoF90", "drops", "@1", "@3", "@5", "s")
    for result in results:
        ends, most = result.intervals.get("NoC90"), result.settings.max_clicks
        clicks = [f"{result.noc(0.85):.2f}", f"{result.noc(0.90):.2f}"]
        clicks[1] += "" if ends is None else "\n{:.1f}-{:.1f}".format(*ends)
        clicks += [*(f"{result.nof(t).never}" for t in (0.85, 0.90)), f"{result.drops():.1f}"]
        ious = [f"{100 * result.iou_at(k):.1f}" if k <= most else "-" for k in (1, 3, 5)]
        table.add_row(result.model, result.benchmark, *clicks, *ious, f"{result.seconds_per_click:.3f}")
    return table


def size_table(results: Iterable[Result]) -> Table:
    """One line per (model, benchmark): number of targets and NoC90 of every size class."""
    columns = [column for size in SIZE_CLASSES for column in ("n", size)]
    table = _table("Clicks to 90 % (NoC90) by size of the target, n targets", ("model", "data"), *columns)
    for result in results:
        cells = []
        for own in map(result.of_size, SIZE_CLASSES):
            cells += [f"{len(own.rows)}", f"{own.noc(0.90):.2f}"] if own else ["0", "-"]
        table.add_row(result.model, result.benchmark, *cells)
    return table


def tree_table(quality: TreeQuality) -> Table:
    """One line per size class and one for all targets: mean IoU of the best node, recall R, AR@k; in %."""
    title = f"{quality.name} on {quality.benchmark}: how well nodes match the targets, in %"
    # Short headings: the table must fit into 80 columns.
    table = _table(title, ("size",), "n", "IoU", "R.5", "R.7", "R.9", *(f"AR@{k}" for k in quality.cuts))
    for size in (*SIZE_CLASSES, None):
        targets, *figures = quality.summary(size).values()
        shown = ["-" if value is None else f"{100 * value:.1f}" for value in figures]
        table.add_row(size or "all", f"{targets}", *shown)
    return table


def _table(title: str, names: Sequence[str], *numbers: str) -> Table:
    table = Table(title=title)
    for column in names:
        table.add_column(column, overflow="fold")
    for column in numbers:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def remarks(notes: Sequence[str], skipped: Sequence[str]) -> list[str]:
    """What must be said with the figures, one line each."""
    return [*notes, *(f"not counted: {reason}" for reason in skipped)]
