"""Clicks by data set and by size of the target, as tables whose cells are bars."""

from collections.abc import Mapping, Sequence

from clickgrain.evaluation.datasets import SIZE_CLASSES
from clickgrain.evaluation.html.markup import Html
from clickgrain.evaluation.html.tables import Cell, bar_table
from clickgrain.evaluation.result import Result

SHOWN = ("NoC85", "NoC90")
BOUNDS = {"small": "below 3 % of the image", "medium": "3 to 15 %", "large": "above 15 %"}


def overview_table(sections: Sequence[tuple[str, Sequence[tuple[str, Result]]]]) -> Html:
    """Mean clicks of every model on every set.

    Args:
        sections: per set its heading, and a name with each of its results.
    """
    names = list(dict.fromkeys(name for _, pairs in sections for name, _ in pairs))
    rows = []
    for name in names:
        own = [dict(pairs).get(name) for _, pairs in sections]
        cells = [_clicks(result.summary() if result else None, _most(result)) for result in own]
        rows.append((name, [cell for pair in cells for cell in pair]))
    groups = [(title, f"{len(pairs[0][1].rows)} targets") for title, pairs in sections]
    return bar_table("model", groups, SHOWN, rows)


def size_table(results: Sequence[Result], labels: Sequence[str] | None = None) -> Html:
    """Mean clicks of every model on small, medium and large targets; a class without targets is left out."""
    names = list(labels or [result.model for result in results])
    found = [result.by_size() for result in results]
    sizes = [size for size in SIZE_CLASSES if any(size in figures for figures in found)]
    counts = {size: max(figures[size]["targets"] for figures in found if size in figures) for size in sizes}
    groups = [(f"{size}, {BOUNDS[size]}", f"{counts[size]:.0f} targets") for size in sizes]
    rows = [
        (name, [cell for size in sizes for cell in _clicks(figures.get(size), _most(result))])
        for name, result, figures in zip(names, results, found)
    ]
    return bar_table("model", groups, SHOWN, rows)


def _clicks(figures: Mapping[str, float] | None, most: int) -> list[Cell | None]:
    """A cell per shown figure; None where there is none."""
    if figures is None:
        return [None for _ in SHOWN]
    return [Cell(f"{figures[name]:.2f}", figures[name] / most) for name in SHOWN]


def _most(result: Result | None) -> int:
    return result.settings.max_clicks if result else 1
