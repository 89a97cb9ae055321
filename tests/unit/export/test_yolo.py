"""YOLO's lists of classes; supervision as a reader of what we write, and a writer of what we read."""

import numpy as np
import pytest

from clickgrain.export.formats import export_files, read_many
from clickgrain.export.labelmaps import png
from clickgrain.export.records import ImageRecord, LabelRecord, ObjectRecord
from clickgrain.export.yolo import read_yolo

LINE = b"0 .1 .1 .5 .1 .5 .5\n"


@pytest.mark.parametrize("content", [b"", b"names:", b"names: 3", b"[1, 2]", b"{"])
def test_a_file_without_a_list_of_classes_leaves_the_objects_with_their_numbers(content):
    skipped = []
    files = {"data.yaml": lambda: content, "labels/a.txt": lambda: LINE}
    (record,) = read_yolo(files, skipped)
    assert [found.label for found in record.read((40, 60))] == ["0"]
    assert skipped[0].startswith("data.yaml is left out: ")


def test_the_next_list_is_taken():
    skipped = []
    files = {"a.yaml": lambda: b"names: 3", "data.yaml": lambda: b"names: [nut]", "labels/a.txt": lambda: LINE}
    (record,) = read_yolo(files, skipped)
    assert [found.label for found in record.read((40, 60))] == ["nut"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_supervision_reads_and_writes_the_same_objects(tmp_path):
    supervision = pytest.importorskip("supervision", reason="supervision is not installed")
    y, x = np.mgrid[:90, :120]
    masks = {"cat": np.hypot(x - 50, y - 40) < 25, "dog": (x > 80) & (x < 110) & (y > 60)}
    objects = [ObjectRecord(mask, label) for label, mask in masks.items()]
    (tmp_path / "a.png").write_bytes(png(np.zeros((90, 120), np.uint8)))
    labels = [LabelRecord(1, "cat"), LabelRecord(2, "dog")]
    for name, content in export_files("yolo", [ImageRecord("a.png", (90, 120), lambda: objects)], labels):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    paths = tmp_path / "labels", tmp_path / "data.yaml"
    theirs = supervision.DetectionDataset.from_yolo(str(tmp_path), *map(str, paths), force_masks=True)
    ((_, _, found),) = theirs
    assert [theirs.classes[number] for number in found.class_id] == ["cat", "dog"]
    for mask, one in zip(masks.values(), found.mask, strict=True):
        assert (mask & one).sum() / (mask | one).sum() > 0.9  # it draws lines of a pixel along the edges
    again = tmp_path / "again"
    theirs.as_yolo(None, str(again / "labels"), str(again / "data.yaml"))
    written = {str(path.relative_to(again)): path.read_bytes for path in again.rglob("*.*")}
    ((_, (record,)),) = read_many(written, [])
    for mask, one in zip(masks.values(), record.sized((90, 120)).objects(), strict=True):
        assert masks[one.label] is mask
        assert (mask & one.mask).sum() / (mask | one.mask).sum() > 0.9
