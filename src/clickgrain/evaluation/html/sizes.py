"""Clicks by data set and by size of the target, as tables whose cells are bars."""

from collections.abc import Sequence

import numpy as np

from clickgrain.evaluation.datasets import SIZE_CLASSES
from clickgrain.evaluation.html.markup import Html
from clickgrain.evaluation.html.tables import Cell, bar_table
from clickgrain.evaluation.result import Result

IOUS = (0.85, 0.90)
BOUNDS = {"small": "below 3 % of the image", "medium": "3 to 15 %", "large": "above 15 %"}


def overview_table(sections: Sequence[tuple[str, Sequence[tuple[str, Result]]]]) -> Html:
    """Mean clicks of every model on every set.

    Args:
        sections: per set its heading, and a name with each of its results.
    """
    names = list(dict.fromkeys(name for _, pairs in sections for name, _ in pairs))
    rows = []
    for name in names:
        cells: list[Cell | None] = []
        for _, pairs in sections:
            cells += _clicks(dict(pairs).get(name), None)
        rows.append((name, cells))
    groups = [(title, f"{len(pairs[0][1].rows)} targets") for title, pairs in sections]
    return bar_table("model", groups, _heads(), rows)


def size_table(results: Sequence[Result], labels: Sequence[str] | None = None) -> Html:
    """Mean clicks of every model on small, medium and large targets; a class without targets is left out."""
    names = list(labels or [result.model for result in results])
    counts = {size: sum(row.size == size for row in results[0].rows) for size in SIZE_CLASSES}
    sizes = [size for size in SIZE_CLASSES if counts[size]]
    groups = [(f"{size}, {BOUNDS[size]}", f"{counts[size]} targets") for size in sizes]
    rows = [
        (name, [cell for size in sizes for cell in _clicks(result, size)]) for name, result in zip(names, results)
    ]
    return bar_table("model", groups, _heads(), rows)


def _heads() -> list[str]:
    return [f"NoC{100 * iou:.0f}" for iou in IOUS]


def _clicks(result: Result | None, size: str | None) -> list[Cell | None]:
    """A cell per IoU; None where there is no target to count on."""
    if result is None:
        return [None for _ in IOUS]
    of_size = np.array([size in (None, row.size) for row in result.rows])
    if not of_size.any():
        return [None for _ in IOUS]
    means = [float(result.clicks_to(iou)[of_size].mean()) for iou in IOUS]
    return [Cell(f"{mean:.2f}", mean / result.settings.max_clicks) for mean in means]
