"""The file under a project: its schema, who may open it, and writing to it all or nothing."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clickgrain.annotate.files_below import is_strange_link
from clickgrain.annotate.refusals import RequestError, explained

APPLICATION = 0x6367616E
"""SQLite's application id of a project file ("cgan")."""
VERSION = 1
SCHEMA = """
CREATE TABLE images (
    id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE,
    height INTEGER, width INTEGER, native_height INTEGER, native_width INTEGER);
CREATE TABLE actions (
    image INTEGER NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL, time REAL NOT NULL, client TEXT NOT NULL,
    model TEXT NOT NULL, active REAL, asked TEXT NOT NULL, patch TEXT NOT NULL,
    PRIMARY KEY (image, seq)) WITHOUT ROWID;
CREATE TABLE masks (hash TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE summaries (
    image INTEGER PRIMARY KEY, seq INTEGER NOT NULL, status TEXT NOT NULL, objects INTEGER NOT NULL,
    clicks INTEGER NOT NULL);
CREATE TABLE models (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, kind TEXT NOT NULL, hash TEXT NOT NULL, source TEXT NOT NULL,
    made REAL, report TEXT) WITHOUT ROWID;
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


class ProjectFile:
    """A SQLite file of ours; safe to share between threads, and between processes.

    Args:
        path: made if missing.
        timeout: seconds to wait for another program that writes.

    Raises:
        RequestError: it cannot be made, opened or is no project file of this version.
    """

    def __init__(self, path: Path, *, timeout: float = 5.0) -> None:
        self.path = path
        self._lock = threading.RLock()
        if path.is_dir():
            raise RequestError(
                "database", f"{path} is a folder; give --project a file, e.g. {path / 'clickgrain.db'}"
            )
        if is_strange_link(path):
            raise RequestError(
                "database", f"{path} is a link that another user made; put the file there, or give --project"
            )
        if path.exists() and not path.is_file():
            raise RequestError("database", f"{path} is a device, socket or pipe; give --project a file")
        with explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=timeout, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA trusted_schema = OFF")  # another user may have made the file
            self._check()
            self._identity = _identity(path)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")

    def _check(self) -> None:
        if not self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            self._db.executescript(
                f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA application_id = {APPLICATION};"
                f" PRAGMA user_version = {VERSION}; COMMIT;"
            )
        application = self._db.execute("PRAGMA application_id").fetchone()[0]
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if application != APPLICATION:
            raise RequestError(
                "database", f"{self.path} is a database but no project of clickgrain; give another path"
            )
        if version != VERSION:
            raise RequestError(
                "database",
                f"{self.path} is a project of version {version}, this clickgrain reads {VERSION}; update",
            )
        foreign = self._db.execute(
            "SELECT type, name FROM sqlite_master"
            " WHERE type NOT IN ('table', 'index') OR sql LIKE '%VIRTUAL TABLE%'"
        ).fetchone()
        if foreign is not None:  # they would act on what is written and read
            raise RequestError(
                "database",
                f"{self.path} holds a {foreign[0]} {foreign[1]!r}, which clickgrain never makes; who gave you this"
                " file? Restore a copy of it",
            )

    def close(self) -> None:
        """Close the file; everything answered is in it already."""
        with self._lock:
            self._db.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all or nothing, and on disk when it ends.

        Raises:
            RequestError: the disk is full, the file locked, or gone from its place.
        """
        with self._lock, explained(self.path):
            self._check_place()
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _check_place(self) -> None:
        """SQLite would go on writing to a file that has no name any more."""
        if _identity(self.path) != self._identity:
            raise RequestError(
                "database",
                f"{self.path} was moved or deleted while it was open; nothing was written: put it back,"
                " or start clickgrain annotate anew",
            )

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """What a query finds."""
        with self._lock, explained(self.path):
            return self._db.execute(query, values).fetchall()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
