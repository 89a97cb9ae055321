"""`run_demo`: the stages of the demo, one after the other, each leaving what it made in the demo's folder."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clickgrain.demo.args import EXTRACTOR, DemoArgs, DemoScale
from clickgrain.demo.lesson import Lesson, teach
from clickgrain.demo.page import Story, write_demo_report
from clickgrain.demo.photos import HELD_OUT, LEARN, copy_photos
from clickgrain.demo.targets import write_targets
from clickgrain.errors import DataError
from clickgrain.evaluation import OpenCVGrabCut, evaluate
from clickgrain.features import load_extractor
from clickgrain.files import hash_file
from clickgrain.models.registry import engine_for
from clickgrain.progress import Bar, Progress
from clickgrain.proposals.pipeline import propose
from clickgrain.proposals.store import ProposalStore
from clickgrain.segmenter import Segmenter
from clickgrain.training.image_set import add_composites
from clickgrain.training.prepare import load_image_set
from clickgrain.types import Predictor

TARGET_SEED = 1_000_003
"""Added to the seed, so that targets are drawn apart from everything that is trained on."""


def run_demo(args: DemoArgs, scale: DemoScale | None = None, progress: Progress | None = None) -> Path:
    """Tell the whole story and return the path of its report.

    Photos of scikit-image's wheel become features and trees; a small `grain` model is trained on some of them;
    a robot clicks composites of the others with tree mode, OpenCV's GrabCut and that model. Interrupted at any
    point, finished work is kept, and the same call continues.

    Args:
        args: see `DemoArgs`.
        scale: how large; the size of `clickgrain demo` when None.
        progress: shows the stages; bars on stderr when None.

    Raises:
        DataError: if the photos are missing, or a folder cannot be written.
        TrainingError: if the training state cannot be written.
    """
    scale, bar, clock = scale or DemoScale(), progress or Bar(), dict[str, float]()
    with bar:
        with _timed(clock, "Features and trees"):
            bar.start("photos", 2)
            folder = args.out / "photos"
            learn = copy_photos(LEARN[: scale.learn], folder / "learn")
            bar.advance()
            held_out = copy_photos(HELD_OUT[: scale.held_out], folder / "held-out")
            bar.advance(f"{len(learn) + len(held_out)} photos")
            bar.start("features and trees", 1)
            extractor, store = load_extractor(EXTRACTOR), ProposalStore.create(args.out / "trees.db")
            report = propose(folder, store, extractor=extractor, long_side=2 * scale.side, progress=False)
            if report.failed:
                raise DataError("; ".join(failure.reason for failure in report.failed))
            bar.advance(f"{report.done} trees made, {report.skipped} there already")
        with _timed(clock, "Composites and targets"):
            image_set = load_image_set(
                folder, store, side=scale.side, keys=[f"learn/{photo.file}" for photo in learn]
            )
            bar.start("composites to train on", scale.composites)
            add_composites(image_set, scale.composites, extractor, seed=args.seed, advance=bar.advance)
            unseen = load_image_set(
                folder, store, side=scale.side, keys=[f"held-out/{photo.file}" for photo in held_out]
            )
            bar.start("targets to click", scale.targets)
            seed = args.seed + TARGET_SEED
            benchmark, digest = write_targets(
                unseen, args.out / "targets", scale.targets, seed=seed, advance=bar.advance
            )
        with _timed(clock, "Training"):
            lesson = teach(args, scale, image_set, bar)
        with _timed(clock, "Robot clicks"):
            models, results = _rivals(lesson), []
            for label, (name, model) in models.items():
                bar.start(f"clicks: {label}", len(benchmark))
                rows = args.out / "results" / f"{name}-{digest[:10]}.jsonl"
                found = evaluate(
                    model, benchmark, model=name, jsonl=rows, progress=lambda done, total: bar.advance()
                )
                results.append(found)
        bar.start("report", 1)
        predictors = {label: model for label, (_, model) in models.items()}
        names = [photo.file for photo in held_out]
        story = Story(
            args, scale, extractor, learn, names, image_set, lesson, benchmark, predictors, results, clock
        )
        path = write_demo_report(story)
        bar.advance()
    return path


def _rivals(lesson: Lesson) -> dict[str, tuple[str, Predictor]]:
    """Who faces the targets: shown name -> a name that tells results apart on disk, and the predictor."""
    trained = hash_file(lesson.folder / "model.safetensors")[:10]
    return {
        "grain model": (f"grain-{trained}", Segmenter.load(lesson.folder)),
        "tree mode": ("tree", Segmenter.load("tree")),
        "OpenCV GrabCut": ("opencv-grabcut", OpenCVGrabCut()),
        "grain, untrained": (lesson.start_name, Segmenter(engine_for(lesson.start))),
    }


@contextmanager
def _timed(clock: dict[str, float], stage: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    clock[stage] = time.monotonic() - started
