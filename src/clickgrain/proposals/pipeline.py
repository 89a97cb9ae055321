"""`propose`: a folder of photos becomes a store of merge trees.

Threads read photos, the main thread runs the extractor, other threads merge, and the main thread writes the trees.
"""

import json
import time
from collections import deque
from collections.abc import Container, Generator, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal

from clickgrain.errors import ClickgrainError, ImageError, StoreError, cause
from clickgrain.features.registry import FeatureExtractor
from clickgrain.files import core_count, hash_bytes
from clickgrain.images import ImageFile, ReadReport, fit_size, list_images, read_images, resize
from clickgrain.progress import Bar, Progress, Quiet
from clickgrain.proposals.config import Linkage, Shard
from clickgrain.proposals.store import ProposalMeta, ProposalStore, Row, Source, is_damaged
from clickgrain.tree import build_tree
from clickgrain.types import Float, Size, UInt8

TREE_VERSION = 1  # raised when the same features would give another tree, so that stores are rebuilt
IN_A_ROW = 100  # photos that an extractor may fail on in a row; then the extractor is at fault, not the photos
COMMIT_ROWS = 64
COMMIT_SECONDS = 5.0  # a transaction is written after so many rows or seconds; a killed run loses no more than that


@dataclass(frozen=True)
class Failure:
    """A photo without a tree, and why; the reason names the file and the fix. The next run tries it again."""

    key: str
    reason: str


@dataclass
class ProposeReport:
    """What became of a folder."""

    done: int = 0  # photos whose tree was made now
    skipped: int = 0  # photos whose tree was there already, of the same bytes and settings
    failed: list[Failure] = field(default_factory=list)  # photos without a tree
    notes: list[str] = field(default_factory=list)  # remarks of the reader, and on batches that had to be split
    # a line with number and names of files that look like images and are not taken, for each reason
    left_out: list[str] = field(default_factory=list)
    seconds: float = 0.0  # wall time

    def summary(self) -> str:
        """A line for the end of the command."""
        counts = f"{self.done} trees made, {self.skipped} there already, {len(self.failed)} photos failed"
        return f"{counts} ({self.seconds:.0f} s)"


@dataclass(frozen=True)
class TreeSettings:
    """All that decides a tree, other than the photo; see `propose`."""

    extractor: str  # its name
    long_side: int
    connectivity: Literal[0, 4, 8]
    linkage: Linkage

    @property
    def text(self) -> str:
        """As JSON, whose hash the store keeps with every tree."""
        return json.dumps({**asdict(self), "tree": TREE_VERSION}, sort_keys=True)


def propose(
    photos: str | Path,
    store: str | Path | ProposalStore,
    *,
    extractor: FeatureExtractor,
    shard: str = "1/1",
    ignore: Sequence[str] = (),
    only: Container[str] | None = None,
    batch: int = 16,
    workers: int = 0,
    long_side: int = 512,
    connectivity: Literal[0, 4, 8] = 4,
    linkage: Linkage = "ward",
    progress: bool | Progress = True,
) -> ProposeReport:
    """Build the merge tree of every photo in a folder; threads read and merge during the forward passes.

    Photos whose bytes and settings are those of the store are skipped, others are (re)done, so a run that was
    stopped at any point continues. A photo that fails stops no other; it is reported and tried again by the next
    run. A damaged store of ours is deleted and rebuilt: trees can be computed.

    Args as in `ProposeArgs`, but:
        photos: as `list_images` takes it, like `ignore`.
        store: an open store, or the path of one that is made when missing.
        extractor: gives the features.
        only: relative paths of the photos to take; all when None.
        progress: show a bar on stderr, or the bar of a longer task.

    Raises:
        DataError: no such source, or no image in it. ConfigError: a malformed shard.
        StoreError: the store cannot be read or written; finished trees stay.
        Exception: the extractor's own, if it failed on every photo, or on a hundred in a row.
    """
    part, started = Shard.parse(shard), time.monotonic()
    settings = TreeSettings(extractor.name, long_side, connectivity, linkage)
    path = store.path if isinstance(store, ProposalStore) else Path(store)
    threads = workers or max(1, core_count() // 2)
    bar = progress if not isinstance(progress, bool) else Bar() if progress else Quiet()

    def fill(report: ProposeReport) -> ProposeReport:
        opened = store if isinstance(store, ProposalStore) else ProposalStore.create(path)
        files = list_images(photos, ignore=ignore, left_out=report.left_out)
        files = [file for file in files if (only is None or file.key in only) and part.holds(file.key)]
        with bar, Pass(opened, extractor, settings, threads, 2 * (batch + threads), report, bar) as run:
            bar.start("trees", len(files))
            with closing(run.photos(files)) as ready:
                while group := list(islice(ready, batch)):
                    run.forward(group)
            run.finish()
        report.seconds = time.monotonic() - started
        return report

    try:
        return fill(ProposeReport())
    except StoreError as error:
        if not is_damaged(path, error):
            raise
        if isinstance(store, ProposalStore):
            store.close()
        for end in ("", "-wal", "-shm"):
            path.with_name(path.name + end).unlink(missing_ok=True)
        ProposalStore.create(path)
        return fill(ProposeReport(notes=[f"{path}: was damaged ({error.__cause__}); all trees are made again"]))


@dataclass
class Pass(AbstractContextManager["Pass"]):
    """One pass over a folder. Leave the `with` block in any way: finished trees are in the store."""

    store: ProposalStore  # takes the trees
    extractor: FeatureExtractor
    settings: TreeSettings
    threads: int = 1  # that read, and as many that merge; the kernel releases the interpreter's lock
    waiting: int = 1  # photos whose features may wait in memory: more than a batch, or forward passes would wait
    report: ProposeReport = field(default_factory=ProposeReport)
    bar: Progress = field(default_factory=Quiet)  # advances by a photo
    merging: deque[tuple[ImageFile, Future[Row]]] = field(default_factory=deque)  # whose trees are built, in order
    rows: list[Row] = field(default_factory=list)  # finished trees that wait for the next transaction
    broken: list[Exception] = field(default_factory=list)  # errors of the extractor since it last gave features
    split: list[Exception] = field(default_factory=list)  # errors of batches that were then taken photo by photo

    def __post_init__(self) -> None:
        self.digest, self.written = hash_bytes(self.settings.text.encode()), time.monotonic()
        self.pool = ThreadPoolExecutor(self.threads, thread_name_prefix="merge")

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.pool.shutdown(wait=True, cancel_futures=True)
        if error is not None:  # e.g. Ctrl-C: keep finished trees; the first error is the one that matters
            while self.merging:
                with suppress(Exception):
                    self._collect()
            with suppress(StoreError):
                self._write()

    def photos(self, files: Iterable[ImageFile]) -> Generator[tuple[ImageFile, UInt8], None, None]:
        """Photos that need a tree, read ahead by threads; bad ones go to the report."""
        reading = ReadReport()
        for photo in read_images(self.todo(files), workers=self.threads, report=reading):
            self.fail_all(reading)
            yield photo
        self.fail_all(reading)
        self.report.notes += reading.notes

    def fail_all(self, reading: ReadReport) -> None:
        """Report what could not be read."""
        for key, reason in reading.bad:
            self._fail(key, reason)
        reading.bad.clear()

    def forward(self, group: list[tuple[ImageFile, UInt8]]) -> None:
        """One forward pass; the features go to the merging threads."""
        images = [shrunk(image, self.settings.long_side) for _, image in group]
        for (file, image), features in zip(group, self.features(images, [file for file, _ in group])):
            if features is None:
                continue
            self.broken.clear()
            self.merge(file, (image.shape[0], image.shape[1]), features)
            while self.merging and (len(self.merging) > self.waiting or self.merging[0][1].done()):
                self._collect()
            if len(self.rows) >= COMMIT_ROWS or time.monotonic() - self.written > COMMIT_SECONDS:
                self._write()

    def merge(self, file: ImageFile, size: Size, features: Float) -> None:
        """Give the features of an image of that size to the merging threads."""
        self.merging.append((file, self.pool.submit(self._row, file, size, features)))

    def finish(self) -> None:
        """Wait for all trees, write them, and report failed batches. Raises the extractor's error if all failed."""
        while self.merging:
            self._collect()
        self._write()
        if self.broken and not self.report.done + self.report.skipped:
            raise self.broken[-1]
        if self.split:
            said = f"{len(self.split)} batches were taken photo by photo ({cause(self.split[0])})"
            self.report.notes.append(f"{said}; a smaller --batch is quicker")

    def todo(self, files: Iterable[ImageFile]) -> Iterator[ImageFile]:
        """Photos that need a tree, with their present state."""
        for file in files:
            try:
                file.key.encode()
                file = file.now()
                if self._is_current(self.store.find(file.key), file):
                    self.report.skipped += 1
                    self.bar.advance()
                else:
                    yield file
            except OSError as error:
                self._fail(file.key, f"{file}: {error.strerror}; check the file and its permissions")
            except UnicodeEncodeError:
                self._fail(file.key, f"{file.place!r}: the name is not valid UTF-8; rename the file")
            except ImageError as error:
                self._fail(file.key, str(error))

    def _is_current(self, meta: ProposalMeta | None, file: ImageFile) -> bool:
        """Whether the store holds the tree of these bytes under these settings."""
        if meta is None or meta.settings != self.digest:
            return False
        if file.state is None or file.state == (meta.source.size, meta.source.mtime_ns):
            return True  # an address without a listing is taken as unchanged
        if meta.source.size != file.state[0]:
            return False
        with file.opened() as content:
            if file.read_as(content).sha256 != meta.source.sha256:
                return False
        self.store.touch(file.key, Source(meta.source.sha256, *file.state))
        return True

    def features(self, images: list[UInt8], files: list[ImageFile]) -> Iterable[Float | None]:
        """One forward pass; None for images that the extractor fails on, which go to the report."""
        try:
            features = self.extractor.batch(images)
            if len(features) != len(images):
                raise ValueError(f"{len(features)} features came back")
        except Exception as error:
            # One image may have broken the batch, or the batch was too large for the device: one at a time.
            if not isinstance(error, ClickgrainError):
                self.split.append(error.with_traceback(None))  # which would hold the batch in memory
            return (self._features_of(image, file) for image, file in zip(images, files))
        return features

    def _features_of(self, image: UInt8, file: ImageFile) -> Float | None:
        try:
            return self.extractor(image)
        except ClickgrainError as error:
            self._fail(file.key, f"{file}: {error}")
        except Exception as error:  # of a device or a network: anything
            height, width = image.shape[:2]
            broke = f"{self.extractor.name} broke on it at {width} x {height} pixels ({cause(error)})"
            fix = "run again, with another --long-side or --device, or leave it out with --ignore"
            self._fail(file.key, f"{file}: {broke}; {fix}")
            self.broken.append(error.with_traceback(None))
            if len(self.broken) >= IN_A_ROW:
                raise
        return None

    def _row(self, file: ImageFile, image_size: Size, features: Float) -> Row:
        how = self.settings
        tree = build_tree(features, image_size, connectivity=how.connectivity, linkage=how.linkage)
        if file.now().state != file.state:
            raise StoreError(f"{file}: the file changed while it was read; run again")
        assert file.state is not None, "read"
        source = Source(file.sha256, *file.state)
        return Row.of(file.key, source, tree, how.extractor, self.digest)

    def _collect(self) -> None:
        file, future = self.merging.popleft()
        try:
            self.rows.append(future.result())
            self.report.done += 1
            self.bar.advance()
        except CancelledError:
            pass
        except ClickgrainError as error:
            self._fail(file.key, str(error) if file.place in str(error) else f"{file}: {error}")
        except OSError as error:
            self._fail(file.key, f"{file}: {error.strerror}; check the file and its permissions")
        except Exception as error:  # one photo stops no other
            self._fail(file.key, f"{file}: its tree cannot be made ({type(error).__name__}: {error})")

    def _write(self) -> None:
        self.store.write(self.rows, {self.digest: self.settings.text})
        self.rows = []  # only now: Ctrl-C in the middle of it comes back here
        self.written = time.monotonic()

    def _fail(self, key: str, reason: str) -> None:
        self.report.failed.append(Failure(key, reason))
        self.bar.advance()


def shrunk(image: UInt8, long_side: int) -> UInt8:
    """An image of at most that long side (0: any)."""
    size = (image.shape[0], image.shape[1])
    return resize(image, fit_size(size, long_side)) if 0 < long_side < max(size) else image
