"""What the seeded baselines share: prompts as certain pixels, at a working size that keeps a click short."""

from abc import abstractmethod

import cv2
import numpy as np

from clickgrain.evaluation.baselines.prompted import Prompted
from clickgrain.images import resize_long_side
from clickgrain.models.engine import obey
from clickgrain.types import Float, Mask, Prompt, Size, UInt8

UNKNOWN, OBJECT, BACKGROUND = 0, 1, 2
RADIUS = 5
"""Of the certain disk around a click and to either side of a scribble, in image pixels."""


class SeededBaseline(Prompted):
    """A method that spreads certain pixels over the image; answers from scratch at every click.

    Clicks are disks and scribbles strokes of certain pixels. Outside a box everything is certain background;
    beside a box without a positive click or scribble, the middle of the box (half its width and height) is
    certain object. Without any background seed the outermost pixels of the image are background. Without any
    object seed the answer is empty. `previous` and `level` are ignored. Clicks always end on their own side.

    Works on the image shrunk to `long_side`; the probability is scaled up bilinearly.
    """

    long_side: int

    def _prepare(self, image: UInt8) -> None:
        small = resize_long_side(image, self.long_side) if max(image.shape[:2]) > self.long_side else image.copy()
        self._small: Size = (small.shape[0], small.shape[1])
        self._study(small)

    def _answer(self, prompt: Prompt, size: Size, previous: "Mask | Float | None") -> Mask:
        seeds = seeds_of(prompt, size, self._small)
        known = all((seeds == value).any() for value in (UNKNOWN, OBJECT, BACKGROUND))
        # Otherwise there is nothing to decide, or nothing to decide it from.
        small = self._spread(seeds) if known else (seeds == OBJECT).astype(np.float32)
        full = cv2.resize(small, size[::-1], interpolation=cv2.INTER_LINEAR)
        return Mask(obey(full.astype(np.float32, copy=False), prompt, RADIUS))

    @abstractmethod
    def _study(self, image: UInt8) -> None:
        """Compute what depends on the h x w x 3 working image only."""

    @abstractmethod
    def _spread(self, seeds: UInt8) -> Float:
        """h x w float32 probability of object, given h x w seeds that hold all three values."""


def seeds_of(prompt: Prompt, image_size: Size, size: Size) -> UInt8:
    """h x w uint8 of UNKNOWN, OBJECT and BACKGROUND for a prompt in pixels of an image of `image_size`."""
    scale = size[1] / image_size[1]
    small = prompt.scaled(scale, size[0] / image_size[0])
    radius = max(1, round(RADIUS * scale))
    strokes = [(point[None], int(label)) for point, label in zip(small.points, small.labels)]
    strokes += [(scribble.points, scribble.label) for scribble in small.scribbles]
    seeds = np.zeros(size, np.uint8)
    if small.box is not None:
        seeds = _boxed(small.box, size, middle=not any(label for _, label in strokes))
    for width in (radius, 0):  # a neighbour's disk must not swallow a click
        for points, label in strokes:
            draw(seeds, points, width, OBJECT if label else BACKGROUND)
    if not (seeds == BACKGROUND).any():
        inner = seeds[1:-1, 1:-1].copy()
        seeds[seeds == UNKNOWN] = BACKGROUND
        seeds[1:-1, 1:-1] = inner
    return seeds


def draw(seeds: UInt8, points: Float, radius: int, value: int) -> None:
    """Draw a disk (one point) or a stroke of round ends (several), `radius` pixels to either side."""
    pixels = np.floor(points).astype(np.int32)
    for x, y in pixels:
        cv2.circle(seeds, (int(x), int(y)), radius, value, cv2.FILLED)
    if len(pixels) > 1:
        cv2.polylines(seeds, [pixels], isClosed=False, color=value, thickness=2 * radius + 1)


def _boxed(box: tuple[float, float, float, float], size: Size, *, middle: bool) -> UInt8:
    x1, y1, x2, y2 = box
    seeds = np.full(size, BACKGROUND, np.uint8)
    seeds[int(y1) : int(np.ceil(y2)), int(x1) : int(np.ceil(x2))] = UNKNOWN
    if middle:
        rows = slice(int(0.75 * y1 + 0.25 * y2), int(np.ceil(0.25 * y1 + 0.75 * y2)))
        columns = slice(int(0.75 * x1 + 0.25 * x2), int(np.ceil(0.25 * x1 + 0.75 * x2)))
        seeds[rows, columns] = OBJECT
    return seeds
