"""Whatever is sent to the server, it answers, never with "this should not happen" (500)."""

import json
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from hypothesis import strategies as st

from clickgrain.annotate.app import make_app
from clickgrain.annotate.cache import DiskCache
from clickgrain.annotate.project import Project
from tests.fuzz.hostile import NASTY, VALUES, changed_bytes, changed_json, write_photos

pytestmark = pytest.mark.timeout(0)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("http")
    write_photos(folder)
    app = make_app(Project(folder, model="tree"), DiskCache(folder / "cache"), hosts=("testserver",))
    with TestClient(app, headers={"X-Clickgrain": "1"}, raise_server_exceptions=False) as client:
        yield client


STEPS = [
    {"type": "click", "x": 10, "y": 9, "label": 1}, {"type": "box", "box": [3, 3, 20, 18], "label": 1},
    {"type": "scribble", "points": [[8, 8], [18, 12]], "label": 0}, {"type": "level", "level": 0.5},
    {"type": "region", "x": 9, "y": 9, "level": 0.7}, {"type": "choose", "alternative": 1},
    {"type": "brush", "points": [[3, 3], [9, 20]], "radius": 2, "label": 0},
    {"type": "polygon", "rings": [[[1, 1], [9, 1], [9, 9]], [[2, 2], [5, 2], [5, 5]]]},
    {"type": "mask", "mask": "0" * 20},
]  # fmt: skip
ON_IMAGES = [
    *({"kind": "object.add_steps", "object": None, "steps": [step], "label": None} for step in STEPS),
    {"kind": "object.add_steps", "object": 1, "steps": STEPS[:4], "track": "t"},
    {"kind": "object.set_steps", "object": 1, "steps": STEPS[:6]},
    {"kind": "object.edit", "object": 1, "objects": [1, 2], "label": 1, "colour": "#aabbcc", "locked": True},
    {"kind": "object.move", "object": 1, "to": 0}, {"kind": "object.delete", "objects": [1]},
    {"kind": "object.merge", "objects": [1, 2]}, {"kind": "object.split", "object": 1},
    {"kind": "object.add_nodes", "nodes": [[3, 0.5], [70, 1.0]], "label": 1},
    {"kind": "object.refuse", "nodes": [3]}, {"kind": "object.copy", "source": 2, "objects": [1]},
    {"kind": "partition", "level": 0.6, "label": 1}, {"kind": "status", "status": "sent_back", "note": "again"},
    {"kind": "clear"}, {"kind": "undo", "of": 1}, {"kind": "undo"}, {"kind": "redo", "of": 1},
]  # fmt: skip
ON_LABELS = [
    {"kind": "label.add", "name": "roof", "colour": "#112233"}, {"kind": "label.merge", "label": 1, "into": 2},
    {"kind": "label.add_all", "labels": [["tree", 7], ["car", None]]}, {"kind": "overlap", "allow": True},
    {"kind": "label.edit", "label": 1, "name": "house", "colour": "#445566"}, {"kind": "label.delete", "label": 1},
    {"kind": "label.move", "label": 1, "to": 0}, {"kind": "undo", "of": 1}, {"kind": "redo"},
]  # fmt: skip
OTHERS = {
    "/api/same": {"image": 1, "object": 1, "images": [1, 2], "limit": 5},
    "/api/same/accept": {"job": "1", "items": [[1, 3]], "above": 0.5, "label": 1, "refuse": False, "client": "t"},
    "/api/carry": {"image": 1, "object": 1, "images": [2], "client": "t"},
    "/api/models/use": {"model": "tree"}, "/api/rescan": {}, "/api/images/1/take-over": {},
}  # fmt: skip
POSTED = {"seq": "now", "client": "t", "content": None, "active": 1.5}


def check(answer):
    assert answer.status_code != 500, answer.text
    if answer.status_code >= 400:
        assert answer.json()["error"]["message"]


@st.composite
def posts(draw, actions):
    """A write; most are up to date."""
    body = draw(st.sampled_from([POSTED, {"seq": "now"}]) | changed_json([POSTED]))
    return {**body, "action": draw(st.sampled_from(actions) | changed_json(actions))}


def send(client, path, body, seq):
    """Post a write as JSON, which may hold what is no JSON, with the number that is due."""
    if body.get("seq") == "now":
        body = {**body, "seq": seq}
    content = json.dumps(body).encode("utf-8", "surrogatepass")
    check(client.post(path, content=content, headers={"content-type": "application/json"}))


def test_actions_on_images(search, client):
    def one(drawn):
        image, body = drawn
        path = f"/api/images/{image}"
        send(client, f"{path}/actions", body, client.get(path).json()["document"]["seq"])
        check(client.get(path, params={"masks": True}))

    search(st.tuples(st.integers(1, 2), posts(ON_IMAGES)), one)


def test_actions_on_labels(search, client):
    def one(body):
        send(client, "/api/project/actions", body, client.get("/api/state").json()["document"]["seq"])
        check(client.get("/api/state"))
        check(client.get("/api/labelled"))

    search(posts(ON_LABELS), one)


def test_other_writes(search, client):
    def one(drawn):
        path, body = drawn
        send(client, path, body, 0)

    of = {path: st.just(body) | changed_json([{"": 0, **body}]) for path, body in OTHERS.items()}
    search(st.sampled_from([*of]).flatmap(lambda path: st.tuples(st.just(path), of[path])), one)


WORDS = st.one_of(
    st.sampled_from([0, 1, 2, 3, -1, 70, 0.5, "true", "tree", "coco", "done", "0,0,9,9", "1e999", "9" * 30]),
    st.sampled_from([value for value in NASTY if isinstance(value, str | int) and value != "\ud800"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
)
PLACES = ["state", "changes", "images", "labelled", "models", "jobs", "jobs/{}", "statistics", "export", "learn"]
PLACES += [f"images/{{}}{end}" for end in ("", "/picture", "/thumb", "/hover", "/preview", "/log")]
PLACES += ["images/{}/objects/{}/alternatives", "masks/{}"]
PARAMETERS = [
    "since", "image", "client", "idle", "masks", "passing", "box", "max", "low", "high", "node", "object", "x", "y",
    "label", "format", "polygons", "only",
]  # fmt: skip


def test_reads(search, client):
    def one(drawn):
        place, words, parameters = drawn
        for word in words:
            place = place.replace("{}", quote(str(word), safe=""), 1)
        check(client.get(f"/api/{place}", params=parameters))

    parameters = st.dictionaries(st.sampled_from(PARAMETERS), WORDS, max_size=5)
    usual = st.dictionaries(st.sampled_from(["x", "y", "max", "node", "object", "label"]), st.integers(0, 40))
    words = st.tuples(st.sampled_from([1, 2]) | WORDS, WORDS)
    search(st.tuples(st.sampled_from(PLACES), words, parameters | usual), one)


def test_uploads(search, client):
    def one(drawn):
        content, name, existing = drawn
        check(client.post("/api/import", params={"name": name, "existing": existing}, content=content))

    annotation = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[1, 1, 10, 1, 10, 10]], "iscrowd": 0}
    coco = {
        "images": [{"id": 1, "file_name": "a.png", "height": 24, "width": 32}],
        "annotations": [annotation, {**annotation, "segmentation": {"size": [24, 32], "counts": "T3b1f0"}}],
        "categories": [{"id": 1, "name": "c"}],
    }
    files = changed_bytes([json.dumps(coco).encode()])
    values = changed_json([coco]).map(lambda value: json.dumps(value).encode("utf-8", "replace"))
    search(
        st.tuples(
            files | values, st.text(max_size=8).filter(str.isprintable), st.sampled_from(["skip", "add", "x"])
        ),
        one,
    )


def test_bodies_that_are_no_json(search, client):
    body = json.dumps({"seq": 0, "action": ON_IMAGES[0]}).encode()

    def one(drawn):
        content, kind = drawn
        check(client.post("/api/images/1/actions", content=content, headers={"content-type": kind}))

    anything = changed_bytes([body]) | VALUES.map(lambda value: json.dumps(value).encode("utf-8", "replace"))
    kinds = st.sampled_from(
        ["application/json", "text/plain", "multipart/form-data", "application/json; charset=x"]
    )
    search(st.tuples(anything | st.just(b"[" * 100_000), kinds), one)
