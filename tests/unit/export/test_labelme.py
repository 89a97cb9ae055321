"""labelme itself reads what we write and writes what we read (`make real-tools TOOLS=labelme`)."""

import cv2
import numpy as np
import pytest

from clickgrain.export.formats import export_files, read_any
from clickgrain.export.records import ObjectRecord
from tests.unit.export.test_formats import SIZE, image, ring


def test_labelme_reads_our_masks_and_we_read_what_it_saves(tmp_path):
    labelme = pytest.importorskip("labelme._label_file", reason="labelme is not installed")
    from labelme.utils import img_arr_to_b64

    objects = [ObjectRecord(ring(), "cat", {"steps": []})]
    ((name, content),) = export_files("labelme", [image(objects, "a.png")], [])
    (tmp_path / name).write_bytes(content)
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((*SIZE, 3), np.uint8))
    file = labelme.LabelFile(str(tmp_path / name))
    (shape,) = file.shapes
    assert (shape["label"], shape["shape_type"], shape["points"]) == ("cat", "mask", [[2, 2], [7, 6]])
    assert (shape["mask"] == ring()[2:7, 2:8]).all()
    assert shape["other_data"] == {"clickgrain": {"steps": []}}
    # as its window saves shapes
    shape = {**shape, **shape.pop("other_data"), "mask": img_arr_to_b64(shape["mask"].astype(np.uint8))}
    file.save(str(tmp_path / "again.json"), [shape], "a.png", *SIZE)
    _, (read,) = read_any((tmp_path / "again.json").read_bytes(), "again.json", [])
    (one,) = read.objects()
    assert (one.label, one.extra) == ("cat", {"steps": []})
    assert (one.mask == ring()).all()
