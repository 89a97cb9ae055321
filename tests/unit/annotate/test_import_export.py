"""Annotations in and out by the command line: nothing wrong, nothing lost, and what is left out is named."""

import base64
import io
import json
import os
import zipfile

import cv2
import numpy as np
import pytest
from pycocotools import mask as oracle

from clickgrain.annotate import actions
from clickgrain.annotate.labels import act_on_labels
from clickgrain.annotate.project import Project
from clickgrain.annotate.requests import IMAGE_REQUEST, PROJECT_REQUEST, Posted
from clickgrain.cli import main

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own
SQUARE = [[10, 10, 40, 10, 40, 40, 10, 40]]
BAR = [[1000, 1000, 5000, 1000, 5000, 1001, 1000, 1001]]
CAT = {"id": 17, "name": "cat"}


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg"):
        photo(folder / name)
    return folder


def photo(path, size=(90, 120)):
    path.parent.mkdir(parents=True, exist_ok=True)
    done, content = cv2.imencode(path.suffix, np.full((*size, 3), 90, np.uint8))
    assert done
    path.write_bytes(content.tobytes())


@pytest.fixture
def run(photos, tmp_path, capsys):
    """Run import or export on the photos; (status, stdout, stderr)."""

    def run(command, *arguments):
        status = main([command, str(photos), *map(str, arguments)])
        answer = capsys.readouterr()
        assert "Traceback" not in answer.err
        return status, answer.out, answer.err

    return run


@pytest.fixture
def take(run, tmp_path):
    """Import JSON, text or bytes as a file of some name."""

    def take(content, *arguments, name="given.json"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, dict):
            content = json.dumps(content)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return run("import", path, *arguments)

    return take


@pytest.fixture
def exported(run, tmp_path):
    """Export as COCO; the JSON."""

    def export(*arguments):
        status, _, said = run("export", "--out", tmp_path / "out", *arguments)
        assert status == 0, said
        return json.loads((tmp_path / "out" / "annotations.json").read_text())

    return export


def coco(*annotations, images=None, categories=(CAT,)):
    given = [{"id": number, "image_id": 1, "category_id": 17, **one} for number, one in enumerate(annotations, 1)]
    images = [image(1, "a.jpg"), image(2, "b.jpg")] if images is None else images
    return {"images": images, "annotations": given, "categories": list(categories)}


def image(id_, name, size=(90, 120), **change):
    return {"id": id_, "file_name": name, "height": size[0], "width": size[1], **change}


def square(**change):
    return {"segmentation": SQUARE, **change}


def labelme(shapes=None, **change):
    shape = {"label": "cat", "points": np.reshape(SQUARE, (-1, 2)).tolist(), "shape_type": "polygon"}
    given = [shape] if shapes is None else shapes
    return {
        "shapes": given,
        "imagePath": "a.jpg",
        "imageHeight": 90,
        "imageWidth": 120,
        "imageData": None,
        **change,
    }


def masks(content, name="a.jpg"):
    """Masks of an image of exported COCO, read by pycocotools."""
    (one,) = [one for one in content["images"] if one["file_name"] == name]
    size = one["height"], one["width"]
    found = []
    for entry in content["annotations"]:
        if entry["image_id"] == one["id"]:
            shape = entry["segmentation"]
            coded = oracle.merge(oracle.frPyObjects(shape, *size)) if isinstance(shape, list) else shape
            found.append(oracle.decode(coded).astype(bool))
    return found


def filled(size, *boxes):
    mask = np.zeros(size, bool)
    for left, top, right, bottom in boxes:
        mask[top:bottom, left:right] = True
    return mask


# One bad record spoils one record.

BAD = {
    "infinity": (
        coco(square(segmentation=[[10, 10, 40, 10, 40, float("inf")]]), square(image_id=2)),
        "annotation 1",
    ),
    "nan": (coco(square(segmentation=[[10, 10, 40, 10, 40, float("nan")]]), square(image_id=2)), "annotation 1"),
    "orphan": (coco(square(image_id=7), square()), "image_id 7"),
    "text id": (coco(square(image_id="1"), square()), "(but 1 is"),
    "list id": (coco(square(image_id=[1]), square()), "[1]"),
    "dict id": (coco(square(image_id={"a": 1}), square()), "{'a': 1}"),
    "true id": (coco(square(image_id=True), square()), "True"),
    "null id": (coco(square(image_id=None), square()), "None"),
    "no height": (coco(square(), images=[image(1, "a.jpg"), {"id": 2, "file_name": "b.jpg"}]), "b.jpg"),
    "null height": (coco(square(), images=[image(1, "a.jpg"), image(2, "b.jpg", height=None)]), "height is None"),
    "text height": (coco(square(), images=[image(1, "a.jpg"), image(2, "b.jpg", height="x")]), "height is 'x'"),
    "inf width": (
        coco(square(), images=[image(1, "a.jpg"), image(2, "b.jpg", width=float("inf"))]),
        "width is inf",
    ),
    "no file name": (coco(square(), images=[image(1, "a.jpg"), {"id": 2, "height": 9, "width": 9}]), "file_name"),
    "null file name": (coco(square(), images=[image(1, "a.jpg"), image(2, None)]), "file_name is None"),
    "list image id": (coco(square(), images=[image(1, "a.jpg"), image([2], "b.jpg")]), "id is [2]"),
    "image that is none": (coco(square(), images=[image(1, "a.jpg"), 5]), "image 5"),
    "same image id": (coco(square(), images=[image(1, "a.jpg"), image(1, "b.jpg")]), "taken by another image"),
    "annotation that is none": ({**coco(), "annotations": [None, {**square(), "image_id": 1}]}, "None"),
    "no name of a category": (coco(square(), categories=[CAT, {"id": 3}]), "name is None"),
    "null name of a category": (coco(square(), categories=[CAT, {"id": 3, "name": None}]), "name is None"),
    "list id of a category": (coco(square(), categories=[CAT, {"id": [3], "name": "x"}]), "id is [3]"),
    "category that is none": (coco(square(), categories=[CAT, "dog"]), "'dog'"),
    "dict category": (coco(square(category_id={"a": 1}), square(image_id=2)), "annotation 1"),
    "list category": (coco(square(category_id=[]), square(image_id=2)), "annotation 1"),
    "five numbers": (coco(square(segmentation=[[1, 1, 9, 1, 9]]), square(image_id=2)), "annotation 1"),
    "text as polygon": (coco(square(segmentation="x"), square(image_id=2)), "annotation 1"),
    "dict as polygon": (coco(square(segmentation=[{"x": 1}]), square(image_id=2)), "annotation 1"),
    "deep polygon": (coco(square(segmentation=[[[[[1]]]] * 6]), square(image_id=2)), "annotation 1"),
    "far polygon": (coco(square(segmentation=[[1e300, 1, 5, 1e300, 1, 1]]), square(image_id=2)), "annotation 1"),
    "no segmentation": (coco({}, square(image_id=2)), "annotation 1"),
    "rle of another size": (coco(square(segmentation={"size": [9, 9], "counts": [81]})), "[9, 9]"),
    "rle without counts": (coco(square(segmentation={"size": [90, 120]}), square(image_id=2)), "annotation 1"),
    "rle that is short": (
        coco(square(segmentation={"size": [90, 120], "counts": "5"}), square(image_id=2)),
        "does not fill",
    ),
    "subpixel": (
        coco(square(segmentation=[[9.1, 9.1, 9.3, 9.1, 9.3, 9.3]]), square(image_id=2)),
        "covers no pixel",
    ),
    "outside": (coco(square(segmentation=[[500, 500, 600, 500, 600, 600]]), square(image_id=2)), "covers no pixel"),
}


@pytest.mark.parametrize("case", BAD)
def test_one_bad_record_of_coco_is_named_and_the_rest_comes_in(case, take):
    content, words = BAD[case]
    status, out, said = take(content)
    good = sum(
        isinstance(one, dict) and one.get("segmentation") == SQUARE and one["image_id"] in (1, 2)
        for one in content["annotations"]
        if isinstance(one, dict)
        and not isinstance(one["image_id"], bool | dict | list)
        and not isinstance(one.get("category_id"), dict | list)
    )
    assert out.startswith(f"{good} objects")
    assert status == (0 if good else 1)
    assert "given.json" in said
    assert words in said


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 5_000, "NaN", "Infinity", '"x"', "null", "true"])
def test_numbers_that_are_none_spoil_their_record_only(take, number):
    text = json.dumps(coco(square(segmentation=[[7, 7, 40, 7, 40, 12345]]), square(image_id=2)))
    status, out, said = take(text.replace("12345", number))
    expected = 2 if number == "true" else 1
    assert (status, out.split()[0]) == (0, str(expected)), said


def test_an_unknown_category_costs_the_label_not_the_object(take, exported):
    status, out, said = take(coco(square(category_id=5), categories=[CAT, {"id": 5}]))
    assert (status, out) == (0, "1 objects in 1 images, 1 new labels\n")
    assert "without a label" in said
    names = {one["id"]: one["name"] for one in exported()["categories"]}
    assert [names[one["category_id"]] for one in exported()["annotations"]] == ["unlabelled"]


def shape(**change):
    return {**labelme()["shapes"][0], **change}


BAD_SHAPES = {
    "null points": shape(points=None),
    "no points": {"label": "cat", "shape_type": "polygon"},
    "infinite": shape(points=[[1, 1], [9, 1], [9, float("inf")]]),
    "far": shape(points=[[1, 1], [1e300, 1], [9, 9]]),
    "huge circle": shape(points=[[1e300, 1], [1, 1]], shape_type="circle"),
    "list": [1, 2],
    "null": None,
    "dict label": shape(label={"a": 1}),
    "line": shape(points=[[1, 1], [9, 9]], shape_type="line"),
    "dict kind": shape(shape_type={"a": 1}),
    "subpixel": shape(points=[[9.1, 9.1], [9.3, 9.1], [9.3, 9.3]]),
    "no mask": shape(shape_type="mask"),
    "mask that is none": shape(shape_type="mask", mask="~~"),
    "mask that is no png": shape(shape_type="mask", mask=base64.b64encode(b"x" * 90).decode()),
    "text points": shape(points="abc"),
}


@pytest.mark.parametrize("case", BAD_SHAPES)
def test_one_bad_shape_of_labelme_is_named_and_the_rest_comes_in(case, take):
    status, out, said = take(labelme([BAD_SHAPES[case], shape()]))
    assert (status, out) == (0, "1 objects in 1 images, 1 new labels\n")
    assert "given.json: shape 0" in said


@pytest.mark.parametrize(
    "change",
    [
        *({"imagePath": None}, {"imagePath": 5.5}, {"imagePath": "z.jpg"}, {"shapes": 5}, {"imageWidth": 9}),
        *({"imageHeight": bad} for bad in (float("inf"), "x", 10**400, [90], -90, 90.5, True)),
    ],
)
def test_one_bad_file_of_labelme_does_not_stop_the_next(change, tmp_path, run):
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "1.json").write_text(json.dumps(labelme(**change)))
    (folder / "2.JSON").write_text(json.dumps(labelme(imagePath="b.jpg")))
    (folder / "0.json").write_text("{")
    status, out, said = run("import", folder)
    assert (status, out) == (0, "1 objects in 1 images, 1 new labels\n")
    assert "1.json" in said
    assert "0.json" in said


BAD_LINES = [
    "0 0.1 0.1 0.2",
    "0 0.1 0.1 0.9 0.1 0.9 nan",
    "x 0.1 0.1 0.9 0.1 0.9 0.9",
    "0 10 10 90 10 90 90",
    "0",
    "-1 0 0 1 0 1 1",
]
BAD_LINES += [
    "0.5 0 0 1 0 1 1",
    "0 0 0 1e999 0 1 1",
    "0 0.1 0.1 0.1001 0.1 0.1001 0.1001",
    "\x00\xff",
    "nan 0 0 1 0 1 1",
]


@pytest.mark.parametrize("line", BAD_LINES)
def test_one_bad_line_of_yolo_is_named_and_the_rest_comes_in(line, tmp_path, run):
    yolo = tmp_path / "yolo"
    (yolo / "labels").mkdir(parents=True)
    (yolo / "labels" / "a.txt").write_text(f"{line}\n0 0.1 0.1 0.5 0.1 0.5 0.5\n", encoding="latin-1")
    (yolo / "data.yaml").write_text("names: [cat]")
    status, out, said = run("import", yolo)
    assert (status, out) == (0, "1 objects in 1 images, 1 new labels\n")
    assert "a.txt: line 1" in said


@pytest.mark.parametrize("names", ["{0: null, 1: cat}", "{x: dog, 1: cat}", "[[1], cat]", "{1: cat, 0: {a: b}}"])
def test_one_bad_class_of_yolo_is_named(names, tmp_path, run):
    (tmp_path / "y" / "labels").mkdir(parents=True)
    (tmp_path / "y" / "labels" / "a.txt").write_text("1 0.1 0.1 0.5 0.1 0.5 0.5\n")
    (tmp_path / "y" / "data.yaml").write_text(f"names: {names}")
    status, out, said = run("import", tmp_path / "y" / "data.yaml")
    assert (status, out) == (0, "1 objects in 1 images, 1 new labels\n")
    assert "data.yaml: class" in said


def test_a_bad_file_and_a_missing_one_do_not_stop_the_next(take, tmp_path, run):
    good = tmp_path / "good.json"
    good.write_text(json.dumps(coco(square(image_id=2))))
    (tmp_path / "bad.json").write_text(json.dumps(coco(square(segmentation=[[1, 1, float("inf")]]))))
    status, out, said = run("import", tmp_path / "bad.json", good)
    assert (status, out) == (0, "1 objects in 1 images, 1 new labels\n")
    assert "bad.json: annotation 1" in said
    status, out, said = run("import", tmp_path / "none.json", good, "--existing", "add")
    assert (status, out) == (1, "1 objects in 1 images, 0 new labels\n")
    assert "none.json: no such file" in said
    os.mkfifo(tmp_path / "pipe.json")
    assert run("import", tmp_path / "pipe.json")[0] == 1


def test_exit_1_where_nothing_came_in(take):
    status, out, said = take(coco(square(segmentation=[[10.1, 10.1, 10.3, 10.1, 10.3, 10.3, 10.1, 10.3]])))
    assert (status, out) == (1, "0 objects in 0 images, 0 new labels\n")
    assert "annotation 1 of a.jpg" in said
    assert take("{}")[0] == 1
    assert take(coco(square(), images=[image(1, "z.jpg")]))[0] == 1
    assert take(coco())[0] == 1


# Masks are kept as they came.


def test_masks_on_large_photos_come_out_as_they_came(photos, take, exported):
    photo(photos / "big.jpg", (4000, 6000))
    small, whole = [[100, 100, 102, 100, 102, 102, 100, 102]], [[2000, 2000, 3000, 2000, 3000, 3000, 2000, 3000]]
    given = coco(
        *({"segmentation": one} for one in (BAR, small, whole)), images=[image(1, "big.jpg", (4000, 6000))]
    )
    assert take(given)[:2] == (0, "3 objects in 1 images, 1 new labels\n")
    content = exported()
    boxes = [(1000, 1000, 5000, 1001), (100, 100, 102, 102), (2000, 2000, 3000, 3000)]
    for mask, box in zip(masks(content, "big.jpg"), boxes, strict=True):
        assert (mask == filled((4000, 6000), box)).all()
    assert [one["area"] for one in content["annotations"]] == [4000, 4, 1_000_000]
    shown = ask(photos, lambda project: [item.area for item in project.logs.history(3).document.objects])
    assert min(shown) > 0


def ask(photos, question):
    project = Project(photos, model="tree")
    answer = question(project)
    project.close()
    return answer


def test_what_was_painted_later_is_laid_over_the_exact_mask(photos, take, run, exported, monkeypatch):
    monkeypatch.setattr("clickgrain.annotate.gallery.WORK_SIDE", 60)
    take(coco(square(segmentation=[[3, 3, 81, 3, 81, 4, 3, 4]])))
    project = Project(photos, model="tree")
    stroke = {"type": "brush", "points": [[30, 30]], "radius": 4}
    action = {"kind": "object.add_steps", "object": 1, "steps": [stroke]}
    actions.act(project, 1, Posted(seq=1), IMAGE_REQUEST.validate_python(action))
    project.close()
    (mask,) = masks(exported())
    assert (mask[:20] == filled((90, 120), (3, 3, 81, 4))[:20]).all()
    y, x = np.ogrid[:45, :60]
    assert mask[20:].sum() == 4 * (np.hypot(x - 30, y - 30) <= 4).sum()
    assert "iou=1.0000" in run("replay")[1]
    assert mask[60, 60]


def test_category_ids_survive(take, exported):
    categories = [{"id": 44, "name": "unused"}, CAT, {"id": 1, "name": "dog"}, {"id": 0, "name": "none"}]
    take(coco(square(), {"segmentation": BAR_HERE, "category_id": 1}, categories=categories))
    content = exported()
    assert [(one["id"], one["name"]) for one in content["categories"]] == [
        (one["id"], one["name"]) for one in categories
    ]
    assert [one["category_id"] for one in content["annotations"]] == [17, 1]


BAR_HERE = [[50, 50, 90, 50, 90, 52, 50, 52]]


def test_labels_of_before_take_the_ids_and_none_is_given_twice(take, exported):
    take(labelme())
    take(
        coco(
            square(image_id=2, category_id=1),
            categories=[{"id": 1, "name": "dog"}, CAT, {"id": 2**70, "name": "far"}],
        )
    )
    ids = {one["name"]: one["id"] for one in exported()["categories"]}
    assert (ids["cat"], ids["dog"]) == (17, 1)
    assert len(set(ids.values())) == len(ids) == 3


# What is left out is named.


def test_covered_objects_are_named_and_no_format_holds_them(take, run, tmp_path, exported):
    over = {"segmentation": [[5, 5, 80, 5, 80, 80, 5, 80]], "category_id": 18}
    take(coco(square(), over, categories=[CAT, {"id": 18, "name": "dog"}]))
    for format_ in ("coco", "semantic", "instance", "panoptic", "yolo", "labelme"):
        status, _, said = run("export", "--out", tmp_path / format_, "--format", format_)
        assert status == 0
        assert "a.jpg: object 1 (cat) is left out" in said
    assert len(json.loads((tmp_path / "coco" / "annotations.json").read_text())["annotations"]) == 1
    assert len((tmp_path / "yolo" / "labels" / "a.txt").read_text().splitlines()) == 1
    assert len(json.loads((tmp_path / "labelme" / "a.json").read_text())["shapes"]) == 1
    assert json.loads((tmp_path / "instance" / "objects.json").read_text()) == {"a.jpg": {"1": "dog"}}
    (segments,) = json.loads((tmp_path / "panoptic" / "panoptic.json").read_text())["annotations"]
    assert len(segments["segments_info"]) == 1
    assert set(np.unique(read_png(tmp_path / "semantic" / "semantic" / "a.jpg.png"))) == {0, 2}


def read_png(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def test_an_object_begun_with_a_negative_click_or_erased_is_no_annotation(
    photos, run, exported, tmp_path, monkeypatch
):
    # as earlier versions wrote them: now such an object is removed at once
    monkeypatch.setattr("clickgrain.annotate.actions._put_or_remove", lambda item, document, _: document.put(item))
    project = Project(photos, model="tree")
    act = {"kind": "object.add_steps", "steps": [{"type": "click", "x": 5, "y": 5, "label": 0}]}
    actions.act(project, 1, Posted(seq=0), IMAGE_REQUEST.validate_python(act))
    strokes = [{"type": "brush", "points": [[60, 45]], "radius": 5, "label": label} for label in (1, 0)]
    act = {"kind": "object.add_steps", "steps": strokes}
    actions.act(project, 2, Posted(seq=0), IMAGE_REQUEST.validate_python(act))
    assert [project.logs.history(image).document.objects[0].area for image in (1, 2)] == [0, 0]
    project.close()
    status, _, said = run("export", "--out", tmp_path / "one")
    assert status == 0
    assert "a.jpg is left out" in said
    assert "b.jpg is left out" in said
    assert exported()["images"] == exported()["annotations"] == []


@pytest.mark.parametrize("format_", ["coco", "semantic", "instance", "panoptic", "yolo", "labelme"])
def test_done_photos_without_objects_are_negative_images(photos, take, run, tmp_path, format_):
    photo(photos / "c.jpg")
    take(coco(square()))
    project = Project(photos, model="tree")
    actions.act(project, 2, Posted(seq=0), IMAGE_REQUEST.validate_python({"kind": "status", "status": "done"}))
    project.close()
    out = tmp_path / "out"
    assert run("export", "--out", out, "--format", format_)[0] == 0
    if format_ == "coco":
        content = json.loads((out / "annotations.json").read_text())
        assert [one["file_name"] for one in content["images"]] == ["a.jpg", "b.jpg"]
        assert [one["image_id"] for one in content["annotations"]] == [1]
    elif format_ == "yolo":
        assert (out / "labels" / "b.txt").read_bytes() == b""
        assert not (out / "labels" / "c.txt").exists()
    elif format_ == "labelme":
        assert json.loads((out / "b.json").read_text())["shapes"] == []
    else:
        assert not read_png(out / format_ / "b.jpg.png").any()
        assert not (out / format_ / "c.jpg.png").exists()


def test_importing_negative_images_as_done(take, exported):
    status, out, _ = take(coco(square()), "--done")
    assert (status, out) == (0, "1 objects in 2 images, 1 new labels\n")
    assert [one["file_name"] for one in exported("--only-done")["images"]] == ["a.jpg", "b.jpg"]


def test_an_image_whose_records_were_bad_is_not_done(take, photos):
    subpixel = square(segmentation=[[9.1, 9.1, 9.3, 9.1, 9.3, 9.3]])
    assert take(coco(subpixel, square(image_id=2)), "--done")[:2] == (0, "1 objects in 1 images, 1 new labels\n")
    assert ask(photos, lambda project: [project.logs.history(image).document.status for image in (1, 2)]) == [
        "todo",
        "done",
    ]


def test_an_export_that_fails_for_one_photo_goes_on_with_the_others(photos, take, run, tmp_path, exported):
    photo(photos / "c.jpg")
    take(
        coco(
            square(),
            square(image_id=2),
            square(image_id=3),
            images=[image(1, "a.jpg"), image(2, "b.jpg"), image(3, "c.jpg")],
        )
    )
    project = Project(photos, model="tree")
    actions.act(project, 1, Posted(seq=1), IMAGE_REQUEST.validate_python({"kind": "clear"}))
    actions.act(project, 1, Posted(seq=2), IMAGE_REQUEST.validate_python({"kind": "status", "status": "done"}))
    with project.database.writing() as db:
        db.execute("UPDATE images SET height = NULL, width = NULL WHERE id = 1")
    take_ = {"kind": "object.add_steps", "steps": [{"type": "brush", "points": [[60, 45]], "radius": 5}]}
    actions.act(project, 2, Posted(seq=1), IMAGE_REQUEST.validate_python(take_))
    damaged = project.logs.history(2).document.objects[1].mask
    with project.database.writing() as db:
        db.execute("UPDATE masks SET data = x'00' WHERE hash = ?", (damaged,))
    project.close()
    (photos / "a.jpg").write_bytes(b"\xff\xd8\xff no photo any more")
    status, _, said = run("export", "--out", tmp_path / "out")
    assert status == 0
    assert "a.jpg" in said
    assert "b.jpg: object 2 is left out" in said
    content = json.loads((tmp_path / "out" / "annotations.json").read_text())
    assert [one["file_name"] for one in content["images"]] == ["b.jpg", "c.jpg"]
    assert len(content["annotations"]) == 2


def test_one_file_that_cannot_be_written_is_named_at_the_end(take, run, tmp_path):
    take(coco(square(), square(image_id=2)))
    (tmp_path / "out" / "a.json").mkdir(parents=True)
    status, out, said = run("export", "--out", tmp_path / "out", "--format", "labelme")
    assert (status, out.split()[0]) == (1, "1")
    assert "a.json: cannot be written" in said
    assert (tmp_path / "out" / "b.json").is_file()


# Photos are found.


@pytest.mark.parametrize("path", ["..\\cam1\\a.jpg", "../cam1/a.jpg", "./../cam1//a.jpg"])
@pytest.mark.parametrize("inside", [True, False])
def test_labelme_paths_are_relative_to_the_json(photos, run, tmp_path, path, inside):
    for folder in ("cam1", "cam2"):
        photo(photos / folder / "a.jpg")
    folder = (photos if inside else tmp_path) / "json"
    folder.mkdir()
    path = path if inside else path.replace("cam1", "photos/cam1")
    (folder / "x.json").write_text(json.dumps(labelme(imagePath=path)))
    status, out, said = run("import", folder / "x.json")
    assert (status, out) == (0, "1 objects in 1 images, 1 new labels\n"), said
    project = Project(photos, model="tree")
    assert [project.gallery.name(number) for number in project.database.logged_images()] == ["cam1/a.jpg"]
    project.close()


def test_a_name_that_several_photos_have_is_refused(photos, take):
    for folder in ("cam1", "cam2"):
        photo(photos / folder / "c.jpg")
    status, _, said = take(coco(square(), images=[image(1, "c.jpg")]))
    assert status == 1
    assert "or several" in said
    assert take(coco(square(), images=[image(1, "data/cam2/c.jpg")]))[0] == 0
    assert take(coco(square(), images=[image(1, str(photos / "cam1" / "c.jpg"))]))[0] == 0


@pytest.mark.parametrize("change", [{"imageHeight": None}, {"imageWidth": None}])
def test_labelme_takes_a_missing_size_from_the_photo(take, exported, change):
    content = labelme(**change)
    for key in change:
        del content[key]
    assert take(content)[0] == 0
    assert (masks(exported())[0] == filled((90, 120), (10, 10, 40, 40))).all()


@pytest.mark.parametrize("kind", ["rectangle", "rotation", "polygon", "quadrilateral"])
def test_shapes_of_x_anylabeling(take, exported, kind):
    assert take(labelme([shape(shape_type=kind, direction=0.0)]))[0] == 0
    assert (masks(exported())[0] == filled((90, 120), (10, 10, 40, 40))).all()


@pytest.mark.parametrize(
    "name",
    [
        *("1a2b3c4d-my%20cat%231.jpg", "images/1a2b3c4d-my cat#1.jpg", "my%20cat%231.jpg"),
        *("/data/upload/3/1a2b3c4d-my%20cat%231.jpg", "/data/local-files/?d=set%2Fmy%20cat%231.jpg"),
        "images\\1a2b3c4d-my cat#1.jpg",
    ],
)
def test_names_of_label_studio(photos, take, name):
    photo(photos / "my cat#1.jpg")
    status, out, said = take(coco(square(), images=[image(1, name)]))
    assert (status, out) == (0, "1 objects in 1 images, 1 new labels\n"), said
    assert "Label Studio" in said
    assert "my cat#1.jpg" in said


def test_a_photo_that_is_called_so_is_taken_as_it_is(photos, take):
    photo(photos / "1a2b3c4d-a.jpg")
    status, _, said = take(coco(square(), images=[image(1, "1a2b3c4d-a.jpg")]))
    assert (status, said) == (0, "")


def test_a_turned_size_hints_at_exif(take):
    status, _, said = take(coco(square(), images=[image(1, "a.jpg", (120, 90))]))
    assert status == 1
    assert "EXIF" in said


# Twice.


def test_importing_twice_adds_nothing_unless_asked(photos, take, exported):
    given = coco(square(), {"segmentation": BAR_HERE})
    assert take(given)[1] == "2 objects in 1 images, 1 new labels\n"
    status, out, said = take(given)
    assert (status, out) == (0, "0 objects in 1 images, 0 new labels\n")
    assert "a.jpg: 2 objects are there already" in said
    assert len(exported()["annotations"]) == 2
    assert take(given, "--existing", "replace")[1].startswith("2 objects")
    assert len(exported()["annotations"]) == 2
    assert ask(photos, lambda project: len(project.logs.history(1).document.objects)) == 2
    assert take(coco(square()), "--existing", "add")[1].startswith("1 objects")
    assert ask(photos, lambda project: len(project.logs.history(1).document.objects)) == 3


def test_what_was_exported_comes_back_as_nothing_new(take, run, tmp_path, exported):
    over = {"segmentation": [[20, 20, 80, 20, 80, 80, 20, 80]], "category_id": 18}
    take(coco(square(), over, categories=[CAT, {"id": 18, "name": "dog"}]))
    for format_ in ("coco", "labelme", "yolo"):
        out = tmp_path / format_
        assert run("export", "--out", out, "--format", format_)[0] == 0
        status, said, _ = run("import", out)
        assert (status, said) == (0, "0 objects in 1 images, 0 new labels\n")


def test_replacing_keeps_what_is_locked(photos, take):
    take(coco(square(), {"segmentation": BAR_HERE}))
    project = Project(photos, model="tree")
    actions.act(
        project,
        1,
        Posted(seq=1),
        IMAGE_REQUEST.validate_python({"kind": "object.edit", "object": 2, "locked": True}),
    )
    project.close()
    take(coco(square()), "--existing", "replace")
    project = Project(photos, model="tree")
    assert [item.id for item in project.logs.history(1).document.objects] == [2, 3]
    actions.act(project, 1, Posted(seq=3), IMAGE_REQUEST.validate_python({"kind": "undo"}))
    assert [item.id for item in project.logs.history(1).document.objects] == [1, 2]
    project.close()


# Long names, YOLO.


@pytest.mark.parametrize("format_", ["coco", "semantic", "instance", "panoptic", "yolo", "labelme"])
@pytest.mark.parametrize("letter", ["x", "ö"])
def test_names_as_long_as_file_systems_allow(photos, take, run, tmp_path, format_, letter):
    names = [letter * ((250 - len(end)) // len(letter.encode())) + end for end in ("1.jpg", "12.jpg")]
    names = [name + "y" * (251 - len(name.encode())) + ".jpg" for name in names]
    assert {len(name.encode()) for name in names} == {255}
    for name in names:
        photo(photos / name)
    given = coco(square(), square(image_id=2), images=[image(1, names[0]), image(2, names[1])])
    assert take(given)[0] == 0
    out = tmp_path / "out"
    more = ["--images", "copy"] if format_ == "yolo" else []
    assert run("export", "--out", out, "--format", format_, *more)[0] == 0
    written = [path for path in out.rglob("*") if path.is_file()]
    assert len(written) == {"coco": 1, "labelme": 2, "yolo": 5}.get(format_, 3)
    if format_ in ("labelme", "yolo"):
        assert run("import", out)[1] == "0 objects in 2 images, 0 new labels\n"


def read_yolo(folder, name, size):
    """An independent reader: lines of class and polygon, filled by pycocotools at 16 times the size."""
    found = []
    for line in (folder / "labels" / name).read_text().splitlines():
        number, *shares = line.split()
        corners = np.array(shares, float).reshape(-1, 2) * size[::-1]
        found.append((int(number), corners))
    return found


def test_yolo_with_its_photos(photos, take, run, tmp_path):
    for name in ("c.png", "c.jpg"):
        photo(photos / "sub" / name)
    images = [image(1, "a.jpg"), image(2, "sub/c.jpg"), image(3, "sub/c.png")]
    take(coco(square(), square(image_id=2), {"image_id": 3, "segmentation": BAR_HERE}, images=images))
    assert "sub/c.png" in run("export", "--out", tmp_path / "plain", "--format", "yolo")[2]
    for how in ("copy", "link"):
        out = tmp_path / how
        status, _, said = run("export", "--out", out, "--format", "yolo", "--images", how)
        assert (status, said) == (0, "")
        files = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
        names = {"a.jpg", "sub/c.jpg", "sub/c.png.png"}
        labels = {"a.txt", "sub/c.txt", "sub/c.png.txt"}
        assert files == {"data.yaml", *(f"images/{name}" for name in names), *(f"labels/{name}" for name in labels)}
        assert (out / "images" / "sub" / "c.png.png").read_bytes() == (photos / "sub" / "c.png").read_bytes()
        assert (out / "images" / "a.jpg").is_symlink() == (how == "link")
    ((number, corners),) = read_yolo(out, "sub/c.png.txt", (90, 120))
    assert number == 0
    assert sorted(map(tuple, np.rint(corners).astype(int).tolist())) == [(50, 50), (50, 52), (90, 50), (90, 52)]
    assert run("import", out)[1] == "0 objects in 3 images, 0 new labels\n"


def test_photos_go_with_yolo_only(run, tmp_path):
    status, _, said = run("export", "--out", tmp_path / "out", "--images", "copy")
    assert status == 1 or status == 2
    assert "--format yolo" in said


@pytest.mark.parametrize("where", ["labels/train/{}.txt", "{}.txt"])
@pytest.mark.parametrize("classes", [("data.yaml", "names:\n  0: cat\n  1: dog\n"), ("classes.txt", "cat\ndog\n")])
@pytest.mark.parametrize("packed", ["folder", "labels", "zip", "list", "one"])
def test_yolo_of_others(tmp_path, run, exported, where, classes, packed):
    folder = tmp_path / "yolo"
    files = {where.format("a"): "1 0.25 0.5 0.1 0.2\n\n0 0.5 0.5 0.75 0.5 0.75 1\n", classes[0]: classes[1]}
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    with zipfile.ZipFile(tmp_path / "yolo.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    if (packed, classes[0]) == ("list", "classes.txt") or (packed, where) == ("labels", "{}.txt"):
        pytest.skip("no such file or folder in this layout")
    given = {
        "folder": folder,
        "labels": folder / "labels",
        "zip": tmp_path / "yolo.zip",
        "list": folder / classes[0],
        "one": folder / where.format("a"),
    }
    status, out, said = run("import", given[packed])
    assert (status, out) == (0, "2 objects in 1 images, 2 new labels\n"), said
    content = exported()
    names = {one["id"]: one["name"] for one in content["categories"]}
    assert [names[one["category_id"]] for one in content["annotations"]] == ["dog", "cat"]
    box, triangle = masks(content)
    assert (box == filled((90, 120), (24, 36, 36, 54))).all()
    assert abs(triangle.sum() - 30 * 45 / 2) < 30


def test_yolo_classes_keep_their_order(tmp_path, run):
    folder = tmp_path / "yolo"
    (folder / "labels").mkdir(parents=True)
    (folder / "labels" / "a.txt").write_text("2 0.1 0.1 0.5 0.1 0.5 0.5\n")
    (folder / "data.yaml").write_text('names: ["cat", dog, "a: b"]')
    assert run("import", folder)[0] == 0
    assert run("export", "--out", tmp_path / "out", "--format", "yolo")[0] == 0
    assert (tmp_path / "out" / "labels" / "a.txt").read_text().startswith("2 ")
    assert '2: "a: b"' in (tmp_path / "out" / "data.yaml").read_text()


# Bombs.


def zipped(files, name="x.zip"):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in files.items():
            archive.writestr(name, part)
    return content.getvalue()


def big_png(width, height):
    head = (
        b"\x89PNG\r\n\x1a\n"
        + (13).to_bytes(4, "big")
        + b"IHDR"
        + width.to_bytes(4, "big")
        + height.to_bytes(4, "big")
    )
    return base64.b64encode(head + b"\x01\x00\x00\x00\x00" + bytes(40)).decode()


def rle(counts):
    return square(segmentation={"size": [90, 120], "counts": counts})


BOMBS = {
    "rle without end": (lambda: coco(rle("o" * 20_000_000), square()), "truncated"),
    "rle of a huge number": (lambda: coco(rle("o" * 20_000_000 + "0"), square()), "larger than any image"),
    "rle of very many runs": (lambda: coco(rle("0" * 20_000_000), square()), "more runs"),
    "polygon of very many corners": (
        lambda: coco(square(segmentation=[[5, 0, 9, 90] * 300_000]), square()),
        "too intricate",
    ),
    "mask larger than the photo": (
        lambda: labelme([shape(shape_type="mask", points=[[0, 0]], mask=big_png(60_000, 60_000)), shape()]),
        "60000 x 60000",
    ),
    "mask of negative place": (
        lambda: labelme([shape(shape_type="mask", points=[[-5, 0]], mask=big_png(9, 9)), shape()]),
        "leaves the image",
    ),
    "very many bad records": (
        lambda: {**coco(), "annotations": [0] * 200_000 + [{**square(), "image_id": 1}]},
        "and more",
    ),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("case", BOMBS)
def test_a_bomb_is_one_bad_record(case, take):
    make, words = BOMBS[case]
    status, out, said = take(make())
    assert (status, out.split()[0]) == (0, "1")
    assert words in said
    assert len(said) < 200_000


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda: zipped({"a.json": zipped({"b.json": json.dumps(coco(square()))})}), "ZIP inside another"),
        (lambda: zipped({"a.json": b"[" + b"[]," * 40_000_000 + b"[]]"}), "too much"),
        (lambda: b"[" + b"[]," * 40_000_000 + b"[]]", "GB of memory"),
        (lambda: zipped({"a.json": json.dumps(coco(square()))})[:-30], "damaged ZIP"),
        (lambda: b"[" * 1_000_000, "not valid JSON"),
        (
            lambda: zipped({"labels/a.txt": "0 0 0 1 0 1 1", "d.yaml": "a: &a {x: 1}\nnames: {<<: [*a, *a]}"}),
            "d.yaml is left",
        ),
    ],
)
def test_a_file_that_is_a_bomb_is_refused(content, words, take):
    _, _, said = take(content(), name="given.zip")
    assert words in said


def test_what_a_zip_unpacks_to_is_bounded(take, monkeypatch):
    monkeypatch.setattr("clickgrain.export.formats.MOST_UNPACKED", 1_000_000)
    status, _, said = take(zipped({f"{number}.json": b" " * 300_000 for number in range(4)}), name="x.zip")
    assert status == 1
    assert "larger than 1,000,000" in said


def test_a_damaged_file_in_a_zip_does_not_stop_the_next(take):
    content = bytearray(
        zipped({"0.json": json.dumps(coco(square(image_id=2))) * 20, "1.json": json.dumps(coco(square()))})
    )
    content[60:80] = bytes(20)
    status, out, said = take(bytes(content), name="x.zip")
    assert (status, out.split()[0]) == (0, "1")
    assert "0.json" in said


def test_a_thousand_labels_are_logged_by_what_changes(photos, take, tmp_path):
    categories = [{"id": number, "name": f"class {number:04}"} for number in range(1_000)]
    assert take(coco(square(category_id=5), categories=categories))[1].endswith("1000 new labels\n")
    project = Project(photos, model="tree")
    for number in range(50):
        edit = {"kind": "label.edit", "label": 1 + number, "name": f"new {number}"}
        act_on_labels(project.logs, Posted(seq=project.logs.labels().seq), PROJECT_REQUEST.validate_python(edit))
    names = [label.name for label in project.logs.labels().document.labels]
    (logged,) = project.database.rows("SELECT sum(length(patch)), max(seq) FROM actions WHERE image = 0")
    project.close()
    assert logged[0] < 150_000
    again = Project(photos, model="tree")
    assert [label.name for label in again.logs.labels().document.labels] == names
    assert names[49:51] == ["new 49", "class 0050"]
    again.close()
