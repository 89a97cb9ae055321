"""YOLO's lists of classes."""

import pytest

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
