"""`propose`: a folder of photos becomes a store of merge trees."""

import json
import os
import time
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from clickgrain.errors import ClickgrainError, StoreError
from clickgrain.features.base import FeatureExtractor
from clickgrain.files import hash_bytes, hash_file
from clickgrain.images import ReadReport, find_images, fit_size, read_images, resize
from clickgrain.proposals.args import Linkage, Shard
from clickgrain.proposals.connection import is_damaged
from clickgrain.proposals.merging import Job, Merger
from clickgrain.proposals.store import ProposalMeta, ProposalStore, Source
from clickgrain.types import Float, UInt8

TREE_VERSION = 1
"""Raised when the same features would give another tree, so that stores are made anew."""
IN_A_ROW = 100
"""Photos that an extractor may break on one after the other; then it is to blame, not they."""

T = TypeVar("T")


class Stages(Protocol):
    """What shows work of several stages; see `clickgrain.training.progress`. Threads may call `advance`."""

    def start(self, what: str, total: int) -> None:
        """Begin a stage of `total` steps."""

    def advance(self) -> None:
        """One step more."""


@dataclass(frozen=True)
class Failure:
    """A photo without a tree, and why; the reason names the file and the fix. It is tried again next time."""

    key: str
    reason: str


@dataclass
class ProposeReport:
    """What became of a folder.

    Attributes:
        done: photos whose tree was made now.
        skipped: photos whose tree was there already, of the same bytes and settings.
        failed: photos without a tree.
        notes: remarks of the reader, e.g. on 16-bit images, and of batches that had to be taken apart.
        left_out: a line with number and names of files that look like images and are not taken, for each reason.
        seconds: wall time.
    """

    done: int = 0
    skipped: int = 0
    failed: list[Failure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def summary(self) -> str:
        """A few lines for the end of the command."""
        counts = f"{self.done} trees made, {self.skipped} there already, {len(self.failed)} photos failed"
        lines = [f"{counts} ({self.seconds:.0f} s)", *(f"  {failure.reason}" for failure in self.failed)]
        return "\n".join(lines)


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
    progress: bool | Stages = True,
) -> ProposeReport:
    """Build the merge tree of every photo in a folder; reading and merging run beside the forward passes.

    A store of ours that is damaged is deleted and made again: trees can be computed.

    Photos whose bytes and settings are those of the store are skipped, others are (re)done, so a run that was
    stopped at any point goes on where it was. A photo that fails costs nobody else; it is reported and tried
    again by the next run.

    Args:
        photos: folder, walked recursively.
        store: an open store, or the path of one that is made when missing.
        extractor: gives the features.
        shard: "i/n": only part i of n (1-based) of the photos, by a hash of their relative paths.
        ignore: patterns of files and folders to leave out; see `find_images`.
        only: relative paths of the photos to take; all when None.
        batch: images per forward pass.
        workers: threads that read, and as many that merge; 0: half the cores each.
        long_side: larger photos are shrunk to this many pixels before features are computed; 0: never.
        connectivity: see `build_tree`.
        linkage: see `build_tree`.
        progress: show a bar on stderr, or what shows the stages of longer work.

    Raises:
        DataError: no such folder, or no image in it.
        StoreError: the store cannot be read or written; what was finished stays.
        ConfigError: a malformed shard.
        Exception: what the extractor broke with, if it did on every photo, or on a hundred in a row.
    """
    part, folder, started = Shard.parse(shard), Path(photos), time.monotonic()
    settings = _settings(extractor.name, long_side, connectivity, linkage)
    path = store.path if isinstance(store, ProposalStore) else Path(store)
    threads = workers or max(1, _cores() // 2)

    def fill(report: ProposeReport) -> ProposeReport:
        opened = store if isinstance(store, ProposalStore) else ProposalStore.create(path)
        kept = (pair for pair in _keyed(folder, ignore, report.left_out) if only is None or pair[0] in only)
        paths = {key: path for key, path in kept if part.holds(key)}
        with (
            _bar(progress, len(paths)) as advance,
            Merger(
                opened,
                extractor.name,
                settings,
                connectivity=connectivity,
                linkage=linkage,
                workers=threads,
                waiting=2 * (batch + threads),
            ) as merger,
        ):
            run = _Run(opened, merger, report, advance)
            with closing(run.photos(paths, hash_bytes(settings.encode()), threads)) as ready:
                for group in _groups(ready, batch):
                    run.forward(extractor, group, long_side)
            merger.finish()
            run.conclude()
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


class _Run:
    """The steps of one run that share its store and report."""

    def __init__(
        self, store: ProposalStore, merger: Merger, report: ProposeReport, advance: Callable[[], None]
    ) -> None:
        self._store, self._merger, self._report, self._advance = store, merger, report, advance
        self._broken: list[Exception] = []  # by the extractor, since it last gave features
        self._taken_apart: list[Exception] = []  # batches
        merger.on_done = self._done
        merger.on_failure = self._fail

    def photos(
        self, paths: dict[str, Path], settings: str, threads: int
    ) -> Generator[tuple[Job, UInt8], None, None]:
        """Photos that need a tree, read ahead by threads; bad ones go to the report."""
        jobs: dict[Path, Job] = {}
        reading = ReadReport()
        for path, image in read_images(self._todo(paths, settings, jobs), workers=threads, report=reading):
            self._take_bad(reading, jobs)
            yield jobs.pop(path), image
        self._take_bad(reading, jobs)
        self._report.notes += reading.notes

    def forward(self, extractor: FeatureExtractor, group: list[tuple[Job, UInt8]], long_side: int) -> None:
        """One forward pass; the features go to the merging threads."""
        images = [_shrunk(image, long_side) for _, image in group]
        for (job, image), features in zip(group, self._features(extractor, images, group)):
            if features is not None:
                self._broken.clear()
                self._merger.submit(job, (image.shape[0], image.shape[1]), features)

    def _todo(self, paths: dict[str, Path], settings: str, jobs: dict[Path, Job]) -> Iterator[Path]:
        for key, path in paths.items():
            try:
                key.encode()
                state = path.stat()
                if self._is_current(self._store.find(key), key, path, state, settings):
                    self._report.skipped += 1
                    self._advance()
                    continue
            except OSError as error:
                self._fail(key, f"{path}: {error.strerror}; check the file and its permissions")
                continue
            except UnicodeEncodeError:
                self._fail(key, f"{path!r}: the name is not valid UTF-8; rename the file")
                continue
            jobs[path] = Job(key, path, state)
            yield path

    def _is_current(
        self, meta: ProposalMeta | None, key: str, path: Path, state: os.stat_result, settings: str
    ) -> bool:
        """Whether the store holds the tree of these bytes under these settings."""
        if meta is None or meta.settings != settings or meta.source.size != state.st_size:
            return False
        if meta.source.mtime_ns == state.st_mtime_ns:
            return True
        if meta.source.sha256 != hash_file(path):
            return False
        self._store.touch(key, Source(meta.source.sha256, state.st_size, state.st_mtime_ns))
        return True

    def _features(
        self, extractor: FeatureExtractor, images: list[UInt8], group: list[tuple[Job, UInt8]]
    ) -> Iterator[Float | None]:
        try:
            features = extractor.batch(images)
            if len(features) != len(images):
                raise ValueError(f"{len(features)} features came back")
        except Exception as error:
            # One image may have spoilt the batch, or the batch was too large for the device: one at a time.
            if not isinstance(error, ClickgrainError):
                self._taken_apart.append(error.with_traceback(None))  # which would hold the batch in memory
            return (self._features_of(extractor, image, job) for image, (job, _) in zip(images, group))
        return iter(features)

    def _features_of(self, extractor: FeatureExtractor, image: UInt8, job: Job) -> Float | None:
        try:
            return extractor(image)
        except ClickgrainError as error:
            self._fail(job.key, f"{job.path}: {error}")
        except Exception as error:  # of a device or a network: anything
            height, width = image.shape[:2]
            self._fail(
                job.key,
                f"{job.path}: {extractor.name} broke on it at {width} x {height} pixels ({_cause(error)}); run"
                " again, with another --long-side or --device, or leave it out with --ignore",
            )
            self._broken.append(error.with_traceback(None))
            if len(self._broken) >= IN_A_ROW:
                raise
        return None

    def conclude(self) -> None:
        """Say what befell whole batches; an extractor that broke on all photos is not blamed on them."""
        if self._broken and not self._report.done + self._report.skipped:
            raise self._broken[-1]
        if self._taken_apart:
            self._report.notes.append(
                f"{len(self._taken_apart)} batches were taken photo by photo ({_cause(self._taken_apart[0])}); a"
                " smaller --batch is quicker"
            )

    def _take_bad(self, reading: ReadReport, jobs: dict[Path, Job]) -> None:
        for path, reason in reading.bad:
            self._fail(jobs.pop(path).key, reason)
        reading.bad.clear()

    def _done(self) -> None:
        self._report.done += 1
        self._advance()

    def _fail(self, key: str, reason: str) -> None:
        self._report.failed.append(Failure(key, reason))
        self._advance()


def _settings(extractor: str, long_side: int, connectivity: int, linkage: str) -> str:
    known = {"extractor": extractor, "long_side": long_side, "connectivity": connectivity, "linkage": linkage}
    return json.dumps({**known, "tree": TREE_VERSION}, sort_keys=True)


def _cause(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _keyed(folder: Path, ignore: Sequence[str], left_out: list[str]) -> Iterator[tuple[str, Path]]:
    for path in find_images(folder, ignore=ignore, left_out=left_out):
        yield (path.relative_to(folder).as_posix() if path != folder else path.name), path


def _shrunk(image: UInt8, long_side: int) -> UInt8:
    size = (image.shape[0], image.shape[1])
    return image if not 0 < long_side < max(size) else resize(image, fit_size(size, long_side))


def _groups(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while group := list(islice(iterator, size)):
        yield group


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _bar(shown: bool | Stages, total: int) -> Iterator[Callable[[], None]]:
    if not isinstance(shown, bool):
        shown.start("trees", total)
        yield shown.advance
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not shown) as bar:
        task = bar.add_task("trees", total=total)
        yield lambda: bar.advance(task)
