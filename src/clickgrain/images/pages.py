"""Pages of a TIFF as files: a stack or sequence becomes a folder of images."""

import io
from pathlib import Path

import cv2
import tifffile

from clickgrain.errors import ImageError
from clickgrain.files import atomic_write, hash_file
from clickgrain.images.reader import count_pages, read_image
from clickgrain.progress import Progress

SOURCE = ".stack"  # in the folder: the hash of the file that its pages are from
ORIENTATION, NO_DATA = 274, 42113  # tags that the values alone would lose
GRAY = (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.MINISWHITE)


def split_pages(path: Path, bar: Progress) -> Path:
    """The folder `<stem>-pages` beside a TIFF, with a file `<stem>-0000.tif`, `<stem>-0001.tif` ... for each page.

    Pages of one channel with more than 8 bits keep their values, for the view's window and level; others become PNG
    files with what `read_image` shows. Pages that are there are not written again, so a stopped run is taken up.

    Raises ImageError: a page cannot be read, the folder cannot be written, or holds pages of another file.
    """
    folder, count, content = path.with_name(f"{path.stem}-pages"), count_pages(path), hash_file(path)
    note = folder / SOURCE
    try:
        folder.mkdir(exist_ok=True)
        if note.exists() and note.read_text() != content:
            raise ImageError(f"{folder}: holds the pages of another {path.name}; rename that folder, or the file")
        atomic_write(note, content.encode())
        bar.start("pages", count)
        for number in range(count):
            stem = folder / f"{path.stem}-{number:04}"
            if not any(stem.with_name(f"{stem.name}{suffix}").exists() for suffix in (".tif", ".png")):
                values = _deep_values(path, number)
                suffix, data = (".png", _png(path, number)) if values is None else (".tif", values)
                atomic_write(stem.with_name(stem.name + suffix), data)
            bar.advance()
    except OSError as error:
        raise ImageError(f"{folder}: {error.strerror}; copy {path.name} to where there is room to write") from error
    return folder


def _png(path: Path, number: int) -> bytes:
    return cv2.imencode(".png", read_image(path, page=number)[..., ::-1])[1].tobytes()


def _deep_values(path: Path, number: int) -> bytes | None:
    """A TIFF with the values of one page; None for 8 bits, several channels, or tags that change what they mean."""
    with tifffile.TiffFile(path) as tiff:
        page = [page for page in tiff.pages if not page.is_reduced][number]
        upright = page.tags.valueof(ORIENTATION) in (None, 1) and NO_DATA not in page.tags
        gray = page.photometric in GRAY and page.samplesperpixel == page.imagedepth == 1
        if not (gray and upright and page.dtype.itemsize > 1):
            return None
        file = io.BytesIO()
        tifffile.imwrite(file, page.asarray(), photometric=page.photometric, compression="zlib")
        return file.getvalue()
