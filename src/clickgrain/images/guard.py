"""Guards against bad files: one open file, format by content, pixel limit, errors that say what to do."""

import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from PIL import Image

from clickgrain.errors import ImageError, cause

FORMATS = "JPEG, PNG, WebP, AVIF, TIFF, BMP or GIF"

_MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
    **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "TIFF"),
}
# Brands of ISO base media files (ISO/IEC 23008-12, AV1 image file format); the rest are videos.
_AVIF, _HEIF = {b"avif", b"avis"}, {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_KINDS = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a disk"}
_filters = Lock()


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A regular file, opened for reading; everything is read from this file object, even if the name changes hands.

    Raises ImageError: the file is missing, a folder, a pipe, a socket or a device, or cannot be opened.
    """
    try:
        # Before opening, since that alone can set a device going; and after it, since names can change hands.
        check_regular(path, path.stat().st_mode)
        wait = getattr(os, "O_NONBLOCK", 0)
        file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | wait))  # noqa: SIM115  (closed below)
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file; check the path") from None
    except PermissionError:
        raise ImageError(f"{path}: permission denied; make the file readable for this user") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise ImageError(f"{path}: cannot be opened ({error}); check the path and the disk") from error
    with file:
        check_regular(path, os.fstat(file.fileno()).st_mode)
        yield file


def check_regular(path: Path, mode: int) -> None:
    """Refuse by its `st_mode` what can make a reader wait: ImageError for a folder, pipe, socket or device."""
    if stat.S_ISDIR(mode):
        raise ImageError(f"{path}: a folder, not an image; name a file in it, or walk it with find_images")
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "no regular file")
        raise ImageError(f"{path}: {kind}, not an image file; copy what it gives to a file, or remove it")


def format_of(path: Path) -> str:
    """Name of the file's format by its first bytes; ImageError as `opened`, or if empty or of no known format."""
    with opened(path) as file:
        return format_in(file, path)


def format_in(file: BinaryIO, path: object) -> str:
    """As `format_of`, of an open file, which is left at its beginning."""
    try:
        head = file.read(64)
        file.seek(0)
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error}); check the disk") from error
    if not head:
        raise ImageError(f"{path}: the file is empty (0 bytes); copy or download it again")
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            return name
    seen = f"it begins with {head[:4]!r}"
    if head[4:8] == b"ftyp":
        end = min(int.from_bytes(head[:4], "big"), len(head))
        brands = {head[8:12], *(head[at : at + 4] for at in range(16, end, 4))}
        if brands & _AVIF or brands & _HEIF:
            return "AVIF" if brands & _AVIF else "HEIF"
        seen = "a video file"
    raise ImageError(f"{path}: not an image of a known format ({seen}); convert it to {FORMATS}")


def check_pixels(path: object, width: int, height: int, max_pixels: int) -> None:
    """Refuse an image of more than `max_pixels`, given its size from the header, with an ImageError."""
    if width * height > max_pixels:
        raise ImageError(
            f"{path}: {width} x {height} = {width * height / 1e6:.3g} megapixels are over the limit of"
            f" {max_pixels / 1e6:.3g}; shrink the image, or raise max_pixels"
        )


@contextmanager
def explained(path: object) -> Iterator[None]:
    """Turn whatever a decoder raises into an ImageError: on damaged files that may be anything."""
    try:
        yield
    except ImageError:
        raise
    except Image.DecompressionBombError as error:  # WebP and GIF above 179 megapixels: Pillow's own limit
        raise ImageError(f"{path}: too large for its format's decoder; convert it to PNG or JPEG") from error
    except MemoryError as error:
        raise ImageError(f"{path}: not enough memory to decode it; shrink it, or lower max_pixels") from error
    except Exception as error:
        raise ImageError(f"{path}: damaged or truncated ({cause(error)}); copy it again, or remove it") from error


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Keep Pillow's complaints about metadata from the user, one thread at a time (warning filters are global)."""
    with _filters, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield
