"""`clickgrain bench`: how many images a second each stage does on this machine, and what limits it."""

import json
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import psutil
import tyro

from clickgrain import features
from clickgrain.commands.console import say
from clickgrain.devices import choose_device
from clickgrain.errors import ConfigError
from clickgrain.files import core_count, write_or_raise

if TYPE_CHECKING:
    from clickgrain.images import ImageFile

WARM = 2  # images before the clock starts: compilation, first allocations
STEPS = 12
BUSY = 0.7  # of the time on or waiting for a processor, above which no disk or network is the limit


@dataclass(frozen=True)
class BenchArgs:
    """Measure every stage on this machine: images a second, memory, and what limits it.

    Stages run one after the other, each in one thread (torch uses all cores). Pause other work first, or look at
    `core ms`, the processor time of an image.
    """

    # folder, list, tars or URL, as in `propose`; left out, eight photos that come with scikit-image.
    photos: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PHOTOS")] = ""
    count: int = 64  # images to measure with, the first ones; fewer are used again and again.
    extractor: str = "default"  # whose features make the trees.
    model: str = "default"  # that answers the clicks.
    device: str = "auto"  # of features, training and clicks: auto, cpu, cuda.
    long_side: int = 512  # larger photos are shrunk to this many pixels before features are computed.
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None  # also write all figures to this JSON file.

    def __post_init__(self) -> None:
        if self.count < 1 or self.long_side < 1:
            raise ConfigError(f"--count {self.count} and --long-side {self.long_side} must be 1 or more")


@dataclass(frozen=True)
class Stage:
    """What one stage did."""

    name: str  # of the stage
    images: int  # that it did; clicks for the last stage
    seconds: float  # on the clock
    cores: float  # processor time of all threads over time on the clock
    mb: float  # memory of the process after it
    limit: str  # what it waits for


@dataclass
class Clock:
    """Times stages on a torch device."""

    device: str
    stages: list[Stage] = field(default_factory=list)

    @property
    def waits(self) -> str:
        """What a network waits for."""
        return "" if self.device == "cpu" else self.device

    @contextmanager
    def stage(self, name: str, images: int, waits: str = "") -> Iterator[None]:
        """Time the block; it waits for `waits` unless it keeps a core busy."""
        began, spent, queued = time.perf_counter(), time.process_time(), _queued()
        yield
        seconds = time.perf_counter() - began
        cores, queued = (time.process_time() - spent) / seconds, (_queued() - queued) / seconds
        limit = "processor" if not waits or cores + queued > BUSY else waits
        memory = psutil.Process().memory_info().rss / 1e6
        self.stages.append(Stage(name, images, seconds, cores, memory, limit))

    def each(self, name: str, call: Callable[[Any], Any], items: list[Any], waits: str = "") -> list[Any]:
        """What a call gives for every item; the first ones are done before the clock starts, too."""
        for item in items[:WARM]:
            call(item)
        with self.stage(name, len(items), waits):
            return [call(item) for item in items]


def _queued() -> float:
    """Seconds that the main thread was ready to run and had no processor; 0 where the system does not say."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


def bench(args: BenchArgs) -> None:
    """Measure, and print a table."""
    from clickgrain.demo.photos import HELD_OUT, LEARN, copy_photos

    clock, cores, load = Clock(choose_device(args.device)), core_count(), float(psutil.getloadavg()[0])
    say(f"{cores} cores, {clock.device}, load {load:.1f}" + (" (busy: see core ms)" if load > 0.5 else ""))
    with tempfile.TemporaryDirectory() as name:
        if not args.photos:
            copy_photos(LEARN + HELD_OUT, Path(name) / "photos")
        files = _proposing(args, clock, args.photos or str(Path(name) / "photos"), Path(name))
        waited = _training(args, clock, files, Path(name))
        _clicking(args, clock, files)
    print(table(clock.stages))
    print(f"training waits for data {waited:.1%} of the time")
    print(propose_limit(clock.stages, cores))
    if args.out is not None:
        stages = [asdict(stage) for stage in clock.stages]
        found = {"cores": cores, "device": clock.device, "load": load, "waited": waited, "stages": stages}
        write_or_raise(args.out, json.dumps(found, indent=1).encode(), ConfigError, "choose another --out")


def table(stages: Iterable[Stage]) -> str:
    """A line for each stage."""
    lines = [f"{'stage':16}{'images/s':>10}{'ms':>9}{'core ms':>9}{'MB':>7}  limited by"]
    for s in stages:
        rate, ms = s.images / s.seconds, 1000 * s.seconds / s.images
        lines.append(f"{s.name:16}{rate:10.1f}{ms:9.2f}{ms * s.cores:9.2f}{s.mb:7.0f}  {s.limit}")
    return "\n".join(lines)


PROPOSING = ("decode", "features", "merge", "store write")  # decoding reads, too


def propose_limit(stages: Iterable[Stage], cores: int) -> str:
    """What `propose` does a second with all cores busy, and what takes most of its processor time."""
    ms = {s.name: 1000 * s.seconds * s.cores / s.images for s in stages if s.name in PROPOSING}
    slowest = max(ms, key=lambda name: ms[name])
    rate = 1000 * cores / sum(ms.values())
    share = ms[slowest] / sum(ms.values())
    return (
        f"propose: at most {rate:.0f} images a second on {cores} cores; {slowest} takes {share:.0%} of their time"
    )


def _proposing(args: BenchArgs, clock: Clock, source: str, folder: Path) -> "list[ImageFile]":
    """List, read, decode, features, merge, store; leaves `folder`/trees.db."""
    from clickgrain.images import ReadReport, list_images, read_images
    from clickgrain.proposals.pipeline import shrunk
    from clickgrain.proposals.store import ProposalStore, Row, Source
    from clickgrain.tree import build_tree

    with clock.stage("list", 1, "disk or network"):
        files = list_images(source)
    clock.stages[-1] = replace(clock.stages[-1], images=len(files))
    files = (files * -(-args.count // len(files)))[: args.count]
    away = "disk or network"

    def read(file: "ImageFile") -> bytes:
        with file.opened() as stream:
            return stream.read()

    clock.each("read", read, files, away)
    report = ReadReport()
    with clock.stage("decode", len(files), away):
        images = [shrunk(image, args.long_side) for _, image in read_images(files, workers=1, report=report)]
    if not images:
        raise ConfigError(f"none of the photos can be read: {report.bad[0][1]}")
    extractor = features.load_extractor(args.extractor, device=clock.device)
    vectors = clock.each("features", extractor, images, clock.waits)
    pairs = [(value, image.shape[:2]) for value, image in zip(vectors, images)]
    trees = clock.each("merge", lambda pair: build_tree(*pair), pairs)
    with ProposalStore.create(folder / "bench.db") as store:
        with clock.stage("store write", len(trees), "disk"):
            about = Source("", 0, 0)
            rows = [Row.of(f"{i}", about, tree, extractor.name, "bench") for i, tree in enumerate(trees)]
            store.write(rows, {"bench": "{}"})
        clock.each("store read", store.tree, store.keys(), "disk")
    return files


def _training(args: BenchArgs, clock: Clock, files: "list[ImageFile]", folder: Path) -> float:
    """Some steps of grain-small on these images; returns the share of the time without a batch."""
    from clickgrain.images import read_images, resize_long_side
    from clickgrain.models.registry import build_model
    from clickgrain.progress import Quiet
    from clickgrain.proposals.store import ProposalStore
    from clickgrain.training.config import grain_small
    from clickgrain.training.image_set import Entry, ImageSet
    from clickgrain.training.loop import fabric_for, fit
    from clickgrain.tree import build_tree

    recipe, extractor = grain_small(), features.load_extractor(args.extractor, device=clock.device)
    data = replace(recipe.args.data, composites=0.0, objects=0.0)
    settings = replace(recipe.args, data=data, validate_every=0).with_steps(STEPS)
    with ProposalStore.open(folder / "bench.db") as store:
        image_set = ImageSet(data.photo_side, store)
        for number, (_, image) in enumerate(read_images(files[:32])):
            small = resize_long_side(image, data.photo_side)
            image_set.add(Entry(small, build_tree(extractor(small), small.shape[:2])), str(number))
        model = build_model(recipe.model.to_json())
        run = {"fabric": fabric_for(clock.device), "progress": Quiet()}
        fit(model, image_set, range(len(image_set)), settings.with_steps(WARM), folder / "warm", **run)
        with clock.stage("training step", STEPS * settings.batch, clock.waits):
            result = fit(model, image_set, range(len(image_set)), settings, folder / "run", **run)
    return result.waited


def _clicking(args: BenchArgs, clock: Clock, files: "list[ImageFile]") -> None:
    """Encode images, and click in the middle of each."""
    from clickgrain.images import read_images
    from clickgrain.segmenter import Segmenter

    segmenter = Segmenter.load(args.model, device=clock.device)
    images = [image for _, image in read_images(files[:16])]
    encoded = clock.each("encode", segmenter.encode, images, clock.waits)

    def click(i: int) -> float:
        middle = (images[i].shape[1] // 2, images[i].shape[0] // 2)
        return float(segmenter.predict([middle], [1], encoded=encoded[i]).binary.mean())

    clock.each("click", click, list(range(len(images))), clock.waits)
