"""The types that every floor shares: `Prompt` (what is given), `Mask` (what comes back), `Predictor`, `Engine`.

Points are (x, y) in image pixels, boxes are XYXY in image pixels, arrays are H x W.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from clickgrain.errors import PromptError, WeightsError

Float = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]
UInt8 = npt.NDArray[np.uint8]
Int = npt.NDArray[np.int64]

Box = tuple[float, float, float, float]
Size = tuple[int, int]  # (height, width) in pixels


class Mask:
    """A segmentation of one image.

    Args:
        probability: H x W float32 in 0..1, or a function that computes it when first asked.
        score: the predictor's own estimate of the mask's quality (IoU), 0..1.
        level: granularity in 0..1 (leaf 0, whole image 1), or None where the predictor has no such notion.
        roi: XYXY region that the network looked at, or None for the whole image; handed back with
            `previous=mask` so that zoom-in continues from it.
        alternatives: function that returns other masks for the same prompt, best first.
        state: whatever the predictor wants to find again in `previous` (low-resolution logits); opaque.

    Raises:
        WeightsError: score or level are NaN or infinite; `probability` and `binary`: when they are computed so.
    """

    def __init__(
        self,
        probability: Float | Callable[[], Float],
        *,
        score: float = 1.0,
        level: float | None = None,
        roi: Box | None = None,
        alternatives: "Callable[[], list[Mask]] | None" = None,
        state: Any = None,
    ) -> None:
        if not isfinite(score) or not isfinite(level or 0.0):
            raise _no_numbers(f"a score of {score} and a level of {level}")
        self._source = probability
        self._alternatives = alternatives
        self.score = float(score)
        self.level = level
        self.roi = roi
        self.state = state

    @cached_property
    def probability(self) -> Float:
        """H x W float32 in 0..1, computed on first use."""
        value = np.ascontiguousarray(self._source() if callable(self._source) else self._source, dtype=np.float32)
        if not np.isfinite(value).all():
            raise _no_numbers("probabilities that are no numbers")
        self._source = value  # frees what the function held
        return value

    @cached_property
    def binary(self) -> Bool:
        """H x W bool: probability > 0.5, computed on first use."""
        return self.probability > 0.5

    @cached_property
    def alternatives(self) -> "list[Mask]":
        """Other masks for the same prompt, ranked best first; may be empty. Computed on first use."""
        return self._alternatives() if self._alternatives else []

    def refined(self, refine: Callable[[Float], Float], *, alternatives: bool = True) -> "Mask":
        """This mask with `refine` (H x W float32) applied on first use, and to `alternatives` if wanted."""
        source, others = self._source, self._alternatives
        state = None if isinstance(self.state, Mask) else self.state  # a smaller copy is not refined with it

        def render() -> Float:
            return refine(source() if callable(source) else source)

        mask = Mask(render, score=self.score, level=self.level, roi=self.roi, state=state)
        if others:
            mask.offer((lambda: [other.refined(refine) for other in others()]) if alternatives else others)
        return mask

    def check_size(self, size: Size) -> None:
        """Refuse a previous mask whose (height, width) is not the image's, with a PromptError that names both."""
        height, width = self.probability.shape
        if (height, width) != size:
            both = f"the previous mask is {height} x {width}, the image {size[0]} x {size[1]} (H x W)"
            raise PromptError(f"{both}; pass a mask of this image, or None")

    def of_size(self, size: Size) -> Float:
        """H x W float32, writable and contiguous: the probability of a previous mask; errors as of `check_size`."""
        self.check_size(size)
        return np.require(self.probability, np.float32, ["C", "W"])

    def offer(self, alternatives: "Callable[[], list[Mask]]") -> None:
        """Set the function that computes the alternatives when they are first asked for."""
        self._alternatives = alternatives
        self.__dict__.pop("alternatives", None)

    def __repr__(self) -> str:
        return f"Mask(score={self.score:.3f}, level={self.level}, roi={self.roi})"


def _no_numbers(what: str) -> WeightsError:
    return WeightsError(
        f"the model answered with {what}: its weights are damaged or its training diverged; use another model"
    )


@dataclass(frozen=True)
class Scribble:
    """A stroke: `points` is K x 2 (x, y) pixels along a polyline; label 1 marks object, 0 background."""

    points: Float
    label: int = 1

    def __post_init__(self) -> None:
        points = _floats(self.points)
        if points.ndim != 2 or points.shape[1:] != (2,) or len(points) == 0:
            raise PromptError(f"a scribble needs K x 2 points, got shape {points.shape}; give [[x, y], ...]")
        if self.label not in (0, 1):
            raise PromptError(f"scribble label {self.label!r} is not 0 or 1; use 1 for object, 0 for background")
        object.__setattr__(self, "points", points)

    def resampled(self, spacing: float) -> Float:
        """M x 2 points at most `spacing` pixels apart along the stroke (wider on strokes of over 64 points)."""
        along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(self.points, axis=0).T))])
        where = np.linspace(0, along[-1], min(int(np.ceil(along[-1] / spacing)) + 1, 64))
        return np.stack([np.interp(where, along, self.points[:, i]) for i in (0, 1)], axis=1).astype(np.float32)


@dataclass(frozen=True)
class Prompt:
    """All that a user gives for one object; build it with `Prompt.of`, which validates.

    Attributes:
        points: N x 2 float32, (x, y) pixels in click order.
        labels: N uint8, 1 = object, 0 = background.
        box: XYXY pixels or None.
        scribbles: strokes.
        level: wanted granularity 0..1 or None.
        view: XYXY pixels that the user sees, if the image is enlarged; clicks within are answered from them.
    """

    points: Float = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    labels: UInt8 = field(default_factory=lambda: np.zeros(0, np.uint8))
    box: Box | None = None
    scribbles: tuple[Scribble, ...] = ()
    level: float | None = None
    view: Box | None = None

    @classmethod
    def of(
        cls,
        points: npt.ArrayLike | None,
        labels: npt.ArrayLike | None,
        *,
        size: Size,
        box: npt.ArrayLike | None = None,
        scribbles: Sequence[Scribble] | None = None,
        level: float | None = None,
        view: npt.ArrayLike | None = None,
    ) -> "Prompt":
        """Validate a prompt against an image of `size` = (height, width).

        Raises PromptError: for points outside the image, labels other than 0/1, unequal lengths, an empty or
        outside box or view, a level outside 0..1, or a prompt that holds nothing at all.
        """
        points_, labels_ = _points(points, size), _labels(labels)
        if len(points_) != len(labels_):
            raise PromptError(f"{len(points_)} points but {len(labels_)} labels; give one label per point")
        strokes = tuple(scribbles or ())
        for stroke in strokes:
            _points(stroke.points, size)
        if level is not None and not 0.0 <= level <= 1.0:
            raise PromptError(f"level {level!r} is outside 0..1; 0 is the finest part, 1 the whole image")
        if len(points_) == 0 and box is None and not strokes:
            raise PromptError("the prompt is empty; give at least one click, scribble or box")
        seen = None if view is None else _box(view, size, "view")
        return cls(points_, labels_, None if box is None else _box(box, size), strokes, level, seen)

    @property
    def positives(self) -> Float:
        """P x 2 (x, y): the positive clicks."""
        return self.points[self.labels == 1]

    @property
    def negatives(self) -> Float:
        """M x 2 (x, y): the negative clicks."""
        return self.points[self.labels == 0]

    def by_label(self, spacing: float) -> tuple[Float, Float]:
        """(negative, positive) points, so that labels index the sides; strokes as points `spacing` pixels apart."""
        sides: list[list[Float]] = [[self.negatives], [self.positives]]
        for stroke in self.scribbles:
            sides[stroke.label].append(stroke.resampled(spacing))
        return np.concatenate(sides[0]), np.concatenate(sides[1])

    def extends(self, other: "Prompt") -> bool:
        """Whether this is the other prompt, or that with more clicks after its own; never with strokes."""
        if self.scribbles or other.scribbles or (self.box, self.level) != (other.box, other.level):
            return False
        pairs = (self.points, other.points), (self.labels, other.labels)
        return all(np.array_equal(own[: len(theirs)], theirs) for own, theirs in pairs)

    def scaled(self, scale_x: float, scale_y: float) -> "Prompt":
        """The same prompt for an image resized by these factors; pixel centres map to pixel centres."""
        scale = np.array([scale_x, scale_y], np.float32)

        def move(points: Float) -> Float:
            return ((points + 0.5) * scale - 0.5).clip(0).astype(np.float32)

        def enlarged(box: Box | None) -> Box | None:
            return box and (box[0] * scale_x, box[1] * scale_y, box[2] * scale_x, box[3] * scale_y)

        strokes = tuple(Scribble(move(s.points), s.label) for s in self.scribbles)
        boxes = enlarged(self.box), enlarged(self.view)
        return Prompt(move(self.points), self.labels, boxes[0], strokes, self.level, boxes[1])


def _floats(values: npt.ArrayLike) -> Float:
    """As float32; PromptError for what is no array of numbers, or a number that is too large for any."""
    try:
        with np.errstate(over="ignore"):  # it becomes infinite, which is outside every image
            return np.asarray(values, dtype=np.float32)
    except (OverflowError, TypeError, ValueError) as error:
        raise PromptError(f"{error}; give coordinates in image pixels") from error


def _points(points: npt.ArrayLike | None, size: Size) -> Float:
    array = _floats(() if points is None else points)
    if array.size == 0:
        return np.zeros((0, 2), np.float32)
    if array.ndim != 2 or array.shape[1] != 2:
        raise PromptError(f"points have shape {array.shape}; give N x 2 (x, y) pixels")
    height, width = size
    inside = (array[:, 0] >= 0) & (array[:, 0] < width) & (array[:, 1] >= 0) & (array[:, 1] < height)
    if not inside.all():
        x, y = array[~inside][0]
        raise PromptError(f"point ({x:g}, {y:g}) is outside the image of {width} x {height} pixels (x, y)")
    return array


def _labels(labels: npt.ArrayLike | None) -> UInt8:
    array = np.asarray(() if labels is None else labels)
    if array.ndim != 1:
        raise PromptError(f"labels have shape {array.shape}; give a flat list of 1 (object) and 0 (background)")
    wrong = array[(array != 0) & (array != 1)]
    if wrong.size:
        raise PromptError(f"label {wrong[0]!r} is not 0 or 1; use 1 for object, 0 for background")
    return array.astype(np.uint8)


def _box(box: npt.ArrayLike, size: Size, name: str = "box") -> Box:
    array = _floats(box)
    if array.shape != (4,) or not np.isfinite(array).all():
        raise PromptError(f"{name} {box!r} is not four numbers; give x1, y1, x2, y2 in pixels")
    x1, y1, x2, y2 = (float(v) for v in array)
    height, width = size
    if not (0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height):
        raise PromptError(
            f"{name} ({x1:g}, {y1:g}, {x2:g}, {y2:g}) is empty or outside the image of {width} x {height} pixels;"
            " give x1 < x2 and y1 < y2 inside it"
        )
    return x1, y1, x2, y2


@runtime_checkable
class Predictor(Protocol):
    """Anything that answers clicks: our models, tree mode, baselines, or another network."""

    def set_image(self, image: UInt8) -> None:
        """Take an H x W x 3 uint8 RGB image; later `predict` calls refer to it."""

    def predict(
        self,
        points: npt.ArrayLike | None,
        labels: npt.ArrayLike | None,
        box: npt.ArrayLike | None = None,
        scribbles: Sequence[Scribble] | None = None,
        level: float | None = None,
        previous: "Mask | Float | None" = None,
    ) -> Mask:
        """Answer a prompt: N x 2 (x, y) pixel points with N labels (1 object, 0 background) and the rest.

        `previous` is the last Mask, or an H x W probability.
        """
        ...


class Engine(Protocol):
    """Answers prompts on encoded images for a `Segmenter`; keeps no state between calls.

    An engine may have `answer_around(encoded, prompt, previous) -> Mask | None`: the answer to a
    correction from a crop around the last click. It replaces answers that would change much.
    """

    one_by_one: bool  # clicks given at once must be answered one after the other, each from the mask before it

    def encode(self, image: UInt8) -> Any:
        """All that the engine computes once for an H x W x 3 uint8 RGB image."""
        ...

    def answer(self, encoded: Any, prompt: Prompt, previous: Mask | None) -> Mask:
        """The mask of a prompt in image pixels, at image resolution."""
        ...
