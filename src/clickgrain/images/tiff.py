"""TIFF pages: ordinary 8-bit ones by Pillow (libtiff), deep and many-channel ones by tifffile, else OpenCV."""

import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from clickgrain.errors import ImageError
from clickgrain.images.guard import check_pixels, quiet_pillow
from clickgrain.images.pixels import from_bgr, orient, to_rgb
from clickgrain.types import UInt8

FIRST_READ = "pages; the first was read"
_Photometric = tifffile.PHOTOMETRIC
# tifffile logs every oddity of a file; without a handler these lines would land among the progress bars.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_ALPHA = (1, 2)  # ExtraSamples: associated and unassociated alpha (TIFF 6.0, section 18)


def count_pages(path: Path) -> int:
    """Number of full-resolution pages."""
    with tifffile.TiffFile(path) as file:
        return len(_pages(file))


def read_page(path: Path, page: int, max_pixels: int, notes: list[str]) -> UInt8:
    """Page `page` (from 0) as H x W x 3 uint8 RGB, upright.

    Raises:
        ImageError: there is no such page, or it is over `max_pixels`; other exceptions: it is damaged.
    """
    with tifffile.TiffFile(path) as file:
        pages = _pages(file)
        if not 0 <= page < len(pages):
            raise ImageError(f"{path}: no page {page}; it has {len(pages)}, counted from 0")
        index, chosen = pages[page]
        check_pixels(path, chosen.imagewidth, chosen.imagelength, max_pixels)
        if page == 0 and len(pages) > 1:
            notes.append(f"{len(pages)} {FIRST_READ}")
        if _is_ordinary(chosen):
            return _by_pillow(path, index)
        tag = chosen.tags.get("Orientation")
        return orient(_deep(path, index, chosen, notes), int(tag.value) if tag else 1)


def _pages(file: tifffile.TiffFile) -> list[tuple[int, Any]]:
    """(index in the file, page) without the reduced copies of a pyramid."""
    pages = list(enumerate(file.pages))
    return [(index, page) for index, page in pages if not page.is_reduced] or pages


def _is_ordinary(page: Any) -> bool:
    bits, samples, kind = page.bitspersample, page.samplesperpixel, page.sampleformat
    plain = bits in (1, 2, 4, 8) and samples <= 4 and kind in (1, 4) and page.imagedepth == 1
    limit = Image.MAX_IMAGE_PIXELS  # above twice this, Pillow refuses whatever max_pixels says
    return plain and (limit is None or page.imagewidth * page.imagelength <= 2 * limit)


def _by_pillow(path: Path, index: int) -> UInt8:
    # An open file, not its name: by name Pillow 13 maps raw pages into memory and turns them by scrambling rows.
    with quiet_pillow(), path.open("rb") as file:
        picture = TiffImageFile(file)
        picture.seek(index)
        picture.load()  # applies the orientation by itself
        if picture.has_transparency_data:
            return to_rgb(np.asarray(picture.convert("RGBA")), [], alpha=True)
        return np.asarray(picture.convert("RGB"))


def _deep(path: Path, index: int, page: Any, notes: list[str]) -> UInt8:
    try:
        values = _interpreted(page, _channels_last(page))
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        values = _by_opencv(path, index)
    alpha = bool(page.extrasamples) and page.extrasamples[-1] in _ALPHA and values.shape[2] in (2, 4)
    return to_rgb(values, notes, alpha=alpha)


def _interpreted(page: Any, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Stored values to grey or RGB where PhotometricInterpretation says that they are something else."""
    if page.photometric == _Photometric.MINISWHITE:
        return values.max() - values if values.dtype.kind == "f" else ~values
    if page.photometric == _Photometric.PALETTE and page.colormap is not None:
        colours: npt.NDArray[Any] = (page.colormap >> 8).astype(np.uint8).T
        values = colours[values[..., 0]]
    if page.photometric == _Photometric.SEPARATED and values.dtype.kind == "u" and values.shape[2] == 4:
        ink = values.astype(np.float32) / np.iinfo(values.dtype).max
        return np.rint((1 - ink[..., :3]) * (1 - ink[..., 3:]) * 255).astype(np.uint8)
    return values


def _channels_last(page: Any) -> npt.NDArray[Any]:
    """H x W x C values of a page in any of tifffile's axis orders (a volume gives its first slice)."""
    values: npt.NDArray[Any] = page.asarray()
    axes: str = page.axes
    while "Z" in axes:
        values, axes = values.take(0, axis=axes.index("Z")), axes.replace("Z", "")
    if "S" not in axes:
        return values[..., None]
    last: npt.NDArray[Any] = np.moveaxis(values, axes.index("S"), -1)
    return last


def _by_opencv(path: Path, index: int) -> npt.NDArray[Any]:
    done, values = cv2.imdecodemulti(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED, range=(index, index + 1))
    if not done or not values:
        raise ValueError("its compression is not supported; save it uncompressed or with deflate")
    return from_bgr(values[0])
