"""Clicks, boxes and strokes in napari's layers, answered slice by slice; no Qt here."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.utils.colormaps import direct_colormap

from clickgrain.annotate.usual_level import UsualLevels
from clickgrain.errors import ConfigError, PromptError
from clickgrain.images.reader import MAX_PIXELS
from clickgrain.integrations.image_cache import ImageCache
from clickgrain.integrations.prompts import clipped, onto_image
from clickgrain.segmenter import Encoded, Segmenter
from clickgrain.tracking import LOST, Tracked, Tracker
from clickgrain.types import Bool, Mask, Scribble, UInt8

POSITIVE, NEGATIVE, BLUE = "#28c850", "#e63232", "#1e90ff"
MEGABYTES = 512  # of encoded slices to keep


class ClickSession:
    """One image or stack of a viewer, and the layers that belong to it.

    Layers are named as users of micro-sam know them: `clicks` (points), `box` and `strokes` (shapes),
    `current_object` and `committed_objects` (labels). Points are in data coordinates of the image, (row, column),
    before them the slice. `image` is a layer of napari: gray or RGB, with or without one axis of slices; of several
    resolutions the first counts. Raises ConfigError: it has more axes, or more pixels than can be worked on.
    """

    def __init__(self, viewer: Any, image: Any, segmenter: Segmenter) -> None:
        self.data = image.data[0] if image.multiscale else image.data
        self.axes = np.ndim(self.data) - bool(image.rgb)
        if self.axes not in (2, 3):
            raise ConfigError(f"{image.name} has {self.axes} axes; choose an image, or a stack of slices")
        height, width = self.size = self.data.shape[self.axes - 2 : self.axes]
        if height * width > MAX_PIXELS:
            limit = f"{MAX_PIXELS / 1e6:.0f} megapixels"
            raise ConfigError(f"{image.name} has {width} x {height} pixels, over {limit}; crop it first")
        self.viewer, self.image = viewer, image
        self.level: float | None = None  # wanted; when None, first clicks are answered at the usual level
        self.usual = UsualLevels()
        self.learned: Future[None] | None = None  # of the last committed object
        self._learner = ThreadPoolExecutor(1, "usual level")
        self._last: tuple[int | None, list[list[float]], list[int], Mask] | None = None  # slice, clicks and mask
        self.view: list[int] | None = None  # XYXY pixels on the screen at the object's first click
        self._cache = ImageCache(segmenter, MEGABYTES)
        self.positive = True  # whether the next click is on the object
        self._quiet = False  # whether layers change without being answered
        place = {"scale": image.scale, "translate": image.translate}
        add_shapes = partial(viewer.add_shapes, ndim=self.axes, face_color="transparent", **place)
        self.box = add_shapes(name="box", edge_color="white")
        self.strokes = add_shapes(name="strokes", edge_color=POSITIVE)
        blank = np.zeros(self.data.shape[: self.axes], np.int32)
        self.objects = viewer.add_labels(blank.copy(), name="committed_objects", **place)
        blue = direct_colormap({0: "transparent", 1: BLUE, None: BLUE})
        self.current = viewer.add_labels(blank.copy(), name="current_object", colormap=blue, **place)
        self.clicks = viewer.add_points(
            np.zeros((0, self.axes)), name="clicks", size=8, symbol="disc", face_color=POSITIVE, **place
        )
        self.clicks.mode = "add"
        self.clicks.events.data.connect(self._on_click)

    @property
    def slice(self) -> int | None:
        """The slice that the viewer shows; None for a single image."""
        return None if self.axes == 2 else int(self.viewer.dims.current_step[0])

    def toggle(self) -> None:
        """The next clicks are of the other kind."""
        self.positive = not self.positive
        self.clicks.selected_data = set()
        self.clicks.current_face_color = self.strokes.current_edge_color = POSITIVE if self.positive else NEGATIVE

    def segment(self) -> bool:
        """Answer what is drawn on this slice; False if nothing is. PromptError for a click outside the image."""
        points, labels = self._points()
        box, strokes = self._box(), self._strokes()
        if not labels and box is None and not strokes:
            return False
        predict = partial(self._cache.segmenter.predict, encoded=self._encoded(), view=self.view)
        usual = self.usual.of(None)
        if usual is None or self.level is not None or box is not None or strokes or not labels[0]:
            mask = predict(points, labels, box, strokes, self.level)
        else:
            mask = self._in_turn(predict, points, labels, usual)
        self._show(self.current, mask.binary.astype(np.int32))
        return True

    def _in_turn(
        self, predict: Callable[..., Mask], points: list[list[float]], labels: list[int], usual: float
    ) -> Mask:
        """The answer to clicks alone: the first at the usual level, each of the others from the mask before it."""
        done, mask = 0, None
        if self._last is not None:
            at, known, signs, before = self._last
            if (at, known, signs) == (self.slice, points[: len(known)], labels[: len(known)]):
                done, mask = len(known), before
        for end in range(done + 1, len(points) + 1):
            level = usual if end == 1 else None
            mask = predict(points[:end], labels[:end], level=level, previous=mask)
        assert mask is not None, "a click at least"
        self._last = self.slice, points, labels, mask
        return mask

    def commit(self) -> int:
        """Keep the current object, on all its slices, and begin the next one; its number, 0 if there is none."""
        mask = self.current.data > 0
        if not mask.any():
            return 0
        number = int(self.objects.data.max()) + 1
        self.objects.data = np.where(mask, number, self.objects.data)
        points, labels = self._points()
        if labels and labels[0]:
            ask = partial(self._cache.segmenter.predict, points[:1], [1], encoded=self._encoded(), view=self.view)
            here = mask if self.slice is None else mask[self.slice]
            self.learned = self._learner.submit(self.usual.learn, None, here, lambda level: ask(level=level).binary)
        self.clear()
        return number

    def clear(self) -> None:
        """Forget the current object and everything drawn for it."""
        self._last = self.view = None
        self._quiet = True
        self.clicks.data = np.zeros((0, self.axes))
        self._quiet = False
        self.box.data, self.strokes.data = [], []
        self.current.data = np.zeros_like(self.current.data)

    def next_slice(self) -> bool:
        """Show the next slice; False on the last one."""
        if self.slice is None or self.slice + 1 >= len(self.data):
            return False
        self.viewer.dims.set_current_step(0, self.slice + 1)
        return True

    def carry_on(self) -> Iterator[tuple[int, Tracked]]:
        """Carry the current object to the slices after this one; ends where it is lost (a score below `LOST`).

        Changes no layer, so that another thread may run it; hand what it yields to `take`. Raises PromptError:
        there is no current object on this slice, or no stack.
        """
        at = self.slice
        if at is None or not (self.current.data[at] > 0).any():
            raise PromptError("nothing to carry on; click an object on a slice of a stack first")
        tracker = Tracker(self._rgb(at), self.current.data[at] > 0)
        for number in range(at + 1, len(self.data)):
            tracked = tracker.step(self._rgb(number))
            yield number, tracked
            if tracked.score < LOST:
                return

    def take(self, number: int, tracked: Tracked) -> None:
        """Show the slice, with the carried object on it unless it is lost."""
        self.viewer.dims.set_current_step(0, number)
        if tracked.score >= LOST:
            self._show(self.current, tracked.mask.astype(np.int32))

    def _on_click(self, event: Any) -> None:
        """A point was added: it gets the kind that is on, and is answered."""
        kind = str(getattr(event, "action", "added")).rpartition(".")[2].lower()
        if not self._quiet and kind in ("added", "removed"):
            if len(self.clicks.data) == 1:
                self.view = self._seen()
            self.segment()

    def _seen(self) -> list[int] | None:
        """XYXY pixels of the image on the screen; None before it is drawn, or with several resolutions."""
        first, last = np.asarray(self.image.corner_pixels)[:, :-3:-1].clip(0)
        if self.image.multiscale or not (first < last).all():
            return None
        return [*first.tolist(), *np.minimum(last + 1, self.size[::-1]).tolist()]

    def _here(self, coordinates: Any) -> Bool:
        """Which of N x axes coordinates lie on this slice."""
        given = np.asarray(coordinates, np.float64).reshape(-1, self.axes)
        return np.ones(len(given), bool) if self.slice is None else np.rint(given[:, 0]) == self.slice

    def _points(self) -> tuple[list[list[float]], list[int]]:
        here = self._here(self.clicks.data)
        reds = np.asarray(self.clicks.face_color)[here][:, 0] > 0.5
        points = onto_image(np.asarray(self.clicks.data)[here][:, :-3:-1], self.size)
        return points.tolist(), [int(not red) for red in reds]

    def _box(self) -> npt.NDArray[np.float64] | None:
        """XYXY pixels of the last box of this slice."""
        boxes = [corners for corners in self.box.data if self._here(corners).all()]
        if not boxes:
            return None
        corners = boxes[-1][:, :-3:-1]
        return clipped([corners.min(0), corners.max(0)], self.size)

    def _strokes(self) -> list[Scribble]:
        found, last = [], np.array(self.size[::-1]) - 1
        for path, color in zip(self.strokes.data, np.asarray(self.strokes.edge_color)):
            if self._here(path).all():
                within = np.asarray(path, np.float32)[:, :-3:-1].clip(0, last)
                found.append(Scribble(within.astype(np.float32), int(color[0] <= 0.5)))
        return found

    def _show(self, layer: Any, values: np.ndarray) -> None:
        if self.slice is None:
            layer.data = values
        else:
            layer.data[self.slice] = values
            layer.refresh()

    def _encoded(self) -> Encoded:
        at = self.slice
        return self._cache.get(f"{id(self.image)} {at}", lambda: self._rgb(at))

    def _rgb(self, at: int | None) -> UInt8:
        """H x W x 3 uint8 of a slice, gray and deep ones within the layer's contrast limits."""
        values = np.asarray(self.data if at is None else self.data[at])
        if values.dtype != np.uint8:
            low, high = (0.0, 1.0) if self.image.rgb else self.image.contrast_limits
            scaled = (values.astype(np.float32) - low) / max(high - low, 1e-9)
            values = (np.clip(np.nan_to_num(scaled), 0, 1) * 255).astype(np.uint8)
        return values[..., :3] if self.image.rgb else np.repeat(values[..., None], 3, axis=2)
