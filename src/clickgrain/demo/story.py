"""`run_demo`: the stages of the demo, one after the other, each leaving what it made in the demo's folder."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from clickgrain.demo.args import DemoArgs, DemoScale
from clickgrain.demo.lesson import Lesson, teach
from clickgrain.demo.photos import HELD_OUT, LEARN, DemoPhoto, copy_photos
from clickgrain.demo.targets import write_targets
from clickgrain.errors import DataError
from clickgrain.evaluation import Benchmark, OpenCVGrabCut, Result, evaluate
from clickgrain.features import FeatureExtractor, load_extractor
from clickgrain.files import hash_file
from clickgrain.models.registry import engine_for
from clickgrain.proposals import ProposalStore, propose
from clickgrain.segmenter import Segmenter
from clickgrain.training.image_set import ImageSet, add_composites, load_image_set
from clickgrain.training.progress import Bar, Progress
from clickgrain.types import Predictor

EXTRACTOR = "color-texture"
TARGET_SEED = 1_000_003
"""Added to the seed, so that targets are drawn apart from everything that is trained on."""


@dataclass
class Story:
    """What the stages have made; the report is written from it.

    Attributes:
        photos: those to learn from.
        held_out: names of those that targets are made of.
        image_set: photos and composites.
        lesson: the trained model.
        benchmark: the targets.
        models: shown name -> predictor.
        results: one per model.
        seconds: by stage.
    """

    args: DemoArgs
    scale: DemoScale
    extractor: FeatureExtractor
    photos: list[DemoPhoto]
    held_out: list[str]
    image_set: ImageSet
    lesson: Lesson
    benchmark: Benchmark
    models: dict[str, Predictor]
    results: list[Result]
    seconds: dict[str, float] = field(default_factory=dict)


def run_demo(args: DemoArgs, scale: DemoScale | None = None, progress: Progress | None = None) -> Path:
    """Tell the whole story and return the path of its report.

    Photos of scikit-image's wheel become features and trees; a small `grain` model is trained on some of them;
    a robot clicks composites of the others with tree mode, OpenCV's GrabCut and that model. Interrupted at any
    point, finished work is kept, and the same call goes on with it.

    Args:
        args: see `DemoArgs`.
        scale: how large; the size of `clickgrain demo` when None.
        progress: shows the stages; bars on stderr when None.

    Raises:
        DataError: if the photos are missing, or a folder cannot be written.
        TrainingError: if the training state cannot be written.
    """
    from clickgrain.demo.page import demo_report

    scale, bar, clock = scale or DemoScale(), progress or Bar(), dict[str, float]()
    with bar:
        with _timed(clock, "Features and trees"):
            learn, held_out, store, extractor = _trees(args, scale, bar)
        with _timed(clock, "Composites and targets"):
            image_set = _image_set(args, scale, store, [f"learn/{photo.file}" for photo in learn], extractor, bar)
            benchmark, digest = _targets(args, scale, store, [f"held-out/{photo.file}" for photo in held_out], bar)
        with _timed(clock, "Training"):
            lesson = teach(args, scale, image_set, bar)
        with _timed(clock, "Robot clicks"):
            models, names = _rivals(lesson)
            results = [
                _clicked(args.out / "results" / f"{name}-{digest[:10]}.jsonl", name, label, model, benchmark, bar)
                for name, (label, model) in zip(names, models.items())
            ]
        unseen = [photo.file for photo in held_out]
        story = Story(args, scale, extractor, learn, unseen, image_set, lesson, benchmark, models, results, clock)
        bar.start("report", 1)
        path = demo_report(story).write(args.out / "report.html")
        bar.advance()
    return path


def _trees(
    args: DemoArgs, scale: DemoScale, bar: Progress
) -> tuple[list[DemoPhoto], list[DemoPhoto], ProposalStore, FeatureExtractor]:
    bar.start("photos", 2)
    folder = args.out / "photos"
    learn = copy_photos(LEARN[: scale.learn], folder / "learn")
    bar.advance()
    held_out = copy_photos(HELD_OUT[: scale.held_out], folder / "held-out")
    bar.advance(f"{len(learn) + len(held_out)} photos")
    bar.start("features and trees", 1)
    extractor = load_extractor(EXTRACTOR)
    store = ProposalStore.create(args.out / "trees.db")
    report = propose(folder, store, extractor=extractor, long_side=2 * scale.side, progress=False)
    if report.failed:
        raise DataError("; ".join(failure.reason for failure in report.failed))
    bar.advance(f"{report.done} trees made, {report.skipped} there already")
    return learn, held_out, store, extractor


def _image_set(
    args: DemoArgs,
    scale: DemoScale,
    store: ProposalStore,
    keys: list[str],
    extractor: FeatureExtractor,
    bar: Progress,
) -> ImageSet:
    photos = load_image_set(args.out / "photos", store, side=scale.side, keys=keys)
    bar.start("composites to train on", scale.composites)
    add_composites(photos, scale.composites, extractor, seed=args.seed, advance=bar.advance)
    return photos


def _targets(
    args: DemoArgs, scale: DemoScale, store: ProposalStore, keys: list[str], bar: Progress
) -> tuple[Benchmark, str]:
    photos = load_image_set(args.out / "photos", store, side=scale.side, keys=keys)
    bar.start("targets to click", scale.targets)
    seed = args.seed + TARGET_SEED
    return write_targets(photos, args.out / "targets", scale.targets, seed=seed, advance=bar.advance)


def _rivals(lesson: Lesson) -> tuple[dict[str, Predictor], list[str]]:
    """Who faces the targets: shown name -> predictor, and names that tell their results apart on disk."""
    trained = hash_file(lesson.folder / "model.safetensors")[:10]
    models: dict[str, Predictor] = {
        "grain model": Segmenter.load(lesson.folder),
        "tree mode": Segmenter.load("tree"),
        "OpenCV GrabCut": OpenCVGrabCut(),
        "grain, untrained": Segmenter(engine_for(lesson.start)),
    }
    return models, [f"grain-{trained}", "tree", "opencv-grabcut", lesson.start_name]


def _clicked(path: Path, name: str, label: str, model: Predictor, benchmark: Benchmark, bar: Progress) -> Result:
    bar.start(f"clicks: {label}", len(benchmark))
    return evaluate(model, benchmark, model=name, jsonl=path, progress=lambda done, total: bar.advance())


@contextmanager
def _timed(clock: dict[str, float], stage: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    clock[stage] = time.monotonic() - started
