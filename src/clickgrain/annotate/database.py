"""The project file: images by name, one append-only log of actions per image and one for the labels, and masks.

An action is on disk (synchronous = FULL) before it is answered. Nothing is ever updated except summaries of the
logs, which can be computed again. `Logs` holds the documents that the logs lead to.
"""

import base64
import json
import os
import sqlite3
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from clickgrain.annotate import documents
from clickgrain.annotate.documents import STATUSES, Action, Document, History, Item, Labels
from clickgrain.annotate.files_below import NumberedFiles, is_strange_link
from clickgrain.annotate.http_errors import RequestError, explained
from clickgrain.annotate.masks import decode, parts
from clickgrain.annotate.team import Changes
from clickgrain.errors import DataError
from clickgrain.sqlite import Schema, transaction, use_wal
from clickgrain.types import Bool

KEPT_HISTORIES = 200
PROJECT_LOG = 0  # the log of labels and settings; images are numbered from 1
SCHEMA = Schema(
    application=0x6367616E,  # "cgan"
    version=2,
    tables="""
CREATE TABLE images (
    id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE,
    height INTEGER, width INTEGER, native_height INTEGER, native_width INTEGER);
CREATE TABLE actions (
    image INTEGER NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL, time REAL NOT NULL, client TEXT NOT NULL,
    model TEXT NOT NULL, active REAL, asked TEXT NOT NULL, patch TEXT NOT NULL, user TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (image, seq)) WITHOUT ROWID;
CREATE TABLE masks (hash TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE summaries (
    image INTEGER PRIMARY KEY, seq INTEGER NOT NULL, status TEXT NOT NULL, objects INTEGER NOT NULL,
    clicks INTEGER NOT NULL);
CREATE TABLE models (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, kind TEXT NOT NULL, hash TEXT NOT NULL, source TEXT NOT NULL,
    made REAL, report TEXT) WITHOUT ROWID;
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
""",
)


class Summary(NamedTuple):
    """What an image's log comes to, for lists."""

    seq: int = 0
    status: str = "todo"
    objects: int = 0
    clicks: int = 0


class ModelInfo(NamedTuple):
    """A model by its source."""

    id: str  # of the project's list: "tree" or the hash
    name: str
    kind: str
    hash: str  # 20 hex digits over weights and config
    source: str  # what `Segmenter.load` takes


class ConflictError(RequestError):
    """A write to a log whose sender has only seen the actions up to a number; see `Logs.missed`."""

    def __init__(self, log: int, seen: int) -> None:
        words = "this image was changed in another tab; it is shown as it is now"
        if log == PROJECT_LOG:
            words = "labels were changed in another tab; try again"
        super().__init__("conflict", words)
        self.log, self.seen = log, seen


class Database:
    """A project file, made if missing, for threads and processes; RequestError: it is none, or cannot be opened."""

    def __init__(self, path: Path, *, timeout: float = 5.0) -> None:  # seconds to wait for others who write
        self.path = path
        self._lock = threading.RLock()
        self._entries: deque[tuple[Future[bool], tuple[Any, ...], Mapping[str, bytes], Summary | None]] = deque()
        """What `append` is to write: (whether it was new, once written; row; masks; summary)."""
        problem = None
        if path.is_dir():
            problem = f"is a folder; give --project a file, e.g. {path / 'clickgrain.db'}"
        elif is_strange_link(path):
            problem = "is a link that another user made; put the file there, or give --project"
        elif path.exists() and not path.is_file():
            problem = "is a device, socket or pipe; give --project a file"
        if problem:
            raise RequestError("database", f"{path} {problem}")
        with explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=timeout, check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA trusted_schema = OFF")  # another user may have made the file
            SCHEMA.fill(self._db)
            self._check_schema()
            self._file = path.stat()
            use_wal(self._db, timeout)
            self._db.execute("PRAGMA synchronous = FULL")

    def _check_schema(self) -> None:
        application, version = SCHEMA.found(self._db)
        problem = None
        query = "SELECT type, name FROM sqlite_master WHERE type NOT IN ('table', 'index')"
        foreign = self._db.execute(f"{query} OR sql LIKE '%VIRTUAL TABLE%'").fetchone()
        if application != SCHEMA.application:
            problem = "is a database but no project of clickgrain; give another path"
        elif version != SCHEMA.version:
            problem = f"is a project of version {version}, this clickgrain reads {SCHEMA.version}; update"
        elif foreign is not None:  # triggers and views would act on what is written and read
            made = f"holds a {foreign[0]} {foreign[1]!r}, which clickgrain never makes"
            problem = f"{made}; who gave you this file? Restore a copy of it"
        if problem:
            raise RequestError("database", f"{self.path} {problem}")

    def close(self) -> None:
        """Close the file; everything answered is already in it."""
        with self._lock:
            self._db.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all or nothing, on disk at its end; RequestError: a full disk, a file locked or moved."""
        with self._lock, explained(self.path):
            # SQLite would keep writing to a deleted file
            if not self.path.exists() or not os.path.samestat(self.path.stat(), self._file):
                gone = f"{self.path} was moved or deleted while it was open; nothing was written"
                raise RequestError("database", f"{gone}: put it back, or restart clickgrain annotate")
            with transaction(self._db):
                yield self._db

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with self._lock, explained(self.path):
            return self._db.execute(query, values).fetchall()

    def data_version(self) -> int:
        """A number that changes when another program has written to the file."""
        return int(self.rows("PRAGMA data_version")[0][0])

    def actions(self, image: int, since: int = 0) -> list[Action]:
        """The log of an image after action `since`. Raises RequestError: it is damaged."""
        query = "SELECT seq, kind, time, client, model, active, asked, patch, user FROM actions"
        rows = self.rows(f"{query} WHERE image = ? AND seq > ? ORDER BY seq", image, since)
        try:
            return [Action(*(*row[:6], *map(_loaded, row[6:8]), str(row[8]))) for row in rows]
        except (ValueError, TypeError, RecursionError) as error:
            raise damaged(self.path, image, f"{type(error).__name__}: {error}") from error

    def append(self, image: int, action: Action, masks: Mapping[str, bytes], summary: Summary | None) -> bool:
        """Write an action and the masks it made, all or nothing; False if that number is taken.

        Actions that come together are synced together. RequestError: a full or locked disk; nothing is written.
        """
        values = (
            json.dumps(value, separators=(",", ":"), allow_nan=False) if isinstance(value, dict) else value
            for value in action
        )
        written: Future[bool] = Future()
        self._entries.append((written, (image, *values), masks, summary))
        with self._lock:  # while one waits for the disk, others come; the next of them writes for all
            if not written.done():
                self._write_entries()
        return written.result()

    def _write_entries(self) -> None:
        entries = [self._entries.popleft() for _ in range(len(self._entries))]
        new = list[bool]()
        try:
            with self.writing() as db:
                for _, row, masks, summary in entries:
                    insert = "INSERT OR IGNORE INTO actions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                    new.append(db.execute(insert, row).rowcount == 1)
                    if new[-1]:
                        db.executemany("INSERT OR IGNORE INTO masks VALUES (?, ?)", masks.items())
                        values = () if summary is None else ((row[0], *summary),)
                        db.executemany("INSERT OR REPLACE INTO summaries VALUES (?, ?, ?, ?, ?)", values)
        except BaseException as error:
            for written, *_ in entries:
                written.set_exception(error)
        else:
            for (written, *_), is_new in zip(entries, new):
                written.set_result(is_new)

    def mask(self, hash_: str) -> bytes | None:
        """A coded mask."""
        rows = self.rows("SELECT data FROM masks WHERE hash = ?", hash_)
        return rows[0][0] if rows and isinstance(rows[0][0], bytes) else None

    def summaries(self, images: Iterable[int] | None = None) -> dict[int, Summary]:
        """What the logs come to, of some images or all that have one."""
        query, values = "SELECT image, seq, status, objects, clicks FROM summaries", list[str]()
        if images is not None:
            query, values = f"{query} WHERE image IN (SELECT value FROM json_each(?))", [json.dumps([*images])]
        found: dict[int, Summary] = {}
        for image, seq, status, *counts in self.rows(query, *values):
            valid = all(isinstance(count, int) for count in (seq, *counts)) and status in STATUSES
            found[image] = Summary(seq, status, *counts) if valid else Summary()
        return found

    def logged_images(self) -> list[int]:
        """Images that have a log, in the order of their numbers."""
        return [row[0] for row in self.rows("SELECT DISTINCT image FROM actions WHERE image > 0 ORDER BY image")]

    def is_logged(self, image: int) -> bool:
        """Whether an image has a log."""
        return bool(self.rows("SELECT 1 FROM actions WHERE image = ? LIMIT 1", image))

    def save_model(self, model: ModelInfo, report: Any = None) -> None:
        """Remember a model that the project has used, and how it compared."""
        row = (*model, time.time(), None if report is None else json.dumps(report))
        changes = "hash = excluded.hash, report = coalesce(excluded.report, report)"
        with self.writing() as db:
            insert = "INSERT INTO models VALUES (?, ?, ?, ?, ?, ?, ?)"
            db.execute(f"{insert} ON CONFLICT (id) DO UPDATE SET {changes}", row)

    def models(self) -> list[tuple[ModelInfo, dict[str, Any]]]:
        """Every model that the project has used, oldest first, with when it was ("made") and its "report"."""
        found, columns = [], "id, name, kind, hash, source, made, report"
        for *model, made, text in self.rows(f"SELECT {columns} FROM models ORDER BY made"):
            if all(isinstance(value, str) for value in model):
                report = None
                with suppress(TypeError, ValueError, RecursionError):  # figures that were shown once
                    report = _loaded(text)
                found.append((ModelInfo(*model), {"made": made, "report": report}))
        return found

    def setting(self, key: str) -> str | None:
        """A remembered value."""
        rows = self.rows("SELECT value FROM settings WHERE key = ?", key)
        return rows[0][0] if rows and isinstance(rows[0][0], str) else None

    def set_setting(self, key: str, value: str) -> None:
        """Remember a value."""
        with self.writing() as db:
            db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (key, value))


class Logs:
    """The documents of a project file (the labels' is number 0), and how they are written; `changes` is told."""

    def __init__(self, database: Database, images: NumberedFiles, changes: Changes) -> None:
        self.database, self.images, self.changes = database, images, changes
        self._histories: OrderedDict[int, History[Any]] = OrderedDict()
        self._locks: dict[int, threading.RLock] = {}
        self._lock = threading.RLock()
        self._version = database.data_version()

    def lock_of(self, log: int) -> threading.RLock:
        """One writer per log at a time."""
        with self._lock:
            return self._locks.setdefault(log, threading.RLock())

    def notice_others(self) -> None:
        """Read everything again if another program has written to the file since the last call."""
        version = self.database.data_version()
        with self._lock:
            if version == self._version:
                return
            self._version = version
            self._histories.clear()
        self.changes.mark("reload")

    def history(self, image: int) -> History[Document]:
        """The stack of an image's documents. Raises RequestError: no such image, or a damaged log."""
        self.images.path(image)
        return self._history(image)

    def labels(self) -> History[Labels]:
        """The stack of the project's labels. Raises RequestError: a damaged log."""
        return self._history(PROJECT_LOG)

    def _history(self, log: int) -> History[Any]:
        with self._lock:
            if log not in self._histories:
                history = History[Any](Labels() if log == PROJECT_LOG else Document(), documents.patched)
                try:
                    for action in self.database.actions(log):
                        history.add(action)
                except Exception as error:  # another program may have written anything
                    if isinstance(error, RequestError) and error.code.startswith("database"):
                        raise
                    reason = str(error) if isinstance(error, RequestError) else f"{type(error).__name__}: {error}"
                    raise damaged(self.database.path, log, reason) from error
                self._histories[log] = history
                if len(self._histories) > KEPT_HISTORIES:
                    self._histories.popitem(last=False)
            self._histories.move_to_end(log)
            return self._histories[log]

    def forget(self, log: int) -> None:
        """Read a log again next time."""
        with self._lock:
            self._histories.pop(log, None)

    def item(self, image: int, number: int, *, current: bool = False) -> Item:
        """An object of an image; RequestError if there is none or, with `current`, only one of an older file."""
        item = self.history(image).document.find(number)
        if item is None or item.mask is None:
            raise RequestError("not_found", f"there is no object {number} in this image")
        if current and item.content not in (None, self.images.content(image)):
            name = self.images.name(image)
            raise RequestError("invalid", f"object {number} of {name} was drawn on an older photo; draw it again")
        return item

    def mask(self, hash_: str) -> Bool:
        """H x W bool mask. Raises RequestError: there is none of this hash, or it is damaged."""
        return decode(self.coded(hash_))

    def coded(self, hash_: str) -> bytes:
        """A coded mask, checked. Raises RequestError: as `mask`."""
        data = self.database.mask(hash_)
        if data is None:
            raise RequestError("not_found", f"there is no mask {hash_}")
        try:
            parts(data)
            return data
        except DataError as error:
            damage = f"{self.database.path}: mask {hash_} is damaged ({error})"
            raise RequestError("invalid", f"{damage}; restore a copy of the file, or draw it again") from error

    def masks_of(self, document: Document) -> dict[str, str]:
        """Masks of a document's objects by hash, in base64; damaged ones are left out."""
        masks = dict[str, str]()
        for hash_ in dict.fromkeys(item.mask for item in document.objects if item.mask):
            with suppress(RequestError):
                masks[hash_] = base64.b64encode(self.coded(hash_)).decode()
        return masks

    def document_json(self, log: int) -> dict[str, Any]:
        """A document for the page: objects drawn on another content are marked; `added` is the newest label."""
        document, moves = self._history(log).now()
        last_id = moves.pop("last_id")
        if isinstance(document, Labels):
            return {**moves, "added": last_id or None, **document.model_dump(mode="json")}
        return {**moves, **document.to_json(self.images.content(log))}

    def missed(self, log: int, seen: int) -> dict[str, Any]:
        """For a page that has seen the actions up to a number: the others, and the document as it is now."""
        with self.lock_of(log):
            shown, actions = self.document_json(log), self.database.actions(log, seen)
            masks = {} if log == PROJECT_LOG else self.masks_of(self.history(log).document)
        told = [action.to_json() for action in actions]
        return {"seq": shown["seq"], "actions": told, "document": shown, "masks": masks}

    def write(
        self, log: int, action: Action, document: Document | Labels | None, masks: dict[str, bytes] | None = None
    ) -> None:
        """Store an action, which leads to `document` (undo, redo: None), in a log whose lock is held."""
        summary, history = None, self._history(log)
        if document is None:
            document = history.preview(action)
        else:
            action = action._replace(patch=documents.patch_between(history.document, document))
        if isinstance(document, Document):
            clicks = sum(documents.count_clicks(item.steps) for item in document.objects)
            summary = Summary(action.seq, document.status, len(document.objects), clicks)
        if not self.database.append(log, action, masks or {}, summary):
            self.forget(log)
            raise ConflictError(log, action.seq - 1)
        history.add(action, document)
        with self._lock:
            self._histories[log] = history  # a reader may have loaded the log again before the action was on disk
        self.changes.mark(*(("project",) if log == PROJECT_LOG else ("image", log)))


def damaged(path: Path, image: int, reason: str) -> RequestError:
    """The error of a log that clickgrain did not write."""
    log = "labels" if image == PROJECT_LOG else f"image {image}"
    return RequestError("database", f"{path}: the log of {log} is damaged ({reason[:200]}); restore a copy")


def _loaded(text: str) -> dict[str, Any]:
    """A JSON object; NaN, which clickgrain never writes, becomes None."""
    value = json.loads(text, parse_constant=lambda name: None)
    if not isinstance(value, dict):
        raise TypeError(f"{text[:80]!r} is no JSON object")
    return value
