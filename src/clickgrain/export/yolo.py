"""YOLO segmentation: a text file per image, a line per object: class, and a polygon in shares of the sides."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import PurePosixPath
from reprlib import repr as brief
from typing import Any

import numpy as np
import yaml

from clickgrain.errors import DataError
from clickgrain.export import records
from clickgrain.export.polygons import fill, joined, loops, simplified
from clickgrain.export.records import UNLABELLED, ImageRecord, LabelRecord, ObjectRecord
from clickgrain.types import Bool, Size

LARGEST_TEXT = 33_554_432  # bytes of one label file
SLACK = 0.01  # how far outside the image readers of YOLO allow a corner, as a share of its side


def yolo_files(
    images: Iterable[ImageRecord],
    labels: Sequence[LabelRecord],
    left_out: list[str],  # takes a line for each image whose name differs from another only in the suffix
    place: Callable[[str, str], None] | None = None,  # called with (name of an image, where readers look for it)
    tolerance: float = 0.0,  # how far in pixels polygons may leave the edges of the mask's pixels
) -> Iterator[tuple[str, bytes]]:
    """`labels/<name>.txt` and `data.yaml`; pieces and holes are joined to one polygon by bridges of zero width."""
    names = [label.name for label in labels]
    unlabelled, taken = False, set[str]()
    for image in images:
        path, lines = PurePosixPath(image.name), []
        for one in image.objects():
            unlabelled |= one.label not in names
            number = names.index(one.label) if one.label in names else len(names)
            assert image.size is not None
            points = joined([simplified(loop, tolerance) for loop in loops(one.mask)]) / image.size[::-1]
            lines.append(f"{number} {' '.join(f'{x:.6f} {y:.6f}' for x, y in points.tolist())}\n")
        name = records.name_for(image.name, ".txt", taken)
        if place is not None:
            place(image.name, f"images/{name.removesuffix('.txt')}{path.suffix}")
        elif name != str(path.with_suffix(".txt")):
            records.leave_out(
                left_out,
                f"{image.name}: its labels are in {name}, since readers of YOLO take one label file for photos that"
                " differ in their suffix only; rename the photo, or export the images too (--images copy)",
            )
        yield f"labels/{name}", "".join(lines).encode()
    listed = [*names, UNLABELLED] if unlabelled else names
    text = "".join(f"  {number}: {json.dumps(name)}\n" for number, name in enumerate(listed))
    yield "data.yaml", f"train: images\nval: images\nnames:\n{text}".encode()


def read_yolo(files: Mapping[str, Callable[[], bytes]], skipped: list[str]) -> list[ImageRecord]:
    """Images and objects of a YOLO data set: polygons, or boxes, which become rectangles."""
    texts = {name: read for name, read in files.items() if name.lower().endswith(".txt")}
    lists = [name for name in files if name not in texts or PurePosixPath(name).name.lower() == "classes.txt"]
    names = _classes([(name, files[name]) for name in sorted(lists, key=len)], skipped)
    classes = tuple((name, None) for name in names.values() if name != UNLABELLED)
    below = [name for name in texts if "labels" in PurePosixPath(name).parts[:-1] and name not in lists]
    loose = [name for name in texts if name not in lists] if lists else []
    found = []
    for name in below or loose:
        parts = PurePosixPath(name).with_suffix("").parts
        start = len(parts) - parts[::-1].index("labels") if "labels" in parts[:-1] else 0
        image = "/".join(parts[start:]) + ".*"
        read = partial(_objects, texts[name], names=names, name=name, skipped=skipped)
        found.append(ImageRecord(image, None, file=name, read=read, classes=classes))
    return found


def _classes(lists: list[tuple[str, Callable[[], bytes]]], skipped: list[str]) -> dict[int, str]:
    """Names by number, from the first file that has some."""
    for name, read in lists:
        names: dict[int, str] = {}
        with records.bad_left_out(skipped, name):  # the YAML reader raises many kinds of errors
            content = read()
            if len(content) > 1_000_000 or b"<<" in content:  # merge keys can expand without bound
                raise DataError(f"{len(content):,} bytes, or references, that no list of classes needs")
            given: Any = content.decode("utf-8-sig", "replace").splitlines()
            if not name.lower().endswith(".txt"):
                loaded = yaml.safe_load(content)
                given = loaded.get("names") if isinstance(loaded, dict) else None
            if not isinstance(given, dict | list):
                raise DataError(f"its names are {brief(given)}, not a list of classes")
            for number, value in given.items() if isinstance(given, dict) else enumerate(given):
                with records.bad_left_out(skipped, f"{name}: class {brief(number)}"):
                    names[int(number)] = records.read_text({"name": value}, "name")
        if names:
            return dict(sorted(names.items()))
    return {}


def _objects(
    read: Callable[[], bytes], size: Size, names: dict[int, str], name: str, skipped: list[str]
) -> Iterator[ObjectRecord]:
    content = read()
    if len(content) > LARGEST_TEXT:
        raise DataError(f"{name}: {len(content):,} bytes are too many for the labels of one image; split it")
    for number, line in enumerate(content.decode("utf-8-sig", "replace").splitlines(), 1):
        if not line.strip():
            continue
        with records.bad_left_out(skipped, f"{name}: line {number}"):
            class_, *shares = (float(word) for word in line.split())
            if not 0 <= class_ < 2**53 or class_ % 1:
                raise DataError(f"its class {class_:g} is no whole number")
            label = names.get(int(class_))
            if label is None and names:
                records.leave_out(skipped, f"{name}: line {number} without a label: there is no class {class_:g}")
            label = label or (None if names else f"{class_:g}")
            yield ObjectRecord(records.solid(_mask(shares, size)), None if label == UNLABELLED else label)


def _mask(shares: list[float], size: Size) -> Bool:
    points = np.array(shares, np.float64)
    if not ((points >= -SLACK) & (points <= 1 + SLACK)).all():
        raise DataError("it holds a number that is not a share of the image's sides, 0 to 1")
    if len(shares) == 4:
        x, y, width, height = shares
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2
        points = ([x, y] + corners * [width, height]).ravel()
    if len(points) < 6 or len(points) % 2:
        raise DataError(f"{len(shares)} numbers after the class are neither a polygon nor a box (x, y, w, h)")
    return fill([points.reshape(-1, 2) * [size[1], size[0]]], size)
