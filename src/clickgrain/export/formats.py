"""Export by the name of a format; import of any known file."""

import io
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from clickgrain.errors import DataError
from clickgrain.export import datumaro
from clickgrain.export.coco import FILE, read_coco, write_coco
from clickgrain.export.config import Format as Format
from clickgrain.export.geojson import Locate, geojson_files
from clickgrain.export.label_studio import label_studio_files, read_label_studio
from clickgrain.export.labelmaps import Beside, instance_files, panoptic_files, read_panoptic, semantic_files
from clickgrain.export.labelme import labelme_files, read_labelme
from clickgrain.export.records import UNLABELLED, ImageRecord, LabelRecord, ObjectRecord, leave_out
from clickgrain.export.voc import voc_files
from clickgrain.export.yolo import read_yolo, yolo_files

File = tuple[str, bytes]
MOST_UNPACKED = 1_073_741_824  # total bytes of the annotation files in a ZIP
LARGEST_PICTURE = 268_435_456  # bytes of a PNG of a panoptic data set
MOST_ENTRIES = 1_000_000
MOST_MEMORY = 3_000_000_000
"""Bytes in memory that the JSON of one import may take; COCO's largest file, of 448 MB, takes less."""
ZIP = b"PK\x03\x04"
READ = (".json", ".txt", ".yaml", ".yml")  # suffixes of files that may hold annotations


def export_files(
    format_: Format,
    images: Iterable[ImageRecord],  # with their objects, the lowest first
    labels: Sequence[LabelRecord],
    *,
    left_out: list[str] | None = None,  # takes a line for each object without pixels; no format can hold one
    polygons: bool = True,  # COCO only: polygons for masks without holes; otherwise run lengths for all
    # COCO, YOLO and GeoJSON: how far in pixels polygons may leave the edges of the mask's pixels
    tolerance: float = 0.0,
    # YOLO only: called with (name of an image, where readers look for it below the export folder)
    place: Callable[[str, str], None] | None = None,
    locate: Locate | None = None,  # GeoJSON only: where an image of this name lies on the map
    folder: str = "photos",  # Label Studio only: name of the folder of the images, in its document root
) -> Iterator[File]:
    """(name, content) of every file of an export, one image at a time."""
    lines = [] if left_out is None else left_out
    seen = (replace(image, objects=partial(_seen, image, lines)) for image in images)
    writers: dict[Format, Callable[[], Iterable[File]]] = {
        "coco": lambda: [(FILE, write_coco(seen, labels, polygons=polygons, tolerance=tolerance))],
        "semantic": lambda: semantic_files(seen, labels, lines),
        "instance": lambda: instance_files(seen, lines),
        "panoptic": lambda: panoptic_files(seen, labels, lines),
        "yolo": lambda: yolo_files(seen, labels, lines, place, tolerance),
        "labelme": lambda: labelme_files(seen),
        "label-studio": lambda: label_studio_files(seen, labels, folder),
        "geojson": lambda: geojson_files(seen, locate, tolerance),
        "voc": lambda: voc_files(seen),
        "datumaro": lambda: [(datumaro.FILE, datumaro.write_datumaro(seen, labels))],
    }
    yield from writers[format_]()


def _seen(image: ImageRecord, left_out: list[str]) -> Iterator[ObjectRecord]:
    for number, one in enumerate(image.objects(), 1):
        if one.mask.any():
            yield one
            continue
        named = f"object {one.extra.get('id', number)} ({one.label or UNLABELLED})"
        leave_out(left_out, f"{image.name}: {named} is left out: it was erased, or others cover it")


def read_any(
    content: bytes, name: str, skipped: list[str], beside: Beside | None = None
) -> tuple[Format, list[ImageRecord]]:
    """(format, images) of COCO (panoptic, too), labelme, Label Studio or Datumaro JSON, or a ZIP of it or of YOLO.

    What a file is, its content says. Raises DataError: for other files, or one that takes too much time or memory.
    """
    if content[:4] == ZIP:
        return _of_zip(content, name, skipped)
    value = _parsed(content, name)
    if isinstance(value, list):
        return "label-studio", read_label_studio(value, name, skipped)
    if "annotations" in value and "images" in value:
        first = value["annotations"][:1] if isinstance(value["annotations"], list) else []
        if first and isinstance(first[0], dict) and "segments_info" in first[0]:
            return "panoptic", read_panoptic(value, name, skipped, beside)
        return "coco", read_coco(value, name, skipped)
    if "items" in value and isinstance(value.get("categories"), dict):
        return "datumaro", datumaro.read_datumaro(value, name, skipped)
    if "shapes" in value:
        return "labelme", [read_labelme(value, name, skipped)]
    raise DataError(
        f"{name}: no COCO (images, annotations), labelme (shapes), Datumaro (items) or Label Studio (a list of"
        " tasks); export it from there again"
    )


def read_many(
    files: Mapping[str, Callable[[], bytes]], skipped: list[str], open_file: Callable[[str], bytes] | None = None
) -> Iterator[tuple[Format, list[ImageRecord]]]:
    """(format, images) of several files: each JSON by itself, text and YAML files together as a YOLO data set."""
    for name, read in files.items():
        if not name.lower().endswith(".json"):
            continue
        try:
            content = read()
            if content[:4] == ZIP:
                raise DataError(f"{name}: a ZIP inside another, or with another suffix; unpack it first")
            beside = open_file and partial(file_beside, open_file, name)
            found = read_any(content, name, skipped, beside)
        except (DataError, OSError) as error:
            leave_out(skipped, str(error))
            continue
        yield found
    texts = {name: read for name, read in files.items() if not name.lower().endswith(".json")}
    if any(name.lower().endswith(".txt") for name in texts):
        yield "yolo", read_yolo(texts, skipped)


def file_beside(open_file: Callable[[str], bytes], name: str, relative: str) -> bytes:
    """A file below the folder of an annotation file; DataError for a path that leads out of it."""
    path = PurePosixPath(relative)
    if path.is_absolute() or ".." in path.parts or "\\" in relative:
        raise DataError(f"{relative} lies outside the folder of {name}")
    return open_file(str(PurePosixPath(name).parent / path))


def _parsed(content: bytes, name: str) -> dict[str, Any] | list[Any]:
    if (memory := _memory(content)) > MOST_MEMORY:
        raise DataError(f"{name}: would take about {memory / 1e9:.0f} GB of memory to read; import it in parts")
    try:
        try:
            value = json.loads(content)
        except json.JSONDecodeError:
            raise
        except ValueError:  # a number of over 4,300 digits, which Python refuses to read
            value = json.loads(content, parse_int=lambda text: int(text) if len(text) < 4_000 else float("inf"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name}: not valid JSON ({error}); export it again") from error
    if not isinstance(value, dict | list):
        raise DataError(f"{name}: a {type(value).__name__}, not an object with annotations; export it again")
    return value


def _memory(content: bytes) -> int:
    """Estimated bytes of JSON as Python objects."""
    return 40 * content.count(b",") + 64 * content.count(b"[") + 240 * content.count(b"{")


def _of_zip(content: bytes, name: str, skipped: list[str]) -> tuple[Format, list[ImageRecord]]:
    if content.count(b"PK\x01\x02") > MOST_ENTRIES:
        raise DataError(f"{name}: holds more than {MOST_ENTRIES:,} files; import it in parts")
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))  # stays open: label files are read later
    except Exception as error:  # the ZIP reader has many ways to fail
        raise DataError(f"{name}: a damaged ZIP file ({error}); make it again") from error
    entries = [entry for entry in archive.infolist() if entry.filename.lower().endswith(READ)]
    if sum(entry.file_size for entry in entries) > MOST_UNPACKED:
        raise DataError(f"{name}: its files are larger than {MOST_UNPACKED:,} bytes; import it in parts")
    memory = 0

    def read(entry: zipfile.ZipInfo) -> bytes:
        try:
            with archive.open(entry) as file:
                return file.read(entry.file_size + 1)  # bounded, since the stated size may be wrong
        except Exception as error:
            raise DataError(f"{entry.filename}: damaged or encrypted in {name} ({error}); make it again") from error

    def picture(path: str) -> bytes:
        try:
            entry = archive.getinfo(path)
        except KeyError:
            raise FileNotFoundError(f"{path}: not in {name}") from None
        if entry.file_size > LARGEST_PICTURE:
            raise DataError(f"{path}: {entry.file_size:,} bytes are too many for a map")
        return read(entry)

    def unpacked(entry: zipfile.ZipInfo) -> bytes:
        nonlocal memory
        part = read(entry)
        memory += _memory(part) if entry.filename.lower().endswith(".json") else 0
        if memory > MOST_MEMORY:
            raise DataError(f"{entry.filename}: too much with what was read of {name} before; import it in parts")
        return part

    files = {entry.filename: partial(unpacked, entry) for entry in entries}
    found = list(read_many(files, skipped, picture))
    images = [image for _, some in found for image in some]
    if not images:
        raise DataError(f"{name}: no COCO, labelme or YOLO file in this ZIP{': ' + skipped[0] if skipped else ''}")
    return found[0][0], images
