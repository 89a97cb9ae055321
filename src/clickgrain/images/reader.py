"""The one safe image reader: every supported file becomes an H x W x 3 uint8 RGB array or an `ImageError`."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from clickgrain.errors import ImageError
from clickgrain.images import tiff
from clickgrain.images.guard import check_pixels, explained, format_of, quiet_pillow
from clickgrain.images.pixels import from_bgr, orient, orientation_of, to_rgb
from clickgrain.types import UInt8

MAX_PIXELS = 200_000_000

_PLUGINS: dict[str, type[ImageFile.ImageFile]] = {
    "JPEG": JpegImageFile,  # not Pillow's factory: of a phone's multi-picture file the first picture is wanted
    "PNG": PngImageFile,
    "WEBP": WebPImageFile,
    "BMP": BmpImageFile,
    "GIF": GifImageFile,
}


def read_image(
    path: str | Path, *, max_pixels: int = MAX_PIXELS, page: int = 0, notes: list[str] | None = None
) -> UInt8:
    """Read a JPEG, PNG, WebP, TIFF, BMP or GIF file; the content decides, not the suffix.

    EXIF orientation is applied, transparency is composited over white, embedded colour profiles are ignored.
    Values of more than 8 bits (and floats) are scaled so that the 0.5 and 99.5 percentiles over all colour
    channels become 0 and 255. Safe to call from several threads.

    Args:
        path: the file.
        max_pixels: larger images (width x height) are refused before they are decoded.
        page: page of a TIFF, from 0 (reduced-resolution copies do not count); other formats have page 0 only.
        notes: takes one line for each thing a user should know: scaled, first frame only, channels left out.

    Returns:
        H x W x 3 uint8 RGB, C-contiguous, writable.

    Raises:
        ImageError: the file is missing, a folder, unreadable, empty, no image, damaged, truncated or too large.
    """
    path = Path(path)
    said: list[str] = []
    format_ = format_of(path)
    with explained(path):
        if format_ == "TIFF":
            image = tiff.read_page(path, page, max_pixels, said)
        elif page == 0:
            image = _by_pillow(path, format_, max_pixels, said)
        else:
            raise ImageError(f"{path}: no page {page}; a {format_} file has page 0 only")
    if notes is not None:
        notes.extend(f"{path}: {note}" for note in said)
    return np.require(image, np.uint8, ["C", "W"])


def read_pages(
    path: str | Path, *, max_pixels: int = MAX_PIXELS, notes: list[str] | None = None
) -> Iterator[UInt8]:
    """Yield every page of a TIFF in file order, as `read_image` would; other formats yield their one image.

    Raises:
        ImageError: as `read_image`, when the page that cannot be read is reached.
    """
    path, count = Path(path), 1
    if format_of(path) == "TIFF":
        with explained(path):
            count = tiff.count_pages(path)
    for page in range(count):
        said: list[str] = []
        yield read_image(path, max_pixels=max_pixels, page=page, notes=said)
        if notes is not None:
            notes.extend(f"{note} (page {page})" for note in said if not note.endswith(tiff.FIRST_READ))


def _by_pillow(path: Path, format_: str, max_pixels: int, notes: list[str]) -> UInt8:
    with path.open("rb") as file:
        # The plug-in's own class instead of Image.open, whose size check has a global limit and a warning.
        with quiet_pillow():
            picture = _PLUGINS[format_](file)
            check_pixels(path, *picture.size, max_pixels)
            if getattr(picture, "is_animated", False):
                notes.append("animated; its first frame was read")
        picture.load()
    rgb = _deep_png(path, notes) if _is_deep_png(path, format_) else _rgb_of(picture)
    return orient(rgb, orientation_of(picture.info.get("exif", b"")))


def _rgb_of(picture: Image.Image) -> UInt8:
    if picture.has_transparency_data:
        return to_rgb(np.asarray(picture.convert("RGBA")), [], alpha=True)
    return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))


def _is_deep_png(path: Path, format_: str) -> bool:
    if format_ != "PNG":
        return False
    with path.open("rb") as file:
        return file.read(25)[24] == 16  # bit depth in IHDR


def _deep_png(path: Path, notes: list[str]) -> UInt8:
    # Pillow keeps only the high byte of 16-bit colour; it has checked the file's integrity by now.
    values = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise ValueError("16-bit PNG that cannot be decoded")
    values = from_bgr(values)
    return to_rgb(values, notes, alpha=values.shape[2] in (2, 4))
