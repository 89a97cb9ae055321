"""An object is carried from image to image, corrected on one of them, and carried on from there."""

import time

import cv2
import numpy as np
import pytest

from clickgrain.annotate import actions, carrying
from clickgrain.annotate.project import Project
from clickgrain.annotate.replay import replay
from clickgrain.annotate.requests import IMAGE_REQUEST, Posted
from tests.unit.test_tracking import frames, texture

COUNT = 8


@pytest.fixture
def truth():
    """H x W bool masks of the square in the drawn frames, by image number from 1 on."""
    return {number: mask for number, (_, mask) in enumerate(frames(COUNT), start=1)}


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, (image, _) in enumerate(frames(COUNT)):
        assert cv2.imwrite(str(folder / f"{number:05}.png"), image[..., ::-1])
    return folder


@pytest.fixture
def square(act):
    """Draw the square of the first frame by hand, as object 1."""
    act(kind="object.add_steps", label=3, steps=[{"type": "brush", "points": [[37, 60]], "radius": 1}])
    rows = [{"type": "brush", "points": [[21, y], [54, y]], "radius": 1} for y in range(43, 77)]
    act(kind="object.add_steps", object=1, steps=rows)


@pytest.fixture
def carry(client):
    """Carry an object on (1 of image 1 unless told); the job when it has ended."""

    def run(image=1, object=1, **more):
        answer = client.post("/api/carry", json={"image": image, "object": object, **more})
        assert answer.status_code == 200, answer.text
        job = answer.json()["job"]
        while job["state"] in ("running", "stopping"):
            time.sleep(0.01)
            job = client.get(f"/api/jobs/{job['id']}").json()
        return job

    return run


def objects(project, image):
    return project.logs.history(image).document.objects


def test_an_object_is_carried_to_the_last_image_with_its_label(project, square, carry, truth, iou, client):
    job = carry()
    assert (job["state"], job["done"], job["total"]) == ("done", 7, 7)
    assert job["result"]["why"] == "Carried through 7 images: carried on to 00007.png, the last image of the list."
    assert [one["image"] for one in job["result"]["images"]] == list(range(2, 9))
    for image in range(2, 9):
        (item,) = objects(project, image)
        assert (item.label, item.source, item.track) == (3, "carried", "1-1")
        assert iou(project.logs.mask(item.mask), truth[image]) > 0.8
    assert client.get("/api/statistics").json()["sources"]["carried"] == 7
    assert all(one.is_same for one in replay(project))


def test_a_correction_is_carried_on_and_those_before_it_are_kept(project, square, carry, act, truth, iou):
    carry()
    before = {image: objects(project, image) for image in range(1, 9)}
    act(
        4,
        kind="object.add_steps",
        object=1,
        steps=[{"type": "brush", "points": [[36, 40], [36, 80]], "radius": 9, "label": 0}],  # its left third
    )
    corrected = objects(project, 4)
    job = carry(image=4)
    assert [one["image"] for one in job["result"]["images"]] == [5, 6, 7, 8]
    assert [objects(project, image) for image in (1, 2, 3, 4)] == [*(before[i] for i in (1, 2, 3)), corrected]
    for image in (5, 6, 7, 8):
        (item,) = objects(project, image)  # replaced, not added to
        assert item.mask != before[image][0].mask
    assert carry()["result"]["images"] != []
    assert objects(project, 4) == corrected  # corrections are kept
    assert iou(project.logs.mask(objects(project, 8)[0].mask), truth[8]) > 0.7


def test_one_undo_an_image_takes_all_back(project, square, carry, client):
    for one in carry()["result"]["images"]:
        body = {"seq": one["seq"], "action": {"kind": "undo"}}
        assert client.post(f"/api/images/{one['image']}/actions", json=body).status_code == 200
    assert [len(objects(project, image)) for image in range(1, 9)] == [1] + 7 * [0]


def another_size(path):
    assert cv2.imwrite(str(path), np.zeros((60, 80, 3), np.uint8))


def damaged(path):
    path.write_bytes(b"gone bad")


def another_scene(path):
    assert cv2.imwrite(str(path), texture(7)[..., ::-1])


@pytest.mark.parametrize(
    ("change", "words", "image"),
    [
        (another_size, "00003.png has 80 x 60 pixels, not 160 x 120 as those before", 3),
        (damaged, "00003.png", 3),
        (another_scene, "lost in 00003.png, score", 4),
    ],
)
def test_it_ends_where_it_cannot_go_on_and_says_why(project, square, carry, photos, change, words, image):
    change(photos / "00003.png")
    job = carry()
    assert (job["state"], job["result"]["image"]) == ("done", image)
    assert words in job["result"]["why"]
    assert [len(objects(project, image)) for image in range(1, 9)] == [1, 1, 1, 0, 0, 0, 0, 0]


def test_it_ends_before_what_is_done(project, square, carry, act):
    act(3, kind="status", status="done")
    result = carry()["result"]
    assert (result["image"], len(result["images"])) == (2, 1)
    assert "00002.png is marked done" in result["why"]


def test_it_is_lost_where_a_new_click_takes_up_the_track(project, square, carry, photos, act, click):
    carry()
    for name in ("00003.png", "00004.png", "00005.png"):
        another_scene(photos / name)
    for image in (4, 5):
        act(image, kind="object.delete", objects=[1])
    assert carry()["result"]["image"] == 4
    act(4, kind="object.add_steps", steps=[{"type": "brush", "points": [[50, 60]], "radius": 15}], track="1-1")
    (item,) = objects(project, 4)
    assert item.track == "1-1"
    carry(image=4, object=item.id, images=[5, 6])
    assert [len(objects(project, image)) for image in (5, 6)] == [1, 1]


def test_only_the_images_of_the_list_are_carried_through(project, square, carry):
    assert len(carry(images=[2, 4])["result"]["images"]) == 2
    assert [len(objects(project, image)) for image in range(1, 6)] == [1, 1, 0, 1, 0]


def test_stop_keeps_what_there_is(project, square, client, monkeypatch):
    steps = []

    class Slow(carrying.Tracker):
        def step(self, image):
            steps.append(image)
            if len(steps) == 3:
                client.post(f"/api/jobs/{client.get('/api/jobs').json()['jobs'][-1]['id']}/cancel", json={})
            return super().step(image)

    monkeypatch.setattr(carrying, "Tracker", Slow)
    job = client.post("/api/carry", json={"image": 1, "object": 1}).json()["job"]
    second = client.post("/api/carry", json={"image": 1, "object": 1})
    assert second.status_code == 409
    while client.get(f"/api/jobs/{job['id']}").json()["state"] in ("running", "stopping"):
        time.sleep(0.01)
    result = client.get(f"/api/jobs/{job['id']}").json()["result"]
    assert result["why"] == "Carried through 3 images: stopped in 00003.png."
    assert [len(objects(project, image)) for image in range(1, 9)] == [1, 1, 1, 1, 0, 0, 0, 0]


def test_what_was_carried_is_there_after_a_new_start(project, square, carry, photos):
    carry(images=[2, 3])
    known = objects(project, 3)
    again = Project(photos, model="tree")
    assert objects(again, 3) == known
    again.close()


def test_there_must_be_an_object_and_an_image_after_it(project, square, client):
    for body, words in (
        ({"image": 1, "object": 9}, "no object 9"),
        ({"image": 8, "object": 1}, "no object 1"),
        ({"image": 1, "object": 1, "images": []}, "no image follows 00000.png"),
        ({"image": 1, "object": 1, "images": [99]}, "no image 99"),
    ):
        answer = client.post("/api/carry", json=body)
        assert answer.status_code in (404, 422)
        assert words in answer.text


def test_locked_objects_are_kept(project, square, carry):
    carry(images=[2, 3])
    lock = IMAGE_REQUEST.validate_python({"kind": "object.edit", "objects": [1], "locked": True})
    actions.act(project, 3, Posted(seq=0), lock, blind=True)
    result = carry()["result"]
    assert 3 not in [one["image"] for one in result["images"]]
    assert len(result["images"]) == 6
