"""Reading target masks: every coding becomes H x W uint8 of 0 (background), 128 (ignore) and 255 (object)."""

import zlib
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from clickgrain.clicks.robot import IGNORE
from clickgrain.errors import DataError
from clickgrain.evaluation.matlab import field_of
from clickgrain.images import MAX_PIXELS, read_image, rotation_hint
from clickgrain.images.guard import check_pixels, explained, format_of, quiet_pillow
from clickgrain.types import Size, UInt8

Labels = npt.NDArray[np.int32]


# The names of these functions are part of `data_hash`: the same file read in another way is other data.
def read_exact(path: Path, size: Size) -> UInt8:
    """A grey file of 0 background, 128 ignore, 255 object and nothing else."""
    return checked_mask(_grey(path), str(path), size)


def read_trimap(path: Path, size: Size) -> UInt8:
    """A grey file: below 128 background, 128 ignore, above object."""
    return checked_mask(_grey(path), str(path), size, strict=False)


def read_half(path: Path, size: Size) -> UInt8:
    """A grey file with soft edges: object from 128 up."""
    return checked_mask(_grey(path) >= 128, str(path), size)


def read_any(path: Path, size: Size) -> UInt8:
    """A file of any colors: object where any channel is above 0."""
    return checked_mask(read_image(path).max(axis=2) > 0, str(path), size)


def _grey(path: Path) -> UInt8:
    notes: list[str] = []
    rgb = read_image(path, notes=notes)
    if notes or (rgb != rgb[..., :1]).any():
        reason = notes[0] if notes else f"{path}: it has colors"
        raise DataError(f"{reason}; a mask is a plain grey 8-bit image, save it again as one")
    return rgb[..., 0]


def read_labels(path: Path) -> Labels:
    """H x W int32 of a label image: palette indices or grey values; DataError for colors, else ImageError."""
    format_of(path)
    with explained(path), quiet_pillow(), Image.open(path) as image:
        check_pixels(path, *image.size, MAX_PIXELS)
        mode, values = image.mode, np.asarray(image)
    if values.ndim != 2 or values.dtype.kind == "f":
        raise DataError(f"{path}: mode {mode}; labels are palette indices or grey values, get the original file")
    return values.astype(np.int32)


def read_components(path: Path) -> Labels:
    """H x W int32: the 4-connected components of the pixels above 0, numbered from 1."""
    return np.asarray(cv2.connectedComponents((read_labels(path) > 0).astype(np.uint8), connectivity=4)[1])


def read_sbd(path: Path) -> Labels:
    """H x W int32 instances of an SBD file, 0 background; DataError if it cannot be read or holds no `GTinst`."""
    try:
        instances = field_of(path.read_bytes(), "GTinst", "Segmentation")
        with np.errstate(invalid="ignore"):  # numbers that no integer holds
            return np.asarray(instances, np.int32).reshape(instances.shape[0], -1)
    except (OSError, ValueError, LookupError, zlib.error) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error).strip()
        raise DataError(f"{path}: no SBD instances ({reason}); copy it again from SBD's inst folder") from error


def checked_mask(mask: npt.NDArray[np.generic], name: str, size: Size, *, strict: bool = True) -> UInt8:
    """The mask (bool, or uint8) as H x W uint8 of 0, 128 and 255 only.

    Other values are refused if `strict`; else those below 128 are background, those above are object. Raises
    DataError: for another shape, dtype or value, or when no pixel is object.
    """
    if mask.shape != tuple(size):
        reason = f"its shape {mask.shape} is not that of its image, {tuple(size)}"
        raise DataError(f"{name}: {reason}; redraw it at that size{rotation_hint(mask.shape, size)}")
    if mask.dtype not in (np.bool_, np.uint8):
        raise DataError(f"{name}: dtype {mask.dtype}; give bool, or uint8 of 0, 128 and 255")
    grey = (mask * 255 if mask.dtype == np.bool_ else mask).astype(np.uint8)
    values = np.flatnonzero(np.bincount(grey.ravel(), minlength=256))
    odd = [int(value) for value in values if value not in (0, IGNORE, 255)]
    if strict and odd:
        raise DataError(f"{name}: grey values {odd[:5]}; use 0 background, 128 ignore, 255 object")
    if values.max(initial=0) <= IGNORE:
        raise DataError(f"{name}: no object pixel (255) in it; draw one, or remove the mask")
    return _CODE[grey]


_CODE: UInt8 = np.repeat(np.array([0, IGNORE, 255], np.uint8), [IGNORE, 1, 255 - IGNORE])
