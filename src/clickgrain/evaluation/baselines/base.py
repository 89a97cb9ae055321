"""What the baselines share: a checked image and prompt, and prompts drawn as certain pixels (seeds)."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from clickgrain.errors import PromptError
from clickgrain.images import check_image, resize_long_side
from clickgrain.models.engine import obey
from clickgrain.types import Float, Mask, Prompt, Scribble, Size, UInt8

UNKNOWN, OBJECT, BACKGROUND = 0, 1, 2
RADIUS = 5  # of the certain disk around a click and to either side of a scribble, in image pixels


class Prompted(ABC):
    """A `Predictor` that answers one image at a time."""

    name: str
    size: Size | None = None  # (height, width) of the image that is set

    def set_image(self, image: UInt8) -> None:
        """Take an H x W x 3 uint8 RGB image; ImageError if the array is no such image."""
        image = check_image(image)
        self._prepare(image)
        self.size = (image.shape[0], image.shape[1])

    def predict(
        self,
        points: npt.ArrayLike | None,
        labels: npt.ArrayLike | None,
        box: npt.ArrayLike | None = None,
        scribbles: Sequence[Scribble] | None = None,
        level: float | None = None,
        previous: "Mask | Float | None" = None,
    ) -> Mask:
        """As `Predictor.predict`; PromptError before `set_image`, and for what the method does not take."""
        if self.size is None:
            raise PromptError("no image has been set; call set_image(image) first")
        prompt = Prompt.of(points, labels, size=self.size, box=box, scribbles=scribbles, level=level)
        return self._answer(prompt, self.size, previous)

    @abstractmethod
    def _prepare(self, image: UInt8) -> None:
        """Compute what depends on the H x W x 3 uint8 image only."""

    @abstractmethod
    def _answer(self, prompt: Prompt, size: Size, previous: "Mask | Float | None") -> Mask:
        """The answer at the image's (height, width)."""


class SeededBaseline(Prompted):
    """A method that spreads certain pixels over the image; starts from scratch at every click.

    Clicks are disks and scribbles strokes of certain pixels. Outside a box everything is certain background;
    if there is a box and no positive click or scribble, the middle of the box (half its width and height) is
    certain object. Without any background seed the outermost pixels of the image are background. Without any
    object seed the answer is empty. `previous` and `level` are ignored. Every click ends on its side of the mask.

    Works on the image shrunk to `long_side`, to keep a click short; the probability is scaled up bilinearly.
    """

    long_side: int

    def _prepare(self, image: UInt8) -> None:
        small = resize_long_side(image, self.long_side) if max(image.shape[:2]) > self.long_side else image.copy()
        self._small: Size = (small.shape[0], small.shape[1])
        self._study(small)

    def _answer(self, prompt: Prompt, size: Size, previous: "Mask | Float | None") -> Mask:
        seeds = seeds_of(prompt, size, self._small)
        if all((seeds == value).any() for value in (UNKNOWN, OBJECT, BACKGROUND)):
            small = self._spread(seeds)
        else:  # nothing to decide, or nothing to decide it from
            small = (seeds == OBJECT).astype(np.float32)
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
    strokes = strokes_of(small)
    seeds = np.full(size, UNKNOWN, np.uint8)
    if small.box is not None:
        x1, y1, x2, y2 = small.box
        seeds[:] = BACKGROUND
        seeds[int(y1) : int(np.ceil(y2)), int(x1) : int(np.ceil(x2))] = UNKNOWN
        if not any(label for _, label in strokes):
            rows = slice(int(0.75 * y1 + 0.25 * y2), int(np.ceil(0.25 * y1 + 0.75 * y2)))
            columns = slice(int(0.75 * x1 + 0.25 * x2), int(np.ceil(0.25 * x1 + 0.75 * x2)))
            seeds[rows, columns] = OBJECT
    for radius in (max(1, round(RADIUS * scale)), 0):  # the disk of a neighbor must not swallow a click
        for points, label in strokes:
            draw(seeds, points, radius, OBJECT if label else BACKGROUND)
    if not (seeds == BACKGROUND).any():
        inner = seeds[1:-1, 1:-1].copy()
        seeds[seeds == UNKNOWN] = BACKGROUND
        seeds[1:-1, 1:-1] = inner
    return seeds


def strokes_of(prompt: Prompt) -> list[tuple[Float, int]]:
    """(points, label) of every click (one point) and scribble."""
    strokes = [(point[None], int(label)) for point, label in zip(prompt.points, prompt.labels)]
    return strokes + [(scribble.points, scribble.label) for scribble in prompt.scribbles]


def draw(seeds: UInt8, points: Float, radius: int, value: int) -> None:
    """Draw a disk (one point) or a stroke with round ends (several), `radius` pixels to either side."""
    pixels = np.floor(points).astype(np.int32)
    for x, y in pixels:
        cv2.circle(seeds, (int(x), int(y)), radius, value, cv2.FILLED)
    if len(pixels) > 1:
        cv2.polylines(seeds, [pixels], isClosed=False, color=value, thickness=2 * radius + 1)
