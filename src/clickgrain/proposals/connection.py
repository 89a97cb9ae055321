"""SQLite connections for a file that many threads and processes share, and errors in plain words."""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clickgrain.errors import StoreError

APPLICATION = 0x67726E31
"""SQLite's application id: tells our stores ("grn1") from other databases."""
VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS settings (hash TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS trees (
    path TEXT PRIMARY KEY,
    source_hash TEXT NOT NULL, source_bytes INTEGER NOT NULL, source_mtime_ns INTEGER NOT NULL,
    height INTEGER NOT NULL, width INTEGER NOT NULL,
    extractor TEXT NOT NULL, settings TEXT NOT NULL,
    rows INTEGER NOT NULL, columns INTEGER NOT NULL,
    children BLOB NOT NULL, cost BLOB NOT NULL
);
"""

DAMAGED = (
    "malformed",
    "codec can't decode",
    "Could not decode",
    "no such",
    "has no column",
    "unsupported file format",
)

_inherited: list[sqlite3.Connection] = []


class _Held:
    """A connection that is closed with its thread, in the process that opened it.

    SQLite forbids using a connection that came through a fork, and closing it could drop the parent's locks: in
    a child process it is kept from the garbage collector instead.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection, self.process = connection, os.getpid()

    @property
    def ours(self) -> bool:
        return self.process == os.getpid()

    def __del__(self) -> None:
        if self.ours:
            self.connection.close()
        else:
            _inherited.append(self.connection)


class Connections:
    """One connection per thread and process to a store file."""

    def __init__(self, path: Path, timeout: float) -> None:
        self.path, self.timeout = path, timeout
        self._local = threading.local()

    def __getstate__(self) -> dict[str, Any]:  # what a spawned process receives
        return {"path": self.path, "timeout": self.timeout}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.path, self.timeout = state["path"], state["timeout"]
        self._local = threading.local()

    def get(self) -> sqlite3.Connection:
        """This thread's connection, opened on first use."""
        held: _Held | None = getattr(self._local, "held", None)
        if held is None or not held.ours:
            held = _Held(self._open("rw"))
            self._local.held = held
        return held.connection

    def close(self) -> None:
        """Close this thread's connection."""
        if hasattr(self._local, "held"):
            del self._local.held

    def check(self) -> None:
        """Raise StoreError unless the file is a store of this version."""
        if not self.path.is_file():
            raise StoreError(f"no proposal store at {self.path}; make one with `clickgrain propose`")
        with explained(self.path):
            connection = self.get()
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            version = connection.execute("PRAGMA user_version").fetchone()[0]
        if application != APPLICATION:
            raise StoreError(f"{self.path} is a database but no proposal store; give another path")
        if version != VERSION:
            raise StoreError(
                f"{self.path} is a proposal store of version {version}, this clickgrain reads version {VERSION};"
                " delete it and run `clickgrain propose` again, or use the clickgrain that wrote it"
            )

    def create(self, schema: str) -> None:
        """Make an empty store where there is none; `check` judges what is there already."""
        if self.path.is_dir():
            raise StoreError(f"{self.path} is a folder; give the path of a file, e.g. {self.path / 'trees.db'}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"cannot make the folder of {self.path}: {error.strerror}") from error
        with explained(self.path):
            connection = self._open("rwc")
            try:
                self._fill(connection, schema)
            finally:
                connection.close()

    @staticmethod
    def _fill(connection: sqlite3.Connection, schema: str) -> None:
        """Write the schema into an empty database; leave any other alone. Safe against a second creator."""
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            return
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(
            f"BEGIN IMMEDIATE; {schema} PRAGMA application_id = {APPLICATION};"
            f" PRAGMA user_version = {VERSION}; COMMIT;"
        )

    def _open(self, mode: str) -> sqlite3.Connection:
        if mode == "rw" and not os.access(self.path.parent, os.W_OK):
            # On read-only media a log cannot be made; the file cannot change either. A log that a stopped run has
            # left holds trees, though, which `immutable` would pass over in silence.
            log = self.path.with_name(self.path.name + "-wal")
            if log.exists() and log.stat().st_size:
                raise StoreError(
                    f"{self.path} has trees in {log.name}, which is only read in a folder that can be written to;"
                    " copy both files to such a folder"
                )
            mode = "ro&immutable=1"
        uri = f"{self.path.absolute().as_uri()}?mode={mode}"
        with explained(self.path):
            connection = sqlite3.connect(uri, uri=True, timeout=self.timeout, check_same_thread=False)
            # In WAL mode NORMAL cannot damage the file; a power cut may cost the last transactions only.
            connection.execute("PRAGMA synchronous = NORMAL")
        return connection


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into StoreErrors that name the file and the fix."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:  # SQLite quotes a damaged schema in its message
        raise StoreError(_words(path, str(error))) from error


def is_damaged(path: Path, error: StoreError) -> bool:
    """Whether an error says that a store of ours is damaged beyond use, so that it can be made again."""
    name = str(getattr(error.__cause__, "sqlite_errorname", ""))
    if not name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_IOERR_SHORT_READ")) or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(72)[68:] == APPLICATION.to_bytes(4, "big")  # where SQLite keeps the application id


def _words(path: Path, reason: str) -> str:
    if "full" in reason or "disk I/O error" in reason:
        return f"cannot write to {path} ({reason}): free some space and run again; finished photos are kept"
    if "locked" in reason:
        return f"{path} is in use by another process ({reason}); wait for it, or give each shard its own store"
    if "readonly" in reason:
        return f"{path} cannot be written to ({reason}); check its permissions or give another path"
    if "not a database" in reason:
        return f"{path} is not a proposal store ({reason}); give another path"
    if any(sign in reason for sign in DAMAGED):
        return f"{path} is damaged ({reason}); delete it and run `clickgrain propose` again"
    if "unable to open" in reason:
        return f"cannot open {path} ({reason}); check the path and its permissions"
    return f"proposal store {path}: {reason}"
