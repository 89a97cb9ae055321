"""labelme's JSON: one file per image, next to it. Masks are written exactly; other shapes are read too."""

import base64
import json
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import PurePosixPath
from reprlib import repr as brief
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from clickgrain.errors import DataError
from clickgrain.export import records
from clickgrain.export.labelmaps import png
from clickgrain.export.polygons import FARTHEST, fill
from clickgrain.export.records import OURS, UNLABELLED, ImageRecord, ObjectRecord
from clickgrain.types import Bool, Size

VERSION = "5.5.0"  # of the file format; 5.2 introduced masks
CORNERED = ("polygon", "rectangle", "rotation", "quadrilateral", "oriented_rectangle")
"""Shapes given by their corners, as X-AnyLabeling writes rectangles; rotated ones are "rotation"."""


def labelme_files(images: Iterable[ImageRecord]) -> Iterator[tuple[str, bytes]]:
    """`<name>.json` for every image, its `imagePath` relative to the file."""
    taken = set[str]()
    for image in images:
        assert image.size is not None
        content: dict[str, Any] = {
            "version": VERSION,
            "flags": {},
            "shapes": [_shape(one) for one in image.objects()],
            "imagePath": PurePosixPath(image.name).name,
            "imageData": None,
            "imageHeight": image.size[0],
            "imageWidth": image.size[1],
        }
        yield records.name_for(image.name, ".json", taken), json.dumps(content, indent=1).encode()


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


def read_labelme(content: dict[str, Any], name: str, skipped: list[str]) -> ImageRecord:
    """One file of labelme or X-AnyLabeling; DataError without image name or shapes, or with an impossible size."""
    try:
        image = str(PurePosixPath(name).parent / records.read_text(content, "imagePath").replace("\\", "/"))
        height, width, shapes = content.get("imageHeight"), content.get("imageWidth"), content["shapes"]
        size = None if height is None or width is None else records.read_size(height, width)
        if not isinstance(shapes, list):
            raise DataError(f"its shapes are {brief(shapes)}, not a list")
    except DataError as error:
        raise DataError(f"{name}: not a labelme file: {error}; save it again") from error
    read = partial(_objects, shapes, name=name, skipped=skipped)
    return ImageRecord(image, None, file=name, read=read).sized(size)


def _objects(shapes: list[Any], size: Size, name: str, skipped: list[str]) -> Iterator[ObjectRecord]:
    for number, shape in enumerate(shapes):
        with records.bad_left_out(skipped, f"{name}: shape {number}"):
            label = UNLABELLED if shape.get("label") in (None, "") else records.read_text(shape, "label")
            extra = shape[OURS] if isinstance(shape.get(OURS), dict) else {}
            yield ObjectRecord(records.solid(_mask(shape, size)), None if label == UNLABELLED else label, extra)


def _mask(shape: dict[str, Any], size: Size) -> Bool:
    kind = shape.get("shape_type") or "polygon"
    points = np.asarray(shape["points"], np.float64).reshape(-1, 2)
    if not len(points) or not (np.abs(points) <= FARTHEST).all():  # NaN is not
        raise DataError(f"its points are no numbers, or over {FARTHEST:,.0f} pixels away")
    if kind == "mask":
        return _given(shape, points, size)
    if kind in CORNERED and len(points) >= 3:
        return fill([points], size)
    if kind == "rectangle" and len(points) == 2:
        (x1, y1), (x2, y2) = points
        return fill([[(x1, y1), (x2, y1), (x2, y2), (x1, y2)]], size)
    if kind == "circle" and len(points) == 2:
        y, x = np.ogrid[: size[0], : size[1]]
        (cx, cy), radius = points[0] - 0.5, np.hypot(*(points[1] - points[0]))
        return (x - cx) ** 2 + (y - cy) ** 2 <= radius**2
    raise DataError(f"a {brief(kind)} of {len(points)} points is no area")


def _given(shape: dict[str, Any], points: npt.NDArray[np.float64], size: Size) -> Bool:
    coded = base64.b64decode(shape["mask"], validate=True)
    if coded[:8] != b"\x89PNG\r\n\x1a\n" or len(coded) < 24:
        raise DataError("its mask is no PNG; save it again")
    width, height = (int.from_bytes(coded[at : at + 4], "big") for at in (16, 20))  # before anything is decoded
    left, top = (int(value) for value in points[0])
    if left < 0 or top < 0 or top + height > size[0] or left + width > size[1]:
        raise DataError(f"its {width} x {height} mask at ({left}, {top}) leaves the image of {size[1]} x {size[0]}")
    crop = cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_GRAYSCALE)
    if crop is None or crop.shape != (height, width):
        raise DataError("its mask is a damaged PNG; save it again")
    mask = np.zeros(size, bool)
    mask[top : top + height, left : left + width] = crop > 0
    return mask
