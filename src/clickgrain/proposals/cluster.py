"""`propose --engine ray`: the pipeline of `pipeline` as a stream of Ray Data, on one machine or on a cluster.

Tasks read and shrink images, actors compute features (a GPU each where the cluster has some), other actors merge
and write, each to its own store, so a folder of stores comes out. Ray bounds what waits between the stages.
"""

import logging
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock, Timeout

from clickgrain.errors import ConfigError, StoreError
from clickgrain.features.registry import FeatureExtractor
from clickgrain.files import core_count
from clickgrain.images import ImageFile, ReadReport, list_images, read_images
from clickgrain.images.remote import is_url
from clickgrain.progress import Bar, Progress, Quiet
from clickgrain.proposals.config import Linkage, Shard
from clickgrain.proposals.pipeline import Failure, Pass, ProposeReport, TreeSettings, shrunk
from clickgrain.proposals.store import ProposalStore

OBJECT_STORE = 400 << 20  # bytes of a local start; what does not fit waits
BLOCK = 32 << 20  # bytes that travel together at most
LOST_BLOCKS = 100  # groups of images that may be lost with workers that died again and again
Batch = dict[str, Any]


def _pass(
    store: ProposalStore | None, extractor: FeatureExtractor | None, settings: TreeSettings, bar: Progress
) -> Pass:
    """A pass of one thread for a stage that uses a part of it."""
    return Pass(store, extractor, settings, 1, 1, ProposeReport(), bar)  # type: ignore[arg-type]


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
    first = [] if any(out.glob("*.db")) else [out / f"{socket.gethostname()}-0.db"]
    bar = progress if not isinstance(progress, bool) else Bar() if progress else Quiet()
    with bar:
        bar.start("trees", len(files))
        with ProposalStore.create(first[0] if first else out) as store:
            check = _pass(store, extractor, settings, bar)
            check.report = report
            waiting = {file.key: file for file in check.todo(files)}
            # Their new trees go to any store, and a photo's tree must be in one.
            store.remove([key for key in waiting if key in store])
        ours = not ray.is_initialized()
        if ours:
            local = {"num_cpus": workers or core_count(), "object_store_memory": OBJECT_STORE}
            more = {"address": address} if address else {**local, "include_dashboard": False}
            try:
                ray.init(log_to_driver=False, logging_level="error", **more)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise ConfigError(f"cannot reach Ray at {address or 'this machine'} ({error})") from error
        try:
            for item in _stream(list(waiting.values()), settings, load, out.absolute(), batch) if waiting else ():
                if isinstance(item, Failure):
                    report.failed.append(item)
                    waiting.pop(item.key, None)
                    bar.advance()
                elif item[0] == "note":
                    report.notes.append(item[1])
                elif waiting.pop(item[1], None):
                    report.done += 1
                    bar.advance()
        finally:
            if ours:
                ray.shutdown()
            with ProposalStore.open(out) as stores:
                stores.drop_copies()  # of images that a worker had just written when it died
    for key, file in waiting.items():
        report.failed.append(Failure(key, f"{file}: its worker died again and again; run again, or --ignore it"))
    report.notes = list(dict.fromkeys(report.notes))
    report.seconds = time.monotonic() - started
    return report


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
    context.max_errored_blocks = LOST_BLOCKS
    resources = ray.cluster_resources()
    pool, gpus = max(1, int(resources.get("CPU", 1)) // 2), int(resources.get("GPU", 0))
    # Actors hold their CPUs for the whole run. At a quarter each, half a CPU is left for reading on one core.
    blocks = min(10_000, -(-len(files) // batch))
    stages = ray.data.from_items([{"item": file} for file in files], override_num_blocks=blocks)
    if gpus:
        stages = stages.map_batches(
            lambda items: _decoded(items, settings), batch_size=batch, num_cpus=0.5, compute=TaskPoolStrategy(pool)
        )
        actors: list[tuple[Any, tuple[Any, ...], int, dict[str, float]]] = [
            (_Features, (settings, load, True), gpus, {"num_cpus": 0.25, "num_gpus": 1}),
            (_Merge, (settings, out), pool, {"num_cpus": 0.25}),
        ]
    else:  # without a device to feed, images need not travel between processes
        actors = [(_All, (settings, load, out), max(1, int(resources.get("CPU", 1))), {"num_cpus": 1})]
    for actor, given, count, each in actors:
        compute = ActorPoolStrategy(size=count)
        stages = stages.map_batches(actor, fn_constructor_args=given, batch_size=batch, compute=compute, **each)
    for group in stages.iter_batches(batch_size=None, prefetch_batches=0):
        yield from _items(group)


def _decoded(group: Batch, settings: TreeSettings) -> Iterator[Batch]:
    """Read and shrink images: (file, size of the image, small image)."""
    reading = ReadReport()
    for file, image in read_images(_items(group), workers=1, report=reading):
        yield _packed([(file, image.shape[:2], shrunk(image, settings.long_side))])
    yield _packed([Failure(key, reason) for key, reason in reading.bad])
    yield _packed([("note", note) for note in reading.notes])


class _Features:
    """Replaces images by their features; what is no image passes through."""

    def __init__(self, settings: TreeSettings, load: Callable[[bool], FeatureExtractor], gpu: bool) -> None:
        self.run = _pass(None, load(gpu), settings, Quiet())

    def __call__(self, group: Batch) -> Batch:
        items = _items(group)
        ready = [item for item in items if _is_ready(item)]
        rest = [item for item in items if not _is_ready(item)]
        self.run.report.failed.clear()
        features = self.run.features([image for _, _, image in ready], [(file, image) for file, _, image in ready])
        merged = [(file, size, value) for (file, size, _), value in zip(ready, features) if value is not None]
        return _packed([*merged, *rest, *self.run.report.failed])


class _Merge:
    """Merges, and writes to the first store of this machine that no other worker has taken."""

    def __init__(self, settings: TreeSettings, out: Path) -> None:
        for number in range(10_000):
            path = out / f"{socket.gethostname()}-{number}.db"
            self.lock = FileLock(f"{path}.lock")  # ends with the process
            try:
                self.lock.acquire(timeout=0)
            except Timeout:
                continue
            self.run = _pass(ProposalStore.create(path), None, settings, Quiet())
            return
        raise StoreError(f"{out}: 10,000 stores are in use on this machine; give another folder")

    def __call__(self, group: Batch) -> Batch:
        self.run.report, result = ProposeReport(), []
        keys = []
        for item in _items(group):
            if _is_ready(item):
                self.run.merge(*item)
                keys.append(item[0].key)
            else:
                result.append(item)
        self.run.finish()  # the rows are on disk before anything is said about them
        failed = {failure.key for failure in self.run.report.failed}
        return _packed([*result, *self.run.report.failed, *(("done", key) for key in keys if key not in failed)])


class _All:
    """All three, in one process for each core."""

    def __init__(self, settings: TreeSettings, load: Callable[[bool], FeatureExtractor], out: Path) -> None:
        self.settings, self.features, self.merge = settings, _Features(settings, load, False), _Merge(settings, out)

    def __call__(self, group: Batch) -> Batch:
        decoded = [item for part in _decoded(group, self.settings) for item in _items(part)]
        return self.merge(self.features(_packed(decoded)))


def _is_ready(item: Any) -> bool:
    """Whether it is an image or its features, and not a `Failure` or a note."""
    return isinstance(item, tuple) and isinstance(item[0], ImageFile)


def _packed(items: list[Any]) -> Batch:
    """Any objects as a column."""
    column = np.empty(len(items), object)
    for i, item in enumerate(items):  # tuples in a list would become a table
        column[i] = item
    return {"item": column}


def _items(group: Batch) -> list[Any]:
    return list(group["item"])
