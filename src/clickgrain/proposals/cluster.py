"""`propose --engine ray`: the pipeline of `pipeline` as a stream of Ray Data, on one machine or on a cluster.

Tasks read and shrink images, actors compute features (a GPU each where the cluster has some), others merge and
write, each to a store in one folder. Ray bounds what waits between the stages.
"""

import logging
import shutil
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock, Timeout

from clickgrain.errors import ClickgrainError, ConfigError, StoreError, cause
from clickgrain.features.registry import FeatureExtractor
from clickgrain.files import core_count, hash_bytes
from clickgrain.images import ImageFile, ReadReport, list_images, read_images
from clickgrain.images.remote import is_url
from clickgrain.progress import Bar, Progress, Quiet
from clickgrain.proposals.config import Linkage, Shard
from clickgrain.proposals.pipeline import Failure, Pass, ProposeReport, TreeSettings, shrunk
from clickgrain.proposals.store import ProposalStore

OBJECT_STORE = 400 << 20  # bytes of a local start; what does not fit waits
BLOCK = 32 << 20  # bytes that travel together at most
BEGUN = ".begun"  # folder next to the stores, with a mark for what a worker has begun
DEATHS = 3  # of workers that a group of images may cost before they are taken one by one, and an image alone
REACHED = 10.0  # seconds in which a cluster answers
ENDING = 60.0  # seconds in which the workers of a run that is over give their stores back
Batch = dict[str, Any]


def propose_on_ray(
    photos: str | Path,
    out: str | Path,
    *,
    load: Callable[[bool], FeatureExtractor],
    address: str = "",
    shard: str = "1/1",
    ignore: Sequence[str] = (),
    batch: int = 16,
    workers: int = 0,
    long_side: int = 512,
    connectivity: Literal[0, 4, 8] = 4,
    linkage: Linkage = "ward",
    progress: bool | Progress = True,
) -> ProposeReport:
    """`pipeline.propose` on Ray: the same trees, in the stores `out`/*.db; photos lie where all machines see them.

    A worker that dies is replaced and its images are done again; a photo is in one store at the end.

    Args:
        photos: as in `pipeline.propose`, like all that is not named here.
        out: folder of stores, one per writing worker.
        load: given whether the worker has a GPU, the extractor; called in every worker that computes features.
        address: of a running cluster; without one, Ray starts here with `workers` CPUs (0: all cores).

    Raises:
        ConfigError: Ray is not installed, or `out` is a file.
    """
    try:
        import ray
    except ImportError as error:
        raise ConfigError("Ray is not installed; pip install 'clickgrain[ray]', or use --engine local") from error
    part, out, started = Shard.parse(shard), Path(out), time.monotonic()
    if out.is_file():
        raise ConfigError(f"--out {out} is a file; --engine ray writes a store per worker, so give it a folder")
    extractor, report = load(False), ProposeReport()
    settings = TreeSettings(extractor.name, long_side, connectivity, linkage)
    source = photos if is_url(str(photos)) else Path(photos).absolute()
    files = [f for f in list_images(source, ignore=ignore, left_out=report.left_out) if part.holds(f.key)]
    bar = progress if not isinstance(progress, bool) else Bar() if progress else Quiet()
    with bar:
        bar.start("trees", len(files))
        with _owned(out, ENDING) as (stores, used):
            if used:
                fix = "wait until it has ended, or give another --out"
                raise StoreError(f"{used[0]} is in use by another run, perhaps on another machine; {fix}")
            shutil.rmtree(out / BEGUN, ignore_errors=True)  # of a run that was killed
            (out / BEGUN).mkdir(parents=True, exist_ok=True)
            if not stores:
                ProposalStore.create(out / f"{socket.gethostname()}-0.db").close()
            with ProposalStore.open(out) as store:
                check = Pass(store, extractor, settings, report=report, bar=bar)
                waiting = {file.key: file for file in check.todo(files)}
                # Their new trees go to any store, and a photo's tree must be in one.
                store.remove([key for key in waiting if key in store])
        ours = not ray.is_initialized()
        if ours:
            local = {"num_cpus": workers or core_count(), "object_store_memory": OBJECT_STORE}
            more = {"address": address} if address else {**local, "include_dashboard": False}
            try:
                host, _, port = address.rpartition("://")[2].rpartition(":")
                if port.isdecimal():  # Ray itself waits for minutes where nothing answers
                    socket.create_connection((host.strip("[]"), int(port)), REACHED).close()
                ray.init(log_to_driver=False, logging_level="error", **more)
            except (OSError, ValueError, RuntimeError) as error:
                fix = "check --address and that the cluster runs, or leave it out" if address else "run again"
                place = address or "this machine"
                raise ConfigError(f"cannot reach Ray at {place} ({cause(error)}); {fix}") from error
        try:
            for item in _stream(list(waiting.values()), settings, load, out.absolute(), batch) if waiting else ():
                if isinstance(item, Failure):
                    report.failed.append(item)
                    waiting.pop(item.key, None)
                    bar.advance()
                elif item[0] == "note":
                    report.notes.append(item[1])
                elif item[0] == "broken":
                    raise ClickgrainError(item[1])
                elif waiting.pop(item[1], None):
                    report.done += 1
                    bar.advance()
        except ray.exceptions.RayError as error:
            fix = "finished trees are kept; look into Ray's logs, then run again"
            raise ClickgrainError(f"Ray ended the run ({cause(error)}); {fix}") from error
        finally:
            if ours:
                ray.shutdown()
            with _owned(out, ENDING) as (stores, used):
                if not used:
                    shutil.rmtree(out / BEGUN, ignore_errors=True)
                if stores:
                    with ProposalStore.open(stores) as store:
                        store.drop_copies()  # of images that a worker had just written when it died
            report.notes += [f"{path}: still in use; trees that it has twice are left there" for path in used]
    report.failed += [Failure(key, f"{file}: lost on the way; run again") for key, file in waiting.items()]
    report.notes = list(dict.fromkeys(report.notes))
    report.seconds = time.monotonic() - started
    return report


@contextmanager
def _owned(out: Path, seconds: float) -> Iterator[tuple[list[Path], list[Path]]]:
    """The stores in a folder that are ours alone inside the block, and those that a worker did not give back.

    SQLite's log works within one machine, so a process opens a store of the folder only while it holds its lock.
    """
    free, used, end = list[Path](), list[Path](), time.monotonic() + seconds
    with ExitStack() as stack:
        for path in sorted(out.glob("*.db")):
            lock = FileLock(f"{path}.lock")
            try:
                lock.acquire(timeout=max(0.0, end - time.monotonic()))
            except Timeout:
                used.append(path)
            except (OSError, NotImplementedError) as error:
                reason = "give --out a folder that can be written to, on a file system with locks"
                raise StoreError(f"{path}.lock cannot be locked ({cause(error)}); {reason}") from error
            else:
                stack.callback(lock.release)
                free.append(path)
        yield free, used


def _stream(
    files: list[ImageFile], settings: TreeSettings, load: Callable[[bool], FeatureExtractor], out: Path, batch: int
) -> Iterator[Any]:
    """What became of every image, in any order: a `Failure`, ("done", key) or ("note", text)."""
    import ray
    from ray.data import ActorPoolStrategy, DataContext, TaskPoolStrategy

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.target_max_block_size = BLOCK
    resources = ray.cluster_resources()
    pool, gpus = max(1, int(resources.get("CPU", 1)) // 2), int(resources.get("GPU", 0))
    # Actors hold their CPUs for the whole run. At a quarter each, half a CPU is left for reading on one core.
    blocks = min(10_000, -(-len(files) // batch))
    stages = ray.data.from_items(files, override_num_blocks=blocks)
    if gpus:
        stages = stages.map_batches(
            lambda group: _decoded(_items(group), settings, out), batch_size=batch, num_cpus=0.5, max_retries=-1,
            compute=TaskPoolStrategy(pool),
        )  # fmt: skip
        actors: list[tuple[Any, tuple[Any, ...], int, dict[str, float]]] = [
            (_Features, (settings, load, True, out), gpus, {"num_cpus": 0.25, "num_gpus": 1}),
            (_Merge, (settings, out), pool, {"num_cpus": 0.25}),
        ]
    else:  # without a device to feed, images need not travel between processes
        actors = [(_All, (settings, load, out), max(1, int(resources.get("CPU", 1))), {"num_cpus": 1})]
    for actor, given, count, each in actors:
        compute = ActorPoolStrategy(size=count)
        stages = stages.map_batches(actor, fn_constructor_args=given, batch_size=batch, compute=compute, **each)
    for group in stages.iter_batches(batch_size=None, prefetch_batches=0):
        yield from _items(group)


def _surviving(work: Callable[[list[Any]], Iterable[Any]], items: list[Any], out: Path) -> Iterator[Any]:
    """What a stage makes of images, which Ray gives to another worker, without end, when theirs dies.

    A mark in `out` says how often they were begun. After three deaths they are taken one by one, and one that has
    killed three workers alone is a `Failure`: a deadly image costs neither the others nor the end of the run.
    """
    files = [item if isinstance(item, ImageFile) else item[0] for item in items]
    mark = out / BEGUN / hash_bytes("\n".join([work.__qualname__, *(file.key for file in files)]).encode())
    with mark.open("ab") as file:
        deaths = file.tell()
        file.write(b"x")
    if deaths < DEATHS:
        yield from work(items)
    elif len(items) > 1:
        for item in items:
            yield from _surviving(work, [item], out)
    else:
        reason = f"killed its worker {deaths} times; make the file again, or leave it out with --ignore"
        yield Failure(files[0].key, f"{files[0]}: {reason}")
        return  # the mark stays: another one that is deadly may bring this one back
    mark.unlink(missing_ok=True)


def _decode(files: list[ImageFile], settings: TreeSettings) -> Iterator[Any]:
    """Read and shrink images: (file, size of the image, small image)."""
    reading = ReadReport()
    for file, image in read_images(files, workers=1, report=reading):
        yield file, image.shape[:2], shrunk(image, settings.long_side)
    yield from (Failure(key, reason) for key, reason in reading.bad)
    yield from (("note", note) for note in reading.notes)


def _decoded(files: list[ImageFile], settings: TreeSettings, out: Path) -> Iterator[Batch]:
    for item in _surviving(lambda files: _decode(files, settings), files, out):
        yield _packed([item])


class _Stage(ABC):
    """An actor that does `work` on images."""

    out: Path

    @abstractmethod
    def work(self, items: list[Any]) -> list[Any]:
        """What becomes of images."""

    def __call__(self, group: Batch) -> Batch:
        try:
            return _packed(_on_images(lambda images: _surviving(self.work, images, self.out), _items(group)))
        except Exception as error:  # which would meet all other images, too: a full disk, a broken extractor
            known = isinstance(error, ClickgrainError)
            return _packed([("broken", str(error) if known else f"{type(error).__name__}: {cause(error)}")])


class _Features(_Stage):
    """Replaces images by their features."""

    def __init__(
        self, settings: TreeSettings, load: Callable[[bool], FeatureExtractor], gpu: bool, out: Path
    ) -> None:
        self.run, self.out = Pass(None, load(gpu), settings), out  # type: ignore[arg-type]

    def work(self, items: list[Any]) -> list[Any]:
        """(file, size of the image, features)."""
        self.run.report.failed.clear()
        features = self.run.features([image for _, _, image in items], [file for file, _, _ in items])
        found = [(file, size, value) for (file, size, _), value in zip(items, features) if value is not None]
        if found:
            self.run.broken.clear()
        return [*found, *self.run.report.failed]


class _Merge(_Stage):
    """Merges, and writes to the first store of this machine that no other worker has taken."""

    def __init__(self, settings: TreeSettings, out: Path) -> None:
        self.out = out
        for number in range(10_000):
            path = out / f"{socket.gethostname()}-{number}.db"
            self.lock = FileLock(f"{path}.lock")  # ends with the process
            try:
                self.lock.acquire(timeout=0)
            except Timeout:
                continue
            self.run = Pass(ProposalStore.create(path), None, settings)  # type: ignore[arg-type]
            return
        raise StoreError(f"{out}: 10,000 stores are in use on this machine; give another folder")

    def work(self, items: list[Any]) -> list[Any]:
        """("done", key) of each."""
        self.run.report = ProposeReport()
        for item in items:
            self.run.merge(*item)
        self.run.finish()  # the rows are on disk before anything is said about them
        failed = {failure.key for failure in self.run.report.failed}
        keys = (file.key for file, _, _ in items)
        return [*self.run.report.failed, *(("done", key) for key in keys if key not in failed)]


class _All(_Stage):
    """All three, in one process for each core."""

    def __init__(self, settings: TreeSettings, load: Callable[[bool], FeatureExtractor], out: Path) -> None:
        self.settings, self.out = settings, out
        self.features, self.merge = _Features(settings, load, False, out), _Merge(settings, out)

    def work(self, items: list[Any]) -> list[Any]:
        """From files to ("done", key)."""
        items = list(_decode(items, self.settings))
        for stage in (self.features, self.merge):
            items = _on_images(stage.work, items)
        return items


def _on_images(work: Callable[[list[Any]], Iterable[Any]], items: list[Any]) -> list[Any]:
    """What `work` makes of images, alone or with what was made of them; a `Failure` or a note passes through."""
    images, rest = list[Any](), list[Any]()
    for item in items:
        is_image = isinstance(item, ImageFile) or (isinstance(item, tuple) and isinstance(item[0], ImageFile))
        (images if is_image else rest).append(item)
    return [*(work(images) if images else ()), *rest]


def _packed(items: list[Any]) -> Batch:
    """Any objects as a column."""
    return {"item": np.fromiter(items, object, len(items))}  # `np.array` would make a table of tuples


def _items(group: Batch) -> list[Any]:
    return list(group["item"])
