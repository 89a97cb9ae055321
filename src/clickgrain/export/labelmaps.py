"""Label maps: one PNG per image. Semantic (classes), instance (objects), panoptic (COCO's: both, with a JSON)."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from clickgrain.export.records import UNLABELLED, ImageRecord, LabelRecord, leave_out, name_for

Map = npt.NDArray[np.uint16]
File = tuple[str, bytes]


def semantic_files(
    images: Iterable[ImageRecord], labels: Sequence[LabelRecord], left_out: list[str]
) -> Iterator[File]:
    """8-bit PNGs (16-bit above 255 classes): 0 background or unlabelled, then classes as in labels.json."""
    index, taken = {label.name: number for number, label in enumerate(labels, 1)}, set[str]()
    for image in images:
        canvas, names = _painted(image, left_out)
        numbers = [0] * (1 + max(names, default=0))
        for number, name in names.items():
            numbers[number] = index.get(name or "", 0)
        classes: Map = np.array(numbers, np.uint16)[canvas]
        content = png(classes if len(labels) > 255 else classes.astype(np.uint8))
        yield f"semantic/{name_for(image.name, '.png', taken, after=True)}", content
    listed = {str(number): name for name, number in index.items()}
    yield "labels.json", json.dumps({"0": "background", **listed}, indent=1).encode()


def instance_files(
    images: Iterable[ImageRecord], labels: Sequence[LabelRecord], left_out: list[str]
) -> Iterator[File]:
    """16-bit PNGs: 0 background, 1 .. n the image's objects, whose labels are in objects.json."""
    listed: dict[str, Any] = {}
    taken = set[str]()
    for image in images:
        canvas, names = _painted(image, left_out)
        listed[image.name] = {str(number): name or UNLABELLED for number, name in names.items()}
        yield f"instance/{name_for(image.name, '.png', taken, after=True)}", png(canvas)
    yield "objects.json", json.dumps(listed, indent=1).encode()


def panoptic_files(
    images: Iterable[ImageRecord], labels: Sequence[LabelRecord], left_out: list[str]
) -> Iterator[File]:
    """COCO panoptic: RGB PNGs whose id is R + 256 G + 65536 B (0: nothing), and panoptic.json with the segments."""
    numbers = {label.name: label.id for label in labels}
    nowhere = max(numbers.values(), default=0) + 1
    content: dict[str, Any] = {"images": [], "annotations": []}
    taken = set[str]()
    for image_id, image in enumerate(images, 1):
        canvas, names = _painted(image, left_out)
        segments = [_segment(canvas == one, one, numbers.get(name or "", nowhere)) for one, name in names.items()]
        file = name_for(image.name, ".png", taken, after=True)
        height, width = canvas.shape
        content["images"].append({"id": image_id, "file_name": image.name, "height": height, "width": width})
        content["annotations"].append({"image_id": image_id, "file_name": file, "segments_info": segments})
        planes = np.stack([canvas & 255, canvas >> 8, np.zeros_like(canvas)], axis=-1).astype(np.uint8)
        yield f"panoptic/{file}", png(planes)
    categories_ = [(label.id, label.name, label.colour) for label in labels] + [(nowhere, UNLABELLED, "#808080")]
    content["categories"] = [
        {"id": id_, "name": name, "isthing": 1, "color": [int(colour[i : i + 2], 16) for i in (1, 3, 5)]}
        for id_, name, colour in categories_
    ]
    yield "panoptic.json", json.dumps(content).encode()


def _painted(image: ImageRecord, left_out: list[str]) -> tuple[Map, dict[int, str | None]]:
    """(H x W object numbers, 0 background; labels by number): where objects overlap, the upper one wins."""
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
        leave_out(left_out, f"{image.name}: {named} is left out of the map: others cover it")
    return canvas, names


def png(values: npt.NDArray[np.uint8] | Map) -> bytes:
    """PNG bytes of H x W (8 or 16 bit) or H x W x 3 uint8 RGB values."""
    done, content = cv2.imencode(".png", values[..., ::-1] if values.ndim == 3 else values)
    assert done
    return content.tobytes()


def _segment(mask: npt.NDArray[np.bool_], number: int, category: int) -> dict[str, Any]:
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    return {
        "id": number,
        "category_id": category,
        "area": int(np.count_nonzero(mask)),
        "bbox": [x, y, width, height],
        "iscrowd": 0,
    }
