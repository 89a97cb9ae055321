"""Where images of tasks may come from, and what goes to whom."""

import json

import pytest

from clickgrain.errors import ImageError
from clickgrain.integrations import fetch
from clickgrain.integrations.fetch import Fetcher


def test_a_path_of_label_studio_is_fetched_with_the_token(server, content, image):
    url, asked = server({"/data/upload/1/a%20b.png": (200, {}, content)})
    fetcher = Fetcher(url, api_key="0123")
    for source in ("/data/upload/1/a b.png", f"{url}/data/upload/1/a%20b.png"):
        assert (fetcher.read(source) == image).all()
    assert [headers["Authorization"] for _, headers, _ in asked] == ["Token 0123"] * 2


def test_a_personal_token_is_changed_for_a_short_lived_one(server, content, image):
    access = json.dumps({"access": "short"}).encode()
    url, asked = server({"/api/token/refresh": (200, {}, access), "/a.png": (200, {}, content)})
    assert (Fetcher(url, api_key="aa.bb.cc").read("/a.png") == image).all()
    assert json.loads(asked[0][2]) == {"refresh": "aa.bb.cc"}
    assert "Authorization" not in asked[0][1]
    assert asked[1][1]["Authorization"] == "Bearer short"


def test_addresses_of_the_local_network_need_permission(server, content, image):
    url, asked = server({"/a.png": (200, {}, content)})
    home = "http://127.0.0.1:1"
    for source in (f"{url}/a.png", url.replace("127.0.0.1", "localhost") + "/a.png"):
        with pytest.raises(ImageError, match="in the local network; --allow-host"):
            Fetcher(home, api_key="secret").read(source)
    assert not asked
    assert (Fetcher(home, api_key="secret", hosts=["127.0.0.1"]).read(f"{url}/a.png") == image).all()
    assert "Authorization" not in asked[0][1]


def test_a_redirect_into_the_local_network_is_not_followed(server, content):
    inside, asked = server({"/secret.png": (200, {}, content)})
    url, _ = server({"/a.png": (302, {"Location": f"{inside}/secret.png"}, b"")})
    with pytest.raises(ImageError, match="in the local network"):
        Fetcher(url, api_key="secret").read("/a.png")
    assert not asked


def test_redirects_end(server):
    url, asked = server({"/a": (302, {"Location": "/a"}, b"")})
    with pytest.raises(ImageError, match="too many redirects"):
        Fetcher(url).read("/a")
    assert len(asked) == fetch.REDIRECTS


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("/missing.png", "answers 404"),
        ("/private.png", "give --api-key"),
        ("/text.png", "/text.png: not an image"),
        ("s3://bucket/a.png", "not http, https or data"),
        ("file:///etc/hostname", "not http, https or data"),
        ("gopher://127.0.0.1/", "not http, https or data"),
        ("http://127.0.0.1:1/a.png", "cannot be fetched"),
        ("http://", "answers 404"),
        ("http://[::1", "cannot be fetched"),
        ("data:image/png;base64,%%%", "cannot be fetched"),
        ("data:image/png;base64,QUJD", "not an image"),
        ("data:", "without data"),
    ],
)
def test_what_cannot_be_fetched_is_said_without_a_temporary_name(server, source, words):
    url, _ = server({"/private.png": (401, {}, b""), "/text.png": (200, {}, b"hello there")})
    with pytest.raises(ImageError, match=words) as caught:
        Fetcher(url).read(source)
    assert "/tmp" not in str(caught.value)


def test_a_data_uri_is_read(data_uri, image):
    assert (Fetcher("http://127.0.0.1:1").read(data_uri) == image).all()


def test_bodies_end_at_the_limit_of_size(server, content, data_uri, monkeypatch):
    url, _ = server({"/a.png": (200, {}, content)})
    monkeypatch.setattr(fetch, "MOST_BYTES", 1000)
    for source in ("/a.png", data_uri):
        with pytest.raises(ImageError, match="1,000 bytes"):
            Fetcher(url).read(source)


def test_bodies_end_at_the_limit_of_time(server, content, monkeypatch):
    url, _ = server({"/a.png": (200, {}, content)})
    monkeypatch.setattr(fetch, "SECONDS", 0.0)
    with pytest.raises(ImageError, match="not there after"):
        Fetcher(url).read("/a.png")


def test_local_files_stay_below_the_root(tmp_path, content, image):
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "ä.png").write_bytes(content)
    (tmp_path / "outside.png").write_bytes(content)
    (root / "link.png").symlink_to(tmp_path / "outside.png")
    fetcher = Fetcher("http://127.0.0.1:1", root=root)
    assert (fetcher.read("/data/local-files/?d=sub/%C3%A4.png") == image).all()
    for name in (
        "../outside.png",
        "sub/../../outside.png",
        "%2e%2e/outside.png",
        "link.png",
        f"{tmp_path}/outside.png",
    ):
        with pytest.raises(ImageError, match="not below --root"):
            fetcher.read(f"/data/local-files/?d={name}")
    with pytest.raises(ImageError, match="no such file"):
        fetcher.read("/data/local-files/?d=none.png")
