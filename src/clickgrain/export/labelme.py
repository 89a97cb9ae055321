"""labelme's JSON: one file per image, beside it. Masks are written exactly; polygons and others are read."""

import base64
import json
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any

import cv2
import numpy as np

from clickgrain.errors import DataError
from clickgrain.export.labelmaps import png
from clickgrain.export.polygons import fill
from clickgrain.export.records import UNLABELLED, ImageRecord, ObjectRecord, name_beside
from clickgrain.types import Bool, Size

VERSION = "5.5.0"
"""Of the file format: masks came with 5.2."""
OURS = "clickgrain"


def labelme_files(images: Iterable[ImageRecord]) -> Iterator[tuple[str, bytes]]:
    """`<name>.json` for every image, its `imagePath` relative to the file."""
    taken = set[str]()
    for image in images:
        path = PurePosixPath(image.name)
        content: dict[str, Any] = {
            "version": VERSION,
            "flags": {},
            "shapes": [_shape(one) for one in image.objects() if one.mask.any()],
            "imagePath": path.name,
            "imageData": None,
            "imageHeight": image.size[0],
            "imageWidth": image.size[1],
        }
        yield name_beside(image.name, ".json", taken), json.dumps(content, indent=1).encode()


def _shape(one: ObjectRecord) -> dict[str, Any]:
    """A "mask" shape: the box's corner pixels, both inside, and the mask cropped to them."""
    x, y, width, height = cv2.boundingRect(np.ascontiguousarray(one.mask).view(np.uint8))
    crop = one.mask[y : y + height, x : x + width].astype(np.uint8) * np.uint8(255)
    shape: dict[str, Any] = {
        "label": one.label or UNLABELLED,
        "points": [[float(x), float(y)], [float(x + width - 1), float(y + height - 1)]],
        "group_id": None,
        "description": "",
        "shape_type": "mask",
        "flags": {},
        "mask": base64.b64encode(png(crop)).decode(),
    }
    return {**shape, OURS: one.extra} if one.extra else shape


def read_labelme(content: dict[str, Any], name: str, skipped: list[str] | None = None) -> ImageRecord:
    """The image and objects of one labelme file.

    Args:
        content: the JSON.
        name: of the JSON file relative to the folder of images; `imagePath` is relative to it.
        skipped: takes a line for each shape that is no area (points, lines).

    Raises:
        DataError: no labelme file.
    """
    try:
        size = (int(content["imageHeight"]), int(content["imageWidth"]))
        image = str(PurePosixPath(name).parent / str(content["imagePath"]).replace("\\", "/"))
        shapes = list(content["shapes"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{name}: not a labelme file: {type(error).__name__} {error}") from error

    def objects() -> list[ObjectRecord]:
        found = []
        for number, shape in enumerate(shapes):
            try:
                mask = _mask(shape, size)
                extra = shape.get(OURS)
            except (DataError, KeyError, TypeError, ValueError, AttributeError) as error:
                if skipped is not None:
                    skipped.append(f"{name}: shape {number}: {error}")
                continue
            label = str(shape.get("label") or UNLABELLED)
            kept = extra if isinstance(extra, dict) else {}
            found.append(ObjectRecord(mask, None if label == UNLABELLED else label, kept))
        return found

    return ImageRecord(image, size, objects)


def _mask(shape: dict[str, Any], size: Size) -> Bool:
    kind = shape.get("shape_type") or "polygon"
    points = np.asarray(shape["points"], np.float64).reshape(-1, 2)
    if not np.isfinite(points).all() or not len(points):
        raise DataError("its points are not numbers")
    if kind == "mask":
        return _given(shape, points, size)
    if kind == "polygon" and len(points) >= 3:
        return fill([points], size)
    if kind == "rectangle" and len(points) == 2:
        (x1, y1), (x2, y2) = points
        return fill([[(x1, y1), (x2, y1), (x2, y2), (x1, y2)]], size)
    if kind == "circle" and len(points) == 2:
        y, x = np.mgrid[: size[0], : size[1]] + 0.5
        inside: Bool = np.hypot(x - points[0, 0], y - points[0, 1]) <= np.hypot(*(points[1] - points[0]))
        return inside
    raise DataError(f"a {kind!r} of {len(points)} points is no area")


def _given(shape: dict[str, Any], points: Any, size: Size) -> Bool:
    try:
        coded = np.frombuffer(base64.b64decode(shape["mask"], validate=True), np.uint8)
        crop = cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)
    except (ValueError, cv2.error) as error:
        raise DataError(f"its mask cannot be decoded ({error})") from error
    if crop is None:
        raise DataError("its mask is no picture")
    left, top = (int(value) for value in points[0])
    mask = np.zeros(size, bool)
    height, width = crop.shape[:2]
    if left < 0 or top < 0 or top + height > size[0] or left + width > size[1]:
        raise DataError("its mask leaves the image")
    mask[top : top + height, left : left + width] = crop > 0
    return mask
