"""Two results on the same targets: paired differences, which are far surer than two intervals side by side."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

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
    ours = Result(result.model, result.benchmark, result.user, result.settings, rows).ratios()
    same = tuple(known[row.id] for row in rows)
    theirs = Result(other.model, other.benchmark, other.user, other.settings, same).ratios()
    images = [row.image for row in rows]
    found = {}
    for name in FIGURES:
        pair = [
            (above[:, [k]], below[:, [k]]) for names, above, below in (ours, theirs) for k in [names.index(name)]
        ]
        values = [above.sum() / max(below.sum(), 1) for above, below in pair]
        samples = [bootstrap_ratios(above, below, images) for above, below in pair]
        interval = None
        if samples[0] is not None and samples[1] is not None:
            low, high = ends_of(samples[0] - samples[1])[0]
            interval = float(low), float(high)
        found[name] = Difference(float(values[0] - values[1]), interval)
    return found


def to_the_first(results: Iterable[Result]) -> Iterator[tuple[Result, Result, dict[str, Difference]]]:
    """Every result of a benchmark with the first one of that benchmark, and their differences."""
    first: dict[str, Result] = {}
    for result in results:
        other = first.setdefault(result.benchmark, result)
        if other is not result:
            yield result, other, differences(result, other)
