"""Pascal VOC's XML: boxes from 1, corners inside."""

from xml.etree.ElementTree import fromstring

import numpy as np
import pytest

from clickgrain.export.formats import export_files
from clickgrain.export.labelmaps import png
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


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_supervision_reads_the_boxes(tmp_path):
    supervision = pytest.importorskip("supervision", reason="supervision is not installed")
    mask = np.zeros((9, 11), bool)
    mask[2:5, 3:7] = True
    (tmp_path / "a.png").write_bytes(png(np.zeros((9, 11), np.uint8)))
    for name, content in export_files(
        "voc", [ImageRecord("a.png", (9, 11), lambda: [ObjectRecord(mask, "cat")])], []
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    read = supervision.DetectionDataset.from_pascal_voc(str(tmp_path), str(tmp_path / "Annotations"))
    ((_, _, boxes),) = read
    assert (read.classes, boxes.xyxy.tolist()) == (["cat"], [[3, 2, 7, 5]])
