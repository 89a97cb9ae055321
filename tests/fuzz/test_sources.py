"""Whatever a list of photos or a tar holds, its images are found, or an error names it."""

import io
import json
import tarfile

import pytest
from hypothesis import strategies as st

from clickgrain.errors import ClickgrainError, DataError
from clickgrain.files import cache_dir
from clickgrain.images import remote
from clickgrain.images.sources import list_images
from tests.fuzz.hostile import assert_named, changed_bytes, changed_json, write_photos

pytestmark = pytest.mark.timeout(0)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CLICKGRAIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(remote, "PAUSE", 0)  # before a damaged file is tried again
    (tmp_path / "photos").mkdir()
    write_photos(tmp_path / "photos")
    return tmp_path


def look(source):
    """Find the images of a source, and read what it names."""
    for image in list_images(source):
        if not remote.is_url(image.place):
            assert_named("", lambda image=image: image.content(), ClickgrainError)


LISTS = {
    "txt": b"photos/a.png\n# the second one\nphotos/b.png\r\nhttps://host/c.png?x=1\n/nowhere/d.png\n",
    "csv": b'\xef\xbb\xbfid,url,label\n1,photos/a.png,"a, b"\n2,"photos/b.png",c\n',
    "tsv": b"photos/a.png\t1\nphotos/b.png\t2\n",
}


@pytest.mark.parametrize("kind", LISTS)
def test_lists(search, folder, kind):
    path = folder / f"list.{kind}"

    def check(content):
        path.write_bytes(content)
        assert_named("list", lambda: look(path), DataError)

    search(changed_bytes([LISTS[kind]]), check)


def packed(folder, format_):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=format_) as tar:
        for name in ("a.png", "b.png"):
            tar.add(folder / "photos" / name, f"./some/{'long' * 30}/{name}")
        tar.addfile(tarfile.TarInfo("folder/x.json"))
    return content.getvalue()


def test_tars(search, folder):
    path = folder / "shard.tar"
    files = [packed(folder, format_) for format_ in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT)]

    def check(content):
        path.write_bytes(content)
        assert_named("shard.tar", lambda: look(path), DataError)

    search(changed_bytes(files), check)


def test_the_remembered_places_in_a_tar(search, folder):
    """A cache: what cannot be used is made again."""
    path = folder / "shard.tar"
    path.write_bytes(packed(folder, tarfile.PAX_FORMAT))
    found = [image.key for image in list_images(path)]
    (known,) = (cache_dir() / "tars").iterdir()
    good = known.read_bytes()

    def check(content):
        known.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode("utf-8", "replace"))
        assert_named("", lambda: look(path), ClickgrainError)

    search(changed_bytes([good]) | changed_json([json.loads(good)]) | st.just(b""), check)
    known.write_bytes(b"[[")
    assert [image.key for image in list_images(path)] == found
