"""What an evaluation found: one row per target, the figures made of them, and differences of two results."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from clickgrain.clicks.robot import Drawn, Given
from clickgrain.errors import DataError
from clickgrain.evaluation.config import ENOUGH_CLICKS, ENOUGH_IOU, EvaluationSettings
from clickgrain.evaluation.datasets import SIZE_CLASSES, SizeClass

VERSION = 2
SAMPLES, SEED = 2000, 0  # of the bootstrap
DROPS = {"drops05": 0.05, "drops20": 0.2}  # figure -> by how much the IoU falls
COMPARED = ("NoC85", "NoC90", *DROPS)  # figures of `differences`; lower is better for all of them
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class TargetResult:
    """The clicks on one target and what they reached."""

    id: str
    image: str
    area: float  # share of the image that is object, 0..1
    size: SizeClass  # class of `area` (see `size_class`)
    ious: tuple[float, ...]  # IoU after each click that was made; after the last one it stays the same
    boundary_ious: tuple[float, ...]  # boundary IoU after each of them
    disobeyed: tuple[int, ...]  # after each of them, how many of the clicks so far lie on the wrong side
    clicks: tuple[tuple[int, int, int], ...]  # (x, y, label) in image pixels; `given` has boxes and strokes as well
    click_seconds: tuple[float, ...]  # of each prediction, the full-size probability included
    encode_seconds: float  # of the image's `set_image`
    error: str | None = None  # what stopped the predictor on this target, or None
    drawn: tuple[tuple[int, Drawn], ...] = ()  # boxes, strokes and their places; `ious` ... have a value for each

    @property
    def given(self) -> tuple[Given, ...]:
        """Clicks, boxes and strokes in the order in which they were given."""
        given: list[Given] = list(self.clicks)
        for at, one in self.drawn:
            given.insert(at, one)
        return tuple(given)

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON; `drawn` only if anything was drawn."""
        values = asdict(self)
        drawn = [{"at": at, **asdict(one)} for at, one in self.drawn]
        return {**values, "drawn": drawn} if drawn else {k: v for k, v in values.items() if k != "drawn"}

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> "TargetResult":
        """Inverse of `to_dict`, after JSON; DataError for a row that it did not make."""
        try:
            sequences = {name: tuple(row[name]) for name in ("ious", "boundary_ious", "disobeyed", "click_seconds")}
            clicks = tuple((x, y, label) for x, y, label in row["clicks"])
            drawn = []
            for one in row.get("drawn", ()):
                points = tuple((float(x), float(y)) for x, y in one["points"])
                drawn.append((int(one["at"]), Drawn(one["kind"], points, int(one["label"]))))
            return cls(**{**row, **sequences, "clicks": clicks, "drawn": tuple(drawn)})
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise DataError(f"not a row of an evaluation of version {VERSION} ({error!r})") from error

    @property
    def obeyable(self) -> int:
        """How often a click or stroke could be disobeyed: it counts in its own mask and in all later ones."""
        answered = len(self.disobeyed)
        boxes = (at for at, one in self.drawn if one.kind == "box" and at < answered)
        return answered * (answered + 1) // 2 - sum(answered - at for at in boxes)

    def drops(self, over: float) -> tuple[int, int]:
        """How many clicks made the IoU fall by more than `over`, and of how many clicks.

        Counts every answered click (box, stroke) but the first, up to the one that finishes the target: IoU 0.95 at
        click 5 or later. Those after it, made for full curves, do not count, so that both kinds of runs compare.
        """
        ious = self.ious
        done = next((k for k in range(ENOUGH_CLICKS, len(ious)) if ious[k - 1] >= ENOUGH_IOU), len(ious))
        return sum(ious[k] < ious[k - 1] - over for k in range(1, done)), max(done - 1, 0)

    def curve(self, max_clicks: int, *, boundary: bool = False) -> Values:
        """IoU (or boundary IoU) after clicks 1..max_clicks; all 0 when the predictor failed."""
        values = self.boundary_ious if boundary else self.ious
        if self.error is not None or not values:
            return np.zeros(max_clicks)
        return np.array((values + values[-1:] * (max_clicks - len(values)))[:max_clicks])


class NoF(NamedTuple):
    """How many targets are failures, counted in both ways in use."""

    never: int  # targets that never reach the IoU
    at_max: int  # targets whose NoC is max_clicks, as in published tables; includes success at the last click


@dataclass(frozen=True)
class Result:
    """Figures of one predictor on one benchmark. A target on which the predictor failed counts as never reached."""

    model: str
    benchmark: str
    user: str
    settings: EvaluationSettings  # of the protocol
    rows: tuple[TargetResult, ...]  # one per target, in the benchmark's order
    notes: tuple[str, ...] = ()  # what a reader must know, such as an incomplete set
    skipped: tuple[str, ...] = ()  # targets that could not be used (a bad image or mask), and why; in no figure

    def __post_init__(self) -> None:
        if not self.rows:
            reasons = "".join(f"\n- {reason}" for reason in self.skipped)
            raise DataError(f"benchmark {self.benchmark!r} has no usable target{reasons}")

    @cached_property
    def curves(self) -> npt.NDArray[np.float64]:
        """N x max_clicks: IoU of every target after every click."""
        return np.stack([row.curve(self.settings.max_clicks) for row in self.rows])

    @property
    def failed(self) -> tuple[TargetResult, ...]:
        """The targets on which the predictor raised an error."""
        return tuple(row for row in self.rows if row.error is not None)

    def clicks_to(self, iou: float) -> npt.NDArray[np.int64]:
        """For each target the first click with an IoU of at least `iou`, else max_clicks."""
        reached = self.curves >= iou
        return np.where(reached.any(1), reached.argmax(1) + 1, self.settings.max_clicks)

    def part(self, rows: Iterable[TargetResult]) -> "Result | None":
        """This result on some of its rows; None without any."""
        some = tuple(rows)
        return replace(self, rows=some) if some else None

    def of_size(self, size: SizeClass) -> "Result | None":
        """This result on the targets of one size class; None if there are none."""
        return self.part(row for row in self.rows if row.size == size)

    def noc(self, iou: float) -> float:
        """Mean number of clicks to an IoU of at least `iou` (0..1)."""
        return float(self.clicks_to(iou).mean())

    def nof(self, iou: float) -> NoF:
        """Number of failures at `iou` (0..1), in both ways of counting."""
        never = int((self.curves.max(1) < iou).sum())
        return NoF(never, int((self.clicks_to(iou) == self.settings.max_clicks).sum()))

    def iou_at(self, clicks: int, *, boundary: bool = False) -> float:
        """Mean (boundary) IoU after 1..max_clicks clicks; from click 6 on a lower bound without full curves."""
        most = self.settings.max_clicks
        if not 1 <= clicks <= most:
            raise DataError(f"no IoU at {clicks} clicks; 1 to {most} were made")
        curves = np.stack([row.curve(most, boundary=True) for row in self.rows]) if boundary else self.curves
        return float(curves[:, clicks - 1].mean())

    @property
    def disobeyed(self) -> float:
        """Share of clicks and strokes on the wrong side of the mask that answers them and all before them, 0..1."""
        given = sum(row.obeyable for row in self.rows)
        return sum(sum(row.disobeyed) for row in self.rows) / given if given else 0.0

    def drops(self, over: float = 0.05) -> float:
        """Percentage of clicks that make the IoU fall by more than `over`; see `TargetResult.drops`."""
        dropped, made = np.sum([row.drops(over) for row in self.rows], axis=0)
        return float(100 * dropped / made) if made else 0.0

    @property
    def seconds_per_click(self) -> float:
        """Mean over all clicks made, without the image's encoding."""
        return float(np.mean(self._click_seconds))

    @property
    def _click_seconds(self) -> list[float]:
        return [second for row in self.rows for second in row.click_seconds] or [0.0]

    @property
    def seconds_encode(self) -> float:
        """Mean over images of the time that `set_image` took."""
        return float(np.mean(list({row.image: row.encode_seconds for row in self.rows}.values())))

    @cached_property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """Bootstrap 95 % intervals of NoC80..95, mIoU@k and drops, by name; empty if there is only one image.

        Images are resampled, with all their targets, since those of one image are not independent.
        """
        names, above, below = self.ratios()
        samples = bootstrap_ratios(above, below, [row.image for row in self.rows])
        return {} if samples is None else dict(zip(names, ends_of(samples)))

    def ratios(self) -> tuple[list[str], Values, Values]:
        """Names of K figures and N x K numerators and denominators: a figure is a ratio of sums over targets."""
        columns = {f"NoC{t}": self.clicks_to(t / 100).astype(float) for t in (80, 85, 90, 95)}
        columns |= {f"mIoU@{k}": self.curves[:, k - 1] for k in self._made((1, 3, 5, 10, 20))}
        above, below = [*columns.values()], [np.ones(len(self.rows))] * len(columns)
        for over in DROPS.values():
            dropped, made = np.array([row.drops(over) for row in self.rows], float).T
            above.append(100 * dropped)
            below.append(made)
        return [*columns, *DROPS], np.stack(above, axis=1), np.stack(below, axis=1)

    def by_size(self) -> dict[str, dict[str, float]]:
        """Size class -> targets, mean clicks to an IoU of 85 and 90 %, share never at 90 %; no empty class."""
        found: dict[str, dict[str, float]] = {}
        for size in SIZE_CLASSES:
            if own := self.of_size(size):
                never90 = 1 - float((own.curves.max(1) >= 0.9).mean())
                nocs = {"NoC85": own.noc(0.85), "NoC90": own.noc(0.9)}
                found[size] = {"targets": len(own.rows), **nocs, "never90": never90}
        return found

    def _made(self, wanted: tuple[int, ...]) -> list[int]:
        return [k for k in wanted if k <= self.settings.max_clicks]

    def summary(self) -> dict[str, float]:
        """The usual figures by name; `NoC90_low` ... are ends of `intervals`, `NoC90_small` ... of `by_size`."""
        figures = self._figures()
        for name, (low, high) in self.intervals.items():
            figures |= {f"{name}_low": low, f"{name}_high": high}
        for size, values in self.by_size().items():
            figures |= {f"{name}_{size}": value for name, value in values.items()}
        return figures

    def _figures(self) -> dict[str, float]:
        figures: dict[str, float] = {f"NoC{t}": self.noc(t / 100) for t in (80, 85, 90, 95)}
        for t in (85, 90, 95):
            figures[f"NoF{t}"], figures[f"NoF{t}_at_max"] = self.nof(t / 100)
        figures |= {f"mIoU@{k}": self.iou_at(k) for k in self._made((1, 3, 5, 10, 20))}
        figures |= {f"bIoU@{k}": self.iou_at(k, boundary=True) for k in self._made((1, 3, 5))}
        figures |= {"disobeyed": self.disobeyed}
        figures |= {name: self.drops(over) for name, over in DROPS.items()}
        median, late = np.quantile(self._click_seconds, [0.5, 0.95])
        figures |= {"s/click": self.seconds_per_click, "s/click_median": float(median), "s/click_p95": float(late)}
        figures |= {"s/image": self.seconds_encode}
        return figures | {"targets": len(self.rows), "failed": len(self.failed), "skipped": len(self.skipped)}

    def line(self, model: str | None = None, name: str | None = None) -> str:
        """One line for a terminal: `MODEL NAME NoC85 NoC90` and then figures as name=value."""
        figures = self._figures()
        head = ["_".join(text.split()) for text in (model or self.model, name or self.benchmark)]
        head += [f"{figures.pop(noc):.2f}" for noc in ("NoC85", "NoC90")]
        shown = [f"{k}={v}" if isinstance(v, int) else f"{k}={v:.3g}" for k, v in figures.items()]
        ends = ((name, self.intervals[name]) for name in ("NoC85", "NoC90", "drops05") if name in self.intervals)
        return " ".join([*head, *shown, *(f"{name}_95%={low:.2f}..{high:.2f}" for name, (low, high) in ends)])

    def to_json(self) -> str:
        """Everything, with the summary on top; `from_json` reads it back."""
        values = {**asdict(self), "rows": [row.to_dict() for row in self.rows]}
        return json.dumps({"version": VERSION, "summary": self.summary(), **values}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> "Result":
        """Inverse of `to_json`; DataError for text that this version's did not write."""
        try:
            data = json.loads(text)
            version = data.pop("version")
            if version != VERSION:
                raise DataError(f"this evaluation has version {version}, not {VERSION}; evaluate again")
            data.pop("summary")
            data["settings"] = EvaluationSettings(**data["settings"])
            data["rows"] = tuple(TargetResult.from_dict(row) for row in data["rows"])
            return cls(**{**data, "notes": tuple(data["notes"]), "skipped": tuple(data["skipped"])})
        except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
            raise DataError(f"not the JSON of an evaluation ({error}); evaluate again") from error


@dataclass(frozen=True)
class Difference:
    """By how much a figure of one result is above that of another, on the targets of both."""

    value: float  # figure minus the other figure; below 0 is better for all of `COMPARED`
    interval: tuple[float, float] | None  # bootstrap 95 % interval over images; None for a single image

    def __str__(self) -> str:
        ends = "" if self.interval is None else " [{:+.2f}, {:+.2f}]".format(*self.interval)
        return f"{self.value:+.2f}{ends}"


def differences(result: Result, other: Result) -> dict[str, Difference]:
    """Figure of `COMPARED` -> difference `result` minus `other`, paired; DataError without a common target."""
    known = {row.id: row for row in other.rows}
    rows = tuple(row for row in result.rows if row.id in known)
    if result.benchmark != other.benchmark or not rows:
        both = f"{result.model} on {result.benchmark} and {other.model} on {other.benchmark}"
        raise DataError(f"{both} have no common target; compare results of the same data set")
    images, means, samples = [row.image for row in rows], [], []
    for one, own in ((result, rows), (other, tuple(known[row.id] for row in rows))):
        names, above, below = replace(one, rows=own).ratios()
        chosen = [names.index(name) for name in COMPARED]
        above, below = above[:, chosen], below[:, chosen]
        means.append(above.sum(axis=0) / np.maximum(below.sum(axis=0), 1e-9))
        samples.append(bootstrap_ratios(above, below, images))
    ours, theirs = samples
    ends = [None] * len(COMPARED) if ours is None or theirs is None else ends_of(ours - theirs)
    return {name: Difference(float(a - b), end) for name, a, b, end in zip(COMPARED, *means, ends)}


def differences_to_first(results: Iterable[Result]) -> Iterator[tuple[Result, Result, dict[str, Difference]]]:
    """Every result of a benchmark with the first one of that benchmark, and their differences."""
    first: dict[str, Result] = {}
    for result in results:
        other = first.setdefault(result.benchmark, result)
        if other is not result:
            yield result, other, differences(result, other)


def bootstrap_ratios(
    numerators: Values, denominators: Values, images: Sequence[str], *, samples: int = SAMPLES, seed: int = SEED
) -> Values | None:
    """samples x K ratios of column sums (0 / 0 is 0) of N x K arrays, in bootstrap samples of whole images.

    None for fewer than two images. Targets of one image share its difficulties; resampling targets would make the
    intervals too narrow (Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8). The same
    images and seed give the same samples, so that two models can be subtracted: a paired comparison.
    """
    _, group = np.unique(np.asarray(images), return_inverse=True)
    count = int(group.max(initial=-1)) + 1
    if count < 2:
        return None
    above, below = np.zeros((2, count, numerators.shape[1]))
    np.add.at(above, group, numerators)
    np.add.at(below, group, denominators)
    times = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), samples).astype(float)
    return (times @ above) / np.maximum(times @ below, 1e-9)


def ends_of(samples: Values) -> list[tuple[float, float]]:
    """Lower and upper ends of the 95 % percentile intervals of S x K bootstrap samples."""
    return list(zip(*np.quantile(samples, [0.025, 0.975], axis=0).tolist()))


def bootstrap_means(
    values: Values, images: Sequence[str], *, samples: int = SAMPLES, seed: int = SEED
) -> Values | None:
    """K x 2 ends of the 95 % intervals of the column means of N x K `values`; None for fewer than two images."""
    means = bootstrap_ratios(values, np.ones_like(values), images, samples=samples, seed=seed)
    return None if means is None else np.array(ends_of(means))
