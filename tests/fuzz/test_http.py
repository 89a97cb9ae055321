"""Whatever is sent to the server, it answers, never with "this should not happen" (500)."""

import itertools
import json
import socket
import threading
import time
import traceback
from contextlib import suppress
from urllib.parse import quote

import httpx2
import pytest
import uvicorn
from fastapi.testclient import TestClient
from hypothesis import strategies as st

from clickgrain.annotate.app import make_app
from clickgrain.annotate.cache import DiskCache
from clickgrain.annotate.project import Project
from clickgrain.annotate.security import PatientProtocol
from clickgrain.annotate.server import bind
from tests.fuzz.hostile import NASTY, VALUES, changed_bytes, changed_json, write_photos
from tests.fuzz.test_images import FILES as IMAGES
from tests.fuzz.test_images import changed_fields

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
    "/api/same/accept": {
        "job": "j1", "items": [{"image": 1, "node": 3}], "above": None, "label": 1, "refuse": False, "client": "t",
    },
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


def named(action, ids):
    """The action on objects that are there: number n of the action means the nth object of the image."""
    if not isinstance(action, dict) or not ids:
        return action

    def known(number):
        return ids[number - 1] if type(number) is int and 0 < number <= len(ids) else number

    found = {"object": known(action["object"])} if "object" in action else {}
    if isinstance(action.get("objects"), list):
        found["objects"] = [known(number) for number in action["objects"]]
    return {**action, **found}


def test_actions_on_images(search, client):
    def one(drawn):
        image, body, others = drawn
        path = f"/api/images/{image}"
        document = client.get(path).json()["document"]
        ids = [item["id"] for item in document["objects"]]
        if body["action"] == {"kind": "clear"} and others:  # most drawings are worth keeping for what comes next
            return
        send(client, f"{path}/actions", {**body, "action": named(body["action"], ids)}, document["seq"])
        check(client.get(path, params={"masks": True}))
        for number in ids[-2:]:
            check(client.get(f"{path}/objects/{number}/alternatives"))
            check(client.get(f"{path}/preview", params={"x": 9, "y": 9, "object": number, "label": 0}))
        for read in ("api/export?format=coco", "api/statistics", "api/learn", "metrics")[others:]:
            check(client.get(f"/{read}"))
        if len(ids) > 40:
            seq = client.get(path).json()["document"]["seq"]
            send(client, f"{path}/actions", {"seq": "now", "action": {"kind": "clear"}}, seq)

    search(st.tuples(st.integers(1, 2), posts(ON_IMAGES), st.integers(0, 4)), one)


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


def drawn_object(client):
    """The number of an object of the first image."""
    body = {"seq": "now", "action": ON_IMAGES[0]}
    send(client, "/api/images/1/actions", body, client.get("/api/images/1").json()["document"]["seq"])
    return client.get("/api/images/1").json()["document"]["objects"][-1]["id"]


def finished(client, answer):
    """The job that an answer tells of, once it is over."""
    if (job := answer.json().get("job")) is None:
        return None
    while (job := client.get(f"/api/jobs/{job['id']}").json())["state"] in ("running", "stopping"):
        time.sleep(0.01)
    assert "should not happen" not in (job["error"] or ""), job["error"]
    return job


@pytest.mark.parametrize("kind", ["same", "carry"])
def test_jobs(search, client, kind):
    """Find the same and carry on, each with its outcome."""
    wanted = {"image": 1, "object": 1, "images": [1, 2], **({"limit": 9} if kind == "same" else {"client": "t"})}
    accepted = OTHERS["/api/same/accept"]

    def one(drawn):
        wanted, accepted = drawn
        wanted = {**wanted, "object": drawn_object(client)} if wanted.get("object") == 1 else wanted
        answer = client.post(
            f"/api/{kind}", content=json.dumps(wanted), headers={"content-type": "application/json"}
        )
        check(answer)
        if (job := finished(client, answer)) and kind == "same":
            found = [{"image": one["image"], "node": one["node"]} for one in (job["result"] or {}).get("items", [])]
            items = (
                found[:2] if accepted.get("items") == OTHERS["/api/same/accept"]["items"] else accepted.get("items")
            )
            send(client, "/api/same/accept", {**accepted, "items": items, "job": job["id"]}, 0)

    def whole(body):
        return st.just(body) | changed_json([body]).filter(is_json)

    search(st.tuples(whole(wanted), whole(accepted)), one)


def is_json(value):
    try:
        json.dumps(value, allow_nan=False).encode()
    except ValueError:
        return False
    return True


WORDS = st.one_of(
    st.sampled_from([0, 1, 2, 3, -1, 70, 0.5, "true", "tree", "coco", "done", "0,0,9,9", "1e999", "9" * 30]),
    st.sampled_from([value for value in NASTY if isinstance(value, str | int) and value != "\ud800"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
)
PLACES = ["state", "changes", "images", "labelled", "models", "jobs", "jobs/{}", "statistics", "export", "learn"]
PLACES += ["agreement"]
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


HEADERS = ["host", "origin", "authorization", "cookie", "content-length", "content-type", "if-none-match", "range"]
HEADERS += ["sec-fetch-site", "x-clickgrain", "transfer-encoding", "accept-encoding", "expect"]
SAID = st.one_of(
    st.sampled_from(
        [b"", b"testserver", b"testserver:1", b"[::1]:80", b"[", b"null", b"Bearer ", b"Bearer 12345678"]
    ),
    st.sampled_from(
        [b"clickgrain_0=12345678", b"a=1; b", b"9" * 30, b"9" * 5000, b"-1", b"1e9", b"0", b'"x"', b"\xb2"]
    ),
    st.binary(max_size=12),
)


def test_headers(search, tmp_path):
    """Two people share the server; whoever asks, in whatever words, gets an answer."""
    write_photos(tmp_path)
    users = {"12345678": "Ada", "87654321": "Bo"}
    app = make_app(
        Project(tmp_path, model="tree"), DiskCache(tmp_path / "cache"), hosts=("testserver",), users=users
    )

    def one(drawn):
        method, path, known, headers, body = drawn
        path = quote(path, safe="/?=&%")
        allowed = [("x-clickgrain", b"1"), ("authorization", b"Bearer 12345678")] if known else []
        answer = client.request(method, path, headers=[*allowed, *headers], content=body)
        assert answer.status_code != 500, answer.text
        if method != "HEAD":
            check(answer)

    paths = st.sampled_from(
        ["/", "/?token=12345678", "/?token=%ff", "/api/state", "/page/index.html", "/page/../x"]
    )
    paths |= st.sampled_from(
        ["/api/changes?since=0&image=1&client=a&idle=9", "/api/images/1/take-over", "/metrics"]
    )
    headers = st.lists(st.tuples(st.sampled_from(HEADERS), SAID), max_size=3)
    methods = st.sampled_from(["GET", "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "X"])
    with TestClient(app, raise_server_exceptions=False, follow_redirects=False) as client:
        known = st.sampled_from([True, True, False])
        search(st.tuples(methods, paths | st.text(max_size=9), known, headers, st.binary(max_size=9)), one)


def test_bytes_of_requests(search, tmp_path, caplog):
    """Whatever arrives at the socket, the server goes on, and its log holds no traceback."""
    write_photos(tmp_path)
    project, sock = Project(tmp_path, model="tree"), bind("127.0.0.1", 0)
    app = make_app(project, DiskCache(tmp_path / "cache"), port=sock.getsockname()[1])
    config = uvicorn.Config(app, http=PatientProtocol, ws="none", log_config=None, timeout_graceful_shutdown=3)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
    thread.start()
    head = b"%s HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Clickgrain: 1\r\n%s\r\n"
    body = json.dumps({"seq": 0, "action": {"kind": "clear"}}).encode()
    sized = b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
    chunked = b"Transfer-Encoding: chunked\r\n"
    requests = [
        head % (b"GET /api/state", b""), head % (b"GET /api/state", b"") * 3, head % (b"GET /page/index.html", b""),
        head % (b"POST /api/images/1/actions", sized) + body,
        head % (b"POST /api/import?name=x", chunked) + b"5\r\n{\"a\":\r\n2\r\n1}\r\n0\r\n\r\n",
        head % (b"POST /api/import", b"Expect: 100-continue\r\n" + sized) + body,
    ]  # fmt: skip

    def one(content):
        with suppress(ConnectionError), socket.create_connection(sock.getsockname(), timeout=60) as connection:
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65_536):
                pass
        bad = [
            f"{record.getMessage()}: {record.exc_info and traceback.format_exception(record.exc_info[1])[-3:]}"
            for record in caplog.records
            if record.exc_info or record.levelname == "ERROR"
        ]
        assert not bad
        caplog.clear()

    try:
        search(changed_bytes(requests), one)
        assert httpx2.get(f"http://127.0.0.1:{sock.getsockname()[1]}/api/state", timeout=60).status_code == 200
    finally:
        server.should_exit = True
        thread.join()


PHOTOS = [content for format_ in ("jpeg", "png", "tiff", "gif") for content in IMAGES[format_]]


def test_photos_of_any_bytes(search, tmp_path):
    """A photo is replaced while the page shows it."""
    write_photos(tmp_path)
    app = make_app(Project(tmp_path, model="tree"), DiskCache(tmp_path / "cache"), hosts=("testserver",))
    click = {"seq": "now", "action": ON_IMAGES[0]}
    numbers = itertools.count()

    def one(content):
        name = f"{next(numbers)}.png"
        (tmp_path / name).write_bytes(content)
        check(client.post("/api/rescan"))
        image = next(one["id"] for one in client.get("/api/images").json()["images"] if one["name"] == name)
        path = f"/api/images/{image}"
        for end in (
            "", "/thumb", "/picture", "/picture?box=1,1,9,9&max=16", "/picture?low=1&high=9", "/hover",
            "/preview?x=3&y=3", "/thumb?node=2",
        ):  # fmt: skip
            check(client.get(path + end))
        send(client, f"{path}/actions", click, 0)
        check(client.get(path, params={"masks": True}))
        if image % 10 == 0:
            check(client.get("/api/export?format=geojson"))
        (tmp_path / name).unlink()

    with TestClient(app, headers={"X-Clickgrain": "1"}, raise_server_exceptions=False) as client:
        search(changed_bytes(PHOTOS) | changed_fields(IMAGES["tiff"]), one)
