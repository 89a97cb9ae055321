"""Label maps: one PNG per image. Semantic (classes), instance (objects), panoptic (COCO's: both, with a JSON)."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from clickgrain.export.records import UNLABELLED, ImageRecord, LabelRecord

Map = npt.NDArray[np.uint16]
File = tuple[str, bytes]


def semantic_files(images: Iterable[ImageRecord], labels: Sequence[LabelRecord]) -> Iterator[File]:
    """8-bit PNGs (16-bit above 255 classes): 0 background or unlabelled, then classes as in labels.json."""
    index = {label.name: number for number, label in enumerate(labels, 1)}
    for image in images:
        canvas = np.zeros(image.size, np.uint16)
        for one in image.objects():
            canvas[one.mask] = index.get(one.label or "", 0)
        yield f"semantic/{_png_name(image.name)}", png(canvas if len(labels) > 255 else canvas.astype(np.uint8))
    classes = {str(number): name for name, number in index.items()}
    yield "labels.json", json.dumps({"0": "background", **classes}, indent=1).encode()


def instance_files(images: Iterable[ImageRecord], labels: Sequence[LabelRecord]) -> Iterator[File]:
    """16-bit PNGs: 0 background, 1 .. n the image's objects, whose labels stand in objects.json."""
    listed: dict[str, Any] = {}
    for image in images:
        canvas, names = np.zeros(image.size, np.uint16), {}
        for number, one in enumerate(image.objects(), 1):
            canvas[one.mask] = number
            names[str(number)] = one.label or UNLABELLED
        listed[image.name] = names
        yield f"instance/{_png_name(image.name)}", png(canvas)
    yield "objects.json", json.dumps(listed, indent=1).encode()


def panoptic_files(images: Iterable[ImageRecord], labels: Sequence[LabelRecord]) -> Iterator[File]:
    """COCO panoptic: RGB PNGs whose id is R + 256 G + 65536 B (0: nothing), and panoptic.json with the segments."""
    numbers = {label.name: label.id for label in labels}
    nowhere = max(numbers.values(), default=0) + 1
    content: dict[str, Any] = {"images": [], "annotations": []}
    for image_id, image in enumerate(images, 1):
        canvas, categories = np.zeros(image.size, np.uint16), {}
        for number, one in enumerate(image.objects(), 1):
            canvas[one.mask] = number
            categories[number] = numbers.get(one.label or "", nowhere)
        name = _png_name(image.name)
        height, width = image.size
        segments = [_segment(canvas == number, number, category) for number, category in categories.items()]
        segments = [segment for segment in segments if segment["area"]]
        content["images"].append({"id": image_id, "file_name": image.name, "height": height, "width": width})
        content["annotations"].append({"image_id": image_id, "file_name": name, "segments_info": segments})
        planes = np.stack([canvas & 255, canvas >> 8, np.zeros_like(canvas)], axis=-1).astype(np.uint8)
        yield f"panoptic/{name}", png(planes)
    categories_ = [(label.id, label.name, label.colour) for label in labels] + [(nowhere, UNLABELLED, "#808080")]
    content["categories"] = [
        {"id": id_, "name": name, "isthing": 1, "color": [int(colour[i : i + 2], 16) for i in (1, 3, 5)]}
        for id_, name, colour in categories_
    ]
    yield "panoptic.json", json.dumps(content).encode()


def png(values: npt.NDArray[np.uint8] | Map) -> bytes:
    """PNG bytes of H x W (8 or 16 bit) or H x W x 3 uint8 RGB values."""
    done, content = cv2.imencode(".png", values[..., ::-1] if values.ndim == 3 else values)
    assert done
    return content.tobytes()


def _png_name(name: str) -> str:
    """The image's name with .png after it, so that a.jpg and a.png do not meet."""
    path = PurePosixPath(name)
    return str(path if path.suffix.lower() == ".png" else path.with_name(path.name + ".png"))


def _segment(mask: npt.NDArray[np.bool_], number: int, category: int) -> dict[str, Any]:
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    return {
        "id": number,
        "category_id": category,
        "area": int(np.count_nonzero(mask)),
        "bbox": [x, y, width, height],
        "iscrowd": 0,
    }
