"""Label Studio's JSON of tasks: brush masks, exact; in, polygons and rectangles, too. A labeling config goes along.

Contract: https://labelstud.io/guide/export and `label_studio_sdk/converter/brush.py`; a real server is the oracle.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from reprlib import repr as brief
from typing import Any
from urllib.parse import quote, unquote
from xml.sax.saxutils import quoteattr

import numpy as np

from clickgrain.errors import DataError
from clickgrain.export import brush_rle, records
from clickgrain.export.polygons import fill
from clickgrain.export.records import UNLABELLED, ImageRecord, LabelRecord, ObjectRecord
from clickgrain.images import SUFFIXES
from clickgrain.types import Bool, Size

LOCAL = "/data/local-files/?d="  # its address of a file below LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT


def label_studio_files(
    images: Iterable[ImageRecord], labels: Sequence[LabelRecord], folder: str
) -> Iterator[tuple[str, bytes]]:
    """`tasks.json`, an annotation an image, and `labeling-config.xml`, which takes them and answers clicks.

    `folder` of the images stands in the addresses: Label Studio serves no file of its document root itself.
    """
    tasks, names = [], dict.fromkeys(label.name for label in labels)
    for image in images:
        assert image.size is not None
        about = {"from_name": "mask", "to_name": "image", "type": "brushlabels", "image_rotation": 0}
        about |= {"original_height": image.size[0], "original_width": image.size[1]}
        results = []
        for number, one in enumerate(image.objects()):
            names[one.label or UNLABELLED] = None
            value = {"format": "rle", "rle": brush_rle.encode(one.mask), "brushlabels": [one.label or UNLABELLED]}
            results.append({"id": str(number), **about, "value": value})
        address = LOCAL + quote(f"{folder}/{image.name}")
        tasks.append({"data": {"image": address}, "annotations": [{"result": results}]})
    yield "tasks.json", json.dumps(tasks).encode()
    listed = "".join(f"<Label value={quoteattr(name)}/>" for name in names)
    controls = (("BrushLabels", "mask"), ("KeyPointLabels", "point"), ("RectangleLabels", "box"))
    tags = "".join(
        f'  <{tag} name="{name}" toName="image" smart="true">{listed}</{tag}>\n' for tag, name in controls
    )
    yield "labeling-config.xml", f'<View>\n  <Image name="image" value="$image"/>\n{tags}</View>\n'.encode()


def read_label_studio(tasks: list[Any], name: str, skipped: list[str]) -> list[ImageRecord]:
    """Images with the last annotation, or prediction, of each task; DataError: not one task can be used."""
    found = []
    for task in tasks:
        where = f"{name}: task {brief(task.get('id') if isinstance(task, dict) else task)}"
        with records.bad_left_out(skipped, where):
            addresses = [value for value in task["data"].values() if isinstance(value, str) and value]
            addresses.sort(key=lambda address: not address.lower().endswith(SUFFIXES))  # stable: images come first
            given = [one for one in task.get("annotations") or [] if not one.get("was_cancelled")]
            if len(given) > 1:
                records.leave_out(skipped, f"{where} has {len(given)} annotations; the last one is taken")
            results = [*(task.get("predictions") or [{"result": []}]), *given][-1]["result"]
            if not addresses or not isinstance(results, list):
                raise DataError("it has no address of an image, or no list of results; export JSON, not JSON-MIN")
            read = partial(_objects, results, where=where, skipped=skipped)
            address = addresses[0]
            image = unquote(address.removeprefix(LOCAL)) if address.startswith(LOCAL) else address
            first = next((one for one in results if isinstance(one, dict) and "original_width" in one), None)
            size = first and records.read_size(first.get("original_height"), first["original_width"])
            found.append(ImageRecord(image, None, file=name, read=read).sized(size or None))
    if tasks and not found:
        raise DataError(f"{name}: not one of its tasks can be used: {skipped[-1]}")
    return found


def _objects(results: list[Any], size: Size, where: str, skipped: list[str]) -> Iterator[ObjectRecord]:
    for number, entry in enumerate(results):
        with records.bad_left_out(skipped, f"{where}, result {number}"):
            kind, value = str(entry["type"]), entry["value"]
            mask = records.solid(_mask(entry, kind, size))
            label = next(iter(value.get(kind) or value.get("labels") or []), UNLABELLED)
            yield ObjectRecord(mask, None if label == UNLABELLED else records.read_text({"label": label}, "label"))


def _mask(entry: dict[str, Any], kind: str, size: Size) -> Bool:
    value = entry["value"]
    if entry.get("image_rotation"):
        raise DataError(f"it was drawn on an image turned by {entry['image_rotation']} degrees")
    if kind.startswith("brush") or "rle" in value:
        return brush_rle.decode(value["rle"], size)
    scale = np.array(size[::-1]) / 100  # of percent
    if kind.startswith("polygon") or "points" in value:
        return fill([np.asarray(value["points"], np.float64) * scale], size)
    if kind.startswith("rectangle"):
        turn = np.radians(float(value.get("rotation") or 0))  # about the corner (x, y)
        width, height = np.array([value["width"], value["height"]], np.float64) * scale
        cos, sin = np.cos(turn), np.sin(turn)
        across, down = width * np.array([cos, sin]), height * np.array([-sin, cos])
        corner = np.array([value["x"], value["y"]], np.float64) * scale
        return fill([[corner, corner + across, corner + across + down, corner + down]], size)
    raise DataError(f"a {brief(kind)} is no area that is read; draw with a brush, a polygon or a rectangle")
