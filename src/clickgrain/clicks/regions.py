"""Parts of an image that clicks are drawn from: object, background, eroded object, border band.

Masks are H x W bool; points are (x, y) pixels.
"""

import cv2
import numpy as np

from clickgrain.errors import PromptError
from clickgrain.types import Bool, Float, Int

SoftMask = Bool | Float
"""H x W bool, or a soft float mask whose object is > 0.5."""

_SQUARE = np.ones((3, 3), np.uint8)


def split_sides(mask: SoftMask, valid: Bool | None) -> tuple[Bool, Bool]:
    """Valid pixels of the object, and valid pixels of the background.

    Raises:
        PromptError: for an object without a valid pixel, or unequal shapes.
    """
    inside = as_bool(mask, "mask")
    outside = ~inside
    if valid is not None:
        allowed = as_bool_like(valid, inside, "valid")
        inside, outside = inside & allowed, outside & allowed
    if not inside.any():
        where = "" if valid is None else " where `valid` is true"
        raise PromptError(
            f"the mask of shape {inside.shape} is empty{where}; draw clicks from masks with an object"
        )
    return inside, outside


def as_bool(mask: SoftMask, name: str) -> Bool:
    """The mask as contiguous bool; a PromptError names it if it is not H x W."""
    array = np.asarray(mask)
    if array.ndim != 2:
        raise PromptError(f"{name} has shape {array.shape}; give an H x W array")
    return np.ascontiguousarray(array if array.dtype == np.bool_ else np.greater(array, 0.5))


def as_bool_like(mask: SoftMask, other: Bool, name: str) -> Bool:
    """As `as_bool`; a PromptError also if its shape is not that of `other`."""
    array = as_bool(mask, name)
    if array.shape != other.shape:
        raise PromptError(f"{name} has shape {array.shape}, the mask {other.shape}; give arrays of the same H x W")
    return array


def eroded(region: Bool, iterations: int, min_area: int) -> Bool:
    """The region after 3x3 erosions (image borders do not erode it) if more than `min_area` pixels remain."""
    smaller = cv2.erode(region.view(np.uint8), _SQUARE, iterations=iterations)
    return smaller.view(np.bool_) if cv2.countNonZero(smaller) > min_area else region


def border_band(inside: Bool, outside: Bool, ratio: float, margin: int = 0) -> Bool:
    """Background within ceil(ratio * sqrt(area)) + margin pixels (Chebyshev distance) of the object."""
    width = int(np.ceil(ratio * np.sqrt(np.count_nonzero(inside)))) + margin
    return cv2.dilate(inside.view(np.uint8), _SQUARE, iterations=width).view(np.bool_) & outside


def uniform_points(region: Bool, n: int, rng: np.random.Generator) -> Float:
    """n x 2 (x, y) uniform pixels of the region, with replacement; none from an empty region."""
    pixels = np.flatnonzero(region) if n else np.zeros(0, np.int64)
    if pixels.size == 0:
        return np.zeros((0, 2), np.float32)
    y, x = np.divmod(pixels[rng.integers(pixels.size, size=n)], region.shape[1])
    return np.stack([x, y], axis=1).astype(np.float32)


def holds(region: Bool, pixels: Int) -> Bool:
    """Whether each of ... x 2 (x, y) pixels is in the image and in the region."""
    padded: Bool = np.pad(region, 1)
    height, width = region.shape
    x, y = pixels[..., 0].clip(-1, width), pixels[..., 1].clip(-1, height)
    return np.asarray(padded[y + 1, x + 1], np.bool_)
