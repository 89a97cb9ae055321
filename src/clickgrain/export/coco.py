"""COCO instance annotations: one JSON file; polygons, or run lengths where a polygon cannot hold the mask."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np

from clickgrain.errors import DataError
from clickgrain.export import rle
from clickgrain.export.polygons import area, fill, loops
from clickgrain.export.records import UNLABELLED, ImageRecord, LabelRecord, ObjectRecord
from clickgrain.images import rotation_hint
from clickgrain.types import Bool, Size

OURS = "clickgrain"
"""Key for what only clickgrain reads."""
FILE = "annotations.json"


def write_coco(images: Iterable[ImageRecord], labels: Sequence[LabelRecord], *, polygons: bool = True) -> bytes:
    """COCO JSON.

    Args:
        images: with their objects.
        labels: become categories in this order; objects without one are "unlabelled".
        polygons: polygons for masks without holes, run lengths for the others; False: run lengths for all.
            `iscrowd` is 0 throughout, since 1 would tell evaluators to ignore the object.
    """
    numbers = {label.name: label.id for label in labels}
    nowhere = max(numbers.values(), default=0) + 1
    content: dict[str, Any] = {"images": [], "annotations": []}
    for image_id, image in enumerate(images, 1):
        height, width = image.size
        content["images"].append({"id": image_id, "file_name": image.name, "height": height, "width": width})
        for one in image.objects():
            category = numbers.get(one.label or "", nowhere)
            entry = {"id": len(content["annotations"]) + 1, "image_id": image_id, "category_id": category}
            content["annotations"].append({**entry, **_geometry(one.mask, polygons), **_ours(one.extra)})
    content["categories"] = [{"id": label.id, "name": label.name} for label in labels]
    if any(entry["category_id"] == nowhere for entry in content["annotations"]):
        content["categories"].append({"id": nowhere, "name": UNLABELLED})
    return json.dumps(content).encode()


def _ours(extra: dict[str, Any]) -> dict[str, Any]:
    return {OURS: extra} if extra else {}


def _geometry(mask: Bool, polygons: bool) -> dict[str, Any]:
    x, y, width, height = cv2.boundingRect(np.ascontiguousarray(mask).view(np.uint8))
    shape: Any = None
    if polygons and mask.any():
        outlines = loops(mask)
        if all(area(loop) > 0 for loop in outlines):
            shape = [loop.ravel().tolist() for loop in outlines]
    if shape is None:
        shape = {"size": list(mask.shape), "counts": rle.to_string(rle.encode(mask))}
    return {
        "segmentation": shape,
        "bbox": [x, y, width, height],
        "area": int(np.count_nonzero(mask)),
        "iscrowd": 0,
    }


def read_coco(content: dict[str, Any], skipped: list[str] | None = None) -> list[ImageRecord]:
    """Images and objects of COCO JSON; masks are decoded, and judged, when `objects` is called.

    Args:
        content: the JSON.
        skipped: takes a line for each annotation without a usable mask; None: such a one is an error.

    Raises:
        DataError: parts are missing.
    """
    try:
        names = {entry["id"]: str(entry["name"]) for entry in content.get("categories", [])}
        images = {entry["id"]: entry for entry in content["images"]}
        found: dict[Any, list[dict[str, Any]]] = {id_: [] for id_ in images}
        for entry in content["annotations"]:
            found[entry["image_id"]].append(entry)
        return [_image(images[id_], entries, names, skipped) for id_, entries in found.items()]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"not COCO annotations: {type(error).__name__} {error}; they have images, annotations and categories"
        ) from error


def _image(
    image: dict[str, Any], entries: list[dict[str, Any]], names: dict[Any, str], skipped: list[str] | None
) -> ImageRecord:
    size = (int(image["height"]), int(image["width"]))
    name = str(image["file_name"])

    def objects() -> list[ObjectRecord]:
        found = []
        for entry in entries:
            try:
                found.append(_object(name, entry, names, size))
            except DataError as error:
                if skipped is None:
                    raise
                skipped.append(str(error))
        return found

    return ImageRecord(name, size, objects)


def _object(name: str, entry: dict[str, Any], names: dict[Any, str], size: Size) -> ObjectRecord:
    label = names.get(entry.get("category_id"))
    extra = entry.get(OURS)
    try:
        mask = _mask(entry["segmentation"], size)
    except (DataError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{name}: annotation {entry.get('id')} has no usable segmentation ({error})") from error
    return ObjectRecord(mask, None if label == UNLABELLED else label, extra if isinstance(extra, dict) else {})


def _mask(shape: Any, size: Size) -> Bool:
    if isinstance(shape, dict):
        if tuple(shape["size"]) != size:
            hint = rotation_hint(shape["size"], size)
            raise DataError(f"its RLE is of {shape['size']}, the image {list(size)} (height, width){hint}")
        return rle.decode(shape["counts"], size)
    if not shape or any(len(polygon) < 6 or len(polygon) % 2 for polygon in shape):
        raise DataError("a polygon needs three points or more, x and y in turn")
    return fill(shape, size)
