import os

import pytest

from clickgrain.annotate.cache import HEAD, DiskCache


def test_bytes_come_back_under_their_name(tmp_path):
    cache = DiskCache(tmp_path / "cache")
    assert cache.get("a/../b") is None
    cache.put("a/../b", b"one")
    cache.put("c", b"two")
    assert (cache.get("a/../b"), cache.get("c")) == (b"one", b"two")
    assert all(path.is_relative_to(tmp_path / "cache") for path in tmp_path.rglob("*") if path.is_file())


def test_the_longest_unused_goes_when_the_limit_is_passed(tmp_path):
    cache = DiskCache(tmp_path, limit=1000)
    for number in range(9):
        cache.put(f"{number}", bytes(100 - HEAD))
        os.utime(cache._path(f"{number}"), (number, number))
    assert cache.get("0") is not None  # used just now
    cache.put("big", bytes(200 - HEAD))
    assert cache.get("0") is not None
    assert cache.get("1") is None
    assert cache.get("big") is not None
    assert sum(path.stat().st_size for path in tmp_path.glob("??/*")) <= 1000


def test_what_can_not_be_kept_is_no_error(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"")
    cache = DiskCache(file / "below", limit=30)
    cache.put("a", b"x")
    cache.put("b", bytes(31))
    assert cache.get("a") is None


@pytest.mark.parametrize(
    "damage", [lambda d: d[:-1], lambda d: b"", lambda d: d[:5], lambda d: d[:-1] + b"?", bytes.swapcase]
)
def test_a_damaged_file_is_deleted_and_can_be_made_again(tmp_path, damage):
    cache = DiskCache(tmp_path)
    cache.put("a", b"content")
    path = cache._path("a")
    path.write_bytes(damage(path.read_bytes()))
    assert cache.get("a") is None
    assert not path.exists()
    cache.put("a", b"content")
    assert cache.get("a") == b"content"
