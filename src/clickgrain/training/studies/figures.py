"""The figures of a study's table, with their uncertainty."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from clickgrain.evaluation import Result
from clickgrain.evaluation.statistics import bootstrap_means

CLICKS = (1, 3, 5)


@dataclass(frozen=True)
class Row:
    """One variant in a table.

    Attributes:
        name: of the variant.
        figures: by name; empty when the variant failed.
        interval: 95 % interval of NoC85 by a bootstrap over images; None for a single image.
        difference: NoC85 minus that of the first variant on the same targets; None for the first.
        difference_interval: the same interval, of the difference.
        seeds: NoC85 of each seed.
        seconds: of training, mean over seeds.
        error: why there are no figures, or None.
    """

    name: str
    figures: dict[str, float] = field(default_factory=dict)
    interval: tuple[float, float] | None = None
    difference: float | None = None
    difference_interval: tuple[float, float] | None = None
    seeds: tuple[float, ...] = ()
    seconds: float = 0.0
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def row_of(
    name: str, results: Sequence[Result], seconds: Sequence[float], first: Sequence[Result] | None, **more: float
) -> Row:
    """A row from the results of a variant's seeds.

    Args:
        name: of the variant.
        results: one per seed.
        seconds: of training, one per seed.
        first: results of the variant that all are compared with; None if this is it.
        more: further figures.
    """
    figures = {f"NoC{t}": _mean([result.noc(t / 100) for result in results]) for t in (85, 90)}
    shown = [k for k in CLICKS if k <= results[0].settings.max_clicks]
    figures |= {f"mIoU@{k}": _mean([result.iou_at(k) for result in results]) for k in shown}
    clicks = clicks_by_target(results)
    row = Row(name, figures | more, interval(clicks), seeds=tuple(result.noc(0.85) for result in results))
    row = replace(row, seconds=_mean(seconds))
    if first is None:
        return row
    other = clicks_by_target(first)
    pairs = {key: clicks[key] - other[key] for key in clicks if key in other}
    if not pairs:
        return row
    return replace(row, difference=_mean(list(pairs.values())), difference_interval=interval(pairs))


def clicks_by_target(results: Sequence[Result], iou: float = 0.85) -> dict[tuple[str, str], float]:
    """(image, target) -> clicks to an IoU, mean over the results that have the target."""
    found: dict[tuple[str, str], list[float]] = {}
    for result in results:
        for row, clicks in zip(result.rows, result.clicks_to(iou)):
            found.setdefault((row.image, row.id), []).append(float(clicks))
    return {key: _mean(values) for key, values in found.items()}


def interval(values: dict[tuple[str, str], float]) -> tuple[float, float] | None:
    """95 % interval of a mean over targets, by a bootstrap over images; None for a single image."""
    ends = bootstrap_means(np.array([[value] for value in values.values()]), [image for image, _ in values])
    return None if ends is None else (float(ends[0, 0]), float(ends[0, 1]))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
