"""Our SQLite files: schema and version, a connection per thread, transactions, and what errors mean."""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SIGNS = {
    "full": ("full", "disk I/O error"),
    "locked": ("locked", "busy"),
    "readonly": ("readonly",),
    "foreign": ("not a database",),
    "damaged": (
        "malformed",
        "codec can't decode",
        "Could not decode",
        "no such",
        "has no column",
        "unsupported file format",
    ),
    "unopenable": ("unable to open",),
    "log": ("rows are left in",),
}
"""Kind of trouble -> words in SQLite's messages (and, for "log", in that of `Connections.open`)."""


def trouble(reason: str) -> str:
    """The kind of trouble (a key of `SIGNS`) behind SQLite's message, or "" for any other."""
    return next((kind for kind, signs in SIGNS.items() if any(sign in reason for sign in signs)), "")


@dataclass(frozen=True)
class Schema:
    """What a file of ours holds."""

    application: int  # SQLite's application id, which tells our files from other databases
    version: int  # of the tables
    tables: str  # SQL that makes them

    def fill(self, db: sqlite3.Connection) -> None:
        """Make the tables in an empty database and leave any other alone; safe against a second creator."""
        tables = "SELECT count(*) FROM sqlite_master"
        if db.execute(tables).fetchone()[0]:
            return
        use_wal(db)
        with transaction(db):
            if db.execute(tables).fetchone()[0]:  # the second creator waited for the first one here
                return
            marks = f"PRAGMA application_id = {self.application}; PRAGMA user_version = {self.version}"
            for statement in f"{self.tables} {marks}".split(";"):  # `executescript` would end the transaction
                db.execute(statement)

    @staticmethod
    def found(db: sqlite3.Connection) -> tuple[int, int]:
        """(application id, version) of a database."""
        application, version = (db.execute(f"PRAGMA {n}").fetchone()[0] for n in ("application_id", "user_version"))
        return application, version

    def marks(self, path: Path) -> bool:
        """Whether a file has our application id where SQLite keeps it, even if the rest is damaged."""
        with path.open("rb") as file:
            return file.read(72)[68:] == self.application.to_bytes(4, "big")


def use_wal(db: sqlite3.Connection, seconds: float = 5.0) -> None:
    """Switch a file to a write-ahead log; SQLite itself does not wait for another process that does the same."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if trouble(str(error)) != "locked" or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All or nothing; waits at its start, not in its middle, for another writer."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


_inherited: list[sqlite3.Connection] = []


class _Held:
    """A connection that is closed with its thread, in the process that opened it.

    SQLite forbids using a connection that came through a fork, and closing it could drop the parent's locks: a
    child process only protects it from the garbage collector.
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
    """One connection per thread and process to a file; may be inherited through a fork and sent to processes.

    It waits `timeout` seconds for another process that writes; `explained(path)` is a context that turns
    `sqlite3.Error` into an error in words.
    """

    def __init__(
        self, path: Path, timeout: float, explained: Callable[[Path], AbstractContextManager[None]]
    ) -> None:
        self.path, self.timeout, self.explained = path, timeout, explained
        self._local = threading.local()

    def __reduce__(self) -> tuple[Any, ...]:  # what a spawned process receives
        return type(self), (self.path, self.timeout, self.explained)

    def get(self) -> sqlite3.Connection:
        """This thread's connection, opened on first use."""
        held: _Held | None = getattr(self._local, "held", None)
        if held is None or not held.ours:
            held = _Held(self.open())
            self._local.held = held
        return held.connection

    def close(self) -> None:
        """Close this thread's connection; the next use opens another."""
        if hasattr(self._local, "held"):
            del self._local.held

    def rows(self, query: str, *values: Any) -> list[Any]:
        """What a query finds."""
        with self.explained(self.path):
            return self.get().execute(query, values).fetchall()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction on this thread's connection."""
        with self.explained(self.path), transaction(self.get()) as db:
            yield db

    def open(self, mode: str = "rw") -> sqlite3.Connection:
        """A new connection; `mode` is SQLite's: rw, or rwc to make a missing file."""
        with self.explained(self.path):
            if mode == "rw" and not os.access(self.path.parent, os.W_OK):
                # On read-only media a log cannot be made, and the file cannot change either. But `immutable` would
                # silently skip rows in the log that an interrupted run has left.
                log = self.path.with_name(self.path.name + "-wal")
                if log.exists() and log.stat().st_size:
                    raise sqlite3.OperationalError(f"rows are left in {log.name}")
                mode = "ro&immutable=1"
            uri = f"{self.path.absolute().as_uri()}?mode={mode}"
            db = sqlite3.connect(uri, uri=True, timeout=self.timeout, check_same_thread=False, isolation_level=None)
            # In WAL mode NORMAL cannot damage the file; a power cut may cost the last transactions only.
            db.execute("PRAGMA synchronous = NORMAL")
        return db
