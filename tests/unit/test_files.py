import hashlib
import os
import stat
import subprocess
import sys

import pytest

from clickgrain.files import atomic_write, cache_dir, drop_temporary, hash_bytes, hash_file, write_beside


def test_a_file_is_written_with_its_folders_and_replaced(tmp_path):
    path = tmp_path / "new" / "deep" / "a.bin"
    atomic_write(path, b"one")
    atomic_write(str(path), b"two")
    assert path.read_bytes() == b"two"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.bin"]


@pytest.mark.parametrize("letter", ["a", "\u00e9", "\U0001f33e"])
def test_names_as_long_as_the_disk_allows(tmp_path, letter):
    path = tmp_path / (letter * (255 // len(letter.encode())))
    atomic_write(path, b"one")
    atomic_write(path, b"two")
    assert path.read_bytes() == b"two"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_failing_write_keeps_the_old_file_and_leaves_nothing(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    atomic_write(path, b"old")

    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        atomic_write(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]


@pytest.mark.skipif(os.name == "nt", reason="permissions by umask are a Unix matter")
def test_permissions_are_those_of_any_other_file(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    atomic_write(tmp_path / "ours", b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode
    (tmp_path / "ours").chmod(0o640)
    atomic_write(tmp_path / "ours", b"again")
    assert stat.S_IMODE((tmp_path / "ours").stat().st_mode) == 0o640


def test_where_the_cache_lies(tmp_path, monkeypatch):
    monkeypatch.setenv("CLICKGRAIN_CACHE", str(tmp_path / "own"))
    assert cache_dir() == tmp_path / "own"
    assert (tmp_path / "own").is_dir()
    monkeypatch.delenv("CLICKGRAIN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "clickgrain"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    assert cache_dir() == tmp_path / "home" / ".cache" / "clickgrain"


def test_hashes_are_the_head_of_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"grain" * 100_000)
    expected = hashlib.sha256(b"grain" * 100_000).hexdigest()[:20]
    assert hash_bytes(b"grain" * 100_000) == hash_file(tmp_path / "a") == expected


@pytest.mark.parametrize("module", ["files", "images"])
def test_the_import_brings_no_torch(module):
    code = f"import sys, clickgrain.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["x" * 255, "ö" * 127])
def test_names_as_long_as_the_file_system_allows(tmp_path, name):
    atomic_write(tmp_path / name, b"one")
    assert (tmp_path / name).read_bytes() == b"one"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_a_killed_writer_left_is_dropped_and_nothing_else(tmp_path):
    (tmp_path / "more").mkdir()
    left = [write_beside(tmp_path / name, b"half").name for name in ("state.pt", "more/a.png")]
    (tmp_path / ".others.tmp").touch()
    drop_temporary(tmp_path)
    assert len(left) == 2
    assert sorted(path.name for path in tmp_path.rglob("*")) == [".others.tmp", "more"]
