"""What users and attackers do to a project: found by trying to break it."""

import json

import cv2
import numpy as np
import pytest

from clickgrain.annotate.actions import MAX_OBJECTS
from clickgrain.annotate.http_errors import RequestError
from clickgrain.annotate.models import describe_model
from clickgrain.annotate.routes.answers import as_json
from clickgrain.errors import WeightsError

BRUSH = {"type": "brush", "points": [[5, 5]], "radius": 2}


def post(client, action, seq=0, **more):
    return client.post("/api/images/1/actions", json={"seq": seq, "action": action, **more})


def coco(annotations, size=(48, 64)):
    image = {"id": 1, "file_name": "a1.png", "height": size[0], "width": size[1]}
    content = {"images": [image], "annotations": annotations, "categories": [{"id": 1, "name": "x"}]}
    return json.dumps(content).encode()


def square(id_, left=5):
    corners = [left, 5, left + 10, 5, left + 10, 15, left, 15]
    return {"id": id_, "image_id": 1, "category_id": 1, "segmentation": [corners]}


def send(client, content):
    return client.post("/api/import", content=content, headers={"content-type": "application/octet-stream"})


@pytest.mark.parametrize("node", ["-1", "-7", "999999", "9" * 30])
def test_no_thumbnail_of_a_node_that_is_none(client, node):
    assert client.get(f"/api/images/1/thumb?node={node}").status_code in (404, 422)


@pytest.mark.parametrize("number", ["9" * 19, "9" * 40])
def test_numbers_beyond_the_database_s_are_refused(client, number):
    assert client.get(f"/api/images/1/log?since={number}").status_code == 422
    assert post(client, {"kind": "status", "status": "done"}, seq=int(number)).status_code == 422
    assert client.get(f"/api/images/{number}").status_code == 404
    assert client.get(f"/api/changes?since=0&image={number}").status_code < 500
    assert client.get(f"/api/changes?since={number}").status_code < 500
    labelled = {"kind": "object.add_steps", "steps": [BRUSH], "label": int(number)}
    assert post(client, labelled).status_code == 422


def test_half_a_character_is_no_reason_to_fail(client):
    assert client.post(
        "/api/project/actions",
        content='{"seq": 0, "client": "\\ud800", "action": {"kind": "label.add", "name": "a\\ud800"}}',
        headers={"content-type": "application/json"},
    ).status_code in (200, 422)
    assert client.get("/api/state").status_code == 200
    assert client.get("/api/masks/%ED%A0%80").status_code in (404, 422)


def test_a_score_that_is_no_number_is_refused(client):
    text = '{"seq": 0, "action": {"kind": "object.add_nodes", "nodes": [[3, NaN]]}}'
    answer = client.post("/api/images/1/actions", content=text, headers={"content-type": "application/json"})
    assert answer.status_code == 422


def test_one_bad_annotation_does_not_lose_the_others(client):
    bad = {"id": 2, "image_id": 1, "category_id": 1, "segmentation": {"size": [48, 64], "counts": [1, 2]}}
    worse = {"id": 3, "image_id": 1, "category_id": 1, "segmentation": [["a"] * 6]}
    answer = send(client, coco([square(1), bad, worse, square(4, 30)])).json()
    assert answer["objects"] == 2
    assert len(answer["skipped"]) == 2
    assert all("a1.png" in line for line in answer["skipped"])


def test_an_absurd_size_is_refused_before_anything_is_decoded(client):
    answer = send(client, coco([square(1)], size=(2_000_000, 2_000_000))).json()
    assert answer["objects"] == 0
    assert "2000000" in answer["skipped"][0]


def test_no_more_objects_are_imported_than_an_image_holds(client):
    answer = send(client, coco([square(number, number % 40) for number in range(MAX_OBJECTS + 1)])).json()
    assert answer["objects"] == 0
    assert str(MAX_OBJECTS) in answer["skipped"][0]
    assert post(client, {"kind": "object.add_steps", "steps": [BRUSH]}).status_code == 200


def test_a_project_file_that_was_taken_away_is_no_place_to_write(project, act, photos):
    act(kind="object.add_steps", steps=[BRUSH])
    (photos / "clickgrain.db").rename(photos / "elsewhere.db")
    with pytest.raises(RequestError, match="moved or deleted"):
        act(kind="object.add_steps", steps=[BRUSH])
    (photos / "elsewhere.db").rename(photos / "clickgrain.db")
    act(kind="object.add_steps", steps=[BRUSH])
    assert len(project.logs.history(1).document.objects) == 2


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (3, 2)])
def test_the_smallest_photos_can_be_annotated(client, photos, project, size):
    cv2.imwrite(str(photos / "tiny.png"), np.full((*size, 3), 90, np.uint8))
    project.gallery.rescan()
    image = project.gallery.find("tiny.png")
    assert client.get(f"/api/images/{image}/hover").status_code == 200
    step = {"type": "click", "x": 0, "y": 0, "label": 1}
    answer = client.post(
        f"/api/images/{image}/actions", json={"seq": 0, "action": {"kind": "object.add_steps", "steps": [step]}}
    )
    assert answer.status_code == 200
    assert answer.json()["document"]["objects"][0]["area"] >= 1


def test_the_page_opens_with_the_image_at_work(project, act):
    assert project.gallery.first() == 1
    act(1, kind="status", status="done")
    assert project.gallery.first() == 2
    act(3, kind="status", status="doing")
    assert project.gallery.first() == 3


@pytest.mark.parametrize("damage", ["config", "tensors", "format", "cut"])
def test_a_damaged_model_is_told_at_once(tiny, damage):
    assert describe_model(str(tiny)).kind == "grain"
    config, tensors = tiny / "config.json", tiny / "model.safetensors"
    if damage == "config":
        config.write_text("[")
    if damage == "tensors":
        tensors.unlink()
    if damage == "format":
        config.write_text(json.dumps({**json.loads(config.read_text()), "format": 99}))
    if damage == "cut":
        tensors.write_bytes(tensors.read_bytes()[:-100])
    with pytest.raises(WeightsError):
        describe_model(str(tiny))


@pytest.fixture
def diverged(tiny):
    """A model whose weights are no numbers; its folder."""
    from clickgrain.weights import load_model, save_model

    config, tensors = load_model(tiny)
    broken = {
        name: value.fill_(float("nan")) if value.is_floating_point() else value for name, value in tensors.items()
    }
    save_model(tiny, config={key: value for key, value in config.items() if key != "format"}, tensors=broken)
    return tiny


def test_a_model_that_gives_no_numbers_is_refused_and_nothing_is_logged(client, project, act, diverged):
    act(kind="object.add_steps", steps=[BRUSH])
    project.use_model(describe_model(str(diverged)))
    for step in ({"type": "click", "x": 20, "y": 20}, {"type": "box", "box": [5, 5, 30, 30]}):
        answer = post(client, {"kind": "object.add_steps", "steps": [step]}, seq=1)
        assert answer.status_code == 422
        assert "use another model" in answer.json()["error"]["message"]
    assert "use another model" in client.get("/api/images/1/preview?x=20&y=20").json()["error"]["message"]
    assert project.logs.history(1).seq == 1
    project.use_model(describe_model("tree"))
    assert post(
        client, {"kind": "object.add_steps", "steps": [{"type": "click", "x": 20, "y": 20}]}, seq=1
    ).is_success


def test_a_number_that_is_none_is_never_written(project):
    from clickgrain.annotate.documents import Action

    action = Action(1, "x", 0.0, "", "", None, {}, {"put": [{"id": 1, "score": float("nan")}]})
    with pytest.raises(ValueError, match="Out of range"):
        project.database.append(1, action, {}, None)
    assert project.database.actions(1) == []


def test_answers_hold_no_numbers_that_a_page_cannot_read():
    answer = as_json(a=float("nan"), b=[float("-inf"), 1.5])
    assert json.loads(answer.body, parse_constant=pytest.fail) == {"a": None, "b": [None, 1.5]}
