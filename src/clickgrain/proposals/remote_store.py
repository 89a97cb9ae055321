"""Stores at a URL: SQLite works on files of this machine, so they are copied to its cache and back."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from clickgrain.errors import ClickgrainError, StoreError
from clickgrain.files import atomic_write, cache_dir, hash_bytes
from clickgrain.images.remote import file_system, is_url, retried, state_of
from clickgrain.sqlite import trouble

VERSION = "version"  # next to a copy: the state of the original when they were last the same


def fetch_stores(where: str) -> list[Path]:
    """Copies of a store at a URL, of all *.db in a folder there, or of those that a pattern with `*` means; sorted.

    A copy of the same version is used again. Raises StoreError: it cannot be read; ConfigError: as `file_system`.
    """
    system, path = file_system(where)
    try:
        system.invalidate_cache()
        web = "http" in system.protocol
        find = system.glob if "*" in path else system.find
        found = {path: retried(system.info, path)} if web else retried(find, path, detail=True)
        names = sorted(name for name in found if name == path or name.endswith(".db"))
        return [_fetched(system, name, found[name]) for name in names]
    except ClickgrainError:
        raise
    except Exception as error:
        raise StoreError(f"{where}: cannot be read ({error}); check the address and the connection") from error


@contextmanager
def on_this_machine(place: str | Path) -> Iterator[Path]:
    """The path itself; of a store at a URL a copy, which replaces the original at the end, on Ctrl-C too.

    Raises StoreError: it cannot be read or written there.
    """
    if not is_url(str(place)):
        yield Path(place)
        return
    url = str(place)
    system, path = file_system(url)
    if "http" in system.protocol or not path.endswith(".db"):
        raise StoreError(f"--out {url}: write to a file *.db at an s3://, gs:// or like address, or to a path")
    copies = fetch_stores(url)
    copy = copies[0] if copies else _copy_of(system, path)
    copy.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield copy
    finally:
        if copy.exists():
            try:
                with closing(sqlite3.connect(copy)) as db:
                    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                retried(system.put_file, str(copy), path)
                system.invalidate_cache()
                atomic_write(copy.with_name(VERSION), str(state_of(system.info(path))).encode())
            except Exception as error:
                reason = f"cannot be written ({error}); the trees are in {copy}, and the same command continues"
                if trouble(str(error)) in ("foreign", "damaged"):  # no store; opening it has said so
                    reason = f"not a proposal store, or damaged ({error}); give another --out"
                raise StoreError(f"{url}: {reason}") from error


def _copy_of(system: Any, path: str) -> Path:
    url = str(system.unstrip_protocol(path))
    return cache_dir() / "stores" / hash_bytes(url.encode()) / PurePosixPath(path).name


def _fetched(system: Any, path: str, info: dict[str, Any]) -> Path:
    copy, state = _copy_of(system, path), str(state_of(info))
    version = copy.with_name(VERSION)
    if copy.exists() and version.exists() and version.read_bytes() == state.encode():
        return copy
    copy.parent.mkdir(parents=True, exist_ok=True)
    part = copy.with_name("part")
    retried(system.get_file, path, str(part))
    for end in ("-wal", "-shm"):
        copy.with_name(copy.name + end).unlink(missing_ok=True)
    part.replace(copy)
    atomic_write(version, state.encode())
    return copy
