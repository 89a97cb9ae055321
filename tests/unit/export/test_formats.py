"""Every format: what is written, and that what can be read comes back."""

import base64
import io
import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from clickgrain.errors import DataError
from clickgrain.export.formats import export_files, read_any
from clickgrain.export.labelme import read_labelme
from clickgrain.export.records import ImageRecord, LabelRecord, ObjectRecord

SIZE = (9, 11)
LABELS = [LabelRecord(3, "cat", "#ff8000"), LabelRecord(7, "dög", "#0000ff")]
OBJECTS = st.lists(
    st.builds(
        ObjectRecord,
        mask=arrays.arrays(bool, SIZE).filter(np.any),
        label=st.sampled_from(["cat", "dög", None]),
        extra=st.just({"steps": [{"type": "click"}]}),
    ),
    max_size=4,
)


def image(objects, name="sub/a.jpg"):
    return ImageRecord(name, SIZE, lambda: objects)


def ring():
    mask = np.zeros(SIZE, bool)
    mask[2:7, 2:8] = True
    mask[4, 4] = False
    return mask


def files(format_, objects, **settings):
    return dict(export_files(format_, [image(objects)], LABELS, **settings))


def picture(content):
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)


@settings(deadline=None, max_examples=40)
@given(objects=OBJECTS, polygons=st.booleans())
def test_coco_comes_back(objects, polygons):
    (content,) = files("coco", objects, polygons=polygons).values()
    format_, (read,) = read_any(content, "annotations.json", [])
    assert (format_, read.name, read.size) == ("coco", "sub/a.jpg", SIZE)
    assert_equal(list(read.objects()), objects)


@settings(deadline=None, max_examples=40)
@given(objects=OBJECTS)
def test_labelme_comes_back(objects):
    ((name, content),) = files("labelme", objects).items()
    assert name == "sub/a.json"
    format_, (read,) = read_any(content, name, [])
    assert (format_, read.name, read.size) == ("labelme", "sub/a.jpg", SIZE)
    assert_equal(list(read.objects()), objects)


def assert_equal(read, written):
    assert [one.label for one in read] == [one.label for one in written]
    assert [one.extra for one in read] == [one.extra for one in written]
    for a, b in zip(read, written):
        assert (a.mask == b.mask).all()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own
def test_coco_is_what_pycocotools_reads(tmp_path, capsys):
    from pycocotools.coco import COCO

    path = tmp_path / "a.json"
    solid = np.zeros(SIZE, bool)
    solid[1:4, 5:9] = True
    path.write_bytes(files("coco", [ObjectRecord(ring(), "cat"), ObjectRecord(solid, "dög")])["annotations.json"])
    coco = COCO(str(path))
    capsys.readouterr()
    masks = [ring(), solid]
    for entry, mask in zip(coco.loadAnns(coco.getAnnIds()), masks):
        assert (coco.annToMask(entry).astype(bool) == mask).all()
        assert entry["area"] == mask.sum()
        x, y, width, height = entry["bbox"]
        assert mask[y : y + height, x : x + width].sum() == mask.sum()
        assert isinstance(entry["segmentation"], dict) == (mask is masks[0])
    assert {one["name"] for one in coco.loadCats(coco.getCatIds())} == {"cat", "dög"}


def test_semantic_maps_hold_classes_the_upper_object_over_the_lower():
    below, above = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    below[:5], above[4:6] = True, True
    out = files("semantic", [ObjectRecord(below, "dög"), ObjectRecord(above, "cat")])
    values = picture(out["semantic/sub/a.jpg.png"])
    assert values.dtype == np.uint8
    assert values[:, 0].tolist() == [2, 2, 2, 2, 1, 1, 0, 0, 0]
    assert json.loads(out["labels.json"]) == {"0": "background", "1": "cat", "2": "dög"}


def test_instance_maps_hold_objects():
    out = files("instance", [ObjectRecord(ring(), "cat"), ObjectRecord(~ring(), None)])
    values = picture(out["instance/sub/a.jpg.png"])
    assert values.dtype == np.uint16
    assert (values == np.where(ring(), 1, 2)).all()
    assert json.loads(out["objects.json"]) == {"sub/a.jpg": {"1": "cat", "2": "unlabelled"}}


def test_panoptic_is_coco_s():
    out = files("panoptic", [ObjectRecord(ring(), "cat"), ObjectRecord(~ring(), None)])
    content = json.loads(out["panoptic.json"])
    values = picture(out["panoptic/sub/a.jpg.png"])[..., ::-1].astype(int)
    ids = values @ [1, 256, 65536]
    (entry,) = content["annotations"]
    categories = {one["id"]: one["name"] for one in content["categories"]}
    assert entry["file_name"] == "sub/a.jpg.png"
    assert sum(one["area"] for one in entry["segments_info"]) == ids.size
    for segment, mask, name in zip(entry["segments_info"], (ring(), ~ring()), ("cat", "unlabelled")):
        assert ((ids == segment["id"]) == mask).all()
        assert categories[segment["category_id"]] == name


def test_yolo_has_a_line_per_object_that_fills_to_its_mask():
    two = np.zeros(SIZE, bool)
    two[1:3, 1:3] = two[6:8, 7:10] = True
    out = files("yolo", [ObjectRecord(ring(), "dög"), ObjectRecord(two, None), ObjectRecord(np.zeros(SIZE, bool))])
    lines = out["labels/sub/a.txt"].decode().splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2"]
    for line, mask in zip(lines, (ring(), two)):
        shares = np.array(line.split()[1:], float).reshape(-1, 2)
        assert ((shares >= 0) & (shares <= 1)).all()
        filled = np.zeros(SIZE, np.uint8)
        corners = np.rint(shares * [SIZE[1], SIZE[0]] * 16).astype(np.int32) - 8
        cv2.fillPoly(filled, [corners], 1, shift=4)
        assert (filled.astype(bool) & mask).sum() == mask.sum()
    assert '  0: "cat"' in out["data.yaml"].decode()
    assert '  2: "unlabelled"' in out["data.yaml"].decode()


def test_what_bridges_cost_in_readers_that_fill_by_whole_pixels():
    """As YOLO's own readers do: corners rounded to pixels, lines of one pixel along all edges."""
    y, x = np.mgrid[:200, :200]
    distance = np.hypot(x - 100, y - 100)
    masks = {
        "disk of 80 px": distance < 40,
        "ring of 10 px": (distance < 40) & (distance > 30),
        "ring of 4 px": (distance < 40) & (distance > 36),
        "9 parts of 8 px": ((x % 40) < 8) & ((y % 40) < 8) & (x > 70) & (y > 70),
        "4 parts of 20 px": ((x % 60) < 20) & ((y % 60) < 20) & (x > 55) & (y > 55) & (x < 150) & (y < 150),
    }
    found = {}
    for name, mask in masks.items():
        out = dict(
            export_files("yolo", [ImageRecord("a.jpg", mask.shape, lambda mask=mask: [ObjectRecord(mask)])], [])
        )
        shares = np.array(out["labels/a.txt"].split()[1:], float).reshape(-1, 2)
        filled = np.zeros(mask.shape, np.uint8)
        cv2.fillPoly(filled, [(shares * 200).astype(np.int32)], 1)
        found[name] = (mask & (filled > 0)).sum() / (mask | (filled > 0)).sum()
    print("", *(f"{name}: IoU {iou:.2f}" for name, iou in found.items()), sep="\n")
    assert found["disk of 80 px"] > 0.93
    assert all(0.5 < iou < 1 for iou in found.values())


def labelme(shapes, **more):
    return {"imagePath": "a.jpg", "imageHeight": 9, "imageWidth": 11, "shapes": shapes, **more}


def test_labelme_s_other_shapes():
    shapes = [
        {"label": "cat", "points": [[2, 1], [7, 1], [7, 5], [2, 5]], "shape_type": "polygon", "mask": None},
        {"label": "cat", "points": [[7, 5], [2, 1]], "shape_type": "rectangle"},
        {"label": "cat", "points": [[5, 4], [5, 7]], "shape_type": "circle"},
        {"label": "cat", "points": [[5, 4]], "shape_type": "point"},
    ]
    skipped = []
    polygon, rectangle, circle = read_labelme(labelme(shapes), "a.json", skipped).objects()
    assert polygon.mask.sum() == rectangle.mask.sum() == 20
    assert abs(circle.mask.sum() - np.pi * 9) < 4
    assert len(skipped) == 1
    assert "no area" in skipped[0]


def test_labelme_s_mask_corners_are_both_inside():
    crop = np.ones((2, 3), np.uint8) * 255
    done, png = cv2.imencode(".png", crop)
    assert done
    shape = {
        "label": "cat",
        "points": [[4.0, 1.0], [6.0, 2.0]],
        "shape_type": "mask",
        "mask": base64.b64encode(png.tobytes()).decode(),
    }
    (one,) = read_labelme(labelme([shape]), "a.json", []).objects()
    assert np.argwhere(one.mask).tolist() == [[1, 4], [1, 5], [1, 6], [2, 4], [2, 5], [2, 6]]
    outside = {**shape, "points": [[9, 1], [11, 2]]}
    broken = {**shape, "mask": "!!!"}
    skipped = []
    assert list(read_labelme(labelme([outside, broken]), "a.json", skipped).objects()) == []
    assert len(skipped) == 2


def test_a_zip_of_files_is_read_and_bad_ones_are_named():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("x/a.json", json.dumps(labelme([])))
        archive.writestr("b.json", "{")
        archive.writestr("c.txt", "not looked at")
    skipped = []
    format_, images = read_any(content.getvalue(), "all.zip", skipped)
    assert (format_, [one.name for one in images]) == ("labelme", ["x/a.jpg"])
    assert len(skipped) == 1
    assert "b.json" in skipped[0]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[3]",
        b"{}",
        b"\xff",
        b'{"images": 3, "annotations": 4}',
        b'{"shapes": []}',
        b"PK\x03\x04 broken",
        b'{"images": [{"id": 1}], "annotations": [{"image_id": 1}]}',
        b"[" * 100_000,
    ],
)
def test_what_is_neither_is_refused(content):
    with pytest.raises(DataError):
        read_any(content, "thing.json", [])


@pytest.mark.parametrize(
    "segmentation",
    [[[1, 2, 3]], [[]], [], {"size": [9, 12], "counts": [108]}, {"size": [9, 11], "counts": "~~"}, "x"],
)
def test_coco_objects_that_cannot_be_used_are_named(segmentation):
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 9, "width": 11}],
        "annotations": [{"id": 5, "image_id": 1, "segmentation": segmentation}],
    }
    skipped = []
    _, (read,) = read_any(json.dumps(content).encode(), "c.json", skipped)
    assert list(read.objects()) == []
    assert "c.json: annotation 5 of a.jpg" in skipped[0]


@pytest.mark.parametrize("format_", ["semantic", "instance", "panoptic", "yolo", "labelme"])
def test_photos_that_differ_in_their_ending_only_have_a_file_each(format_):
    one = ObjectRecord(ring(), "cat")
    apart = [image([one], "a.jpg"), image([one], "b.jpg")]
    alike = [image([one], "a.jpg"), image([one], "a.png")]
    names = [name for name, _ in export_files(format_, alike, LABELS)]
    assert len(set(names)) == len(names) == len(list(export_files(format_, apart, LABELS)))


def rows(content):
    values = picture(content).reshape(SIZE[0], -1)
    return [str(values.dtype), *(" ".join(map(str, row)) for row in values.tolist())]


GOLDEN = Path(__file__).parents[2] / "golden" / "exports.json"


def test_exports_are_those_that_are_stored():
    """A ring, two parts and a negative image; delete the file to store them again, and look at what changed."""
    two = np.zeros(SIZE, bool)
    two[1:3, 1:3] = two[6:8, 7:10] = True
    images = [image([ObjectRecord(ring(), "cat"), ObjectRecord(two)]), image([], "b.png")]
    texts = {}
    for format_ in ("coco", "semantic", "instance", "panoptic", "yolo"):
        for name, content in export_files(format_, images, LABELS):
            texts[f"{format_}: {name}"] = rows(content) if name.endswith(".png") else content.decode()
    if not GOLDEN.exists():
        GOLDEN.write_text(json.dumps(texts, indent=1, ensure_ascii=False) + "\n")
        pytest.fail(f"{GOLDEN} was missing and is stored again; look at it, and run again")
    assert texts == json.loads(GOLDEN.read_text())
