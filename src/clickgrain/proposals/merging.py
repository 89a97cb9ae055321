"""Features become trees in threads beside the forward passes; one writer puts them into the store."""

import os
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal

from clickgrain.errors import ClickgrainError, StoreError
from clickgrain.files import hash_bytes, hash_file
from clickgrain.proposals.args import Linkage
from clickgrain.proposals.store import ProposalStore, Row, Source
from clickgrain.tree import build_tree
from clickgrain.types import Float, Size

COMMIT_ROWS = 64
COMMIT_SECONDS = 5.0
"""A transaction is written after so many rows or seconds; a killed run loses no more than that."""


@dataclass(frozen=True)
class Job:
    """A photo on its way: its key, its path, and the state of the file before it was read."""

    key: str
    path: Path
    state: os.stat_result


class Merger:
    """Merging threads and the writer. Leave the `with` block in any way: finished trees are in the store.

    Args:
        store: takes the trees.
        extractor: its name.
        settings: JSON of all that decides a tree besides the photo.
        connectivity: see `build_tree`.
        linkage: see `build_tree`.
        workers: merging threads; the kernel releases the interpreter's lock.
        waiting: photos whose features may be held in memory; more than a batch, lest the forward passes wait.
    """

    def __init__(
        self,
        store: ProposalStore,
        extractor: str,
        settings: str,
        *,
        connectivity: Literal[0, 4, 8],
        linkage: Linkage,
        workers: int,
        waiting: int,
    ) -> None:
        self._store, self._extractor, self._settings = store, extractor, settings
        self._digest = hash_bytes(settings.encode())
        self._connectivity, self._linkage = connectivity, linkage
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="merge")
        self._limit = waiting
        self._under_way: deque[tuple[Job, Future[Row]]] = deque()
        self._rows: list[Row] = []
        self._written = time.monotonic()
        self.on_done: Callable[[], None] = lambda: None
        self.on_failure: Callable[[str, str], None] = lambda key, reason: None

    def submit(self, job: Job, image_size: Size, features: Float) -> None:
        """Merge h x w x d features of a photo of (height, width) pixels in the background."""
        self._under_way.append((job, self._pool.submit(self._row, job, image_size, features)))
        while self._under_way and (len(self._under_way) > self._limit or self._under_way[0][1].done()):
            self._collect()
        if len(self._rows) >= COMMIT_ROWS or time.monotonic() - self._written > COMMIT_SECONDS:
            self._write()

    def finish(self) -> None:
        """Wait for all trees and write them."""
        while self._under_way:
            self._collect()
        self._write()

    def __enter__(self) -> "Merger":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        if error is not None:  # e.g. Ctrl-C: keep what is finished; the first error is the one that matters
            while self._under_way:
                with suppress(Exception):
                    self._collect()
            with suppress(StoreError):
                self._write()

    def _row(self, job: Job, image_size: Size, features: Float) -> Row:
        tree = build_tree(features, image_size, connectivity=self._connectivity, linkage=self._linkage)
        source = Source(hash_file(job.path), job.state.st_size, job.state.st_mtime_ns)
        after = job.path.stat()
        if (after.st_size, after.st_mtime_ns) != (source.size, source.mtime_ns):
            raise StoreError(f"{job.path}: the file changed while it was read; run again")
        return Row.of(job.key, source, tree, self._extractor, self._digest)

    def _collect(self) -> None:
        job, future = self._under_way.popleft()
        try:
            self._rows.append(future.result())
            self.on_done()
        except CancelledError:
            pass
        except ClickgrainError as error:
            self.on_failure(job.key, _naming(job.path, str(error)))
        except OSError as error:
            self.on_failure(job.key, f"{job.path}: {error.strerror}; check the file and its permissions")
        except Exception as error:  # one photo costs nobody else
            self.on_failure(job.key, f"{job.path}: its tree cannot be made ({type(error).__name__}: {error})")

    def _write(self) -> None:
        self._store.write(self._rows, {self._digest: self._settings})
        self._rows = []  # only now: Ctrl-C in the middle of it comes back here
        self._written = time.monotonic()


def _naming(path: Path, reason: str) -> str:
    return reason if str(path) in reason else f"{path}: {reason}"
