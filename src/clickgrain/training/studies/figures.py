"""The figures of a study's table, with their uncertainty."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from clickgrain.evaluation import Result

Values = npt.NDArray[np.float64]
RESAMPLES = 2000
CLICKS = (1, 3, 5)


@dataclass(frozen=True)
class Row:
    """One variant in a table.

    Attributes:
        name: of the variant.
        figures: by name; empty when the variant failed.
        interval: 95 % of bootstrap resamples of the images have a mean NoC85 within.
        difference: NoC85 minus that of the first variant on the same targets, and its own 95 % interval; None for
            the first.
        seeds: NoC85 of each seed.
        seconds: of training, mean over seeds.
        error: why there are no figures, or None.
    """

    name: str
    figures: dict[str, float] = field(default_factory=dict)
    interval: tuple[float, float] | None = None
    difference: tuple[float, float, float] | None = None
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
    difference = None
    if first is not None:
        other = clicks_by_target(first)
        pairs = {key: clicks[key] - other[key] for key in clicks if key in other}
        if pairs:
            difference = (float(np.mean(list(pairs.values()))), *interval(pairs))
    seeds = tuple(result.noc(0.85) for result in results)
    return Row(name, figures | more, interval(clicks), difference, seeds, _mean(seconds))


def clicks_by_target(results: Sequence[Result], iou: float = 0.85) -> dict[tuple[str, str], float]:
    """(image, target) -> clicks to an IoU, mean over the results that have the target."""
    found: dict[tuple[str, str], list[float]] = {}
    for result in results:
        for row, clicks in zip(result.rows, result.clicks_to(iou)):
            found.setdefault((row.image, row.id), []).append(float(clicks))
    return {key: _mean(values) for key, values in found.items()}


def interval(values: dict[tuple[str, str], float], share: float = 0.95) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean over targets; whole images are drawn, for their targets are alike."""
    images = sorted({image for image, _ in values})
    sums, counts = np.zeros(len(images)), np.zeros(len(images))
    place = {image: i for i, image in enumerate(images)}
    for (image, _), value in values.items():
        sums[place[image]] += value
        counts[place[image]] += 1
    drawn = np.random.default_rng(0).integers(0, len(images), (RESAMPLES, len(images)))
    means: Values = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
