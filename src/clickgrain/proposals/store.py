"""`ProposalStore`: the merge trees of a folder of photos in one SQLite file, or in several that behave as one.

It holds trees, not masks: a tree takes about 6 bytes a patch and has every proposal of its photo.
"""

import sqlite3
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clickgrain.errors import StoreError, TreeError
from clickgrain.images.remote import is_url
from clickgrain.proposals.remote_store import fetch_stores
from clickgrain.sqlite import Connections, Schema, transaction, trouble
from clickgrain.tree import MergeTree
from clickgrain.types import Size

_META = "path, source_hash, source_bytes, source_mtime_ns, height, width, extractor, settings, rows, columns"
_COLUMNS = f"{_META}, children, cost"
SCHEMA = Schema(
    application=0x67726E31,  # "grn1"
    version=1,
    tables="""
CREATE TABLE IF NOT EXISTS settings (hash TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS trees (
    path TEXT PRIMARY KEY,
    source_hash TEXT NOT NULL, source_bytes INTEGER NOT NULL, source_mtime_ns INTEGER NOT NULL,
    height INTEGER NOT NULL, width INTEGER NOT NULL,
    extractor TEXT NOT NULL, settings TEXT NOT NULL,
    rows INTEGER NOT NULL, columns INTEGER NOT NULL,
    children BLOB NOT NULL, cost BLOB NOT NULL
);
""",
)
LEVEL = 6  # zlib level: 9 gains 1 % for twice the time
DAMAGE = (zlib.error, TreeError, StoreError, TypeError, ValueError, OverflowError)
"""What `unpack_tree` raises on damaged rows; any type may be in a column."""


@dataclass(frozen=True)
class Source:
    """The state of a photo's file: sha256 of its bytes (first 20 hex digits), size in bytes, time of change."""

    sha256: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class ProposalMeta:
    """What a store knows about one photo, other than its tree."""

    key: str  # the photo's path relative to the folder, with / between folders
    source: Source  # the file that the tree was made from
    image_size: Size  # (height, width) pixels
    extractor: str  # name of the feature extractor
    settings: str  # hash of extractor and merging settings; see `ProposalStore.settings`
    grid: Size  # (rows, columns) of patches


@dataclass(frozen=True)
class Row:
    """One photo ready to be written; made by `Row.of` in any thread."""

    meta: ProposalMeta
    children: bytes
    cost: bytes

    @classmethod
    def of(cls, key: str, source: Source, tree: MergeTree, extractor: str, settings: str) -> "Row":
        """Pack a tree for writing."""
        meta = ProposalMeta(key, source, tree.image_size, extractor, settings, tree.grid)
        return cls(meta, *pack_tree(tree))


class ProposalStore(AbstractContextManager["ProposalStore"]):
    """Random access to the merge trees of a folder of photos: `store[key]` is a `MergeTree`.

    One object may be shared by threads, inherited through fork and sent to spawned processes: each opens a
    connection on first use. Any number of readers work during the writes of one writer (write-ahead log).

    Several files (shards) behave as one store. A photo that is in more than one of them is read from the first;
    new trees go to the first.

    Args:
        path: an existing store, or several; `ProposalStore.create` makes one, `ProposalStore.open` finds shards.
        timeout: seconds to wait for a store that another process is writing to.

    Raises:
        StoreError: no such file, not a store, or a store of another version.
    """

    def __init__(self, path: str | Path | Sequence[str | Path], *, timeout: float = 30.0) -> None:
        self.paths = [Path(path)] if isinstance(path, str | Path) else [Path(one) for one in path]
        if not self.paths:
            raise StoreError("a store of no files; name one or more")
        self.path = self.paths[0]
        self._shards = [Connections(one, timeout, explained) for one in self.paths]
        self._connections = self._shards[0]
        for shard in self._shards:
            if not shard.path.is_file():
                raise StoreError(f"no proposal store at {shard.path}; make one with `clickgrain propose`")
            with explained(shard.path):
                application, version = SCHEMA.found(shard.get())
            if application != SCHEMA.application:
                raise StoreError(f"{shard.path} is a database but no proposal store; give another path")
            if version != SCHEMA.version:
                found = f"of version {version}, this clickgrain reads {SCHEMA.version}"
                fix = "delete it and run `clickgrain propose` again, or use what wrote it"
                raise StoreError(f"{shard.path} is a proposal store {found}; {fix}")

    @classmethod
    def open(cls, where: str | Path | Sequence[str | Path], *, timeout: float = 30.0) -> "ProposalStore":
        """Open a file, a list of files, a folder of *.db, or a pattern such as "shards/*.db"; at a URL, a copy.

        Raises StoreError: as of the class, and where folder or pattern have no file.
        """
        found = shard_files(where) if isinstance(where, str | Path) else where
        if not found and isinstance(where, str | Path):
            raise StoreError(f"no proposal store at {where}: no file *.db; make one with `clickgrain propose`")
        return cls(found, timeout=timeout)

    @classmethod
    def create(cls, path: str | Path, *, timeout: float = 30.0) -> "ProposalStore":
        """Open a store or shards (see `open`); if the file is missing, make it (and its folder) first."""
        if is_url(str(path)):
            fix = "give a path (`clickgrain propose` also takes a URL)"
            raise StoreError(f"{path}: a store is written on this machine; {fix}")
        path = Path(path)
        if shards := [] if path.is_file() else [one for one in shard_files(path) if one != path]:
            return cls(shards, timeout=timeout)
        if path.is_dir():
            raise StoreError(f"{path} is a folder; give the path of a file, e.g. {path / 'trees.db'}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"cannot make the folder of {path}: {error.strerror}") from error
        with explained(path), closing(Connections(path, timeout, explained).open("rwc")) as db:
            SCHEMA.fill(db)
        return cls(path, timeout=timeout)

    def __len__(self) -> int:
        if len(self._shards) > 1:  # a photo may be in two shards
            return len(self.keys())
        return int(self._rows("SELECT count(*) FROM trees")[0][0])

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __contains__(self, key: object) -> bool:
        return self._one("SELECT 1 FROM trees WHERE path = ?", key) is not None

    def keys(self) -> list[str]:
        """Relative paths of all photos, sorted by code point."""
        return sorted({str(row[0]) for row in self._rows("SELECT path FROM trees")})

    def tree(self, key: str) -> MergeTree:
        """The merge tree of a photo. Raises StoreError: it is not in the store, or damaged, and removed."""
        row = self._one("SELECT children, cost, rows, columns, height, width FROM trees WHERE path = ?", key)
        if row is None:
            raise StoreError(f"{self.path} holds no tree of {key!r:.1000}; run `clickgrain propose` on its folder")
        children, cost, rows, columns, height, width = row
        try:
            return unpack_tree(children, cost, (rows, columns), (height, width))
        except DAMAGE as error:
            self.remove([key])  # a store is a cache: the next run makes the tree again
            fix = "run `clickgrain propose` or `clickgrain learn` again to make it"
            reason = f"the tree of {key!r:.1000} was damaged ({error}) and is removed"
            raise StoreError(f"{self.path}: {reason}; {fix}") from error

    __getitem__ = tree

    def find(self, key: str) -> ProposalMeta | None:
        """What else is known about a photo, or None for one that is not in the store."""
        row = self._one(f"SELECT {_META} FROM trees WHERE path = ?", key)
        return None if row is None else _meta_of(row)

    def metas(self) -> list[ProposalMeta]:
        """As `find`, of all photos, sorted by key."""
        first = {row[0]: row for row in reversed(self._rows(f"SELECT {_META} FROM trees"))}
        return [_meta_of(first[key]) for key in sorted(first, key=str)]  # a damaged file may have NULL

    def settings(self, digest: str) -> str:
        """The settings behind a settings hash, as JSON."""
        row = self._one("SELECT json FROM settings WHERE hash = ?", digest)
        if row is None:
            raise StoreError(f"{self.path} knows no settings {digest!r}; ask for a hash that `find` gave")
        return str(row[0])

    def write(self, rows: Sequence[Row], settings: Mapping[str, str] | None = None) -> None:
        """Add rows, or replace those of the same key, all or none; `settings` is new settings' JSON by their hash.

        Raises StoreError: the disk is full, the store is read-only or locked for longer than `timeout`; what was
        written before stays.
        """
        marks = ", ".join("?" * len(_COLUMNS.split(",")))
        with self._connections.writing() as db:
            db.executemany("INSERT OR IGNORE INTO settings VALUES (?, ?)", list((settings or {}).items()))
            db.executemany(f"INSERT OR REPLACE INTO trees ({_COLUMNS}) VALUES ({marks})", map(_values_of, rows))
        # After it: an interruption leaves the older tree behind the new one.
        _delete([row.meta.key for row in rows], self._shards[1:])

    def touch(self, key: str, source: Source) -> None:
        """Note a new time of change of a file whose bytes are the same."""
        for shard in self._shards:
            with shard.writing() as db:
                values = (source.mtime_ns, source.size, key)
                db.execute("UPDATE trees SET source_mtime_ns = ?, source_bytes = ? WHERE path = ?", values)

    def remove(self, keys: Sequence[str]) -> None:
        """Forget photos; unknown keys are no error."""
        _delete(keys, self._shards)

    def merge(self, other: "ProposalStore") -> int:
        """Take over every row of another store (shards made on other machines); returns how many."""
        copied = 0
        for path in reversed(other.paths):  # the first shard wins, so it comes last
            with explained(self.path):
                db = self._connections.get()
                db.execute("ATTACH DATABASE ? AS other", (str(path),))
                try:
                    with transaction(db):
                        db.execute("INSERT OR IGNORE INTO settings SELECT * FROM other.settings")
                        take = f"INSERT OR REPLACE INTO trees ({_COLUMNS}) SELECT {_COLUMNS} FROM other.trees"
                        copied += db.execute(take).rowcount
                finally:
                    db.execute("DETACH DATABASE other")
        return copied

    def drop_copies(self) -> None:
        """Remove every tree that an earlier shard has too."""
        seen = set[str]()
        for shard in self._shards:
            keys = {str(row[0]) for row in shard.rows("SELECT path FROM trees")}
            _delete(keys & seen, [shard])
            seen |= keys

    def compact(self) -> int:
        """Drop copies and give unused space back; returns the bytes won."""
        before = self._bytes()
        self.drop_copies()
        for shard in self._shards:
            shard.rows("VACUUM")
            shard.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        return before - self._bytes()

    def close(self) -> None:
        """Close this thread's connections; the next use opens others."""
        for shard in self._shards:
            shard.close()

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        more = f" and {len(self.paths) - 1} more" if len(self.paths) > 1 else ""
        return f"ProposalStore({str(self.path)!r}{more}, {len(self)} trees)"

    def _bytes(self) -> int:
        files = [path.with_name(path.name + end) for path in self.paths for end in ("", "-wal")]
        return sum(file.stat().st_size for file in files if file.exists())

    def _rows(self, query: str) -> list[Any]:
        return [row for shard in self._shards for row in shard.rows(query)]

    def _one(self, query: str, value: Any) -> Any:
        return next((rows[0] for shard in self._shards if (rows := shard.rows(query, value))), None)


def shard_files(where: str | Path) -> list[Path]:
    """The files behind a path: itself; in a folder *.db; of a pattern what it finds; of a URL copies. Sorted."""
    if is_url(str(where)):
        return fetch_stores(str(where))
    where = Path(where)
    if where.is_dir():
        return sorted(where.glob("*.db"))
    if not where.exists() and any(mark in str(where) for mark in "*?["):
        found = glob(str(where))  # noqa: PTH207 - a pattern may be absolute
        return sorted(Path(name) for name in found if not name.endswith(("-wal", "-shm")))
    return [where]


def verify(path: Path) -> tuple[int, list[str]]:
    """Number of whole trees in a file, and what is damaged, in words; damaged trees are removed (see `tree`)."""
    whole, problems = 0, list[str]()
    try:
        with ProposalStore(path) as store:
            with explained(path):
                check = str(store._rows("PRAGMA integrity_check(1)")[0][0])
                if check != "ok":
                    raise sqlite3.DatabaseError(f"malformed: {check}")
            for key in store:
                try:
                    store.tree(key)
                    whole += 1
                except StoreError as error:
                    problems.append(str(error))
    except StoreError as error:
        problems.append(str(error))
    return whole, problems


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into StoreErrors that name the file and the fix."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:  # SQLite quotes a damaged schema in its message
        reason = str(error)[:500]
        words = {
            "full": f"cannot write to {path} ({reason}): free some space and run again; finished photos are kept",
            "locked": f"{path} is in use by another process ({reason}); wait, or give each shard its own store",
            "readonly": f"{path} cannot be written to ({reason}); check its permissions or give another path",
            "foreign": f"{path} is not a proposal store ({reason}); give another path",
            "damaged": f"{path} is damaged ({reason}); delete it and run `clickgrain propose` again",
            "unopenable": f"cannot open {path} ({reason}); check the path and its permissions",
            "log": f"{path} has trees in {path.name}-wal, which is only read in a folder that can be written to;"
            " copy both files to such a folder",
        }
        raise StoreError(words.get(trouble(str(error)), f"proposal store {path}: {reason}")) from error


def is_damaged(path: Path, error: StoreError) -> bool:
    """Whether an error says that a store of ours is damaged beyond use, so that it can be made again."""
    name = str(getattr(error.__cause__, "sqlite_errorname", ""))
    if not name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_IOERR_SHORT_READ")) or not path.is_file():
        return False
    return SCHEMA.marks(path)


def _delete(keys: Collection[str], shards: Sequence[Connections]) -> None:
    for shard in shards if keys else ():
        with shard.writing() as db:
            db.executemany("DELETE FROM trees WHERE path = ?", [(key,) for key in keys])


def _values_of(row: Row) -> tuple[Any, ...]:
    meta, source = row.meta, row.meta.source
    head = (meta.key, source.sha256, source.size, source.mtime_ns, *meta.image_size)
    return (*head, meta.extractor, meta.settings, *meta.grid, row.children, row.cost)


def _meta_of(row: Any) -> ProposalMeta:
    key, sha256, size, mtime_ns, height, width, extractor, settings, rows, columns = row
    source = Source(sha256, size, mtime_ns)
    return ProposalMeta(key, source, (height, width), extractor, settings, (rows, columns))


def pack_tree(tree: MergeTree) -> tuple[bytes, bytes]:
    """(children, cost) as bytes; about 6 bytes a leaf together.

    A child is its distance to the newest node, small for regions that have just grown, as uint16 where it fits.
    Bytes of equal weight stand together, so that zlib sees their regularity.
    """
    children = tree.children.astype(np.int64)
    back = np.arange(tree.n_leaves, tree.n_nodes)[:, None] - children
    dtype = np.uint16 if tree.n_nodes <= 0xFFFF else np.uint32
    return _squeeze(back.astype(dtype).T), _squeeze(tree.cost.astype("<f4"))


def unpack_tree(children: bytes, cost: bytes, grid: Size, image_size: Size) -> MergeTree:
    """The tree of `pack_tree`'s bytes. Raises one of `DAMAGE`: they are damaged; names no file, the caller does."""
    if not all(type(side) is int for side in (*grid, *image_size)):  # a text times a number is a long text
        raise StoreError("its size is no pair of numbers")
    n = grid[0] * grid[1]
    dtype = np.uint16 if 2 * n - 1 <= 0xFFFF else np.uint32
    back = _unsqueeze(children, dtype, 2 * (n - 1)).reshape(2, n - 1).T
    nodes = np.arange(n, 2 * n - 1)[:, None] - back.astype(np.int64)
    return MergeTree(nodes, _unsqueeze(cost, np.float32, n - 1), grid, image_size)


def _squeeze(values: npt.NDArray[np.generic]) -> bytes:
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    planes = little.view(np.uint8).reshape(-1, little.itemsize).T
    return zlib.compress(np.ascontiguousarray(planes).tobytes(), LEVEL)


def _unsqueeze(data: bytes, dtype: npt.DTypeLike, count: int) -> npt.NDArray[np.generic]:
    little = np.dtype(dtype).newbyteorder("<")
    # A crafted row must not unpack to more than its tree takes.
    unpacked = zlib.decompressobj().decompress(data, count * little.itemsize + 1)
    planes = np.frombuffer(unpacked, np.uint8).reshape(little.itemsize, count)
    return np.ascontiguousarray(planes.T).view(little).reshape(count)
