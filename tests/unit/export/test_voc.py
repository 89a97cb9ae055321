"""Pascal VOC's XML: boxes from 1, corners inside."""

from xml.etree.ElementTree import fromstring

import numpy as np

from clickgrain.export.formats import export_files
from clickgrain.export.records import ImageRecord, ObjectRecord


def test_boxes_count_pixels_from_1_with_both_corners_inside():
    mask, whole = np.zeros((9, 11), bool), np.ones((9, 11), bool)
    mask[2:5, 3:7] = True
    image = ImageRecord("sub/ä&b.jpg", (9, 11), lambda: [ObjectRecord(mask, "<cat>\x07"), ObjectRecord(whole)])
    ((name, content),) = export_files("voc", [image], [])
    assert name == "Annotations/sub/ä&b.xml"
    root = fromstring(content)
    assert (root.findtext("folder"), root.findtext("filename")) == ("sub", "ä&b.jpg")
    assert [root.findtext(f"size/{key}") for key in ("width", "height", "depth")] == ["11", "9", "3"]
    first, second = root.findall("object")
    assert (first.findtext("name"), second.findtext("name")) == ("<cat>", "unlabelled")
    assert [one.text for one in first.find("bndbox")] == ["4", "3", "7", "5"]
    assert [one.text for one in second.find("bndbox")] == ["1", "1", "11", "9"]
    assert (first.findtext("truncated"), second.findtext("truncated")) == ("0", "1")
