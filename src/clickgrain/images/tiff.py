"""TIFF pages: ordinary 8-bit ones by Pillow (libtiff), deep and many-channel ones by tifffile."""

import logging
import math
from collections.abc import Iterator
from itertools import islice
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from clickgrain.errors import ImageError
from clickgrain.images import codecs
from clickgrain.images.guard import check_pixels, quiet_pillow
from clickgrain.images.pixels import Window, orient, to_rgb
from clickgrain.types import UInt8

COUNTED = 1000  # pages looked at to say how many there are: 0.1 s; some files claim a hundred thousand
_BYTES = 8  # decoded bytes for each pixel of the limit: RGBA of 16 bits, one channel of 64
_SEGMENTS = 500_000  # strips or tiles: each costs microseconds even where nothing is stored for it
_Photometric = tifffile.PHOTOMETRIC
# tifffile logs every oddity of a file; without a handler these lines would land among the progress bars.
logging.getLogger("tifffile").addHandler(logging.NullHandler())
codecs.supply()

_ALPHA = (1, 2)  # ExtraSamples: associated and unassociated alpha (TIFF 6.0, section 18)
_NO_DATA, _ORIENTATION = 42113, 274


def count_pages(file: BinaryIO) -> int:
    """Number of full-resolution pages."""
    with tifffile.TiffFile(file) as tiff:
        pages = [not page.is_reduced for page in _chain(tiff, [])]
    return sum(pages) or len(pages)


def read_page(
    file: BinaryIO, path: object, number: int, max_pixels: int, notes: list[str], window: Window | None = None
) -> UInt8:
    """Page `number` (from 0) as H x W x 3 uint8 RGB, upright.

    Raises ImageError: no such page, over `max_pixels`, or no image's values. Other exceptions: it is damaged.
    """
    with tifffile.TiffFile(file) as tiff:
        chain = _chain(tiff, notes)
        looked = list(islice(chain, COUNTED))
        pages = [page for page in looked if not page.is_reduced] or looked
        if number == 0 and len(pages) > 1:
            over = "over " if len(looked) == COUNTED else ""
            notes.append(f"{over}{len(pages)} pages; the first was read")
        pages += islice((page for page in chain if not page.is_reduced), max(0, number + 1 - len(pages)))
        if not 0 <= number < len(pages):
            raise ImageError(f"{path}: no page {number}; it has {len(pages)}, counted from 0")
        page = pages[number]
        _check(path, page, max_pixels)
        if _is_ordinary(page) and (image := _by_pillow(file, page.index)) is not None:
            return image
        image = _by_tifffile(path, page, notes, window)
        orientation = page.tags.valueof(_ORIENTATION)
        return orient(image, orientation if isinstance(orientation, int) else 1)


def gray_values(file: BinaryIO, number: int) -> npt.NDArray[Any] | None:
    """H x W values of a page that `read_page` accepts, if it is one upright gray channel of more than 8 bits."""
    with tifffile.TiffFile(file) as tiff:
        looked = list(_chain(tiff, []))
        page = ([page for page in looked if not page.is_reduced] or looked)[number]
        gray = page.photometric == _Photometric.MINISBLACK and page.samplesperpixel == page.imagedepth == 1
        upright = page.tags.valueof(_ORIENTATION) in (None, 1) and _NO_DATA not in page.tags
        deep = page.dtype is not None and page.dtype.itemsize > 1
        return _channels_last(page)[..., 0] if gray and upright and deep else None


def _chain(tiff: Any, notes: list[str]) -> Iterator[Any]:
    """The pages in file order, up to one that comes a second time or (with a note) a later one that is damaged."""
    seen: set[int] = set()
    try:
        for page in tiff.pages:
            if page.offset in seen:
                return
            seen.add(page.offset)
            yield page
    except Exception as error:  # of the iterator; a consumer's errors do not come here
        if not seen:
            raise
        notes.append(f"damaged after page {len(seen) - 1} ({error})")


def _check(path: object, page: Any, max_pixels: int) -> None:
    """Refuse, before anything is decoded, what would not end, not fit into memory, or make no image."""
    check_pixels(path, page.imagewidth, page.imagelength, max_pixels)
    if not page.imagewidth * page.imagelength:
        raise ValueError(f"{page.imagewidth} x {page.imagelength} pixels")
    if page.dtype is not None and page.dtype.kind == "c":
        raise ImageError(f"{path}: its values are complex numbers ({page.dtype}); save magnitude or real part")
    size = page.dtype.itemsize if page.dtype is not None else 8
    tile = page.tilewidth * page.tilelength * page.tiledepth if page.is_tiled else 0
    needed = max(page.imagewidth * page.imagelength * page.imagedepth, tile) * page.samplesperpixel * size
    if needed > _BYTES * max_pixels:
        raise ImageError(
            f"{path}: {page.imagewidth} x {page.imagelength} pixels with {page.samplesperpixel} channels of"
            f" {size} bytes{f' in {page.imagedepth} layers' if page.imagedepth > 1 else ''} are {needed / 1e9:.3g}"
            f" GB, over the limit of {_BYTES * max_pixels / 1e9:.3g}; keep fewer channels, or raise max_pixels"
        )
    if needed and (count := math.prod(page.chunked)) > _SEGMENTS:
        cut = f"it is cut into {count} strips or tiles, more than {_SEGMENTS}"
        raise ImageError(f"{path}: {cut}; save it with larger ones")


def _is_ordinary(page: Any) -> bool:
    bits, samples, kind = page.bitspersample, page.samplesperpixel, page.sampleformat
    plain = bits in (1, 2, 4, 8) and samples <= 4 and kind in (1, 4) and page.imagedepth == 1
    # libtiff refuses strips and tiles that are not stored (sparse files of GDAL), Pillow reads other bytes instead.
    plain = plain and (0 not in page.databytecounts or page.compression == tifffile.COMPRESSION.JPEG)
    limit = Image.MAX_IMAGE_PIXELS  # above twice this, Pillow refuses whatever max_pixels says
    return plain and (limit is None or page.imagewidth * page.imagelength <= 2 * limit)


def _by_pillow(file: BinaryIO, index: int) -> UInt8 | None:
    """None for a mix of samples that Pillow does not know."""
    file.seek(0)
    # An open file, not its name: by name Pillow 13 maps raw pages into memory and turns them by scrambling rows.
    with quiet_pillow():
        try:
            picture = TiffImageFile(file)
            picture.seek(index)
        except SyntaxError:
            return None
        picture.load()  # applies the orientation by itself
        if picture.has_transparency_data:
            return to_rgb(np.asarray(picture.convert("RGBA")), [], alpha=True)
        return np.asarray(picture.convert("RGB"))


def _by_tifffile(path: object, page: Any, notes: list[str], window: Window | None) -> UInt8:
    bits = page.bitspersample
    try:
        values = _channels_last(page)
    except (ValueError, NotImplementedError, ImportError) as error:  # ImportError: Zstandard before Python 3.14
        reason = str(error)
        if not isinstance(error, ImportError) and "imagecodecs" not in reason and "not supported" not in reason:
            raise
        fix = "save it uncompressed or with deflate, or `pip install imagecodecs`"
        raise ImageError(f"{path}: its coding is not supported ({reason}); {fix}") from error
    if page.photometric == _Photometric.PALETTE and page.colormap is not None:
        colors: npt.NDArray[Any] = (page.colormap >> 8).astype(np.uint8).T
        values = colors[values[..., 0]]
    elif values.dtype == np.uint8 and isinstance(bits, int) and bits < 8:
        values = np.rint(np.arange(1 << bits) * 255 / ((1 << bits) - 1)).astype(np.uint8)[values]
    if page.photometric == _Photometric.SEPARATED and values.dtype.kind == "u" and values.shape[2] == 4:
        ink = values.astype(np.float32) / np.iinfo(values.dtype).max
        values = np.rint((1 - ink[..., :3]) * (1 - ink[..., 3:]) * 255).astype(np.uint8)
    alpha = bool(page.extrasamples) and page.extrasamples[-1] in _ALPHA and values.shape[2] in (2, 4)
    inverted = page.photometric == _Photometric.MINISWHITE
    return to_rgb(values, notes, alpha=alpha, no_data=_no_data(page), inverted=inverted, window=window)


def _no_data(page: Any) -> float | None:
    """The value that GDAL's tag names; tifffile's own reading of it takes "-9999.0" of integers for 0."""
    try:
        return float(str(page.tags.valueof(_NO_DATA)).strip("\0 ").replace(",", "."))
    except ValueError:
        return None


def _channels_last(page: Any) -> npt.NDArray[Any]:
    """H x W x C values of a page in any of tifffile's axis orders (a volume gives its first slice)."""
    stored = any(page.databytecounts)
    values: npt.NDArray[Any] = page.asarray() if stored else np.full(page.shape, page.nodata, page.dtype)
    axes: str = page.axes
    while "Z" in axes:
        values, axes = values.take(0, axis=axes.index("Z")), axes.replace("Z", "")
    if "S" not in axes:
        return values[..., None]
    return np.moveaxis(values, axes.index("S"), -1)
