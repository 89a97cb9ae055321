"""Datumaro's JSON: comes back, is what the package reads, and what the package writes is read."""

import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings

from clickgrain.errors import DataError
from clickgrain.export.formats import export_files, read_any
from clickgrain.export.records import ObjectRecord
from tests.unit.export.test_formats import LABELS, OBJECTS, SIZE, image, ring

BY_DATUMARO = {  # as Datumaro writes a mask, a polygon, a box and a point of a data set without sizes
    "dm_format_version": "1.0",
    "media_type": 2,
    "infos": {},
    "categories": {
        "label": {"label_groups": [], "labels": [{"name": "cat", "parent": "", "attributes": []}], "attributes": []}
    },
    "items": [
        {
            "id": "sub/a",
            "annotations": [
                {"id": 0, "type": "mask", "attributes": {}, "group": 0, "label_id": 0, "z_order": 0, "rle": {}},
                {
                    "id": 1, "type": "polygon", "attributes": {}, "group": 0, "label_id": 0, "z_order": 0,
                    "points": [1.0, 2.0, 4.0, 2.0, 4.0, 5.0, 1.0, 5.0],
                },
                {
                    "id": 2, "type": "bbox", "attributes": {}, "group": 0, "label_id": None, "z_order": 0,
                    "bbox": [1.0, 2.0, 3.0, 3.0],
                },
                {
                    "id": 3, "type": "points", "attributes": {}, "group": 0, "label_id": 0, "z_order": 0,
                    "points": [1.0, 2.0],
                },
            ],
            "attr": {},
            "image": {"path": "default/sub_a.jpg"},
        }
    ],
}  # fmt: skip


def written(objects):
    ((name, content),) = export_files("datumaro", [image(objects)], LABELS)
    assert name == "annotations/default.json"
    return content


@settings(deadline=None, max_examples=40)
@given(objects=OBJECTS)
def test_it_comes_back(objects):
    format_, (read,) = read_any(written(objects), "default.json", [])
    assert (format_, read.name, read.size) == ("datumaro", "sub/a.jpg", SIZE)
    assert [name for name, _ in read.classes] == ["cat", "dög"]
    found = list(read.objects())
    assert [one.label for one in found] == [one.label for one in objects]
    for one, other in zip(found, objects):
        assert (one.mask == other.mask).all()


def test_masks_polygons_and_boxes_are_read_and_other_shapes_named():
    square = np.zeros(SIZE, bool)
    square[2:5, 1:4] = True
    content = json.loads(json.dumps(BY_DATUMARO))
    shape = json.loads(written(image([]).objects()))
    assert shape["items"][0]["annotations"] == []
    content["items"][0]["annotations"][0]["rle"] = {"counts": [int(square.argmax()), 0, 99], "size": [9, 11]}
    skipped = []
    _, (record,) = read_any(json.dumps(content).encode(), "default.json", skipped)
    assert (record.name, record.size) == ("sub/a.jpg", None)
    found = list(record.sized(SIZE).objects())
    assert [one.label for one in found] == ["cat", None]
    assert all((one.mask == square).all() for one in found)
    assert "annotation 0 is left out: its RLE does not fill" in skipped[0]
    assert "annotation 3 is left out: a 'points' is no area" in skipped[1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"annotations": 3}, "its annotations are 3, not a list"),
        ({"image": {"path": "a.jpg", "size": [0, 4]}}, "its height is 0"),
        ({"image": None, "id": None}, "its id is None"),
    ],
)
def test_a_bad_item_is_left_out_with_its_reason(change, words):
    content = {**BY_DATUMARO, "items": [{**BY_DATUMARO["items"][0], **change}, BY_DATUMARO["items"][0], 7]}
    skipped = []
    _, found = read_any(json.dumps(content).encode(), "default.json", skipped)
    assert len(found) == 1
    assert words in skipped[0]
    assert "item 7" in skipped[1]


def test_items_that_are_no_list_and_labels_that_are_none():
    with pytest.raises(DataError, match="its items are 5, not a list"):
        read_any(json.dumps({**BY_DATUMARO, "items": 5}).encode(), "default.json", [])
    content = json.loads(written([]))
    content["categories"]["label"]["labels"][0] = {"name": ""}
    skipped = []
    _, (record,) = read_any(json.dumps(content).encode(), "default.json", skipped)
    assert record.classes == (("dög", None),)
    assert "label {'name': ''} is left out" in skipped[0]
    for none in (True, 3, None, "cat"):
        for categories in ({"label": none}, {"label": {"labels": none}}):
            _, (record,) = read_any(json.dumps({**content, "categories": categories}).encode(), "a.json", [])
            assert record.classes == ()


def test_an_item_without_a_path_has_any_suffix():
    content = {
        **BY_DATUMARO,
        "items": [{"id": "sub/a", "annotations": []}, {"id": "b.png", "image": {"path": "b.png"}}],
    }
    _, found = read_any(json.dumps(content).encode(), "default.json", [])
    assert [record.name for record in found] == ["sub/a.*", "b.png"]


def test_a_label_that_is_not_there_is_named():
    content = json.loads(json.dumps(BY_DATUMARO))
    content["items"][0]["annotations"] = [{**content["items"][0]["annotations"][1], "label_id": 9}]
    skipped = []
    _, (record,) = read_any(json.dumps(content).encode(), "default.json", skipped)
    assert [one.label for one in record.sized(SIZE).objects()] == [None]
    assert "without a label: there is no 9" in skipped[0]


def test_the_package_reads_what_we_write_and_writes_what_we_read(tmp_path):
    """Runs where `datumaro` is installed, whose packages take half a gigabyte."""
    datumaro = pytest.importorskip("datumaro", reason="datumaro is not installed")
    objects = [type(one)(one.mask, one.label) for one in _objects()]
    path = tmp_path / "in" / "annotations" / "default.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(written(objects))
    theirs = datumaro.Dataset.import_from(str(tmp_path / "in"), "datumaro")
    (item,) = theirs
    names = [label.name for label in theirs.categories()[datumaro.AnnotationType.label]]
    for one, other in zip(sorted(item.annotations, key=lambda one: one.z_order), objects, strict=True):
        assert (np.asarray(one.image, bool) == other.mask).all()
        assert (None if one.label is None else names[one.label]) == other.label
    theirs.export(str(tmp_path / "out"), "datumaro", save_media=False)
    (again,) = (tmp_path / "out").rglob("*.json")
    format_, (read,) = read_any(again.read_bytes(), again.name, [])
    assert (format_, read.name) == ("datumaro", "sub/a.jpg")
    found = list((read if read.size else read.sized(SIZE)).objects())
    for one, other in zip(found, objects, strict=True):
        assert one.label == other.label
        assert (one.mask == other.mask).all()


def test_the_package_reads_our_coco_and_panoptic_files(tmp_path):
    datumaro = pytest.importorskip("datumaro", reason="datumaro is not installed")
    square = np.zeros(SIZE, bool)
    square[7:9, :3] = True
    masks = {"cat": ring(), "dög": square}
    objects = [ObjectRecord(mask, label) for label, mask in masks.items()]
    places = {
        "annotations.json": "instances_default.json",
        "panoptic.json": "panoptic_default.json",
        "panoptic/sub/a.jpg.png": "panoptic_default/sub/a.jpg.png",
    }
    for format_, theirs in (("coco", "coco_instances"), ("panoptic", "coco_panoptic")):
        photo = tmp_path / format_ / "images" / "default" / "sub" / "a.jpg"
        photo.parent.mkdir(parents=True)
        photo.write_bytes(cv2.imencode(".jpg", np.zeros((*SIZE, 3), np.uint8))[1].tobytes())
        for name, content in export_files(format_, [image(objects)], LABELS):
            path = tmp_path / format_ / "annotations" / places[name]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        (item,) = read = datumaro.Dataset.import_from(str(tmp_path / format_), theirs)
        names = [label.name for label in read.categories()[datumaro.AnnotationType.label]]
        areas = [one for one in item.annotations if not isinstance(one, datumaro.Bbox)]
        assert sorted(names[one.label] for one in areas) == ["cat", "dög"]
        for one in areas:
            mask = masks[names[one.label]]
            if isinstance(one, datumaro.Polygon):
                assert one.get_area() == mask.sum()
            else:
                assert (np.asarray(one.image, bool) == mask).all()


def _objects():
    square = np.zeros(SIZE, bool)
    square[2:5, 1:4] = True
    return [ObjectRecord(ring(), "cat"), ObjectRecord(square, "dög"), ObjectRecord(~square, None)]
