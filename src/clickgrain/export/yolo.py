"""YOLO segmentation: a text file per image, a line per object: class, and a polygon in shares of the sides."""

import json
from collections.abc import Iterable, Iterator, Sequence

from clickgrain.export.polygons import joined, loops
from clickgrain.export.records import UNLABELLED, ImageRecord, LabelRecord, ObjectRecord, name_beside
from clickgrain.types import Size


def yolo_files(images: Iterable[ImageRecord], labels: Sequence[LabelRecord]) -> Iterator[tuple[str, bytes]]:
    """`labels/<name>.txt` and `data.yaml`; several pieces and holes hang on one polygon by bridges of no width."""
    names = [label.name for label in labels]
    unlabelled, taken = False, set[str]()
    for image in images:
        objects = [one for one in image.objects() if one.mask.any()]
        unlabelled |= any(one.label not in names for one in objects)
        lines = [_line(one, names, image.size) for one in objects]
        yield f"labels/{name_beside(image.name, '.txt', taken)}", "".join(lines).encode()
    listed = [*names, UNLABELLED] if unlabelled else names
    text = "".join(f"  {number}: {json.dumps(name)}\n" for number, name in enumerate(listed))
    yield "data.yaml", f"path: .\ntrain: images\nval: images\nnames:\n{text}".encode()


def _line(one: ObjectRecord, names: list[str], size: Size) -> str:
    number = names.index(one.label) if one.label in names else len(names)
    height, width = size
    points = " ".join(f"{x / width:.6f} {y / height:.6f}" for x, y in joined(loops(one.mask)).tolist())
    return f"{number} {points}\n"
