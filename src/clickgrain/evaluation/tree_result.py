"""What `evaluate_trees` found: one row per target, and the figures made of them."""

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from clickgrain.errors import DataError
from clickgrain.evaluation.datasets import SizeClass

VERSION = 1
AR_THRESHOLDS: npt.NDArray[np.float64] = np.linspace(0.5, 0.95, 10)
"""IoU thresholds of average recall: .5, .55, ... .95, as in COCO."""


@dataclass(frozen=True)
class TreeRow:
    """How well a tree holds one target.

    Attributes:
        id, image: of the target and of its image.
        area: share of the image that is object, 0..1.
        size: class of `area` (small < 3 %, medium 3-15 %, large > 15 %).
        best_iou: of the best of all nodes.
        best_level: level of that node, 0..1.
        cut_ious: IoU of the best region of each cut.
        seconds: to build the image's tree, features included.
    """

    id: str
    image: str
    area: float
    size: SizeClass
    best_iou: float
    best_level: float
    cut_ious: tuple[float, ...]
    seconds: float


@dataclass(frozen=True)
class TreeQuality:
    """Quality of one kind of tree on one benchmark.

    Attributes:
        name: of the extractor or tree builder.
        benchmark: name.
        cuts: the numbers of regions k that `ar` knows.
        rows: one per target, in the benchmark's order.
        notes: what a reader must know, such as an incomplete set.
        skipped: targets without a usable image, mask or tree, with the reason; they count nowhere.
    """

    name: str
    benchmark: str
    cuts: tuple[int, ...]
    rows: tuple[TreeRow, ...]
    notes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.rows:
            reasons = "".join(f"\n- {reason}" for reason in self.skipped[:5])
            raise DataError(f"benchmark {self.benchmark!r} has no usable target" + reasons)

    def count(self, size: SizeClass | None = None) -> int:
        """Number of targets, of one size class or of all."""
        return len(self._ious(size))

    def best_iou(self, size: SizeClass | None = None) -> float:
        """Mean IoU of the best node; NaN when there is no target of that size."""
        return _mean(self._ious(size))

    def recall(self, iou: float, size: SizeClass | None = None) -> float:
        """Share of targets whose best node has at least this IoU; NaN when there is no such target."""
        return _mean(self._ious(size) >= iou)

    def ar(self, k: int, size: SizeClass | None = None) -> float:
        """AR@k: recall of the regions of the cut into k, averaged over IoU thresholds .5, .55, ... .95.

        Raises:
            DataError: for a k that was not evaluated.
        """
        if k not in self.cuts:
            raise DataError(f"no cut into {k} regions was evaluated; choose from {list(self.cuts)}")
        index = self.cuts.index(k)
        ious = np.array([row.cut_ious[index] for row in self._of(size)])
        return _mean(ious[:, None] >= AR_THRESHOLDS)

    @property
    def seconds_per_image(self) -> float:
        """Mean time to build a tree, features included."""
        return float(np.mean(list({row.image: row.seconds for row in self.rows}.values())))

    def _of(self, size: SizeClass | None) -> list[TreeRow]:
        return [row for row in self.rows if size in (None, row.size)]

    def _ious(self, size: SizeClass | None) -> npt.NDArray[np.float64]:
        return np.array([row.best_iou for row in self._of(size)])

    def summary(self, size: SizeClass | None = None) -> dict[str, float | None]:
        """The usual figures by name, of one size class or of all; None where there is no target."""
        figures: dict[str, float] = {"targets": self.count(size), "best IoU": self.best_iou(size)}
        figures |= {f"recall@{t}": self.recall(t, size) for t in (0.5, 0.7, 0.9)}
        figures |= {f"AR@{k}": self.ar(k, size) for k in self.cuts}
        return {name: None if np.isnan(value) else value for name, value in figures.items()}

    def to_json(self) -> str:
        """Everything, with the summary on top; `from_json` reads it back."""
        return json.dumps({"version": VERSION, "summary": self.summary(), **asdict(self)}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> "TreeQuality":
        """Inverse of `to_json`.

        Raises:
            DataError: for text that `to_json` of this version did not write.
        """
        try:
            data: dict[str, Any] = json.loads(text)
            if data.pop("version") != VERSION:
                raise DataError(f"this tree evaluation is not of version {VERSION}; evaluate again")
            data.pop("summary")
            rows = tuple(TreeRow(**{**row, "cut_ious": tuple(row["cut_ious"])}) for row in data.pop("rows"))
            return cls(**{**{key: _plain(value) for key, value in data.items()}, "rows": rows})
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise DataError(f"not the JSON of a tree evaluation ({error}); evaluate again") from error


def _mean(values: npt.NDArray[np.generic]) -> float:
    return float(np.mean(values.astype(np.float64))) if values.size else float("nan")


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
