import os

from clickgrain.annotate.cache import DiskCache


def test_bytes_come_back_under_their_name(tmp_path):
    cache = DiskCache(tmp_path / "cache")
    assert cache.get("a/../b") is None
    cache.put("a/../b", b"one")
    cache.put("c", b"two")
    assert (cache.get("a/../b"), cache.get("c")) == (b"one", b"two")
    assert cache.has("c")
    assert all(path.is_relative_to(tmp_path / "cache") for path in tmp_path.rglob("*") if path.is_file())


def test_the_longest_unused_goes_when_the_limit_is_passed(tmp_path):
    cache = DiskCache(tmp_path, limit=1000)
    for number in range(9):
        cache.put(f"{number}", bytes(100))
        os.utime(cache._path(f"{number}"), (number, number))
    assert cache.get("0") is not None  # used just now
    cache.put("big", bytes(200))
    assert cache.get("0") is not None
    assert cache.get("1") is None
    assert cache.get("big") is not None
    assert sum(path.stat().st_size for path in tmp_path.glob("??/*")) <= 1000


def test_what_can_not_be_kept_is_no_error(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"")
    cache = DiskCache(file / "below", limit=10)
    cache.put("a", b"x")
    cache.put("b", bytes(11))
    assert cache.get("a") is None
