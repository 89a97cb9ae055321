"""A photo whose file is replaced while it is served: encoded again, and what was drawn on the old one is marked."""

import os

import cv2
import numpy as np
import pytest

from clickgrain.annotate.learning import Learner
from clickgrain.annotate.project import Project
from clickgrain.annotate.replay import replay
from clickgrain.errors import ImageError

REGION = {"type": "region", "x": 20, "y": 20, "level": 0.6}


@pytest.fixture
def swap(photos):
    """Put another photo in the place of the first, in any of the ways that leave it looking the same."""

    def run(way="copied over"):
        first, other = photos / "a1.png", photos / "sub" / "a10.png"
        before = first.stat()
        content = other.read_bytes()
        content += bytes(max(0, before.st_size - len(content)))  # PNG readers stop at its end
        if way == "copied over":
            first.write_bytes(content)
        else:
            (photos / "new").write_bytes(content)
            (photos / "new").replace(first)
        if way == "with its time":
            os.utime(first, ns=(before.st_atime_ns, before.st_mtime_ns))

    return run


def objects(client):
    return client.get("/api/images/1").json()["document"]["objects"]


@pytest.mark.parametrize("way", ["copied over", "moved there", "with its time"])
def test_clicks_are_answered_on_the_new_photo_and_old_objects_are_marked(client, act, swap, project, way):
    act(kind="object.add_steps", steps=[REGION])
    old = client.get("/api/images/1/picture")
    hover = client.get("/api/images/1/hover").content
    assert [one["replaced"] for one in objects(client)] == [False]
    swap(way)
    assert [one["replaced"] for one in objects(client)] == [True]
    act(kind="object.add_steps", steps=[REGION])
    old_mask, new_mask = (one.mask for one in project.logs.history(1).document.objects)
    act(3, kind="object.add_steps", steps=[REGION])
    on_photo_3 = project.logs.history(3).document.objects[0].mask  # which is what photo 1 is now
    assert new_mask == on_photo_3 != old_mask
    assert [one["replaced"] for one in objects(client)] == [True, False]
    new = client.get("/api/images/1/picture")
    assert new.content != old.content
    assert new.headers["etag"] != old.headers["etag"]
    assert client.get("/api/images/1/hover").content != hover


def test_the_mark_is_kept_and_replay_says_so(act, swap, photos, project):
    act(kind="object.add_steps", steps=[REGION])
    swap()
    again = Project(photos, model="tree")
    assert [one["replaced"] for one in again.logs.document_json(1)["objects"]] == [True]
    (row,) = replay(again)
    assert row.replaced
    assert row.iou < 0.9
    again.close()


def test_an_object_that_is_taken_up_again_is_of_the_new_photo(act, swap, project, click):
    act(kind="object.add_steps", steps=[REGION])
    swap()
    act(kind="object.add_steps", object=1, steps=[click(40, 36)])
    assert [one["replaced"] for one in project.logs.document_json(1)["objects"]] == [False]
    act(kind="undo")
    assert [one["replaced"] for one in project.logs.document_json(1)["objects"]] == [True]


@pytest.mark.parametrize("kind", ["merge", "split", "edit"])
def test_what_is_made_of_old_objects_is_marked_too(act, swap, project, kind):
    act(kind="object.add_steps", steps=[{**REGION, "level": 1.0}])
    swap()
    act(kind="object.add_steps", steps=[{**REGION, "x": 50, "y": 36}])
    if kind == "merge":
        act(kind="object.merge", objects=[2, 1])
    elif kind == "split":
        act(kind="object.split", object=1)
    else:
        act(kind="object.edit", object=1, label=4)
    marks = {one["id"]: one["replaced"] for one in project.logs.document_json(1)["objects"]}
    assert marks == {"merge": {2: True}, "split": {1: True, 3: True, 2: False}, "edit": {1: True, 2: False}}[kind]


def test_who_looks_at_the_old_photo_is_told_before_anything_is_written(client, swap, click):
    seen = client.get("/api/images/1").json()["content"]
    assert client.get("/api/changes?since=0&image=1").json()["content"] == seen
    swap()
    action = {"kind": "object.add_steps", "steps": [click(20, 20)]}
    answer = client.post("/api/images/1/actions", json={"seq": 0, "content": seen, "action": action})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "replaced")
    now = client.get("/api/changes?since=0&image=1").json()["content"]
    assert now != seen
    answer = client.post("/api/images/1/actions", json={"seq": 0, "content": now, "action": action})
    assert answer.status_code == 200


def test_old_objects_are_no_test_of_a_model_and_nothing_to_look_for(act, swap, project, client):
    act(kind="object.add_steps", steps=[REGION])
    act(2, kind="object.add_steps", steps=[REGION])
    swap()
    assert [target.id for target in Learner(project).objects().targets] == ["a2.png#1"]
    answer = client.post("/api/same", json={"image": 1, "object": 1})
    assert (answer.status_code, "older photo" in answer.json()["error"]["message"]) == (422, True)


def test_a_file_that_was_only_touched_is_the_same_photo(act, photos, project):
    act(kind="object.add_steps", steps=[REGION])
    os.utime(photos / "a1.png")
    assert [one["replaced"] for one in project.logs.document_json(1)["objects"]] == [False]


def test_a_photo_of_another_size_is_taken_as_it_is_where_nothing_was_drawn(client, photos, project):
    assert client.get("/api/images/1").json()["size"] == [48, 64]
    cv2.imwrite(str(photos / "a1.png"), np.full((10, 12, 3), 90, np.uint8))
    assert client.get("/api/images/1").json()["size"] == [10, 12]
    assert project.scene(1).size == (10, 12)


def test_a_photo_that_is_replaced_while_it_is_read_is_not_mistaken(project, photos, monkeypatch):
    from clickgrain.annotate import gallery

    real = gallery.read_at_work

    def slow(path, notes=None):
        found = real(path, notes)
        (photos / "a1.png").write_bytes((photos / "a2.png").read_bytes())
        return found

    monkeypatch.setattr(gallery, "read_at_work", slow)
    with pytest.raises(ImageError, match="while it was read"):
        project.gallery.load(1)
    monkeypatch.setattr(gallery, "read_at_work", real)
    assert (project.gallery.load(1).pixels == project.gallery.load(2).pixels).all()


def test_what_was_found_the_same_in_the_old_photo_is_not_put_into_the_new_one(client, act, swap):
    act(2, kind="object.add_steps", steps=[{**REGION, "x": 23}])
    job = client.post("/api/same", json={"image": 2, "object": 1}).json()["job"]
    while job["state"] == "running":
        job = client.get(f"/api/jobs/{job['id']}").json()
    swap()
    answer = client.post("/api/same/accept", json={"job": job["id"], "above": 0.0}).json()
    assert "replaced" in {one["image"]: one["message"] for one in answer["skipped"]}[1]
    assert 1 not in {one["image"] for one in answer["accepted"]}
