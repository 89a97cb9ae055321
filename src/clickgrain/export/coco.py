"""COCO instance annotations: one JSON file; polygons, or run lengths for masks with holes."""

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from reprlib import repr as brief
from typing import Any

import cv2
import numpy as np

from clickgrain.errors import DataError
from clickgrain.export import records, rle
from clickgrain.export.polygons import area, fill, loops, simplified
from clickgrain.export.records import OURS, UNLABELLED, ImageRecord, LabelRecord, ObjectRecord
from clickgrain.images import rotation_hint
from clickgrain.types import Bool, Size

Categories = dict[Any, str | None]
FILE = "annotations.json"
LARGEST_ID = 2**53  # integers up to here are exact in every JSON reader


def write_coco(
    images: Iterable[ImageRecord], labels: Sequence[LabelRecord], *, polygons: bool = True, tolerance: float = 0.0
) -> bytes:
    """COCO JSON; an image without objects is a negative one, objects without a label get "unlabelled".

    Masks without holes become polygons that may leave the edges of the mask's pixels by `tolerance` pixels, the
    others run lengths; without `polygons` all do. `iscrowd` is always 0; evaluators ignore objects with 1.
    """
    numbers = {label.name: label.id for label in labels}
    nowhere = max(numbers.values(), default=0) + 1
    content: dict[str, Any] = {"images": [], "annotations": []}
    for image_id, image in enumerate(images, 1):
        assert image.size is not None
        height, width = image.size
        content["images"].append({"id": image_id, "file_name": image.name, "height": height, "width": width})
        for one in image.objects():
            outlines = [simplified(loop, tolerance) for loop in loops(one.mask)] if polygons else []
            shape: Any = [loop.ravel().tolist() for loop in outlines]
            if not outlines or any(area(loop) < 0 for loop in outlines):
                shape = {"size": list(one.mask.shape), "counts": rle.encode(one.mask)}
            entry = {
                "id": len(content["annotations"]) + 1,
                "image_id": image_id,
                "category_id": numbers.get(one.label or "", nowhere),
                "segmentation": shape,
                "bbox": list(cv2.boundingRect(np.ascontiguousarray(one.mask).view(np.uint8))),
                "area": int(np.count_nonzero(one.mask)),
                "iscrowd": 0,
            }
            content["annotations"].append({**entry, OURS: one.extra} if one.extra else entry)
    content["categories"] = [{"id": label.id, "name": label.name} for label in labels]
    if any(entry["category_id"] == nowhere for entry in content["annotations"]):
        content["categories"].append({"id": nowhere, "name": UNLABELLED})
    return json.dumps(content).encode()


def read_coco(content: dict[str, Any], name: str, skipped: list[str]) -> list[ImageRecord]:
    """Images of COCO JSON, masks decoded when `objects` is called; DataError: no lists, or no usable image."""
    for key in ("images", "annotations"):
        if not isinstance(content.get(key), list):
            raise DataError(f"{name}: its {key} are {brief(content.get(key))}, not a list; export it again")
    categories = read_categories(content.get("categories"), name, skipped)
    images: dict[Any, tuple[str, Size]] = {}
    why = ""
    for entry in content["images"]:
        try:
            id_, image = _id(entry, "id"), records.read_text(entry, "file_name")
            if id_ in images:
                raise DataError("its id is taken by another image")
            images[id_] = (image, records.read_size(entry.get("height"), entry.get("width")))
        except DataError as error:
            why = why or f"image {brief(entry)}: {error}"
            records.leave_out(skipped, f"{name}: image {brief(entry)} is left out: {error}")
    found: dict[Any, list[dict[str, Any]]] = {id_: [] for id_ in images}
    for entry in content["annotations"]:
        try:
            id_ = _id(entry, "image_id")
            if id_ not in found:
                twin = int(id_) if isinstance(id_, str) and id_.isdecimal() and len(id_) < 20 else str(id_)
                hint = f" (but {twin!r} is: a number on one side, a text on the other)" if twin in found else ""
                raise DataError(f"its image_id {brief(id_)} is none of the file's usable images{hint}")
            found[id_].append(entry)
        except DataError as error:
            records.leave_out(skipped, f"{name}: annotation {_number(entry)} is left out: {error}")
    if why and not images:
        raise DataError(f"{name}: not one of its images can be used, such as {why}; export it again")
    exact = {id_: id_ if isinstance(id_, int) and 0 <= id_ <= LARGEST_ID else None for id_ in categories}
    classes = tuple((label, exact[id_]) for id_, label in categories.items() if label is not None)
    read = partial(_objects, categories=categories, name=name, skipped=skipped)
    return [
        ImageRecord(image, size, partial(read, image, size, found[id_]), name, classes=classes)
        for id_, (image, size) in images.items()
    ]


def read_categories(given: Any, name: str, skipped: list[str]) -> Categories:
    """Names by id; None for the category of objects without a label."""
    categories: Categories = {}
    names = set[str]()
    for entry in given if isinstance(given, list) else ():
        with records.bad_left_out(skipped, f"{name}: category {brief(entry)}"):
            id_, label = _id(entry, "id"), records.read_text(entry, "name")
            if id_ in categories:
                raise DataError("its id is taken by another category")
            if label in names:
                records.leave_out(skipped, f"{name}: several categories called {label!r}; they become one label")
            names.add(label)
            categories[id_] = None if label == UNLABELLED else label
    return categories


def _objects(
    image: str, size: Size, entries: list[dict[str, Any]], categories: Categories, name: str, skipped: list[str]
) -> Iterator[ObjectRecord]:
    for entry in entries:
        where = f"{name}: annotation {_number(entry)} of {image}"
        with records.bad_left_out(skipped, where):
            category = None if entry.get("category_id") is None else _id(entry, "category_id")
            mask = records.solid(mask_of(entry["segmentation"], size))
            extra = entry.get(OURS)
            if category is not None and category not in categories:
                why = f"the file has no category {brief(category)}"
                records.leave_out(skipped, f"{where} is without a label: {why}")
            yield ObjectRecord(mask, categories.get(category), extra if isinstance(extra, dict) else {})


def mask_of(shape: Any, size: Size) -> Bool:
    """The H x W bool mask of a segmentation: run lengths, or a list of polygons; DataError if it is neither."""
    if isinstance(shape, dict):
        if shape.get("size") != list(size):
            hint = rotation_hint(tuple(shape["size"]), size) if isinstance(shape.get("size"), list) else ""
            raise DataError(f"its RLE is of {brief(shape.get('size'))}, the image {list(size)} (H, W){hint}")
        return rle.decode(shape["counts"], size)
    if not isinstance(shape, list) or not shape:
        raise DataError(f"its segmentation is {brief(shape)}, neither polygons nor an RLE")
    if not all(isinstance(polygon, list) and len(polygon) >= 6 and len(polygon) % 2 == 0 for polygon in shape):
        raise DataError("a polygon needs three points or more, x and y in turn")
    return fill(shape, size)


def _id(entry: Any, key: str) -> Any:
    """A record's id, hashable; DataError for neither a number nor a text."""
    value = entry.get(key) if isinstance(entry, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise DataError(f"its {key} is {brief(value)}, neither a number nor a text")
    return value


def _number(entry: Any) -> str:
    return brief(entry.get("id")) if isinstance(entry, dict) and "id" in entry else brief(entry)
