"""The HTTP contract, through the whole application."""

import base64
import struct

import cv2
import numpy as np
import pytest

from clickgrain.annotate import masks
from clickgrain.files import hash_bytes


@pytest.fixture
def post(client):
    """Send an action that has seen everything; the answer."""

    def send(image=1, **action):
        seq = client.get(f"/api/images/{image}").json()["document"]["seq"]
        return client.post(f"/api/images/{image}/actions", json={"seq": seq, "client": "tab", "action": action})

    return send


def test_the_state_says_where_it_is_and_who_answers(client, photos):
    state = client.get("/api/state").json()
    assert state["project"]["folder"] == str(photos)
    assert state["model"]["id"] == "tree"
    assert state["counts"]["images"] == state["counts"]["todo"] == 3
    assert state["document"]["labels"] == []


def test_the_list_of_images(client):
    images = client.get("/api/images").json()["images"]
    assert [(one["id"], one["name"], one["status"]) for one in images] == [
        (1, "a1.png", "todo"),
        (2, "a2.png", "todo"),
        (3, "sub/a10.png", "todo"),
    ]


def test_opening_an_image(client, post, click):
    post(kind="object.add_steps", steps=[click(20, 20)])
    opened = client.get("/api/images/1", params={"masks": 1}).json()
    assert (opened["size"], opened["native"], opened["previous"], opened["next"]) == ([48, 64], [48, 64], None, 2)
    (item,) = opened["document"]["objects"]
    assert masks.decode(base64.b64decode(opened["masks"][item["mask"]])).sum() == item["area"]


def test_a_click_is_answered_with_its_mask(client, post, click, red, iou):
    answer = post(kind="object.add_steps", steps=[click(20, 20)]).json()
    assert (answer["seq"], answer["object"], answer["alternatives"]) == (1, 1, True)
    (item,) = answer["document"]["objects"]
    mask = masks.decode(base64.b64decode(answer["masks"][item["mask"]]))
    assert iou(mask, red) > 0.9
    binary = client.get(f"/api/masks/{item['mask']}")
    assert (masks.decode(binary.content) == mask).all()
    assert "immutable" in binary.headers["cache-control"]


def test_a_preview_is_what_the_click_then_takes(client, post, click):
    shown = client.get("/api/images/1/preview", params={"x": 20, "y": 20}).json()["data"]
    assert client.get("/api/images/1/log").json()["actions"] == []
    (taken,) = post(kind="object.add_steps", steps=[click(20, 20)]).json()["masks"].values()
    assert shown == taken
    assert client.get("/api/images/1/preview", params={"x": 64, "y": 20}).status_code == 422
    assert client.get("/api/images/9/preview", params={"x": 6, "y": 20}).status_code == 404


def test_a_preview_of_an_enlarged_image_is_what_the_click_then_takes(client, post, click, project):
    where, view = {"x": 20, "y": 20}, [3, 2, 39, 40]
    shown = client.get("/api/images/1/preview", params={**where, "view": view}).json()["data"]
    (taken,) = post(kind="object.add_steps", steps=[{**click(20, 20), "view": view}]).json()["masks"].values()
    assert shown == taken
    scene = project.scene(1)
    expected = scene.segmenter.predict([(20, 20)], [1], view=view, encoded=scene.encoded).binary
    assert (masks.decode(base64.b64decode(shown)) == expected).all()
    (step,) = project.logs.item(1, 1).steps
    assert step.model_dump(mode="json") == {**where, "type": "click", "label": 1, "view": view}
    for wrong in ([3, 2, 3, 40], [3, 2, 39], ["nan", 2, 39, 40], [-1, 2, 39, 40]):
        answer = client.get("/api/images/1/preview", params={**where, "view": wrong})
        assert answer.status_code == 422, wrong
        if "nan" not in wrong:
            assert post(kind="object.add_steps", steps=[{**click(20, 20), "view": wrong}]).status_code == 422


def test_a_preview_of_one_more_click_is_what_it_makes_of_the_object(client, post, click):
    post(kind="object.add_steps", steps=[click(20, 20)])
    where = {"x": 48, "y": 36, "object": 1}
    for label in (1, 0):
        shown = client.get("/api/images/1/preview", params={**where, "label": label}).json()["data"]
        answer = post(kind="object.add_steps", object=1, steps=[click(48, 36, label)]).json()
        assert list(answer["masks"].values()) in ([shown], [])  # an old mask is not sent again
        assert answer["document"]["objects"][0]["mask"] == hash_bytes(base64.b64decode(shown))
    assert len(client.get("/api/images/1/log").json()["actions"]) == 3
    assert client.get("/api/images/1/preview", params={**where, "object": 9}).status_code == 404


def test_alternatives_can_be_taken(client, post, click):
    post(kind="object.add_steps", steps=[click(20, 20)])
    offered = client.get("/api/images/1/objects/1/alternatives").json()["alternatives"]
    assert 1 <= len(offered) <= 3
    taken = post(kind="object.add_steps", object=1, steps=[{"type": "choose", "alternative": 0}]).json()
    assert taken["document"]["objects"][0]["mask"] == offered[0]["mask"]


def test_undo_and_redo(post, click):
    post(kind="object.add_steps", steps=[click(20, 20)])
    undone = post(kind="undo").json()["document"]
    assert (undone["objects"], undone["can_undo"], undone["can_redo"]) == ([], False, True)
    assert len(post(kind="redo").json()["document"]["objects"]) == 1


def test_a_late_writer_gets_what_it_missed(client, post, click):
    post(kind="object.add_steps", steps=[click(20, 20)])
    late = client.post("/api/images/1/actions", json={"seq": 0, "client": "b:2", "action": {"kind": "clear"}})
    assert late.status_code == 409
    answer = late.json()
    assert answer["error"]["code"] == "conflict"
    assert [(one["kind"], one["client"]) for one in answer["actions"]] == [("object.add_steps", "tab")]
    assert answer["document"]["objects"][0]["mask"] in answer["masks"]


def test_hover_data_is_the_tree_and_the_leaf_map(client, project):
    data = client.get("/api/images/1/hover").content
    magic, h, w, height, width, mh, mw, _ = struct.unpack_from("<4s7I", data)
    scene = project.scene(1)
    n = h * w
    assert (magic, (h, w), (height, width), (mh, mw)) == (b"CGH1", scene.tree.grid, (48, 64), (48, 64))
    ints = np.frombuffer(data, "<i4", n + 3 * (2 * n - 1) + 2 * (n - 1), 32)
    order, start, area, parent, children = np.split(ints, np.cumsum([n, 2 * n - 1, 2 * n - 1, 2 * n - 1]))
    assert (order == scene.tree.order).all()
    assert (start == scene.tree.start).all()
    assert (area == scene.tree.area).all()
    assert (parent == scene.tree.parent).all()
    assert (children.reshape(-1, 2) == scene.tree.children).all()
    level = np.frombuffer(data, "<f4", 2 * n - 1, 32 + ints.nbytes)
    assert (level == scene.tree.level).all()
    leaves = np.frombuffer(data, "<u2", mh * mw, 32 + ints.nbytes + level.nbytes)
    assert (leaves.reshape(mh, mw) == scene.leaves).all()
    assert len(data) == 32 + ints.nbytes + level.nbytes + leaves.nbytes


@pytest.mark.parametrize("what", ["hover", "picture", "thumb", "thumb?node=100"])
def test_what_the_browser_has_is_not_sent_again(client, what):
    first = client.get(f"/api/images/1/{what}")
    assert first.status_code == 200
    again = client.get(f"/api/images/1/{what}", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_pictures(client, photos):
    original = cv2.imread(str(photos / "a1.png"))
    shown = client.get("/api/images/1/picture")
    assert shown.headers["content-type"] == "image/png"
    assert (cv2.imdecode(np.frombuffer(shown.content, np.uint8), cv2.IMREAD_COLOR) == original).all()
    part = client.get("/api/images/1/picture", params={"box": "10,12,40,30"}).content
    decoded = cv2.imdecode(np.frombuffer(part, np.uint8), cv2.IMREAD_COLOR)
    assert (decoded == original[12:30, 10:40]).all()
    thumb = client.get("/api/images/1/thumb").content
    assert cv2.imdecode(np.frombuffer(thumb, np.uint8), cv2.IMREAD_COLOR).shape == (144, 192, 3)


def test_plain_jpegs_are_sent_as_they_are(client, photos, project):
    cv2.imwrite(str(photos / "z.jpg"), np.full((20, 30, 3), 90, np.uint8))
    project.gallery.rescan()
    shown = client.get("/api/images/4/picture")
    assert shown.content == (photos / "z.jpg").read_bytes()


def test_turned_and_deep_photos_are_shown_as_they_are_read(client, photos, project):
    from PIL import Image

    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(np.full((20, 30, 3), 90, np.uint8)).save(photos / "y.jpg", exif=turned)
    deep = np.linspace(1000, 1400, 20 * 30).reshape(20, 30).astype(np.uint16)
    assert cv2.imwrite(str(photos / "z.tif"), deep)
    project.gallery.rescan()
    assert client.get("/api/images/4").json()["size"] == [30, 20]
    shown = client.get("/api/images/4/picture").content
    assert cv2.imdecode(np.frombuffer(shown, np.uint8), cv2.IMREAD_COLOR).shape == (30, 20, 3)
    assert any("scaled" in note for note in client.get("/api/images/5").json()["notes"])
    shown = cv2.imdecode(np.frombuffer(client.get("/api/images/5/picture").content, np.uint8), cv2.IMREAD_COLOR)
    assert shown.min() < 10 < 245 < shown.max()


def test_a_disk_that_is_nearly_full_is_told(client, monkeypatch):
    assert client.get("/api/changes", params={"since": 0}).json()["problem"] is None
    monkeypatch.setattr("clickgrain.annotate.routes.project.LITTLE_SPACE", 1 << 62)
    assert "free some space" in client.get("/api/changes", params={"since": 0}).json()["problem"]


def test_changes_are_told_once(client, post, click):
    before = client.get("/api/changes", params={"since": 0}).json()["change"]
    post(kind="object.add_steps", steps=[click(20, 20)])
    changed = client.get("/api/changes", params={"since": before}).json()
    assert [(one["id"], one["objects"]) for one in changed["images"]] == [(1, 1)]
    assert client.get("/api/changes", params={"since": changed["change"], "image": 1}).json()["images"] == []


def test_another_program_s_writes_ask_for_a_reload(client, project):
    from clickgrain.annotate.database import Database
    from clickgrain.annotate.documents import Action

    other = Database(project.database.path)
    other.append(2, Action(1, "status", 0.0, "", "", None, {}, {"status": "done"}), {}, None)
    other.close()
    assert client.get("/api/changes", params={"since": 0}).json()["reload"]
    assert client.get("/api/images/2").json()["document"]["status"] == "done"


def test_labels(client):
    added = client.post(
        "/api/project/actions", json={"seq": 0, "action": {"kind": "label.add", "name": "cat"}}
    ).json()
    assert added["document"]["added"] == 1
    late = client.post("/api/project/actions", json={"seq": 0, "action": {"kind": "overlap", "allow": True}})
    assert late.status_code == 409
    assert late.json()["document"]["labels"][0]["name"] == "cat"


@pytest.mark.parametrize(
    "action",
    [
        {"kind": "object.add_steps", "steps": []},
        {"kind": "object.add_steps", "steps": [{"type": "click", "x": -1, "y": 2}]},
        {"kind": "object.add_steps", "steps": [{"type": "click", "x": 1e9, "y": 2}]},
        {"kind": "object.add_steps", "steps": [{"type": "click", "x": 64, "y": 2}]},
        {"kind": "object.add_steps", "steps": [{"type": "click", "x": 3, "y": 2, "label": 2}]},
        {"kind": "object.add_steps", "steps": [{"type": "level", "level": 1.5}]},
        {"kind": "object.add_steps", "steps": [{"type": "brush", "points": [], "radius": 2}]},
        {"kind": "object.add_steps", "steps": [{"type": "brush", "points": [[1, 1]], "radius": 1e6}]},
        {"kind": "object.add_steps", "steps": [{"type": "magic"}]},
        {"kind": "object.add_steps", "steps": [{"type": "click", "x": 1, "y": 1}] * 1001},
        {"kind": "object.edit", "object": 1, "colour": "red; background: url(x)"},
        {"kind": "object.edit"},
        {"kind": "object.delete", "objects": [7]},
        {"kind": "status", "status": "perfect"},
        {"kind": "status", "status": "done", "more": 1},
        {"kind": "undo"},
        {"kind": "rm -rf"},
        "undo",
    ],
)
def test_what_makes_no_sense_is_refused_in_words(client, action):
    answer = client.post("/api/images/1/actions", json={"seq": 0, "action": action})
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "invalid"
    assert len(answer.json()["error"]["message"]) > 10
    assert client.get("/api/images/1").json()["document"]["seq"] == 0


NUMBERS = ("nan", "inf", "-inf", "-1", "1e999", "9" * 30, "x", "1.5", "")


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_in_the_address_that_are_none(client, number):
    """No query parameter and no number in a path takes NaN, infinity or what nobody counts to."""
    fractions = number == "1.5"  # only a box has them
    for box in (f"{number},0,20,20", f"0,0,{number},20", f"0,0,20,{number}"):
        answer = client.get("/api/images/1/picture", params={"box": box})
        assert (answer.status_code == 200) if fractions else (answer.json()["error"]["code"] == "invalid"), box
    for path in ("", "/hover", "/log", "/picture", "/thumb", "/objects/1/alternatives"):
        if number or path:
            assert client.get(f"/api/images/{number}{path}").status_code in (404, 422), path
    if not fractions:
        for place in ({"x": number, "y": 1}, {"x": 1, "y": number}):
            assert client.get("/api/images/1/preview", params=place).status_code == 422
    for query in ("1/log?since", "1/picture?box=0,0,9,9&max", "1/thumb?node", "1/thumb?object", "1?masks"):
        assert client.get(f"/api/images/{query}={number}").status_code in (404, 422), query
    for query in ("changes?since", "changes?since=0&image"):
        assert client.get(f"/api/{query}={number}").status_code == 422, query


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1", "9" * 30, '"x"'])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("learn", '{"minutes": %s}'),
        ("same", '{"image": 1, "object": 1, "limit": %s}'),
        ("same/accept", '{"job": "j1", "above": %s}'),
        ("images/1/actions", '{"seq": %s, "action": {"kind": "clear"}}'),
        ("images/1/actions", '{"seq": 0, "active": %s, "action": {"kind": "clear"}}'),
        ("images/1/actions", '{"seq": 0, "action": {"kind": "partition", "level": %s}}'),
    ],
)
def test_numbers_in_bodies_that_are_none(client, path, body, number):
    answer = client.post(f"/api/{path}", content=body % number, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b'{"seq": NaN}', b"[" * 5000])
def test_bodies_that_are_no_request(client, body):
    answer = client.post("/api/images/1/actions", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]["code"] in ("invalid", "bad_request")


@pytest.mark.parametrize(
    "path", ["/api/images/99", "/api/images/99/hover", "/api/masks/zz", "/api/jobs/j9", "/nothing", "/api/nothing"]
)
def test_what_is_not_there(client, path):
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


def test_the_log_of_labels_is_no_image(client):
    body = {"seq": 0, "action": {"kind": "status", "status": "done"}}
    assert client.post("/api/images/0/actions", json=body).status_code == 404
    assert {client.get(f"/api/images/0{rest}").status_code for rest in ("", "/log", "/picture", "/hover")} == {404}
    assert client.get("/api/state").json()["document"]["labels"] == []


def test_a_damaged_photo_is_reported_and_the_others_go_on(client, photos, project):
    (photos / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    project.gallery.rescan()
    for path in ("/api/images/4", "/api/images/4/picture", "/api/images/4/hover", "/api/images/4/thumb"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "image")
        assert "broken.png" in answer.json()["error"]["message"]
    assert client.get("/api/images/1/hover").status_code == 200


def test_a_full_disk_is_reported_and_the_page_can_go_on(client, post, project, click):
    pages = project.database.rows("PRAGMA page_count")[0][0]
    project.database.rows(f"PRAGMA max_page_count = {pages}")
    answers = (post(kind="status", status=("todo", "done")[i % 2]) for i in range(200))
    refused = next(answer for answer in answers if answer.status_code != 200)
    assert (refused.status_code, refused.json()["error"]["code"]) == (507, "disk_full")
    before = client.get("/api/images/1").json()["document"]
    project.database.rows("PRAGMA max_page_count = 1000000")
    after = post(kind="object.add_steps", steps=[click(20, 20)])
    assert after.status_code == 200
    assert after.json()["seq"] == before["seq"] + 1


def test_the_page_is_served_with_a_policy(client):
    page = client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert client.get("/page/app.js").headers["content-type"].startswith("text/javascript")


def test_models_can_be_listed_and_unknown_ones_are_not_loaded(client):
    assert [one["id"] for one in client.get("/api/models").json()["models"]] == ["tree"]
    assert client.post("/api/models/use", json={"model": "/etc"}).status_code == 404
    assert client.post("/api/models/use", json={"model": "tree"}).json()["model"]["current"]
    assert client.get("/api/images/1/hover").status_code == 200


def test_new_photos_are_found_on_request(client, photos):
    (photos / "a0.png").write_bytes((photos / "a1.png").read_bytes())
    assert client.post("/api/rescan").json() == {"added": 1, "missing": 0}
    assert client.get("/api/images").json()["images"][0]["name"] == "a0.png"


def test_a_deep_file_is_shown_in_the_window_that_is_asked_for(client, project):
    values = np.tile(np.arange(64, dtype=np.uint16) * 500, (48, 1))
    assert cv2.imwrite(str(project.gallery.folder / "deep.png"), values)
    project.gallery.rescan()
    image = project.gallery.find("deep.png")
    kind, low, high = client.get(f"/api/images/{image}").json()["values"]
    assert kind == "uint16"
    assert 0 <= low < 500
    assert 31_000 < high <= 31_500

    def shown(query):
        content = client.get(f"/api/images/{image}/picture?{query}").content
        return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[0, :, 0]

    assert np.array_equal(shown("low=5000&high=10000"), np.rint(np.clip((values[0] - 5000.0) / 5000, 0, 1) * 255))
    part = shown("box=10,0,20,48&low=5000&high=10000")
    assert np.array_equal(part, np.rint(np.clip((values[0, 10:20] - 5000.0) / 5000, 0, 1) * 255))
    assert len(np.unique(shown(""))) > 50
    assert client.get("/api/images/1").json()["values"] is None
