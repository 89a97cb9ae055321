"""Datumaro's JSON: one file for all images; masks as run lengths, exact. CVAT exports and imports it.

Contract: `datumaro/plugins/data_formats/datumaro/`; the package itself is the oracle of a test.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import PurePosixPath
from reprlib import repr as brief
from typing import Any

from clickgrain.errors import DataError
from clickgrain.export import records, rle
from clickgrain.export.coco import mask_of
from clickgrain.export.polygons import fill
from clickgrain.export.records import UNLABELLED, ImageRecord, LabelRecord, ObjectRecord
from clickgrain.types import Bool, Size

FILE = "annotations/default.json"
VERSION, IMAGES = "1.0", 2  # of the format, and its number for images among kinds of media


def write_datumaro(images: Iterable[ImageRecord], labels: Sequence[LabelRecord]) -> bytes:
    """Datumaro's JSON; an object without a label has the label_id null."""
    numbers = {label.name: number for number, label in enumerate(labels)}
    items = []
    for image in images:
        assert image.size is not None
        annotations = []
        for number, one in enumerate(image.objects()):
            shape = {"rle": {"counts": rle.encode(one.mask), "size": list(image.size)}, "z_order": number}
            about = {"id": number, "type": "mask", "attributes": {}, "group": 0}
            annotations.append({**about, "label_id": numbers.get(one.label or ""), **shape})
        path = {"path": image.name, "size": list(image.size)}
        id_ = str(PurePosixPath(image.name).with_suffix(""))
        items.append({"id": id_, "annotations": annotations, "attr": {}, "image": path})
    listed = [{"name": label.name, "parent": "", "attributes": []} for label in labels]
    categories = {"label": {"labels": listed, "label_groups": [], "attributes": []}}
    head = {"dm_format_version": VERSION, "media_type": IMAGES, "infos": {}}
    return json.dumps({**head, "categories": categories, "items": items}).encode()


def read_datumaro(content: dict[str, Any], name: str, skipped: list[str]) -> list[ImageRecord]:
    """Images with masks, polygons and boxes, the rest in `skipped`; DataError if its items are no list."""
    if not isinstance(content.get("items"), list):
        raise DataError(f"{name}: its items are {brief(content.get('items'))}, not a list; export it again")
    about = content["categories"].get("label")
    listed = about.get("labels") if isinstance(about, dict) else None
    labels: list[str | None] = []
    for entry in listed if isinstance(listed, list) else ():
        labels.append(None)
        with records.bad_left_out(skipped, f"{name}: label {brief(entry)}"):
            label = records.read_text(entry, "name")
            labels[-1] = None if label == UNLABELLED else label
    classes = tuple((label, None) for label in labels if label is not None)
    found = []
    for item in content["items"]:
        with records.bad_left_out(skipped, f"{name}: item {brief(item)}"):
            given = item.get("annotations", []) if isinstance(item, dict) else None
            if not isinstance(given, list):
                raise DataError(f"its annotations are {brief(given)}, not a list")
            picture = item["image"] if isinstance(item.get("image"), dict) else {}
            # Datumaro writes where it copied the image to: the name is the item's id, with the suffix of the path
            suffix = PurePosixPath(records.read_text(picture, "path")).suffix if picture.get("path") else ".*"
            image = f"{records.read_text(item, 'id').removesuffix(suffix)}{suffix}"
            size = picture.get("size")
            known = records.read_size(*size) if isinstance(size, list) and len(size) == 2 else None
            read = partial(_objects, given, labels=labels, name=name, skipped=skipped)
            found.append(ImageRecord(image, None, file=name, read=read, classes=classes).sized(known))
    return found


def _objects(
    given: list[Any], size: Size, labels: list[str | None], name: str, skipped: list[str]
) -> Iterator[ObjectRecord]:
    for number, entry in enumerate(given):
        where = f"{name}: annotation {number}"
        with records.bad_left_out(skipped, where):
            mask, label = records.solid(_mask(entry, size)), entry.get("label_id")
            if label is not None and (not isinstance(label, int) or not 0 <= label < len(labels)):
                records.leave_out(skipped, f"{where} is without a label: there is no {brief(label)}")
                label = None
            yield ObjectRecord(mask, None if label is None else labels[label])


def _mask(entry: dict[str, Any], size: Size) -> Bool:
    kind = entry["type"]
    if kind == "mask":
        return mask_of(entry["rle"], size)
    if kind == "polygon":
        return mask_of([entry["points"]], size)
    if kind == "bbox":
        x, y, width, height = (float(number) for number in entry["bbox"])
        return fill([[(x, y), (x + width, y), (x + width, y + height), (x, y + height)]], size)
    raise DataError(f"a {brief(kind)} is no area")
