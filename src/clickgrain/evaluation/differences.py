"""Two results on the same targets: paired differences, which are far surer than two intervals side by side."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from clickgrain.errors import DataError
from clickgrain.evaluation.result import Result
from clickgrain.evaluation.statistics import bootstrap_ratios, ends_of

FIGURES = ("NoC85", "NoC90", "drops05", "drops20")


@dataclass(frozen=True)
class Difference:
    """By how much a figure of one result is above that of another, on the targets of both.

    Attributes:
        value: figure minus the other figure; below 0 is better for all of `FIGURES`.
        interval: bootstrap 95 % interval over images; None for a single image.
    """

    value: float
    interval: tuple[float, float] | None

    def __str__(self) -> str:
        ends = "" if self.interval is None else " [{:+.2f}, {:+.2f}]".format(*self.interval)
        return f"{self.value:+.2f}{ends}"


def differences(result: Result, other: Result) -> dict[str, Difference]:
    """Figure -> difference `result` minus `other`, for `FIGURES`.

    Raises:
        DataError: results of different benchmarks, or without a common target.
    """
    known = {row.id: row for row in other.rows}
    rows = tuple(row for row in result.rows if row.id in known)
    if result.benchmark != other.benchmark or not rows:
        raise DataError(
            f"{result.model} on {result.benchmark} and {other.model} on {other.benchmark} have no common target;"
            " compare results of the same data set"
        )
    pairs = []
    for one, own in ((result, rows), (other, tuple(known[row.id] for row in rows))):
        names, above, below = replace(one, rows=own).ratios()
        chosen = [names.index(name) for name in FIGURES]
        pairs.append((above[:, chosen], below[:, chosen]))
    first, second = (above.sum(axis=0) / np.maximum(below.sum(axis=0), 1e-9) for above, below in pairs)
    images = [row.image for row in rows]
    ours, theirs = (bootstrap_ratios(above, below, images) for above, below in pairs)
    ends = [None] * len(FIGURES) if ours is None or theirs is None else ends_of(ours - theirs).tolist()
    return {
        name: Difference(float(a - b), None if end is None else (end[0], end[1]))
        for name, a, b, end in zip(FIGURES, first, second, ends)
    }


def to_the_first(results: Iterable[Result]) -> Iterator[tuple[Result, Result, dict[str, Difference]]]:
    """Every result of a benchmark with the first one of that benchmark, and their differences."""
    first: dict[str, Result] = {}
    for result in results:
        other = first.setdefault(result.benchmark, result)
        if other is not result:
            yield result, other, differences(result, other)
