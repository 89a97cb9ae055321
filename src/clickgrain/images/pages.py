"""Pages of a TIFF as files: a stack or sequence becomes a folder of images."""

import io
from pathlib import Path

import cv2
import tifffile

from clickgrain.errors import ImageError
from clickgrain.files import atomic_write, hash_file
from clickgrain.images import tiff
from clickgrain.images.reader import count_pages, read_image
from clickgrain.progress import Progress

SOURCE = ".stack"  # in the folder: the hash of the file that its pages are from


def split_pages(path: Path, bar: Progress) -> Path:
    """The folder `<stem>-pages` next to a TIFF, with a file `<stem>-0000.tif`, `<stem>-0001.tif` ... for each page.

    Gray pages of more than 8 bits keep their values, for the view's window and level; others become PNG files as
    `read_image` shows them. Existing pages stay, so a stopped run continues; `bar` notes pages that cannot be read.
    Raises ImageError: the folder cannot be written, or holds pages of another file.
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
            targets = [folder / f"{path.stem}-{number:04}{suffix}" for suffix in (".tif", ".png")]
            if not any(target.exists() for target in targets):
                try:
                    shown = read_image(path, page=number)  # refuses what is damaged or too large
                except ImageError as error:
                    bar.note(f"page {number} is left out: {error}")
                else:
                    with path.open("rb") as file:
                        values = tiff.gray_values(file, number)
                    if values is not None:
                        data = io.BytesIO()
                        tifffile.imwrite(data, values, photometric="minisblack", compression="zlib")
                        atomic_write(targets[0], data.getvalue())
                    else:
                        atomic_write(targets[1], cv2.imencode(".png", shown[..., ::-1])[1].tobytes())
            bar.advance()
    except OSError as error:
        raise ImageError(f"{folder}: {error.strerror}; copy {path.name} to where there is room to write") from error
    return folder
