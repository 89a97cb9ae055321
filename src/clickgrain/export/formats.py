"""Formats by name: images in, files out; and files of others in, images out."""

import io
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from clickgrain.errors import DataError
from clickgrain.export.args import Format as Format
from clickgrain.export.coco import FILE, read_coco, write_coco
from clickgrain.export.labelmaps import instance_files, panoptic_files, semantic_files
from clickgrain.export.labelme import labelme_files, read_labelme
from clickgrain.export.records import ImageRecord, LabelRecord
from clickgrain.export.yolo import yolo_files

File = tuple[str, bytes]
MOST_UNPACKED = 1_073_741_824
"""Bytes that the files of an uploaded ZIP may have together."""

_BY_NAME: dict[str, Callable[[Iterable[ImageRecord], Sequence[LabelRecord]], Iterator[File]]] = {
    "semantic": semantic_files,
    "instance": instance_files,
    "panoptic": panoptic_files,
    "yolo": yolo_files,
    "labelme": lambda images, labels: labelme_files(images),
}


def export_files(
    format_: Format, images: Iterable[ImageRecord], labels: Sequence[LabelRecord], *, polygons: bool = True
) -> Iterator[File]:
    """(name, content) of every file of an export, one image at a time.

    Args:
        format_: a name.
        images: with their objects, the lowest first.
        labels: all classes.
        polygons: of COCO only: polygons where they hold the mask, else run lengths throughout.
    """
    if format_ == "coco":
        yield FILE, write_coco(images, labels, polygons=polygons)
    else:
        yield from _BY_NAME[format_](images, labels)


def read_any(content: bytes, name: str, skipped: list[str]) -> tuple[Format, list[ImageRecord]]:
    """(format, images) of COCO JSON, labelme JSON, or a ZIP of either; told by content.

    Args:
        content: bytes of the file.
        name: of the file, for messages and for labelme's relative paths.
        skipped: takes a line for each part that is left out.

    Raises:
        DataError: it is none of these.
    """
    if content[:4] == b"PK\x03\x04":
        return _from_zip(content, name, skipped)
    value = _parsed(content, name)
    if "annotations" in value and "images" in value:
        return "coco", read_coco(value, skipped)
    if "shapes" in value:
        return "labelme", [read_labelme(value, name, skipped)]
    raise DataError(f"{name}: neither COCO (images, annotations) nor labelme (shapes); export it from there again")


def _parsed(content: bytes, name: str) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name}: not valid JSON ({error}); export it again") from error
    if not isinstance(value, dict):
        raise DataError(f"{name}: a {type(value).__name__}, not an object with annotations; export it again")
    return value


def _from_zip(content: bytes, name: str, skipped: list[str]) -> tuple[Format, list[ImageRecord]]:
    images: list[ImageRecord] = []
    found: Format = "labelme"
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = [entry for entry in archive.infolist() if entry.filename.lower().endswith(".json")]
            if sum(entry.file_size for entry in entries) > MOST_UNPACKED:
                raise DataError(f"{name}: its files are larger than {MOST_UNPACKED:,} bytes; import it in parts")
            for entry in entries:
                try:
                    found, more = read_any(archive.read(entry), entry.filename, skipped)
                    images += more
                except DataError as error:
                    skipped.append(str(error))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise DataError(f"{name}: a damaged ZIP file ({error}); make it again") from error
    if not images:
        raise DataError(f"{name}: no COCO or labelme file in this ZIP{': ' + skipped[0] if skipped else ''}")
    return found, images
