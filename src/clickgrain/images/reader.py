"""The one safe image reader: every supported file becomes an H x W x 3 uint8 RGB array or an `ImageError`."""

import re
from contextlib import suppress
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import BmpImagePlugin, GifImagePlugin, Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin, features
from PIL import ImageFile as Pillow

from clickgrain.errors import ImageError
from clickgrain.images import tiff
from clickgrain.images.guard import check_pixels, explained, format_in, quiet_pillow
from clickgrain.images.pixels import Window, orient, orientation_of, to_rgb
from clickgrain.images.remote import ImageFile
from clickgrain.types import UInt8

MAX_PIXELS = 200_000_000
HEIF_PACKAGES = ("pillow_heif", "pi_heif")
"""Either reads HEIC; the second has no encoder, and libraries under the LGPL only."""
LACKING = 0.1  # largest part of a JPEG that may be missing at its end

_PLUGINS: dict[str, type[Pillow.ImageFile]] = {
    # Not Pillow's factory: of a phone's multi-picture file the first picture is wanted.
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
}


def read_image(
    path: str | Path,
    *,
    max_pixels: int = MAX_PIXELS,
    page: int = 0,
    notes: list[str] | None = None,
    window: Window | None = None,
) -> UInt8:
    """Read a JPEG, PNG, WebP, AVIF, HEIC, TIFF, BMP or GIF file; the content decides, not the suffix.

    EXIF orientation is applied, transparency is composited over white, embedded color profiles are ignored.
    Values of more than 8 bits (and floats) are scaled so that the 0.5 and 99.5 percentiles over all color
    channels become 0 and 255. Safe to call from several threads.

    Args:
        path: the file, or its URL (s3://, gs://, https:// ...).
        max_pixels: larger images (width x height) are refused before they are decoded.
        page: page of a TIFF, from 0 (reduced-resolution copies do not count); other formats have page 0 only.
        notes: takes one line for each thing a user should know: scaled, first frame only, channels left out.
        window: values that become 0 and 255, of files with more than 8 bits; the percentiles when None.

    Returns:
        H x W x 3 uint8 RGB, C-contiguous, writable.

    Raises:
        ImageError: the file is missing, a folder, unreadable, empty, no image, damaged, truncated or too large.
    """
    file = ImageFile(str(path), str(path))
    with file.opened() as stream:
        return decode(stream, file, max_pixels=max_pixels, page=page, notes=notes, window=window)


def decode(
    stream: BinaryIO,
    file: ImageFile,
    *,
    max_pixels: int,
    page: int = 0,
    notes: list[str] | None = None,
    window: Window | None = None,
) -> UInt8:
    """As `read_image`, of an open file."""
    said: list[str] = []
    with explained(file):
        format_ = format_in(stream, file)
        if format_ == "TIFF":
            image = tiff.read_page(stream, file, page, max_pixels, said, window)
        elif page == 0:
            image = _by_pillow(stream, file, format_, max_pixels, said, window)
        else:
            raise ImageError(f"{file}: no page {page}; a {format_} file has page 0 only")
    if notes is not None:
        notes.extend(f"{file}: {note}" for note in said)
    return np.require(image, np.uint8, ["C", "W"])


def count_pages(path: str | Path) -> int:
    """Number of pages of a TIFF without reduced-resolution copies; else 1. ImageError as `read_image`."""
    file = ImageFile(str(path), str(path))
    with file.opened() as stream, explained(file):
        return tiff.count_pages(stream) if format_in(stream, file) == "TIFF" else 1


def _by_pillow(
    file: BinaryIO, path: ImageFile, format_: str, max_pixels: int, notes: list[str], window: Window | None
) -> UInt8:
    # The plug-in's own class instead of Image.open, whose size check has a global limit and a warning.
    plugin = _PLUGINS[format_] if format_ in _PLUGINS else _optional_plugin(path, format_)
    with quiet_pillow():
        picture: Image.Image = plugin(file)
        check_pixels(path, *picture.size, max_pixels)
        if getattr(picture, "is_animated", False):
            which = "several images; the main one" if format_ == "HEIF" else "animated; its first frame"
            notes.append(f"{which} was read")
    try:
        picture.load()
    except OSError:
        if format_ != "JPEG":
            raise
        picture = _almost_whole_jpeg(file, notes)
    file.seek(0)
    if format_ == "PNG" and file.read(25)[24] == 16:  # bit depth in IHDR
        rgb = _deep_png(file, notes, window)
    elif picture.has_transparency_data:
        rgb = to_rgb(np.asarray(picture.convert("RGBA")), [], alpha=True)
    else:
        rgb = np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))
    return orient(rgb, orientation_of(picture.info.get("exif") or b""))


def _optional_plugin(path: ImageFile, format_: str) -> type[Pillow.ImageFile]:
    """What reads AVIF and HEIC, where it is installed."""
    if format_ == "AVIF":
        if not features.check("avif"):
            raise ImageError(
                f"{path}: an AVIF image, and this Pillow reads none; update it, or convert the file to PNG"
            )
        from PIL.AvifImagePlugin import AvifImageFile

        return AvifImageFile
    for package in HEIF_PACKAGES:
        with suppress(ImportError):
            return import_module(f"{package}.as_plugin").HeifImageFile
    raise ImageError(f"{path}: a HEIC image; `pip install 'clickgrain[heif]'`, or convert it to JPEG or PNG")


def _almost_whole_jpeg(file: BinaryIO, notes: list[str]) -> Image.Image:
    """A JPEG that lacks no more than its last bytes, what they held left grey; else ValueError."""
    file.seek(0)
    content = file.read()
    ended = BytesIO(content + b"\xff\xd9")  # an end marker: libjpeg fills up with grey
    picture = JpegImagePlugin.JpegImageFile(ended)
    picture.load()
    grey = np.abs(np.atleast_3d(np.asarray(picture)).astype(np.int16) - 128).max(axis=2) <= 1
    rows = int(np.argmin(np.append(grey[::-1, -1], False)))  # the last rows, down from the one that broke off
    missing = np.count_nonzero(grey[len(grey) - rows :]) / grey.size
    if missing > LACKING:
        raise ValueError(f"{100 * missing:.0f} % of the image is missing")
    if picture.info.get("progressive") and not _has_all_scans(content, len(picture.getbands())):
        raise ValueError("its finer scans are missing")
    grey_part = f": {100 * missing:.2g} % of the image is grey" if missing else ""
    notes.append(f"its last bytes are missing{grey_part}")
    return picture


def _has_all_scans(content: bytes, components: int) -> bool:
    """Whether every coefficient of a progressive JPEG is there to its last bit, but for a gap in the last scan."""
    finest: dict[int, set[int]] = {}
    # Markers cannot occur inside coded data; those of an embedded thumbnail come before the frame header (SOF2).
    for scan in re.finditer(rb"\xff\xda..([\1-\4])", content[content.rfind(b"\xff\xc2") :], re.DOTALL):
        count = scan[1][0]
        fields = scan.string[scan.end() : scan.end() + 2 * count + 3]
        if len(fields) == 2 * count + 3 and fields[-1] & 15 == 0:
            for component in fields[: 2 * count : 2]:
                finest.setdefault(component, set()).update(range(fields[-3], fields[-2] + 1))
    return len(finest) == components and all(len(known) == 64 for known in finest.values())


def _deep_png(file: BinaryIO, notes: list[str], window: Window | None) -> UInt8:
    # Pillow keeps only the high byte of 16-bit color; it has checked the file's integrity by now.
    file.seek(0)
    values = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise ValueError("16-bit PNG that cannot be decoded")
    if values.ndim == 2:
        values = values[..., None]
    else:
        values = cv2.cvtColor(values, cv2.COLOR_BGR2RGB if values.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)
    return to_rgb(values, notes, alpha=values.shape[2] in (2, 4), window=window)
