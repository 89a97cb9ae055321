"""Who is answered: our own page and those with the token; not other sites, and nothing outside the project."""

import pytest
from fastapi.testclient import TestClient

from clickgrain.annotate.app import make_app
from clickgrain.annotate.config import LOOPBACK
from clickgrain.annotate.project import Project
from clickgrain.annotate.security import Guard

TOKEN = "s3cretToken"


@pytest.fixture(scope="module")
def photos(tmp_path_factory, take_photos):
    return take_photos(tmp_path_factory.mktemp("security"))


@pytest.fixture(scope="module")
def project(photos):
    project = Project(photos, model="tree")
    yield project
    project.close()


@pytest.fixture
def plain(project, cache, monkeypatch):
    """A client without our header, on a loopback server."""
    monkeypatch.setattr(project, "close", lambda: None)  # it serves the next test too
    with TestClient(make_app(project, cache), base_url="http://127.0.0.1:8765") as client:
        yield client


@pytest.fixture
def strange(project, cache, monkeypatch):
    """A client of a server that other machines reach."""
    monkeypatch.setattr(project, "close", lambda: None)
    app = make_app(project, cache, hosts=None, users={TOKEN: ""}, port=80)
    with TestClient(app, base_url="http://192.168.7.7", follow_redirects=False) as client:
        yield client


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:8765", "LOCALHOST", "[::1]:8765", "127.0.0.1"])
def test_loopback_names_are_answered(plain, host):
    assert plain.get("/api/state", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8765",
        "127.0.0.1.evil.example",
        "",
        "[::2]",
        "localhost.evil",
        "0x7f.1",
        "127.0.0.1:80@evil",
    ],
)
def test_rebound_names_are_not(plain, host):
    for path in ("/", "/api/state", "/page/app.js"):
        answer = plain.get(path, headers={"host": host})
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "forbidden"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_other_sites_are_not_answered(plain, headers):
    assert plain.get("/api/state", headers=headers).status_code == 403
    write = plain.post("/api/rescan", headers={**headers, "x-clickgrain": "1"})
    assert write.status_code == 403


def test_our_own_page_is(plain):
    headers = {"origin": "http://127.0.0.1:8765", "sec-fetch-site": "same-origin", "x-clickgrain": "1"}
    assert plain.post("/api/rescan", headers=headers).status_code == 200


def test_a_link_to_the_page_works_from_anywhere(plain):
    assert plain.get("/", headers={"sec-fetch-site": "cross-site"}).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_writing_needs_our_header(plain, method):
    assert plain.request(method, "/api/rescan").status_code == 403


def test_a_form_of_another_site_cannot_write(plain, project):
    action = {"seq": 0, "action": {"kind": "status", "status": "done"}}
    answer = plain.post("/api/images/1/actions", json=action, headers={"content-type": "text/plain"})
    assert answer.status_code == 403
    assert project.logs.history(1).seq == 0


def test_no_answer_allows_other_origins(plain):
    answer = plain.get("/api/state", headers={"origin": "http://127.0.0.1:8765"})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/page/../app.py",
        "/page/..%2fapp.py",
        "/page/%2e%2e/app.py",
        "/page/..%5capp.py",
        "/page//etc/passwd",
        "/page/%2fetc%2fpasswd",
        "/page/....//app.py",
        "/page/index.html%00.js",
        "/page/",
        "/page/canvas",
        "/../../etc/passwd",
        "/page/" + 300 * "a" + ".js",
        "/page/" + 30_000 * "a",
        "/page/" + 3_000 * "a/" + "b.js",
        "/page/%ff.js",
        "/page/app.js/",
    ],
    ids=lambda path: path[:40],
)
def test_nothing_outside_the_page_is_served(plain, path):
    answer = plain.get(path)
    assert answer.status_code == 404
    assert b"root:" not in answer.content
    assert b"import" not in answer.content


def test_images_are_served_by_number_only(plain, photos):
    (photos.parent / "secret.png").write_bytes((photos / "a1.png").read_bytes())
    for name in ("../secret.png", "%2e%2e%2fsecret.png", "a1.png"):
        assert plain.get(f"/api/images/{name}/picture").status_code in (404, 422)


def test_an_import_cannot_name_files_outside(plain, photos):
    (photos.parent / "secret.png").write_bytes((photos / "a1.png").read_bytes())
    coco = {
        "images": [{"id": 1, "file_name": "../secret.png", "height": 48, "width": 64}],
        "categories": [{"id": 1, "name": "x"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[0, 0, 9, 0, 9, 9]]}],
    }
    import json

    answer = plain.post("/api/import", content=json.dumps(coco), headers={"x-clickgrain": "1"})
    assert answer.json()["objects"] == 0
    assert "no such image" in answer.json()["skipped"][0]


def test_large_bodies_are_refused_before_they_are_read(plain):
    headers = {"x-clickgrain": "1", "content-length": "99999999", "content-type": "application/json"}
    answer = plain.post("/api/images/1/actions", content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


def test_a_server_for_others_asks_for_the_token(strange):
    for path in ("/", "/api/state", "/page/app.js", "/?token=wrong"):
        answer = strange.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "token")
    assert strange.get("/api/state", headers={"authorization": "Bearer wrong"}).status_code == 401
    assert strange.get("/api/state", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_the_token_becomes_a_cookie_that_scripts_and_other_sites_do_not_get(strange):
    answer = strange.get("/", params={"token": TOKEN})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert strange.get("/api/state").status_code == 200


def test_the_token_does_not_open_the_door_to_other_sites(strange):
    strange.get("/", params={"token": TOKEN})
    headers = {"origin": "http://evil.example", "x-clickgrain": "1"}
    assert strange.post("/api/rescan", headers=headers).status_code == 403


def test_any_host_without_a_token_is_a_mistake():
    with pytest.raises(ValueError, match="only with a token"):
        Guard(lambda *_: None, hosts=None, users={}, port=1)
    assert "127.0.0.1" in LOOPBACK
