"""Out of a project and into another: masks, labels, sizes, overlaps."""

import io
import json
import tracemalloc
import zipfile
from contextlib import suppress

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clickgrain.annotate import actions
from clickgrain.annotate.http_errors import RequestError
from clickgrain.annotate.labels import act_on_labels
from clickgrain.annotate.masks import decode
from clickgrain.annotate.project import Project
from clickgrain.annotate.requests import IMAGE_REQUEST, PROJECT_REQUEST, Posted
from clickgrain.annotate.transfer import image_records, label_records, take_in, visible_masks
from clickgrain.export.formats import export_files, read_any
from clickgrain.tree.leaf_map import to_size


def shown(project):
    """What every image looks like: (label, pixels) of its objects, without those that nothing is left of."""
    labels = project.logs.labels().document
    found = {}
    for image in project.gallery.order:
        document, (size, _) = project.logs.history(image).document, project.gallery.sizes(image)
        masks = {id_: decode(coded.data) for id_, coded in visible_masks(project, document, size).items()}
        items = [item for item in document.objects if item.id in masks]
        named = [(labels.find(item.label), masks[item.id]) for item in items if masks[item.id].any()]
        if named:
            found[project.gallery.name(image)] = [(one and one.name, mask.tobytes()) for one, mask in named]
    return found


ACTIONS = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {
                "kind": st.just("object.add_steps"),
                "label": st.sampled_from([1, 2, None]),
                "steps": st.lists(
                    st.fixed_dictionaries(
                        {
                            "type": st.just("region"),
                            "x": st.integers(0, 63),
                            "y": st.integers(0, 47),
                            "level": st.floats(0.3, 0.9),
                        }
                    ),
                    min_size=1,
                    max_size=2,
                ),
            }
        ),
        st.fixed_dictionaries({"kind": st.just("object.move"), "object": st.just(1), "to": st.integers(0, 3)}),
        st.fixed_dictionaries({"kind": st.just("object.edit"), "object": st.just(1), "locked": st.booleans()}),
    ),
    min_size=1,
    max_size=5,
)


@pytest.mark.parametrize("format_", ["coco", "labelme", "label-studio"])
@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=ACTIONS)
def test_export_and_import_lead_to_the_same_pixels(photos, tmp_path_factory, format_, drawn):
    folder = tmp_path_factory.mktemp("round")
    first, second = (Project(photos, folder / name, model="tree") for name in ("first.db", "second.db"))
    for name in ("cat", "dog"):
        act_on_labels(
            first.logs,
            Posted(seq=first.logs.labels().seq),
            PROJECT_REQUEST.validate_python({"kind": "label.add", "name": name}),
        )
    for number, action in enumerate(drawn):
        image = 1 + number % 2
        with suppress(RequestError):  # object 1 is not there yet, or locked
            actions.act(
                first, image, Posted(seq=first.logs.history(image).seq), IMAGE_REQUEST.validate_python(action)
            )
    skipped = []
    written = export_files(format_, image_records(first), label_records(first))
    for name, content in [one for one in written if one[0].endswith(".json")]:
        take_in(second, read_any(content, name, skipped)[1], format_, skipped)
    assert skipped == []
    assert shown(second) == shown(first)
    for project in (first, second):
        project.close()


def test_the_upper_object_has_the_pixel_and_a_locked_one_always(act, project, label):
    act(kind="object.add_steps", steps=[{"type": "region", "x": 20, "y": 20, "level": 1.0}])
    act(kind="object.add_steps", steps=[{"type": "region", "x": 20, "y": 20, "level": 0.5}])

    def areas():
        document = project.logs.history(1).document
        visible = visible_masks(project, document, (48, 64))
        return [decode(visible[item.id].data).sum() for item in document.objects]

    whole, part = 48 * 64, project.logs.history(1).document.find(2).area
    assert areas() == [whole - part, part]
    act(kind="object.edit", object=1, locked=True)
    assert areas() == [whole, 0]
    label(kind="overlap", allow=True)
    assert areas() == [whole, part]


def test_reduced_images_are_exported_at_the_size_of_the_file(photos, monkeypatch):
    monkeypatch.setattr("clickgrain.annotate.gallery.WORK_SIDE", 32)
    project = Project(photos, model="tree")
    region = {"type": "region", "x": 10, "y": 10, "level": 0.6}
    actions.act(
        project, 1, Posted(seq=0), IMAGE_REQUEST.validate_python({"kind": "object.add_steps", "steps": [region]})
    )
    (record,) = image_records(project)
    (one,) = record.objects()
    assert record.size == one.mask.shape == (48, 64)
    small = project.logs.history(1).document.objects[0].area
    assert abs(one.mask.sum() - 4 * small) < 0.2 * 4 * small
    project.close()


@pytest.mark.parametrize("format_", ["coco", "semantic", "instance", "panoptic", "yolo", "labelme", "label-studio"])
def test_the_page_downloads_a_zip(client, act, click, format_):
    act(kind="object.add_steps", steps=[click(20, 20)])
    answer = client.get("/api/export", params={"format": format_})
    assert answer.headers["content-disposition"] == f'attachment; filename="photos-{format_}.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) >= 1


def test_only_what_is_done(client, act, click):
    act(kind="object.add_steps", steps=[click(20, 20)])
    act(2, kind="object.add_steps", steps=[click(20, 20)])
    act(2, kind="status", status="done")
    answer = client.get("/api/export", params={"format": "labelme", "done": 1})
    assert zipfile.ZipFile(io.BytesIO(answer.content)).namelist() == ["a2.json"]


def coco(**change):
    entry = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[2, 2, 12, 2, 12, 12, 2, 12]]}
    return {
        "images": [{"id": 1, "file_name": "a2.png", "height": 48, "width": 64, **change}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [entry],
    }


def test_an_import_is_one_action_that_can_be_undone(client, project):
    answer = client.post("/api/import", content=json.dumps(coco()))
    made = [{"image": 2, "seq": 1, "objects": 1}]  # what undo takes back
    counts = {"images": 1, "objects": 1, "labels": 1, "there": 0}
    assert answer.json() == {"format": "coco", **counts, "skipped": [], "made": made}
    (item,) = project.logs.history(2).document.objects
    assert (item.source, item.area, item.bbox) == ("import", 100, (2, 2, 12, 12))
    assert project.logs.labels().document.find(item.label).name == "cat"
    actions.act(project, 2, Posted(seq=1), IMAGE_REQUEST.validate_python({"kind": "undo"}))
    assert project.logs.history(2).document.objects == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"file_name": "z.png"}, "no such image"),
        ({"height": 20}, "annotated at 64 x 20"),
        (
            {"height": 64, "width": 48},
            "the sides are swapped: the annotation may be of the photo as stored, without",
        ),
    ],
)
def test_what_does_not_fit_is_named(client, change, words):
    answer = client.post("/api/import", content=json.dumps(coco(**change))).json()
    assert answer["objects"] == 0
    assert words in answer["skipped"][0]


def test_a_mask_of_the_photo_on_its_side_is_told_so(client):
    content = coco()
    content["annotations"][0]["segmentation"] = {"size": [64, 48], "counts": [0, 64 * 48]}
    answer = client.post("/api/import", content=json.dumps(content)).json()
    assert "its RLE is of [64, 48], the image [48, 64]" in answer["skipped"][0]
    assert "without its EXIF rotation" in answer["skipped"][0]


def test_an_import_goes_on_from(client, project, act, click):
    client.post("/api/import", content=json.dumps(coco()))
    act(2, kind="object.add_steps", object=1, steps=[{"type": "brush", "points": [[40, 40]], "radius": 3}])
    mask = project.logs.mask(project.logs.history(2).document.objects[0].mask)
    expected = np.zeros((48, 64), np.uint8)
    expected[2:12, 2:12] = 1
    assert mask[:30].sum() == 100
    assert mask[40, 40]
    assert cv2.connectedComponents(mask.astype(np.uint8))[0] == 3
    assert (mask[:30] == expected[:30].astype(bool)).all()


def test_uploads_that_are_nothing(client):
    for content in (b"", b"{}", b"\x00" * 100):
        answer = client.post("/api/import", content=content)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid")


def test_the_page_says_what_is_there_already_and_can_replace_or_add_it(client, project):
    content = json.dumps(coco())

    def post(**query):
        answer = client.post("/api/import", params=query, content=content).json()
        return answer["objects"], len(project.logs.history(2).document.objects)

    assert post() == (1, 1)
    assert post() == (0, 1)
    assert "1 object is there already" in client.post("/api/import", content=content).json()["skipped"][0]
    assert post(existing="add") == (1, 2)
    assert post(existing="replace") == (1, 1)
    assert client.post("/api/import?existing=x", content=content).status_code == 422


def test_an_object_that_was_changed_since_its_import_is_still_that_object(client, project, act):
    content = json.dumps(coco())
    client.post("/api/import", content=content)
    act(2, kind="object.add_steps", object=1, steps=[{"type": "brush", "points": [[40, 40]], "radius": 3}])
    assert client.post("/api/import", content=content).json()["objects"] == 0


def test_the_page_s_zip_names_what_is_left_out(client, act, label):
    for level in (0.5, 1.0):
        act(kind="object.add_steps", steps=[{"type": "region", "x": 20, "y": 20, "level": level}])
    answer = client.get("/api/export", params={"format": "coco"})
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.namelist() == ["annotations.json", "left-out.txt"]
    assert b"a1.png: object 1 (unlabelled) is left out" in archive.read("left-out.txt")
    label(kind="overlap", allow=True)
    answer = client.get("/api/export", params={"format": "coco"})
    assert zipfile.ZipFile(io.BytesIO(answer.content)).namelist() == ["annotations.json"]
    answer = client.get("/api/export", params={"format": "instance"})  # a map holds one object in a pixel
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert json.loads(archive.read("objects.json")) == {"a1.png": {"2": "unlabelled"}}
    assert b"object 1 (unlabelled) is left out of the map" in archive.read("left-out.txt")


@pytest.mark.parametrize("size", [(48, 64), (24, 32), (480, 640), (1, 9), (3, 1)])
def test_no_mask_vanishes_on_another_grid(size):
    for y, x in ((0, 0), (3, 5), (47, 63)):
        mask = np.zeros((48, 64), bool)
        mask[y, x] = True
        assert to_size(mask, size).any()
    bar = np.zeros((1, 6_000), bool)
    bar[0, 2_345] = True
    assert to_size(bar, (1, 2_560)).sum() in (1, 2)


def test_masks_of_a_large_import_are_not_in_memory_together(project, monkeypatch):
    many = 60
    monkeypatch.setattr(project.gallery, "sizes", lambda image: ((48, 64), (3_000, 4_000)))
    entry = {"image_id": 1, "segmentation": {"size": [3_000, 4_000], "counts": [0, 12_000_000]}}
    content = coco(height=3_000, width=4_000)
    content["annotations"] = [entry] * many
    tracemalloc.start()
    read = read_any(json.dumps(content).encode(), "x.json", [])[1]
    assert take_in(project, read, "coco", [])["objects"] == many
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300_000_000 < many * 12_000_000


LABEL_ACTIONS = st.lists(
    st.one_of(
        st.fixed_dictionaries({"kind": st.just("label.add"), "name": st.sampled_from("abcdef")}),
        st.fixed_dictionaries(
            {
                "kind": st.just("label.add_all"),
                "labels": st.lists(st.tuples(st.sampled_from("abcdef"), st.none() | st.integers(0, 4)), max_size=4),
            }
        ),
        st.fixed_dictionaries(
            {"kind": st.just("label.edit"), "label": st.integers(1, 5), "name": st.sampled_from("abcdef")}
        ),
        st.fixed_dictionaries({"kind": st.just("label.delete"), "label": st.integers(1, 5)}),
        st.fixed_dictionaries({"kind": st.just("overlap"), "allow": st.booleans()}),
        st.just({"kind": "undo"}),
        st.just({"kind": "redo"}),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=LABEL_ACTIONS)
def test_labels_read_from_the_log_are_the_labels_at_work(photos, tmp_path_factory, actions):
    file = tmp_path_factory.mktemp("labels") / "x.db"
    first = Project(photos, file, model="tree")
    for action in actions:
        with suppress(RequestError):
            act_on_labels(first.logs, Posted(seq=first.logs.labels().seq), PROJECT_REQUEST.validate_python(action))
    at_work = first.logs.labels().document
    first.close()
    second = Project(photos, file, model="tree")
    assert second.logs.labels().document == at_work
    assert len({one.id for one in label_records(second)}) == len(at_work.labels)
    second.close()
    names = [one.name for one in at_work.labels]
    categories = [one.category for one in at_work.labels if one.category is not None]
    assert len(set(names)) == len(names)
    assert len(set(categories)) == len(categories)
