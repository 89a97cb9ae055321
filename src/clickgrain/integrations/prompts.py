"""Prompts as they are drawn by hand in other tools: a little outside the image, too."""

from typing import Any

import numpy as np
import numpy.typing as npt

from clickgrain.types import Size


def onto_image(points: Any, size: Size) -> npt.NDArray[np.float64]:
    """N x 2 (x, y) pixels of an (H, W) image; up to a pixel outside moves onto it, the rest stays to be refused.

    CVAT's page rounds before it looks whether a click is on the image, and Label Studio takes clicks on the edges.
    """
    given, last = np.asarray(points, np.float64).reshape(-1, 2), np.array(size[::-1]) - 1.0
    near = (given > -1) & (given < last + 2)
    return np.where(near, given.clip(0, last), given)


def clipped(corners: Any, size: Size) -> npt.NDArray[np.float64] | None:
    """The part of a box within an (H, W) image, XYXY pixels; None where no box is given."""
    box = np.ravel(np.asarray([] if corners is None else corners, np.float64))
    return np.clip(box, 0, np.resize(size[::-1], box.shape)) if box.size else None
