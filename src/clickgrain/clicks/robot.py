"""The robot user of the click benchmark: where the next click falls, given target and prediction.

The rule is that of RITM and SimpleClick: the pixel of the larger error (missed object or spurious object)
that lies farthest from the error's border. Points are (x, y) image pixels, masks are H x W.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from clickgrain.errors import DataError
from clickgrain.types import Bool, Float, UInt8

IGNORE = 128  # grey value of pixels that count neither as object nor as background; brighter is object, darker not

Click = tuple[int, int, int]  # (x, y, label): image pixels, label 1 = object, 0 = background


@dataclass(frozen=True)
class Drawn:
    """What a user draws instead of clicking, as plain values."""

    kind: Literal["box", "scribble"]
    points: tuple[tuple[float, float], ...]  # (x, y) pixels: a box's first and last corner, or those along a stroke
    label: int = 1  # 1 = object, 0 = background; 1 for a box


Given = Click | Drawn  # one interaction: a click, a box or a stroke


def split_target(target: UInt8 | Bool) -> tuple[Bool, Bool]:
    """The H x W bool masks (object, valid) of a target: uint8 (128 ignored, above object) or bool."""
    if target.ndim != 2 or target.dtype not in (np.uint8, np.bool_):
        wanted = "give H x W uint8 (0 background, 128 ignore, 255 object) or bool"
        raise DataError(f"the target has shape {target.shape} and dtype {target.dtype}; {wanted}")
    if target.dtype == np.bool_:
        return target.astype(np.bool_, copy=False), np.ones(target.shape, np.bool_)
    return target > IGNORE, target != IGNORE


def error_masks(target: UInt8 | Bool, prediction: Bool) -> tuple[Bool, Bool]:
    """The H x W bool masks (missed, spurious): object not predicted, and predicted background."""
    object_, valid = split_target(target)
    if prediction.shape != object_.shape or prediction.dtype != np.bool_:
        wanted = f"give H x W bool of the target's shape {object_.shape}"
        raise DataError(f"the prediction has shape {prediction.shape} and dtype {prediction.dtype}; {wanted}")
    # Object pixels are valid by definition; among bools, > is "and not".
    return object_ > prediction, (prediction > object_) & valid


class ErrorDepth:
    """How deep every pixel lies inside an error region, over the region's bounding box only.

    OpenCV's roots differ in the last bit with the array's place in memory (5 of 300 masks then get another click).
    Squared distances are whole numbers, so depths up to about 1,400 px are made exact.

    `depth` is h x w float32: the exact Euclidean distance in pixels to the nearest pixel outside the region or
    outside the image; 0 outside the region and at pixels already clicked. (`left`, `top`) is its first pixel.
    """

    def __init__(self, error: Bool, clicked: npt.ArrayLike = ()) -> None:
        region = error.view(np.uint8)
        self.left, self.top, width, height = cv2.boundingRect(region)
        self.depth: Float = np.zeros((height, width), np.float32)
        if width == 0:
            return
        # Exact: a zero beyond the box is never nearer than the frame of zeros around it.
        box = region[self.top : self.top + height, self.left : self.left + width]
        padded = cv2.copyMakeBorder(box, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        self.depth = np.square(cv2.distanceTransform(padded, cv2.DIST_L2, 0)[1:-1, 1:-1])
        np.sqrt(np.rint(self.depth, out=self.depth), out=self.depth)
        points = np.asarray(clicked, dtype=np.float64).reshape(-1, 2)
        x, y = np.floor(points).astype(np.int64).T - np.array([[self.left], [self.top]])
        inside = (x >= 0) & (y >= 0) & (x < self.depth.shape[1]) & (y < self.depth.shape[0])
        self.depth[y[inside], x[inside]] = 0

    @property
    def maximum(self) -> float:
        """The largest depth in pixels; 0 when nothing is left to click."""
        return float(self.depth.max(initial=0))

    def deepest(self) -> tuple[int, int]:
        """The deepest image pixel (x, y), the first in raster order among equals."""
        return self._point(int(self.depth.argmax()))

    def random_deep(self, rng: np.random.Generator) -> tuple[int, int]:
        """A uniform image pixel (x, y) deeper than half the maximum."""
        return self._point(int(rng.choice(np.flatnonzero(self.depth > 0.5 * self.maximum))))

    def _point(self, flat: int) -> tuple[int, int]:
        y, x = divmod(flat, self.depth.shape[1])
        return self.left + x, self.top + y


def larger_error(missed: Bool, spurious: Bool, clicked: npt.ArrayLike = ()) -> tuple[ErrorDepth, int]:
    """(depths, label of a correcting click) of the deeper H x W error; a tie goes to the spurious object."""
    errors = ErrorDepth(spurious, clicked), ErrorDepth(missed, clicked)
    label = int(errors[1].maximum > errors[0].maximum)
    return errors[label], label


def next_click(target: UInt8 | Bool, prediction: Bool, clicked: npt.ArrayLike) -> Click | None:
    """The next click of the benchmark's robot user: (x, y, label) of the deepest error pixel.

    Of equals it is the first in raster order; None when no error pixel is left, or every one has been clicked.
    The target is H x W uint8 (0 background, 128 ignore, 255 object) or bool, the prediction H x W bool, `clicked`
    the N x 2 (x, y) pixels clicked so far. Raises DataError: for arrays of a wrong shape or dtype.
    """
    error, label = larger_error(*error_masks(target, prediction), clicked)
    return (*error.deepest(), label) if error.maximum else None


class User(Protocol):
    """Who clicks in an evaluation."""

    name: str  # identifies the user and all its settings; part of an evaluation's settings

    def start(self, target_id: str) -> None:
        """Begin a target; what follows must depend on the target alone, so that runs can be resumed."""

    def __call__(self, target: UInt8 | Bool, prediction: Bool, clicked: npt.ArrayLike) -> Given | None:
        """The next click, box or stroke, None to stop; `clicked`: N x 2 (x, y) of clicks and strokes so far."""
        ...


class RobotUser:
    """The deterministic user of the published figures: `next_click`."""

    name = "robot"

    def start(self, target_id: str) -> None:
        """Nothing to do: the robot has no memory."""

    def __call__(self, target: UInt8 | Bool, prediction: Bool, clicked: npt.ArrayLike) -> Click | None:
        """See `next_click`."""
        return next_click(target, prediction, clicked)
