"""Images in memory: the check at every border, resizing, and masks written to disk."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from clickgrain.errors import ImageError
from clickgrain.files import write_or_raise
from clickgrain.types import Float, Size, UInt8


def check_image(image: Any) -> UInt8:
    """Return an H x W x 3 uint8 array as it is; ImageError for anything else, which says how to convert it."""
    if not isinstance(image, np.ndarray):
        raise ImageError(f"an image is an H x W x 3 uint8 array, not {type(image).__name__}; use np.asarray(image)")
    if image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8 and image.size:
        return image
    raise ImageError(
        f"an image is an H x W x 3 uint8 RGB array, not {image.dtype} of shape {image.shape}; {_advice(image)}"
    )


def fit_size(size: Size, long_side: int, multiple: int = 1) -> Size:
    """(height, width) with the same aspect whose long side is `long_side`, each rounded to a `multiple`.

    Neither side falls below one `multiple`; with `multiple` dividing `long_side` the long side is exact.
    """
    scale = long_side / max(size)
    height, width = (max(multiple, int(side * scale / multiple + 0.5) * multiple) for side in size)
    return height, width


def resize(image: UInt8, size: Size) -> UInt8:
    """Resize an H x W x 3 uint8 image to `size` = (height, width): area averaging down, bilinear up."""
    height, width = size
    if image.shape[:2] == (height, width):
        return image
    if height < 1 or width < 1:
        raise ImageError(f"cannot resize to {height} x {width}; both sides must be at least 1 pixel")
    # Area averaging needs both sides to shrink: with one growing, OpenCV would fall back to nearest steps.
    shrunk = min(width, image.shape[1]), min(height, image.shape[0])
    if shrunk != (image.shape[1], image.shape[0]):
        image = np.asarray(cv2.resize(image, shrunk, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def resize_long_side(image: UInt8, side: int) -> UInt8:
    """Resize an H x W x 3 uint8 image so that its long side is `side` pixels, keeping the aspect."""
    return resize(image, fit_size((image.shape[0], image.shape[1]), side))


def to_lab(image: UInt8 | Float) -> Float:
    """H x W x 3 float32 CIE Lab of H x W x 3 RGB in 0..255: L in 0..100, a and b about -100..100."""
    return np.asarray(cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)


def rotation_hint(annotated: Sequence[int], photo: Sequence[int]) -> str:
    """What to add to a message about two (height, width) that differ: nothing, unless the sides are swapped."""
    if list(annotated) != list(photo)[::-1]:
        return ""
    return (
        "; the sides are swapped: the annotation may be of the photo as stored, without its EXIF rotation, so save"
        " the photo upright and annotate that"
    )


def save_mask(path: str | Path, mask: npt.NDArray[np.bool_] | UInt8) -> None:
    """Write an H x W mask as an 8-bit PNG, 255 where it is true (or non-zero) and 0 elsewhere, atomically.

    Raises ImageError: the mask is not H x W bool or integer, or the file cannot be written.
    """
    if mask.ndim != 2 or mask.size == 0 or mask.dtype.kind not in "biu":
        raise ImageError(
            f"{path}: a mask is an H x W bool array, not {mask.dtype} of shape {mask.shape}; save mask.binary"
        )
    done, png = cv2.imencode(".png", (mask != 0).astype(np.uint8) * np.uint8(255))
    if not done:
        raise ImageError(f"{path}: a mask of {mask.shape[1]} x {mask.shape[0]} pixels is too large for a PNG")
    write_or_raise(path, png.tobytes(), ImageError, "free space or choose another folder")


def _advice(image: npt.NDArray[Any]) -> str:
    if image.size == 0:
        return "it holds no pixel"
    if image.dtype == np.bool_:
        return "multiply it by 255 and convert with .astype(np.uint8)"
    if image.dtype != np.uint8:
        return "scale it to 0..255 and convert with .astype(np.uint8), or read the file with read_image"
    if image.ndim == 2:
        return "make grey RGB with np.repeat(image[..., None], 3, axis=2)"
    if image.ndim == 3 and image.shape[2] == 4:
        return "drop the alpha channel with image[..., :3]"
    if image.ndim == 3 and image.shape[0] == 3:
        return "bring channels last with image.transpose(1, 2, 0)"
    return "give one image with its three channels last"
