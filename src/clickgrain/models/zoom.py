"""Which window of an image a model sees.

Source: the inference of RITM (Sofiiuk et al., arXiv 2102.06583), as SimpleClick and MIS (arXiv 2303.13399) use it.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from clickgrain.types import Bool, Box, Float, Size


class Window(NamedTuple):
    """Rows top..bottom and columns left..right of an image, both ends included."""

    top: int
    bottom: int
    left: int
    right: int

    @classmethod
    def of_box(cls, box: Box) -> "Window":
        """The pixels that an XYXY box touches."""
        return cls(int(box[1]), int(np.ceil(box[3])) - 1, int(box[0]), int(np.ceil(box[2])) - 1)

    @property
    def box(self) -> Box:
        """XYXY pixels, from the outer edge of the first pixel to that of the last."""
        return (float(self.left), float(self.top), float(self.right + 1), float(self.bottom + 1))

    @property
    def size(self) -> Size:
        """(height, width)."""
        return self.bottom - self.top + 1, self.right - self.left + 1

    @property
    def slices(self) -> tuple[slice, slice]:
        """Of an H x W array."""
        return slice(self.top, self.bottom + 1), slice(self.left, self.right + 1)

    def paste(self, values: Float, size: Size) -> Float:
        """H x W float32 of an image of `size`: values within the window, 0 outside."""
        whole = np.zeros(size, np.float32)
        whole[self.slices] = values
        return whole

    def holds(self, points: Float) -> bool:
        """Whether every one of N x 2 (x, y) points lies inside."""
        column, row = np.floor(points).astype(np.int64).T
        inside = (self.top <= row) & (row <= self.bottom) & (self.left <= column) & (column <= self.right)
        return bool(inside.all())

    def overlap(self, other: "Window") -> float:
        """IoU of the rows times IoU of the columns, 0..1; not the IoU of the areas."""

        def iou(a: int, b: int, c: int, d: int) -> float:
            return max(0, min(b, d) - max(a, c) + 1) / (max(b, d) - min(a, c) + 1)

        rows = iou(self.top, self.bottom, other.top, other.bottom)
        return rows * iou(self.left, self.right, other.left, other.right)


@dataclass(frozen=True)
class Zoom:
    """The rule for the window; the defaults are the published ones."""

    expansion: float = 1.4  # of the bounding box, about its center
    min_side: int = 200  # pixels that the expanded box has at least, before it is clamped to the image
    keep: float = 0.5  # the last window stays while its overlap with the new one is at least this much

    def window(
        self, before: Bool | None, positives: Float, box: Box | None, last: Window | None, size: Size
    ) -> Window:
        """The window of the next answer in an image of `size`, given P x 2 positive clicks and the last window.

        Without a previous mask (H x W), or with an empty one, it is the whole image (click 1), unless there is a
        box, which counts as part of the mask (ours: the paper knows none).
        """
        new = Window(0, size[0] - 1, 0, size[1] - 1)
        found = None if before is None else bounds(before)
        if windows := [one for one in (found, box and Window.of_box(box)) if one is not None]:
            pixels = np.floor(positives).astype(int).tolist()
            windows += [Window(row, row, column, column) for column, row in pixels]
            tops, bottoms, lefts, rights = zip(*windows)
            rows = self._widened(min(tops), max(bottoms), size[0])
            new = Window(*rows, *self._widened(min(lefts), max(rights), size[1]))
        return last if last is not None and last.holds(positives) and last.overlap(new) >= self.keep else new

    def _widened(self, first: int, last: int, length: int) -> tuple[int, int]:
        center, side = (first + last) / 2, max(self.expansion * (last - first + 1), self.min_side)
        return max(0, round(center - side / 2)), min(length - 1, round(center + side / 2))


def bounds(mask: Bool) -> Window | None:
    """The smallest window that holds all of an H x W mask; None for an empty one."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows) == 0:
        return None
    return Window(int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1]))
