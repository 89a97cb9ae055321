"""Masks: from an object's steps to its mask, and how the project stores a mask and the page reads it.

Every step acts on the result of those before it. The result depends on image, model and steps alone, so steps
reproduce a mask (`clickgrain replay`), and removing a click means replaying the others. Results of prefixes are
cached, so that one more click costs one prediction.

Masks are coded as run lengths over the bounding box ("CGM1"), little endian: magic "CGM1", uint32 H, W, x1, y1, x2,
y2 (XYXY box, all 0 for an empty mask), uint32 count, then count uint32 lengths of alternating runs over the box in
row-major order, background first.
"""

import base64
import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from clickgrain.annotate import documents
from clickgrain.annotate.documents import BoxStep, BrushStep, Click, RegionStep, Step, Steps
from clickgrain.annotate.http_errors import RequestError
from clickgrain.errors import DataError, PromptError
from clickgrain.export.polygons import fill
from clickgrain.files import core_count, hash_bytes
from clickgrain.images.reader import MAX_PIXELS
from clickgrain.scene import Scene
from clickgrain.tree.leaf_map import node_mask, node_over, to_size
from clickgrain.types import Bool, Box, Mask, Scribble, Size

KEPT_BYTES = 64_000_000
SIMILAR = 0.9  # alternatives whose IoU is above this count as the same
MOST_ALTERNATIVES = 3
ASKING = (Click, documents.ScribbleStep, BoxStep, documents.LevelStep, documents.ChooseStep)  # may need the model
MAGIC = b"CGM1"
HEADER = 4 + 7 * 4


@dataclass(frozen=True)
class Fold:
    """What some steps lead to."""

    size: Size
    points: tuple[tuple[float, float, int], ...] = ()  # (x, y, label) of clicks so far
    box: Box | None = None
    scribbles: tuple[Scribble, ...] = ()
    level: float | None = None
    view: Box | None = None  # what the user saw at the first click, if the image was enlarged
    region: RegionStep | None = None
    answer: Mask | None = None  # the last prediction or given mask
    strokes: tuple[BrushStep | BoxStep, ...] = ()  # painted or taken away on top, in order
    predicted: bool = False  # whether a model made it

    @cached_property
    def binary(self) -> Bool:
        """H x W bool: the mask."""
        mask = np.zeros(self.size, np.uint8) if self.answer is None else self.answer.binary.astype(np.uint8)
        for stroke in self.strokes:
            paint(mask, stroke)
        return mask.astype(bool)

    @property
    def is_ambiguous(self) -> bool:
        """Whether alternatives are worth offering: a single click, and no level asked for."""
        only = len(self.points) == 1 and self.points[0][2] == 1 and not (self.box or self.scribbles or self.strokes)
        return only and self.predicted and self.level is None

    @property
    def alternatives(self) -> list[Mask]:
        """At most three masks that differ from the answer and from each other, best first."""
        if self.answer is None or not self.predicted:
            return []
        chosen: list[Mask] = []
        for one in self.answer.alternatives:
            if one.binary.any() and all(iou(one.binary, old.binary) < SIMILAR for old in [self.answer, *chosen]):
                chosen.append(one)
        return chosen[:MOST_ALTERNATIVES]


class MaskReplayer:
    """Replays steps; caches results of prefixes, within a bound of memory. `stored` gives the mask of a hash."""

    def __init__(self, stored: Callable[[str], Bool]) -> None:
        self._stored = stored
        self._kept: OrderedDict[int, tuple[object, Fold]] = OrderedDict()
        """By a running hash of the steps, with the steps themselves: hashing every prefix whole is slow."""
        self._lock = threading.Lock()
        self._cores = threading.BoundedSemaphore(core_count())  # more predictions at once would compete for them

    def fold(self, scene: Scene, steps: Steps) -> Fold:
        """What steps lead to on a scene; PromptError for a point outside, RequestError if a step cannot follow."""
        begin = (scene.model, scene.stamp)
        names = list(itertools.accumulate(steps, lambda name, step: hash((name, step)), initial=hash(begin)))
        state, done = Fold(scene.size), 0
        for count in range(len(steps), 0, -1):
            if (known := self._known(names[count], (begin, steps[:count]))) is not None:
                state, done = known, count
                break
        for count in range(done + 1, len(steps) + 1):
            what = (begin, steps[:count])
            with ExitStack() as turn:
                if isinstance(steps[count - 1], ASKING):  # the others need not wait
                    for lock in (scene.turn, self._cores):
                        turn.enter_context(lock)
                known = self._known(names[count], what)  # another thread may have made it meanwhile
                state = known or self._step(scene, state, steps[count - 1])
                with self._lock:
                    self._kept[names[count]] = (what, state)
                    while len(self._kept) > max(4, KEPT_BYTES // (7 * scene.size[0] * scene.size[1])):
                        self._kept.popitem(last=False)
        return state

    def _known(self, name: int, what: object) -> Fold | None:
        with self._lock:
            kept, state = self._kept.get(name, (None, None))
            if kept != what:
                return None
            self._kept.move_to_end(name)
            return state

    def _step(self, scene: Scene, state: Fold, step: Step) -> Fold:
        match step:
            case documents.Click():
                _inside(((step.x, step.y),), scene.size)
                points, strokes = (*state.points, (step.x, step.y, step.label)), _strokes_without(state, step)
                changed = replace(state, points=points, strokes=strokes)
                if state.answer is None:
                    changed = replace(changed, view=step.view and _within(step.view, scene.size))
                if step.usual is not None and step.label and state.answer is None and state.level is None:
                    return self._usual(scene, changed, step.usual)
                return self._predicted(scene, changed, state.answer, grows=bool(step.label))
            case documents.ScribbleStep():
                scribbles = (*state.scribbles, Scribble(np.array(step.points, np.float32), step.label))
                changed = replace(state, scribbles=scribbles)
                return self._predicted(scene, changed, state.answer, grows=bool(step.label))
            case documents.BoxStep(label=0):
                return replace(state, strokes=(*state.strokes, step))
            case documents.BoxStep():
                if state.answer is None:
                    return self._predicted(scene, replace(state, box=step.box), None)
                boxed = self._predicted(scene, Fold(scene.size, box=step.box, level=state.level), None).answer
                assert boxed is not None
                both = np.maximum(state.answer.probability, boxed.probability)
                answer = Mask(both, score=boxed.score, level=state.answer.level)
                return replace(state, answer=answer, predicted=True)
            case documents.LevelStep():
                region = state.region
                if region is not None and len(state.points) == 1 and step.level is not None:
                    region = region.model_copy(update={"level": step.level})
                    return _region(scene, replace(state, points=()), region)
                changed = replace(state, level=step.level)
                if not (changed.points or changed.box or changed.scribbles):
                    return changed
                return self._predicted(scene, changed, None)  # the previous mask would keep its size
            case documents.RegionStep():
                return _region(scene, state, step)
            case documents.ChooseStep():
                others = state.alternatives
                if step.alternative >= len(others):
                    reason = f"there is no alternative {step.alternative + 1}: {len(others)} were offered"
                    raise RequestError("invalid", reason)
                return replace(state, answer=others[step.alternative])
            case documents.BrushStep():
                _inside(step.points, scene.size)
                return replace(state, strokes=(*state.strokes, step))
            case documents.PolygonStep():
                filled = np.logical_xor.reduce([fill([ring], scene.size) for ring in step.rings])
                return _given(state, filled, strokes=())  # painted or not, they show in the corners
            case documents.MaskStep():
                return _given(state, to_size(self._stored(step.mask), scene.size))

    def _predicted(self, scene: Scene, state: Fold, previous: Mask | None, *, grows: bool = True) -> Fold:
        """Ask the model; unless it `grows`, only pixels of the previous mask stay."""
        points = np.array([point[:2] for point in state.points], np.float32).reshape(-1, 2)
        labels, rest = [point[2] for point in state.points], (state.box, state.scribbles, state.level)
        answer = scene.segmenter.predict(points, labels, *rest, previous, view=state.view, encoded=scene.encoded)
        if previous is not None and not grows:
            outside = ~previous.binary
            answer = answer.refined(lambda found: np.where(outside, np.minimum(found, 0.5), found))
        _ = answer.binary
        return replace(state, answer=answer, predicted=True)

    def _usual(self, scene: Scene, state: Fold, level: float) -> Fold:
        """A first click at the usual level; what it gives without one is the first of the alternatives."""
        answer = self._predicted(scene, replace(state, level=level), None).answer
        assert answer is not None

        def others() -> list[Mask]:
            free = self._predicted(scene, state, None).answer
            return [] if free is None else [free, *free.alternatives]

        answer.offer(others)
        return replace(state, answer=answer, predicted=True)


def _given(state: Fold, mask: Bool, **changes: Any) -> Fold:
    """A mask that no model made; the prompts before it are done with."""
    answer = Mask(mask.astype(np.float32), score=1.0)
    return replace(state, answer=answer, predicted=False, points=(), box=None, scribbles=(), **changes)


def paint(mask: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], stroke: BrushStep | BoxStep) -> None:
    """Draw into an H x W uint8 mask of 0 and 1: pixel centers within `radius` of a stroke, or in an XYXY box."""
    if isinstance(stroke, BoxStep):
        left, top, right, bottom = (round(side) for side in stroke.box)
        mask[top:bottom, left:right] = stroke.label
        return
    unit = 16  # places and radius are in sixteenths of a pixel
    points = np.rint(np.array(stroke.points) * unit).astype(np.int32)
    radius = max(0, round(stroke.radius * unit))
    for start, end in itertools.pairwise([*points, points[-1]]):  # the pixels near each part, also of a lone point
        low = (np.minimum(start, end) - radius) // unit
        high = (np.maximum(start, end) + radius) // unit + 1
        left, top = np.maximum(low, 0)
        right, bottom = np.minimum(high + 1, [mask.shape[1], mask.shape[0]])
        if right <= left or bottom <= top:
            continue
        y, x = np.ogrid[top:bottom, left:right]
        px, py = x * float(unit) - start[0], y * float(unit) - start[1]
        dx, dy = (float(v) for v in end - start)
        length = dx * dx + dy * dy
        along = np.clip((px * dx + py * dy) / length, 0, 1) if length else 0.0
        near = (px - along * dx) ** 2 + (py - along * dy) ** 2 <= float(radius) ** 2
        mask[top:bottom, left:right][near] = stroke.label
    for x, y in np.rint(np.array(stroke.points)).astype(np.int64):  # a brush finer than a pixel still paints one
        if y < mask.shape[0] and x < mask.shape[1]:
            mask[y, x] = stroke.label


def _strokes_without(state: Fold, click: Click) -> tuple[BrushStep | BoxStep, ...]:
    """The strokes, except those that a click of the other label falls on: it removes them."""

    def covers(stroke: BrushStep | BoxStep) -> bool:
        canvas = np.zeros(state.size, np.uint8)
        paint(canvas, stroke.model_copy(update={"label": 1}))
        return bool(canvas[int(click.y), int(click.x)])

    return tuple(one for one in state.strokes if one.label == click.label or not covers(one))


def _region(scene: Scene, state: Fold, step: RegionStep) -> Fold:
    _inside(((step.x, step.y),), scene.size)
    node = node_over(scene.tree, scene.leaves, (step.x, step.y), step.level)
    mask = node_mask(scene.tree, scene.leaves, node, scene.size)
    before = state.answer.binary if state.answer is not None and state.points else None
    union: Bool = mask if before is None else mask | before
    answer = Mask(union.astype(np.float32), score=1.0, level=float(scene.tree.level[node]))
    points = (*state.points, (step.x, step.y, 1))
    level = state.level if state.points else step.level  # corrections start from the chosen level
    return replace(state, points=points, level=level, region=step, answer=answer, predicted=False)


def _within(view: Box, size: Size) -> Box | None:
    """The part of a view that lies in the image, whose file may be a smaller one now; None if nothing does."""
    left, top, right, bottom = view[0], view[1], min(view[2], size[1]), min(view[3], size[0])
    return (left, top, right, bottom) if left < right and top < bottom else None


def _inside(points: tuple[tuple[float, float], ...], size: Size) -> None:
    height, width = size
    for x, y in points:
        if not (0 <= x < width and 0 <= y < height):
            raise PromptError(f"point ({x:g}, {y:g}) is outside the image of {width} x {height} pixels (x, y)")


def iou(a: Bool, b: Bool) -> float:
    """Intersection over union of two H x W masks; 1 if both are empty."""
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


@dataclass(frozen=True)
class Coded:
    """A mask of an image of `size` = (H, W), coded; `hash` names it."""

    data: bytes
    hash: str
    size: Size
    bbox: tuple[int, int, int, int] | None  # XYXY pixels, None when empty
    area: int  # pixels

    @property
    def text(self) -> str:
        """The data in base64, for JSON."""
        return base64.b64encode(self.data).decode()


def encode(mask: Bool) -> Coded:
    """Code an H x W bool mask."""
    x, y, width, height = cv2.boundingRect(np.ascontiguousarray(mask).view(np.uint8))  # all 0 for an empty mask
    box, flat = (x, y, x + width, y + height), mask[y : y + height, x : x + width].ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(edges, prepend=0, append=flat.size) if flat.size else edges
    if flat[:1].any():  # the first run is of background
        runs = np.insert(runs, 0, 0)
    head = np.array([*mask.shape, *box, len(runs)], "<u4")
    data = MAGIC + head.tobytes() + runs.astype("<u4").tobytes()
    size = (mask.shape[0], mask.shape[1])
    return Coded(data, hash_bytes(data), size, box if flat.size else None, int(np.count_nonzero(flat)))


def decode(data: bytes) -> Bool:
    """The H x W bool mask. Raises DataError: not what `encode` writes."""
    (height, width), (x1, y1, x2, y2), runs = parts(data)
    mask = np.zeros((height, width), bool)
    values = (np.arange(len(runs)) % 2).astype(bool)
    mask[y1:y2, x1:x2] = np.repeat(values, runs).reshape(y2 - y1, x2 - x1)
    return mask


def parts(data: bytes) -> tuple[Size, tuple[int, int, int, int], npt.NDArray[np.int64]]:
    """((H, W), XYXY box, runs), checked against each other. Raises DataError: not what `encode` writes."""
    if not isinstance(data, bytes) or len(data) < HEADER or data[:4] != MAGIC or len(data) % 4:
        raise DataError(f"{len(data)} bytes beginning with {data[:4]!r} are no whole coded mask")
    height, width, x1, y1, x2, y2, count = (int(v) for v in np.frombuffer(data, "<u4", 7, 4))
    runs = np.frombuffer(data, "<u4", offset=HEADER).astype(np.int64)
    inside = x1 <= x2 <= width and y1 <= y2 <= height and height * width <= MAX_PIXELS
    if not inside or len(runs) != count or runs.sum() != (x2 - x1) * (y2 - y1):
        raise DataError(f"a coded mask of {width} x {height} pixels is damaged: its runs do not fill its box")
    return (height, width), (x1, y1, x2, y2), runs
