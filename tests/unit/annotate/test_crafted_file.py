"""A project file that another user has made: it leads nowhere outside, and what is damaged stops nothing else."""

import io
import json
import os
import sqlite3
import zipfile
from contextlib import closing
from pathlib import PurePosixPath, PureWindowsPath

import numpy as np
import pytest
from fastapi.testclient import TestClient

from clickgrain.annotate import files_below
from clickgrain.annotate.app import make_app
from clickgrain.annotate.cache import DiskCache
from clickgrain.annotate.http_errors import RequestError
from clickgrain.annotate.masks import MAGIC, encode
from clickgrain.annotate.project import Project, open_project
from clickgrain.annotate.replay import replay
from clickgrain.cli import main
from clickgrain.errors import ClickgrainError, DataError

BRUSH = {"type": "brush", "points": [[5, 5]], "radius": 3}
SECRET = b"\xff\xd8\xff the secret of the server's owner"


@pytest.fixture
def worked(act, photos, label):
    """A project with an object on each of two images."""
    label(kind="label.add", name="cat")
    act(1, kind="object.add_steps", steps=[BRUSH], label=1)
    act(2, kind="object.add_steps", steps=[BRUSH])
    (photos.parent / "secret.jpg").write_bytes(SECRET)
    return photos


@pytest.fixture
def crafted(worked, project, tmp_path):
    """Change the file behind the server's back, open it again, and give a client of it."""
    opened = []

    def run(*statements):
        project.close()
        with closing(sqlite3.connect(worked / "clickgrain.db", isolation_level=None)) as db:
            for statement, *values in statements:
                db.execute(statement, values)
        again = Project(worked, model="tree")
        app = make_app(again, DiskCache(tmp_path / "crafted-cache"), hosts=("testserver",))
        client = TestClient(app, headers={"X-Clickgrain": "1"}, raise_server_exceptions=False)
        client.__enter__()
        opened.append(client)
        client.project = again
        return client

    yield run
    for client in opened:
        client.__exit__(None, None, None)


def paths(image):
    numbers = ["", "?masks=1", "/picture", "/thumb", "/thumb?object=1", "/hover", "/log", "/objects/1/alternatives"]
    return [f"/api/images/{image}{more}" for more in numbers]


def whole(client):
    """Every route answers in words; nothing of the file outside is in what it says. All answers by path."""
    routes = ["/api/state", "/api/images", "/api/changes?since=0", "/api/statistics", "/api/models"]
    exports = [f"/api/export?format={name}" for name in ("coco", "labelme", "yolo", "semantic")]
    answers = {path: client.get(path) for path in (*routes, *paths(1), *paths(2), *paths(9), *exports)}
    for path, answer in answers.items():
        assert answer.status_code in (200, 404, 422, 503), (path, answer.content)
        assert b"should not happen" not in answer.content, path
        assert b"secret of" not in answer.content, path
        if answer.headers["content-type"] == "application/json":
            json.loads(answer.content, parse_constant=pytest.fail)
    return answers


ELSEWHERE = ["{parent}/secret.jpg", "../secret.jpg", "sub/../../secret.jpg", "a/../../secret.jpg", "..\\secret.jpg"]


@pytest.mark.parametrize("kind", ["bytes", "text"])
@pytest.mark.parametrize("name", ELSEWHERE)
def test_rows_that_lead_elsewhere_are_left_out_and_told(crafted, worked, tmp_path, name, kind, capsys):
    path = name.format(parent=worked.parent)
    value = path.encode() if kind == "bytes" else path
    action = json.dumps({"put": [{"id": 1, "steps": {"keep": 0, "add": []}, "mask": None}]})
    client = crafted(
        ("INSERT INTO images VALUES (9, ?, 48, 64, 48, 64)", value),
        ("INSERT INTO actions VALUES (9, 1, 'import', 0, '', '', 0, '{}', ?, x'ff00')", action),
        ("UPDATE actions SET image = 9, seq = 2 WHERE image = 1",),
        ("INSERT INTO summaries VALUES (9, 2, 'done', 1, 1)",),
    )
    answers = whole(client)
    assert all(answers[path].status_code == 404 for path in paths(9))
    assert 9 not in {one["id"] for one in answers["/api/images"].json()["images"]}
    assert "outside" in client.project.gallery.complaint()
    assert "secret" in client.project.gallery.complaint()
    assert answers["/api/images/1/hover"].status_code == 200
    for answer in (answer for path, answer in answers.items() if "export" in path):
        for name in zipfile.ZipFile(io.BytesIO(answer.content)).namelist():
            assert not {"..", "/", "\\"} & {*PurePosixPath(name).parts, *PureWindowsPath(name).parts}, name
    client.project.close()
    before = sorted(path for path in tmp_path.rglob("*.json"))
    assert main(["export", str(worked), "--out", str(tmp_path / "a" / "out"), "--format", "labelme"]) == 0
    made = [path for path in tmp_path.rglob("*.json") if path not in before]
    assert made
    assert all(path.is_relative_to(tmp_path / "a" / "out") for path in made)
    with closing(open_project(worked)) as again:
        assert [row.image for row in replay(again)] == ["a2.png"]
    capsys.readouterr()


PUT = '{"put": [{"id": 1, "steps": {"keep": 0, "add": []}, "mask": "00000000000000000000", "score": %s}]}'
DAMAGES = {
    "a mask cut off": ("UPDATE masks SET data = substr(data, 1, length(data) - 4)",),
    "a mask cut off inside a number": ("UPDATE masks SET data = substr(data, 1, length(data) - 1)",),
    "a mask of nothing": ("UPDATE masks SET data = x''",),
    "a mask of text": ("UPDATE masks SET data = 'CGM1 and more text, long enough for a header'",),
    "a mask that claims 16 million pixels a side": (
        "UPDATE masks SET data = ?",
        MAGIC + b"\xff\xff\xff\x00" * 2 + bytes(20),
    ),
    "a mask of another size": ("UPDATE masks SET data = ?", encode(np.eye(7, dtype=bool)).data),
    "no masks": ("DELETE FROM masks",),
    "a patch that is no JSON": ("UPDATE actions SET patch = '{' WHERE image = 1",),
    "a patch that is a list": ("UPDATE actions SET patch = '[]' WHERE image = 1",),
    "a patch of other things": ('UPDATE actions SET patch = \'{"put": [{"id": "x"}]}\' WHERE image = 1',),
    "a patch that is a deep nest": ("UPDATE actions SET patch = ? WHERE image = 1", "[" * 90_000),
    "a patch of bytes": ("UPDATE actions SET patch = x'ff00' WHERE image = 1",),
    "a score of NaN": ("UPDATE actions SET patch = ? WHERE image = 1", PUT % "NaN"),
    "a score of infinity": ("UPDATE actions SET patch = ? WHERE image = 1", PUT % "1e999"),
    "an undo of nothing": ("UPDATE actions SET kind = 'undo' WHERE image = 1",),
    "a log that begins at 7": ("UPDATE actions SET seq = 7 WHERE image = 1",),
    "a log of an image that is none": ("UPDATE actions SET image = 'x' WHERE image = 1",),
    "labels of text": ('UPDATE actions SET patch = \'{"put": "x"}\' WHERE image = 0',),
    "a status that is none": ("UPDATE summaries SET status = 'x', objects = 'many'",),
    "sizes of text": ("UPDATE images SET height = 'x', width = -1, native_height = 1e30",),
    "a size that no memory holds": ("UPDATE images SET height = 1000000, width = 1000000 WHERE id = 1",),
    "models of text": ("UPDATE models SET report = '{', made = 'x'",),
    "a report of NaN": ("UPDATE models SET report = '{\"a\": NaN}'",),
    "settings of numbers": ("UPDATE settings SET value = 5",),
    "a model that is nowhere": ("INSERT OR REPLACE INTO settings VALUES ('model', ?)", "/nowhere\0"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_said_and_stops_nothing_else(crafted, damage):
    client = crafted(DAMAGES[damage])
    answers = whole(client)
    assert answers["/api/images"].status_code == 200
    for what in ("", "/picture", "/hover"):
        assert client.get(f"/api/images/3{what}").status_code == 200
    seq = client.get("/api/images/3").json()["document"]["seq"]
    action = {"kind": "object.add_steps", "steps": [BRUSH]}
    assert client.post("/api/images/3/actions", json={"seq": seq, "action": action}).status_code == 200
    for kind in ({"kind": "object.split", "object": 1}, {"kind": "partition", "level": 0.8}):
        answer = client.post("/api/images/1/actions", json={"seq": 1, "action": kind})
        assert answer.status_code in (200, 409, 404, 422, 503), answer.content
        assert b"should not happen" not in answer.content
    try:
        assert sum(1 for _ in replay(client.project)) >= 1
    except ClickgrainError:
        assert "labels" in damage


def test_a_damaged_mask_is_named_and_the_image_opens(crafted):
    client = crafted(("UPDATE masks SET data = substr(data, 1, 40)",))
    image = client.get("/api/images/1?masks=1").json()
    assert image["masks"] == {}
    assert any("objects [1]" in note for note in image["notes"])
    answer = client.get(f"/api/masks/{image['document']['objects'][0]['mask']}")
    assert "damaged" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER INSERT ON actions BEGIN DELETE FROM actions; END",
        "CREATE VIEW v AS WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n FROM r",
        "CREATE VIRTUAL TABLE f USING fts5(a)",
    ],
)
def test_what_would_act_in_the_file_is_refused(crafted, statement):
    with pytest.raises(RequestError, match="clickgrain never makes"):
        crafted((statement,))


def test_a_project_file_that_is_another_user_s_link_is_refused(photos, tmp_path, monkeypatch):
    target = tmp_path / "precious.db"
    (photos / "clickgrain.db").symlink_to(target)
    monkeypatch.setattr(files_below, "_maker", lambda status: 12_345)
    with pytest.raises(RequestError, match="another user made"):
        Project(photos, model="tree")
    assert not target.exists()
    target.write_bytes(b"")
    with pytest.raises(RequestError, match="another user made"):
        Project(photos, model="tree")
    assert target.read_bytes() == b""


def test_a_pipe_is_no_project_file(photos):
    os.mkfifo(photos / "clickgrain.db")
    with pytest.raises(RequestError, match="pipe"):
        Project(photos, model="tree")


def test_a_folder_of_photos_that_is_no_path(worked, project):
    project.database.set_setting("photos", "no hex")
    with pytest.raises(DataError, match="no path"):
        open_project(worked / "clickgrain.db")
