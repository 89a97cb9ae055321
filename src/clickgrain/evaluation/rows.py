"""One target's row: what was clicked and what it reached."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from clickgrain.clicks.robot import Drawn, Given
from clickgrain.errors import DataError
from clickgrain.evaluation.datasets import SizeClass
from clickgrain.evaluation.settings import ENOUGH_CLICKS, ENOUGH_IOU

VERSION = 2


@dataclass(frozen=True)
class TargetResult:
    """The clicks on one target and what they reached.

    Attributes:
        id, image: of the target and of its image.
        area: share of the image that is object, 0..1.
        size: class of `area` (see `size_class`).
        ious: IoU after each click that was made; after the last one it stays the same.
        boundary_ious: boundary IoU after each of them.
        disobeyed: after each of them, how many of the clicks so far lie on the wrong side of the mask.
        clicks: (x, y, label) in image pixels; `given` has boxes and strokes as well.
        click_seconds: of each prediction, the full-size probability included.
        encode_seconds: of the image's `set_image`.
        error: what stopped the predictor on this target, or None.
        drawn: boxes and strokes, with their places among all that was given (from 0); where there are any, `ious`
            and its kin have a value for each of them too.
    """

    id: str
    image: str
    area: float
    size: SizeClass
    ious: tuple[float, ...]
    boundary_ious: tuple[float, ...]
    disobeyed: tuple[int, ...]
    clicks: tuple[tuple[int, int, int], ...]
    click_seconds: tuple[float, ...]
    encode_seconds: float
    error: str | None = None
    drawn: tuple[tuple[int, Drawn], ...] = ()

    @property
    def given(self) -> tuple[Given, ...]:
        """Clicks, boxes and strokes in the order in which they were given."""
        given: list[Given] = list(self.clicks)
        for at, one in self.drawn:
            given.insert(at, one)
        return tuple(given)

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON; without `drawn` where only clicks were given."""
        values = asdict(self)
        drawn = [{"at": at, **asdict(one)} for at, one in self.drawn]
        return {**values, "drawn": drawn} if drawn else {k: v for k, v in values.items() if k != "drawn"}

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> "TargetResult":
        """Inverse of `to_dict`, after JSON.

        Raises:
            DataError: when the row was not made by `to_dict`.
        """
        try:
            sequences = {name: tuple(row[name]) for name in ("ious", "boundary_ious", "disobeyed", "click_seconds")}
            clicks = tuple((x, y, label) for x, y, label in row["clicks"])
            drawn = tuple(_drawn(one) for one in row.get("drawn", ()))
            return cls(**{**row, **sequences, "clicks": clicks, "drawn": drawn})
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"not a row of an evaluation of version {VERSION} ({error!r})") from error

    @property
    def obeyable(self) -> int:
        """How often a click or stroke could be disobeyed: each counts in every mask from its own on."""
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

    def curve(self, max_clicks: int) -> npt.NDArray[np.float64]:
        """IoU after clicks 1..max_clicks; all 0 when the predictor failed."""
        return self._padded(self.ious, max_clicks)

    def boundary_curve(self, max_clicks: int) -> npt.NDArray[np.float64]:
        """Boundary IoU after clicks 1..max_clicks; all 0 when the predictor failed."""
        return self._padded(self.boundary_ious, max_clicks)

    def _padded(self, values: tuple[float, ...], max_clicks: int) -> npt.NDArray[np.float64]:
        if self.error is not None or not values:
            return np.zeros(max_clicks)
        return np.pad(np.array(values), (0, max_clicks - len(values)), mode="edge")


def _drawn(value: dict[str, Any]) -> tuple[int, Drawn]:
    points = tuple((float(x), float(y)) for x, y in value["points"])
    return int(value["at"]), Drawn(value["kind"], points, int(value["label"]))
