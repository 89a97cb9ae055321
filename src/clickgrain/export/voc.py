"""Pascal VOC: an XML file an image with the boxes of its objects. Pixels count from 1, both corners inside."""

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import cv2
import numpy as np

from clickgrain.export.records import UNLABELLED, ImageRecord, name_for


def voc_files(images: Iterable[ImageRecord]) -> Iterator[tuple[str, bytes]]:
    """`Annotations/<name>.xml` for every image."""
    taken = set[str]()
    for image in images:
        assert image.size is not None
        height, width = image.size
        root = Element("annotation")
        _add(root, folder=PurePosixPath(image.name).parent.name, filename=PurePosixPath(image.name).name)
        _add(SubElement(root, "size"), width=width, height=height, depth=3)
        _add(root, segmented=0)
        for one in image.objects():
            x, y, w, h = cv2.boundingRect(np.ascontiguousarray(one.mask).view(np.uint8))
            cut = x == 0 or y == 0 or x + w == width or y + h == height
            entry = SubElement(root, "object")
            _add(entry, name=one.label or UNLABELLED, pose="Unspecified", truncated=int(cut), difficult=0)
            _add(SubElement(entry, "bndbox"), xmin=x + 1, ymin=y + 1, xmax=x + w, ymax=y + h)
        indent(root)
        name = name_for(image.name, ".xml", taken)
        yield f"Annotations/{name}", tostring(root, encoding="utf-8", xml_declaration=True)


def _add(parent: Element, **values: str | int) -> None:
    for name, value in values.items():
        # characters that XML cannot hold are in no name that a reader could show
        SubElement(parent, name).text = "".join(one for one in str(value) if one in "\t\n\r" or one >= " ")
