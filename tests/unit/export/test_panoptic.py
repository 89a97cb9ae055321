"""COCO panoptic data sets come in, from a ZIP or a folder, and bad ones stop nothing else."""

import io
import json
import zipfile

import cv2
import numpy as np
import pytest

from clickgrain.errors import DataError
from clickgrain.export.formats import export_files, file_beside, read_any
from clickgrain.export.records import ImageRecord, LabelRecord, ObjectRecord

SIZE = (9, 11)


def dataset():
    """Two objects of an image, as our own export writes them: file -> content."""
    left, right = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    left[:, :4], right[2:6, 6:] = True, True
    image = ImageRecord("sub/a.jpg", SIZE, lambda: [ObjectRecord(left, "cat"), ObjectRecord(right)])
    return dict(export_files("panoptic", [image], [LabelRecord(3, "cat")])), (left, right)


def zipped(files):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def test_what_we_write_comes_back_from_a_zip():
    files, masks = dataset()
    skipped = []
    format_, (image,) = read_any(zipped(files), "out.zip", skipped)
    assert (format_, image.name, image.size) == ("panoptic", "sub/a.jpg", SIZE)
    objects = list(image.objects())
    assert [one.label for one in objects] == ["cat", None]
    assert all((one.mask == mask).all() for one, mask in zip(objects, masks))
    assert skipped == []


def test_coco_s_own_layout_and_ids_over_16_bits_come_in():
    ids = np.zeros(SIZE, np.int64)
    ids[1:3, 1:5] = 200 + 256 * 100 + 65536 * 7
    planes = np.stack([ids >> 16, (ids >> 8) & 255, ids & 255], -1).astype(np.uint8)  # OpenCV writes BGR
    content = {
        "images": [{"id": 285, "file_name": "000285.jpg", "height": 9, "width": 11}],
        "annotations": [
            {
                "image_id": 285,
                "file_name": "000285.png",
                "segments_info": [{"id": int(ids.max()), "category_id": 23}],
            }
        ],
        "categories": [{"id": 23, "name": "bear"}],
    }
    png = cv2.imencode(".png", planes)[1].tobytes()
    files = {"panoptic_val2017.json": json.dumps(content), "panoptic_val2017/000285.png": png}
    _, (image,) = read_any(zipped(files), "val.zip", [])
    (one,) = image.objects()
    assert one.label == "bear"
    assert (one.mask == (ids > 0)).all()


def test_json_alone_says_what_to_import_instead():
    files, _ = dataset()
    with pytest.raises(DataError, match="one ZIP"):
        read_any(files["panoptic.json"], "panoptic.json", [])


@pytest.mark.parametrize("damage", ["missing", "size", "text", "cut", "outside", "segment"])
def test_a_damaged_map_is_named_and_stops_nothing_else(damage):
    files, _ = dataset()
    png = files.pop("panoptic/sub/a.jpg.png")
    content = json.loads(files["panoptic.json"])
    if damage == "outside":
        content["annotations"][0]["file_name"] = "../../secret.png"
    if damage == "segment":
        content["annotations"][0]["segments_info"][0] = {"id": "x"}
    other = cv2.imencode(".png", np.zeros((3, 3), np.uint8))[1].tobytes()
    given = {"size": other, "text": b"no PNG", "cut": png[:40], "segment": png, "outside": png}.get(damage)
    files |= {"panoptic.json": json.dumps(content)} | ({} if given is None else {"panoptic/sub/a.jpg.png": given})
    skipped = []
    _, (image,) = read_any(zipped(files), "out.zip", skipped)
    assert len(list(image.objects())) == (1 if damage == "segment" else 0)
    assert len(skipped) == 1
    assert "panoptic.json" in skipped[0]


def test_nothing_outside_the_folder_is_opened():
    for path in ("../a.png", "/etc/passwd", "x/../../a", "..\\a.png"):
        with pytest.raises(DataError, match="outside"):
            file_beside(lambda name: b"", "folder/panoptic.json", path)


def test_images_that_cannot_be_used_are_named():
    content = {
        "images": [{"id": 1}],
        "annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": []}, 3],
    }
    with pytest.raises(DataError, match="not one of its images"):
        read_any(json.dumps(content).encode(), "p.json", [], lambda name: b"")
