"""Label maps: one PNG per image. Semantic (classes), instance (objects), panoptic (COCO's: both, with a JSON)."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import PurePosixPath
from reprlib import repr as brief
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from clickgrain.errors import DataError
from clickgrain.export import records
from clickgrain.export.coco import Categories, read_categories
from clickgrain.export.records import UNLABELLED, ImageRecord, LabelRecord, ObjectRecord
from clickgrain.types import Size

Map = npt.NDArray[np.uint16]
Ids = npt.NDArray[np.int32]
File = tuple[str, bytes]
Images = Iterable[ImageRecord]
Beside = Callable[[str], bytes]
"""Path relative to an annotation file -> content of that file; raises OSError or DataError if there is none."""


def semantic_files(images: Images, labels: Sequence[LabelRecord], left_out: list[str]) -> Iterator[File]:
    """8-bit PNGs (16-bit above 255 classes): 0 background or unlabelled, then classes as in labels.json."""
    index = {label.name: number for number, label in enumerate(labels, 1)}
    for _, file, canvas, names in _painted(images, left_out):
        numbers = [index.get(names.get(number) or "", 0) for number in range(1 + max(names, default=0))]
        classes: Map = np.array(numbers, np.uint16)[canvas]
        yield f"semantic/{file}", png(classes if len(labels) > 255 else classes.astype(np.uint8))
    listed = {str(number): name for name, number in index.items()}
    yield "labels.json", json.dumps({"0": "background", **listed}, indent=1).encode()


def instance_files(images: Images, left_out: list[str]) -> Iterator[File]:
    """16-bit PNGs: 0 background, 1 .. n the image's objects, whose labels are in objects.json."""
    listed: dict[str, Any] = {}
    for image, file, canvas, names in _painted(images, left_out):
        listed[image] = {str(number): name or UNLABELLED for number, name in names.items()}
        yield f"instance/{file}", png(canvas)
    yield "objects.json", json.dumps(listed, indent=1).encode()


def panoptic_files(images: Images, labels: Sequence[LabelRecord], left_out: list[str]) -> Iterator[File]:
    """COCO panoptic: RGB PNGs whose id is R + 256 G + 65536 B (0: nothing), and panoptic.json with the segments."""
    numbers = {label.name: label.id for label in labels}
    nowhere = max(numbers.values(), default=0) + 1
    content: dict[str, Any] = {"images": [], "annotations": []}
    for image_id, (image, file, canvas, names) in enumerate(_painted(images, left_out), 1):
        segments = []
        for one, name in names.items():
            mask, category = canvas == one, numbers.get(name or "", nowhere)
            extent = {"area": int(np.count_nonzero(mask)), "bbox": list(cv2.boundingRect(mask.view(np.uint8)))}
            segments.append({"id": one, "category_id": category, **extent, "iscrowd": 0})
        height, width = canvas.shape
        content["images"].append({"id": image_id, "file_name": image, "height": height, "width": width})
        content["annotations"].append({"image_id": image_id, "file_name": file, "segments_info": segments})
        planes = np.stack([canvas & 255, canvas >> 8, np.zeros_like(canvas)], axis=-1).astype(np.uint8)
        yield f"panoptic/{file}", png(planes)
    content["categories"] = [
        {"id": one.id, "name": one.name, "isthing": 1, "color": [int(one.colour[i : i + 2], 16) for i in (1, 3, 5)]}
        for one in (*labels, LabelRecord(nowhere, UNLABELLED))
    ]
    yield "panoptic.json", json.dumps(content).encode()


def _painted(images: Images, left_out: list[str]) -> Iterator[tuple[str, str, Map, dict[int, str | None]]]:
    """(image, name of its PNG, H x W object numbers, labels by number); of objects that overlap the upper wins."""
    taken = set[str]()
    for image in images:
        assert image.size is not None
        canvas: Map = np.zeros(image.size, np.uint16)
        names: dict[int, str | None] = {}
        ids: dict[int, int] = {}
        for number, one in enumerate(image.objects(), 1):
            canvas[one.mask] = number
            names[number], ids[number] = one.label, one.extra.get("id", number)
        areas = np.bincount(canvas.ravel(), minlength=len(names) + 1)
        for number in [number for number in names if not areas[number]]:
            named = f"object {ids[number]} ({names.pop(number) or UNLABELLED})"
            records.leave_out(left_out, f"{image.name}: {named} is left out of the map: others cover it")
        yield image.name, records.name_for(image.name, ".png", taken, after=True), canvas, names


def png(values: npt.NDArray[np.uint8] | Map) -> bytes:
    """PNG bytes of H x W (8 or 16 bit) or H x W x 3 uint8 RGB values."""
    done, content = cv2.imencode(".png", values[..., ::-1] if values.ndim == 3 else values)
    assert done
    return content.tobytes()


def read_panoptic(
    content: dict[str, Any], name: str, skipped: list[str], beside: Beside | None
) -> list[ImageRecord]:
    """Images of COCO panoptic JSON, each PNG read with its objects; DataError: it came alone, or none is usable."""
    if beside is None:
        raise DataError(f"{name}: panoptic JSON needs its PNGs; import both as one ZIP, or their folder")
    if not isinstance(content["images"], list):
        raise DataError(f"{name}: its images are {brief(content['images'])}, not a list; export it again")
    categories = read_categories(content.get("categories"), name, skipped)
    images = {brief(image.get("id")): image for image in content["images"] if isinstance(image, dict)}
    found = []
    for entry in content["annotations"]:
        with records.bad_left_out(skipped, f"{name}: annotation {brief(entry)}"):
            image = images[brief(entry["image_id"])]
            size = records.read_size(image.get("height"), image.get("width"))
            map_ = records.read_text(entry, "file_name")
            ids = partial(_ids, map_, PurePosixPath(name).stem, size, beside)
            objects = partial(_segments, entry, map_, ids, categories, name, skipped)
            found.append(ImageRecord(records.read_text(image, "file_name"), size, objects, name))
    if content["annotations"] and not found:
        raise DataError(f"{name}: not one of its images can be used: {skipped[-1]}; export it again")
    return found


def _segments(
    entry: dict[str, Any], map_: str, read: Callable[[], Ids], categories: Categories, name: str, skipped: list[str]
) -> Iterator[ObjectRecord]:
    try:
        ids = read()
    except (DataError, OSError) as error:
        records.leave_out(skipped, f"{name}: the segments of {map_} are left out: {error}")
        return
    for segment in entry.get("segments_info") or ():
        with records.bad_left_out(skipped, f"{name}: segment {brief(segment)} of {map_}"):
            mask = records.solid(ids == int(segment["id"]))
            category = segment.get("category_id")
            if category not in categories:
                about = f"{name}: segment {brief(segment)}"
                records.leave_out(skipped, f"{about} is without a label: no such category")
            yield ObjectRecord(mask, categories.get(category))


def _ids(map_: str, stem: str, size: Size, beside: Beside) -> Ids:
    """H x W ids of a panoptic PNG: R + 256 G + 65536 B."""
    for folder in (stem, "panoptic", "."):
        try:
            coded = beside(f"{folder}/{map_}")
            break
        except FileNotFoundError:
            continue
    else:
        raise DataError(f"there is no {stem}/{map_}, no panoptic/{map_} and no {map_} next to the JSON")
    given = int.from_bytes(coded[20:24], "big"), int.from_bytes(coded[16:20], "big")  # before anything is decoded
    if coded[:8] != b"\x89PNG\r\n\x1a\n" or given != size:
        raise DataError(f"it is no PNG of {size[1]} x {size[0]} pixels; export it again")
    planes = cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_COLOR)
    if planes is None or planes.shape[:2] != size:
        raise DataError("it is a damaged PNG; export it again")
    blue, green, red = (planes[..., i].astype(np.int32) for i in range(3))
    return red + 256 * green + 65536 * blue
