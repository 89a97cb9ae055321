"""`ProposalStore`: the merge trees of a folder of photos in one SQLite file.

Trees are kept, not drawn masks: a tree costs about 6 bytes a patch and holds every proposal of its photo.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from clickgrain.errors import StoreError, TreeError
from clickgrain.proposals.connection import SCHEMA, Connections, explained
from clickgrain.proposals.packing import pack_tree, unpack_tree
from clickgrain.tree import MergeTree
from clickgrain.types import Size

_COLUMNS = (
    "path, source_hash, source_bytes, source_mtime_ns, height, width, extractor, settings, rows, columns,"
    " children, cost"
)
_META = "path, source_hash, source_bytes, source_mtime_ns, height, width, extractor, settings, rows, columns"


@dataclass(frozen=True)
class Source:
    """The state of a photo's file: sha256 of its bytes (first 20 hex digits), size in bytes, time of change."""

    sha256: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class ProposalMeta:
    """What a store knows about one photo besides its tree.

    Attributes:
        key: the photo's path relative to the folder, with / between folders.
        source: the file that the tree was made from.
        image_size: (height, width) pixels.
        extractor: name of the feature extractor.
        settings: hash of extractor and merging settings; see `ProposalStore.settings`.
        grid: (rows, columns) of patches.
    """

    key: str
    source: Source
    image_size: Size
    extractor: str
    settings: str
    grid: Size


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


class ProposalStore:
    """Random access to the merge trees of a folder of photos: `store[key]` is a `MergeTree`.

    One object may be shared by threads, inherited through fork and sent to spawned processes: each opens its
    own connection on first use. Any number of readers work beside one writer (SQLite, write-ahead log).

    Args:
        path: an existing store; `ProposalStore.create` makes one.
        timeout: seconds to wait for a store that another process is writing to.

    Raises:
        StoreError: no such file, not a store, or a store of another version.
    """

    def __init__(self, path: str | Path, *, timeout: float = 30.0) -> None:
        self.path = Path(path)
        self._connections = Connections(self.path, timeout)
        self._connections.check()

    @classmethod
    def create(cls, path: str | Path, *, timeout: float = 30.0) -> "ProposalStore":
        """Open a store, or make an empty one (with its folder) where there is none."""
        path = Path(path)
        Connections(path, timeout).create(SCHEMA)
        return cls(path, timeout=timeout)

    def __len__(self) -> int:
        return int(self._one("SELECT count(*) FROM trees")[0])

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __contains__(self, key: object) -> bool:
        return bool(self._one("SELECT count(*) FROM trees WHERE path = ?", (key,))[0])

    def __getitem__(self, key: str) -> MergeTree:
        return self.tree(key)

    def keys(self) -> list[str]:
        """Relative paths of all photos, sorted by code point."""
        return [str(row[0]) for row in self._all("SELECT path FROM trees ORDER BY path")]

    def tree(self, key: str) -> MergeTree:
        """The merge tree of a photo.

        Raises:
            StoreError: for a photo that is not in the store, or a damaged row, which is removed.
        """
        query = "SELECT children, cost, rows, columns, height, width FROM trees WHERE path = ?"
        children, cost, rows, columns, height, width = self._found(query, key)
        try:
            return unpack_tree(children, cost, (rows, columns), (height, width))
        except (
            TreeError,
            StoreError,
            TypeError,
            ValueError,
            OverflowError,
        ) as error:  # any type may be in a column
            self.remove([key])  # a store is a cache: the next run makes the tree again
            raise StoreError(
                f"{self.path}: the tree of {key!r} was damaged ({error}) and is removed; run `clickgrain propose`"
                " or `clickgrain learn` again to make it"
            ) from error

    def meta(self, key: str) -> ProposalMeta:
        """What else is known about a photo.

        Raises:
            StoreError: for a photo that is not in the store.
        """
        return _meta_of(self._found(f"SELECT {_META} FROM trees WHERE path = ?", key))

    def find(self, key: str) -> ProposalMeta | None:
        """`meta`, or None for a photo that is not in the store."""
        row = self._one(f"SELECT {_META} FROM trees WHERE path = ?", (key,))
        return None if row is None else _meta_of(row)

    def metas(self) -> list[ProposalMeta]:
        """`meta` of all photos, sorted by key."""
        return [_meta_of(row) for row in self._all(f"SELECT {_META} FROM trees ORDER BY path")]

    def settings(self, digest: str) -> str:
        """The settings behind a settings hash, as JSON."""
        row = self._one("SELECT json FROM settings WHERE hash = ?", (digest,))
        if row is None:
            raise StoreError(f"{self.path} knows no settings {digest!r}; ask for a hash that `meta` gave")
        return str(row[0])

    def write(self, rows: Sequence[Row], settings: Mapping[str, str] | None = None) -> None:
        """Add rows, or replace those of the same key, all or none of them.

        Args:
            rows: packed photos.
            settings: settings hash -> JSON, of settings that these rows are the first to use.

        Raises:
            StoreError: the disk is full, the store is read-only or locked for longer than `timeout`. Everything
                written before stays.
        """
        values = [_values_of(row) for row in rows]
        marks = ", ".join("?" * len(_COLUMNS.split(",")))
        with explained(self.path), self._connections.get() as connection:
            connection.executemany("INSERT OR IGNORE INTO settings VALUES (?, ?)", list((settings or {}).items()))
            connection.executemany(f"INSERT OR REPLACE INTO trees ({_COLUMNS}) VALUES ({marks})", values)

    def touch(self, key: str, source: Source) -> None:
        """Note a new time of change of a file whose bytes are the same."""
        with explained(self.path), self._connections.get() as connection:
            connection.execute(
                "UPDATE trees SET source_mtime_ns = ?, source_bytes = ? WHERE path = ?",
                (source.mtime_ns, source.size, key),
            )

    def remove(self, keys: Sequence[str]) -> None:
        """Forget photos; keys that are not there are no error."""
        with explained(self.path), self._connections.get() as connection:
            connection.executemany("DELETE FROM trees WHERE path = ?", [(key,) for key in keys])

    def merge(self, other: "ProposalStore") -> int:
        """Take over every row of another store (a shard made on another machine); returns how many."""
        with explained(self.path):
            connection = self._connections.get()
            connection.execute("ATTACH DATABASE ? AS other", (str(other.path),))
            try:
                with connection:
                    connection.execute("INSERT OR IGNORE INTO settings SELECT * FROM other.settings")
                    copied = connection.execute(
                        f"INSERT OR REPLACE INTO trees ({_COLUMNS}) SELECT {_COLUMNS} FROM other.trees"
                    ).rowcount
            finally:
                connection.execute("DETACH DATABASE other")
        return int(copied)

    def close(self) -> None:
        """Close this thread's connection; the next use opens another."""
        self._connections.close()

    def __enter__(self) -> "ProposalStore":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"ProposalStore({str(self.path)!r}, {len(self)} trees)"

    def _all(self, query: str, values: tuple[Any, ...] = ()) -> list[Any]:
        with explained(self.path):
            return self._connections.get().execute(query, values).fetchall()

    def _one(self, query: str, values: tuple[Any, ...] = ()) -> Any:
        rows = self._all(query, values)
        return rows[0] if rows else None

    def _found(self, query: str, key: str) -> Any:
        row = self._one(query, (key,))
        if row is None:
            raise StoreError(f"{self.path} holds no tree of {key!r}; run `clickgrain propose` on its folder")
        return row


def _values_of(row: Row) -> tuple[Any, ...]:
    meta, source = row.meta, row.meta.source
    head = (meta.key, source.sha256, source.size, source.mtime_ns, *meta.image_size)
    return (*head, meta.extractor, meta.settings, *meta.grid, row.children, row.cost)


def _meta_of(row: Any) -> ProposalMeta:
    key, sha256, size, mtime_ns, height, width, extractor, settings, rows, columns = row
    source = Source(sha256, size, mtime_ns)
    return ProposalMeta(key, source, (height, width), extractor, settings, (rows, columns))
