"""Whatever stands in one record of an import, it is one record: all others must come in."""

import base64
import copy
import io
import json
import zipfile

import cv2
import numpy as np
import pytest
from hypothesis import strategies as st

from clickgrain.annotate import actions
from clickgrain.annotate.project import Project
from clickgrain.annotate.requests import IMAGE_REQUEST, Posted
from clickgrain.annotate.transfer import take_in
from clickgrain.errors import DataError
from clickgrain.export import rle
from clickgrain.export.formats import read_any, read_many
from tests.fuzz.hostile import VALUES

pytestmark = pytest.mark.timeout(0)
EXAMPLES = 60
SIZE = (20, 30)
KEYS = ["id", "image_id", "category_id", "segmentation", "bbox", "iscrowd", "file_name", "height", "width", "name"]
KEYS += ["label", "points", "shape_type", "mask", "clickgrain", "size", "counts", 0, 1, 5]
CHANGES = st.lists(st.tuples(st.lists(st.sampled_from(KEYS), max_size=3), VALUES), min_size=1, max_size=3)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz") / "photos"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        assert cv2.imwrite(str(folder / name), np.full((*SIZE, 3), 90, np.uint8))
    project = Project(folder, model="tree")
    yield project
    project.close()


def changed(record, changes):
    """The record with values put at paths inside it; a path that leads nowhere stops where it does."""
    record = copy.deepcopy(record)
    for path, value in changes:
        if not path:
            record = copy.deepcopy(value)  # a value put inside itself would be no JSON
            continue
        at = record
        for key in path[:-1]:
            at = at[key] if isinstance(at, dict) and key in at else at
        if isinstance(at, dict):
            at[str(path[-1])] = copy.deepcopy(value)
        elif isinstance(at, list) and isinstance(path[-1], int) and path[-1] < len(at):
            at[path[-1]] = copy.deepcopy(value)
    return record


def count(project):
    """Objects of b.png, cleared away now and then."""
    for image in (1, 2):
        if len(project.logs.history(image).document.objects) > 50:
            clear = IMAGE_REQUEST.validate_python({"kind": "clear"})
            actions.act(project, image, Posted(seq=project.logs.history(image).seq), clear)
            project.logs.forget(image)  # an old stack of documents only costs memory here
    return len(project.logs.history(2).document.objects)


def comes_in(project, content, name="x.json", good=1):
    """Import into the project: what is good must be added to b.png."""
    skipped = []
    before = count(project)
    try:
        _, images = read_any(content if isinstance(content, bytes) else json.dumps(content).encode(), name, skipped)
    except DataError:
        assert not good
        return
    take_in(project, images, "fuzz", skipped, existing="add")
    added = project.logs.history(2).document.objects[before:]
    assert sum(item.area == 81 for item in added) >= good
    assert all(isinstance(line, str) and len(line) < 5_000 for line in skipped)


SQUARE = [[1, 1, 10, 1, 10, 10, 1, 10]]
IMAGE = {"id": 1, "file_name": "a.png", "height": 20, "width": 30}
ANNOTATION = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": SQUARE, "iscrowd": 0}
RLE = {**ANNOTATION, "segmentation": {"size": [20, 30], "counts": "T3b1f0"}}
CATEGORY = {"id": 1, "name": "c"}
OTHER = [{**IMAGE, "id": "b", "file_name": "b.png"}, {**ANNOTATION, "id": 9, "image_id": "b", "category_id": 7}]


def test_coco(search, project):
    records = {"images": IMAGE, "annotations": ANNOTATION, "rle": RLE, "categories": CATEGORY}

    def check(drawn):
        which, changes = drawn
        now = {key: changed(record, changes) if key == which else record for key, record in records.items()}
        content = {
            "images": [now["images"], OTHER[0]],
            "annotations": [now["annotations"], now["rle"], OTHER[1]],
            "categories": [now["categories"], {"id": 7, "name": "good"}],
        }
        comes_in(project, content)

    search(st.tuples(st.sampled_from([*records]), CHANGES), check, EXAMPLES)


def test_coco_s_frame(search, project):
    def check(drawn):
        which, value = drawn
        content = {"images": [OTHER[0]], "annotations": [OTHER[1]], "categories": [CATEGORY]}
        comes_in(project, {**content, which: value}, good=which in ("categories", "info"))

    search(st.tuples(st.sampled_from(["images", "annotations", "categories", "info"]), VALUES), check, EXAMPLES)


MASK = base64.b64encode(cv2.imencode(".png", np.full((9, 9), 255, np.uint8))[1].tobytes()).decode()
SHAPES = [
    {"label": "c", "points": [[1, 1], [10, 1], [10, 10], [1, 10]], "shape_type": "polygon", "mask": None},
    {"label": "c", "points": [[1, 1], [9, 9]], "shape_type": "mask", "mask": MASK},
    {"label": "c", "points": [[5, 5], [9, 9]], "shape_type": "circle"},
    {"label": "c", "points": [[5, 5], [9, 9]], "shape_type": "rectangle"},
]


LABELME = {"imagePath": "b.png", "imageHeight": 20, "imageWidth": 30}


def test_labelme_shapes(search, project):
    def check(drawn):
        shape, changes = drawn
        comes_in(project, {**LABELME, "shapes": [changed(SHAPES[shape], changes), SHAPES[0]]})

    search(st.tuples(st.integers(0, len(SHAPES) - 1), CHANGES), check, EXAMPLES)


def test_labelme_s_frame(search, project):
    def check(drawn):
        key, value = drawn
        comes_in(project, {**LABELME, "shapes": [SHAPES[0]], key: value}, good=key in ("version", "flags"))

    search(st.tuples(st.sampled_from([*LABELME, "shapes", "version", "flags"]), VALUES), check, EXAMPLES)


def test_labelme_s_masks(search, project):
    coded = base64.b64decode(MASK)

    def check(drawn):
        data, at = drawn
        broken = base64.b64encode(coded[:at] + data + coded[at + len(data) :]).decode()
        comes_in(project, {**LABELME, "shapes": [{**SHAPES[1], "mask": broken}, SHAPES[0]]})

    search(st.tuples(st.binary(max_size=60), st.integers(0, 80)), check, EXAMPLES)


WORDS = st.sampled_from(
    ["0", "1", "0.5", "1e999", "nan", "-1", "x", "", "\t", "\x00", "0.1", "9" * 5_000, "\u2028", "0x1"]
)


LINES = st.lists(WORDS, max_size=9).map(" ".join)
LINES |= st.text(max_size=20).filter(lambda text: len(text.splitlines()) < 2)
CLASSES = st.text(max_size=20)
CLASSES |= st.sampled_from(["{0: c}", "[c]", "{x: c}", "[[c]]", "3", "{0: null}", "!!x", "*a"])
IMAGES = st.sampled_from(["a", "b.png", "..", "labels", "\x00", "b." * 2_000]) | st.text(max_size=5)


def test_yolo(search, project):
    def check(drawn):
        line, names, image = drawn
        skipped = []
        before = count(project)
        good = f"{line}\n0 {1 / 30} 0.05 {10 / 30} 0.05 {10 / 30} 0.5 {1 / 30} 0.5\n"
        good = good.encode("utf-8", "surrogatepass")
        files = {
            f"y/labels/{image}.txt": lambda: good,
            "y/labels/b.txt": lambda: good,
            "data.yaml": lambda: yaml(names),
        }
        for format_, images in read_many(files, skipped):
            take_in(project, images, format_, skipped, existing="add")
        assert sum(item.area == 81 for item in project.logs.history(2).document.objects[before:]) >= 1

    search(st.tuples(LINES, CLASSES, IMAGES), check, EXAMPLES)


def yaml(names):
    return f"names: {names}".encode("utf-8", "surrogatepass")


def test_anything(search, project):
    anything = st.binary(max_size=200) | st.text(max_size=200).map(str.encode)
    search(anything, lambda content: comes_in(project, content, good=0), EXAMPLES)


def zipped():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in (
            ("x.json", json.dumps({**LABELME, "shapes": SHAPES})),
            ("labels/b.txt", "0 0.1 0.1 0.5 0.1 0.5 0.5\n"),
            ("data.yaml", "names: [c]"),
        ):
            archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
    return content.getvalue()


def test_zip(search, project):
    good = zipped()

    def check(drawn):
        data, at = drawn
        content = bytearray(good)
        content[at : at + len(data)] = data
        comes_in(project, bytes(content[: len(good)]), good=0)

    search(st.tuples(st.binary(min_size=1, max_size=30), st.integers(0, 800)), check, EXAMPLES)


def test_run_lengths(search):
    def check(counts):
        try:
            mask = rle.decode(counts, SIZE)
        except DataError:
            return
        assert mask.shape == SIZE
        assert (rle.decode(rle.encode(mask), SIZE) == mask).all()

    letters = st.text(alphabet=[chr(code) for code in range(45, 115)], max_size=30)
    search(letters | st.lists(st.integers(-2, 2**70)), check, EXAMPLES)
