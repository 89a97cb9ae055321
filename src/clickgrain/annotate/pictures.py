"""Encoded pixels for the page: the image at working size, parts of it, thumbnails with a region outlined."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from clickgrain.annotate.http_errors import RequestError
from clickgrain.images import read_image, resize_long_side
from clickgrain.images.pixels import Window
from clickgrain.tree.leaf_map import to_size
from clickgrain.types import Bool, Size, UInt8

THUMB_SIDE = 192
OUTLINE = (255, 40, 200)
JPEG, PNG = "image/jpeg", "image/png"
PNG_PIXELS = 4_000_000
"""Larger images are sent as JPEG even if the file is lossless."""


def picture(path: Path, image: UInt8, native: Size) -> tuple[bytes, str]:
    """(bytes, media type) of an H x W x 3 uint8 RGB image at working size; a plain JPEG is sent as it is.

    `path` is its file, of (H, W) `native`.
    """
    with path.open("rb") as file:
        lossy = file.read(3) == b"\xff\xd8\xff"
    if lossy and image.shape[:2] == native and _is_upright(path):
        return path.read_bytes(), JPEG
    return (to_jpeg(image, 92), JPEG) if lossy else lossless(image)


def part(path: Path, box: str, size: Size, longest: int, window: Window | None = None) -> tuple[bytes, str]:
    """(bytes, media type) of a part of the file, its long side at most `longest`.

    `box` is "x1,y1,x2,y2" in pixels of the working size (H, W). Raises RequestError: it is empty, outside, or made
    of no numbers. ImageError: the file cannot be read.
    """
    try:
        x1, y1, x2, y2 = (float(value) for value in box.split(","))
    except ValueError:
        raise RequestError("invalid", f"box {box!r} is not x1,y1,x2,y2") from None
    if not (0 <= x1 < x2 <= size[1] and 0 <= y1 < y2 <= size[0]):  # NaN compares with nothing
        outside = f"box {(x1, y1, x2, y2)} is empty or outside the image of {size[1]} x {size[0]} pixels"
        raise RequestError("invalid", f"{outside}; give x1,y1,x2,y2")
    image = read_image(path, window=window)
    scale_y, scale_x = image.shape[0] / size[0], image.shape[1] / size[1]
    top, bottom = int(y1 * scale_y), max(int(np.ceil(y2 * scale_y)), int(y1 * scale_y) + 1)
    left, right = int(x1 * scale_x), max(int(np.ceil(x2 * scale_x)), int(x1 * scale_x) + 1)
    crop = np.ascontiguousarray(image[top:bottom, left:right])
    return lossless(resize_long_side(crop, longest) if max(crop.shape[:2]) > longest else crop)


def thumbnail(image: UInt8, mask: Bool | None = None) -> bytes:
    """JPEG of an H x W x 3 uint8 RGB image with a long side of 192; a mask (H x W bool) is outlined."""
    small = resize_long_side(image, THUMB_SIDE)
    if mask is not None:
        small = small.copy()
        inside = to_size(mask, (small.shape[0], small.shape[1])).astype(np.uint8)
        outline, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(small, outline, -1, OUTLINE, 2)
    return to_jpeg(small, 85)


def quick_thumbnail(path: Path) -> bytes:
    """A thumbnail straight from the file: a JPEG is decoded at an eighth of its size where that is enough.

    Raises ImageError: it cannot be read.
    """
    with path.open("rb") as file:
        if file.read(3) == b"\xff\xd8\xff" and _is_upright(path):
            with Image.open(path) as opened:
                opened.draft("RGB", (2 * THUMB_SIDE, 2 * THUMB_SIDE))
                try:
                    return thumbnail(np.asarray(opened.convert("RGB")))
                except (OSError, ValueError):
                    pass  # read_image says what is wrong with it
    return thumbnail(read_image(path))


def to_jpeg(image: UInt8, quality: int) -> bytes:
    """JPEG bytes of an H x W x 3 uint8 RGB image."""
    done, data = cv2.imencode(".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return data.tobytes()


def lossless(image: UInt8) -> tuple[bytes, str]:
    """(bytes, media type) of an H x W x 3 uint8 RGB image: PNG, unless it is too large for that."""
    if image.shape[0] * image.shape[1] > PNG_PIXELS:
        return to_jpeg(image, 92), JPEG
    done, content = cv2.imencode(".png", image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert done
    return content.tobytes(), PNG


def _is_upright(path: Path) -> bool:
    """Whether browsers show a JPEG as `read_image` reads it: three channels, no EXIF orientation."""
    try:
        with Image.open(path) as file:
            return file.mode == "RGB" and file.getexif().get(0x0112, 1) == 1
    except Exception:  # read_image could read it, so it is shown re-encoded
        return False
