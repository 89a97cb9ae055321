"""What stands between a bad file and the user: format by content, pixel limit, errors that say what to do."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from PIL import Image

from clickgrain.errors import ImageError

FORMATS = "JPEG, PNG, WebP, TIFF, BMP or GIF"

_MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
    **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "TIFF"),
}
_filters = Lock()


def format_of(path: Path) -> str:
    """Name of the file's format by its first bytes.

    Raises:
        ImageError: the file is missing, a folder, unreadable, empty, or of no known image format.
    """
    head = _head(path)
    if not head:
        raise ImageError(f"{path}: the file is empty (0 bytes); copy or download it again")
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            return name
    seen = "a HEIC, AVIF or video file" if head[4:8] == b"ftyp" else f"it begins with {head[:4]!r}"
    raise ImageError(f"{path}: not an image of a known format ({seen}); convert it to {FORMATS}")


def check_pixels(path: Path, width: int, height: int, max_pixels: int) -> None:
    """Refuse an image of more than `max_pixels`, given its size from the header.

    Raises:
        ImageError: it is larger.
    """
    if width * height > max_pixels:
        raise ImageError(
            f"{path}: {width} x {height} = {width * height / 1e6:.3g} megapixels are over the limit of"
            f" {max_pixels / 1e6:.3g}; shrink the image, or raise max_pixels"
        )


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises into an ImageError: damaged files make them fail in any way they like."""
    try:
        yield
    except ImageError:
        raise
    except Image.DecompressionBombError as error:  # WebP and GIF above 179 megapixels: Pillow's own limit
        raise ImageError(f"{path}: too large for its format's decoder; convert it to PNG or JPEG") from error
    except MemoryError as error:
        raise ImageError(f"{path}: not enough memory to decode it; shrink it, or lower max_pixels") from error
    except Exception as error:
        cause = str(error).strip() or type(error).__name__
        raise ImageError(
            f"{path}: damaged or truncated ({cause}); copy or download it again, or remove it"
        ) from error


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Keep Pillow's complaints about metadata from the user, one thread at a time (warning filters are global)."""
    with _filters, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def _head(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise ImageError(f"{path}: a folder, not an image; name a file in it, or walk it with find_images")
        with path.open("rb") as file:
            return file.read(16)
    except FileNotFoundError:
        raise ImageError(f"{path}: no such file; check the path") from None
    except PermissionError:
        raise ImageError(f"{path}: permission denied; make the file readable for this user") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise ImageError(f"{path}: cannot be opened ({error}); check the path and the disk") from error
