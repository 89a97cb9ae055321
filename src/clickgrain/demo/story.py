"""`run_demo`: the stages of the demo, each writing its output into the demo's folder, and the report at the end."""

import copy
import json
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clickgrain import __version__
from clickgrain.demo.config import EXTRACTOR, DemoArgs, DemoScale
from clickgrain.demo.photos import HELD_OUT, LEARN, DemoPhoto, copy_photos, image_and_tree, write_targets
from clickgrain.errors import DataError, TrainingError
from clickgrain.evaluation import Benchmark, OpenCVGrabCut, Result, evaluate
from clickgrain.evaluation.drawing import feature_map, overlay
from clickgrain.evaluation.examples import tree_figures
from clickgrain.evaluation.page import Figure, Line, line_chart, machine, write_page
from clickgrain.evaluation.report import section
from clickgrain.features import FeatureExtractor, load_extractor
from clickgrain.features.config import EncoderConfig
from clickgrain.files import hash_bytes, hash_file, write_or_raise
from clickgrain.models.config import GrainConfig
from clickgrain.models.grain import GrainModel
from clickgrain.models.registry import engine_for
from clickgrain.progress import Bar, Progress
from clickgrain.proposals.pipeline import propose
from clickgrain.proposals.store import ProposalStore
from clickgrain.segmenter import Segmenter
from clickgrain.training.config import DataArgs, TrainArgs
from clickgrain.training.image_set import ImageSet, add_composites
from clickgrain.training.loop import fit
from clickgrain.training.prepare import load_image_set
from clickgrain.training.run_dir import METRICS, STATE, locked
from clickgrain.types import Predictor

TARGET_SEED = 1_000_003  # added to the seed, so that targets are drawn apart from everything that is trained on
SAMPLES = 4  # training composites shown
PLAN = "plan.json"
SHOWN = 3  # methods in the headline and the images; the untrained model is in the table and the curves only


@dataclass(frozen=True)
class Lesson:
    """The trained model and how training went."""

    folder: Path  # of the model
    steps: int  # made in all
    losses: list[float]  # loss by step, over all sessions
    parameters: int  # of the network
    # the network with its first weights; it follows a rule on the click maps that training builds on
    start: GrainModel
    start_name: str  # differs between seeds and sizes


def run_demo(args: DemoArgs, scale: DemoScale | None = None, progress: Progress | None = None) -> Path:
    """Run all stages and return the path of the report.

    Photos of scikit-image's wheel become features and trees; a small `grain` model is trained on some of them; a
    robot clicks composites of the others with tree mode, OpenCV's GrabCut and that model. Finished work is kept
    when it is interrupted, and the same call continues. Raises DataError: if the photos are missing, or a folder
    cannot be written. TrainingError: if the training state cannot be written.
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
            load = partial(load_image_set, folder, store, side=scale.side)
            image_set = load(keys=[f"learn/{photo.file}" for photo in learn])
            bar.start("composites to train on", scale.composites)
            add_composites(image_set, scale.composites, extractor, seed=args.seed, advance=bar.advance)
            unseen = load(keys=[f"held-out/{photo.file}" for photo in held_out])
            bar.start("targets to click", scale.targets)
            seed, place = args.seed + TARGET_SEED, args.out / "targets"
            benchmark, digest = write_targets(unseen, place, scale.targets, seed=seed, advance=bar.advance)
        with _timed(clock, "Training"):
            lesson = _teach(args, scale, image_set, bar)
        with _timed(clock, "Robot clicks"):
            trained = hash_file(lesson.folder / "model.safetensors")[:10]
            # shown name -> unique name for files, and what clicks the targets
            methods: dict[str, tuple[str, Predictor]] = {
                "grain model": (f"grain-{trained}", Segmenter.load(lesson.folder)),
                "tree mode": ("tree", Segmenter.load("tree")),
                "OpenCV GrabCut": ("opencv-grabcut", OpenCVGrabCut()),
                "grain, untrained": (lesson.start_name, Segmenter(engine_for(lesson.start))),
            }
            results = list[Result]()
            for label, (name, model) in methods.items():
                bar.start(f"clicks: {label}", len(benchmark))
                rows = args.out / "results" / f"{name}-{digest[:10]}.jsonl"
                found = evaluate(model, benchmark, model=name, jsonl=rows, progress=lambda *_: bar.advance())
                results.append(found)
        bar.start("report", 1)
        path = _write_report(
            args, scale, learn, held_out, extractor, image_set, lesson, benchmark, methods, results, clock
        )
        bar.advance()
    return path


def _teach(args: DemoArgs, scale: DemoScale, image_set: ImageSet, bar: Progress) -> Lesson:
    """Train, or continue, in `args.out / "model"`; start over if the settings differ from last time."""
    folder, images = args.out / "model", list(range(len(image_set)))
    torch.manual_seed(args.seed)
    # Objects should look as large as in the crops, which show 0.5 to 1.05 of a photo.
    side = max(64, round(scale.crop * 5 / 3 / 32) * 32)
    # Two thirds of `GrainConfig.small` in width: after two minutes on two cores it is ahead of larger ones.
    config = GrainConfig(EncoderConfig(scale.widths, (1, 1, 1, 1, 1)), scale.widths[:4], long_side=side)
    model = GrainModel(config)
    start = copy.deepcopy(model).eval()
    # for a couple of hundred steps: a short average, more composites than proposals
    data = DataArgs(
        crop=scale.crop, photo_side=max(scale.side, 32), window=(0.5, 1.05), composites=0.7, masks_per_image=2
    )
    settings = TrainArgs(
        steps=scale.steps or 100, batch=scale.batch, lr=1.5e-3, warmup=20, ema=0.98, seed=args.seed,
        precision="float32", validate_every=0, checkpoint_every=15.0, data=data,
    )  # fmt: skip
    seconds = None if scale.steps else args.minutes * 60
    with locked(folder):
        _start_over_if_changed(args, scale, image_set)
        result = fit(model, image_set, images, settings, folder, progress=bar, seconds=seconds)
    lines = map(json.loads, (folder / METRICS).read_text(encoding="utf-8").splitlines())
    made_of = json.dumps([__version__, args.seed, config.to_json()], sort_keys=True)
    return Lesson(
        folder,
        result.steps,
        [line["loss"] for line in lines if "loss" in line],
        sum(p.numel() for p in model.parameters()),
        start,
        f"grain-start-{hash_bytes(made_of.encode())[:10]}",
    )


def _start_over_if_changed(args: DemoArgs, scale: DemoScale, image_set: ImageSet) -> None:
    """Delete the state of a run with other settings; `plan.json` holds those of the last one."""
    path = args.out / PLAN
    asked: dict[str, Any] = {
        "minutes": args.minutes,
        "seed": args.seed,
        "photos": image_set.names[: image_set.photos],
        "version": __version__,
    }
    asked = json.loads(json.dumps(asked | {"scale": asdict(scale)}))
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # none, or damaged
        plan = None
    if isinstance(plan, dict) and plan.get("asked") == asked:
        return
    try:
        (args.out / "model" / STATE).unlink(missing_ok=True)
    except OSError as error:
        raise TrainingError(f"{args.out}: cannot be changed ({error}); choose another --out") from error
    text = json.dumps({"asked": asked}, indent=1)
    write_or_raise(path, text.encode(), TrainingError, "make room or choose another --out")


@contextmanager
def _timed(clock: dict[str, float], stage: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    clock[stage] = time.monotonic() - started


def _write_report(
    args: DemoArgs,
    scale: DemoScale,
    learn: list[DemoPhoto],
    held_out: list[DemoPhoto],
    extractor: FeatureExtractor,
    image_set: ImageSet,
    lesson: Lesson,
    benchmark: Benchmark,
    methods: dict[str, tuple[str, Predictor]],
    results: list[Result],
    clock: dict[str, float],
) -> Path:
    """All sections: figures, trees, training, clicks, and how to make it again; returns where it is."""
    labels = list(methods)
    predictors = [method if i < SHOWN else None for i, (_, method) in enumerate(methods.values())]
    skipped = [reason for result in results for reason in result.skipped]
    window = max(1, len(lesson.losses) // 20)
    parts = [lesson.losses[i : i + window] for i in range(0, len(lesson.losses), window)]
    loss = Line("loss", [((i + 0.5) * window, float(np.mean(part))) for i, part in enumerate(parts)])
    seconds, peak = clock["Training"], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    length = f"{max(1, seconds):.0f} seconds" if seconds < 90 else f"{round(seconds / 60, 1):g} minutes"
    facts = {
        **machine(),
        "Peak memory": f"{peak / (2**30 if sys.platform == 'darwin' else 2**20):.2f} GiB",
        "Data": f"composites: {len(benchmark)} targets, long side {scale.side} pixels",
        "Features": EXTRACTOR,
        **{stage: f"{seconds:.0f} s" for stage, seconds in clock.items()},
    }
    return write_page(
        args.out / "report.html",
        Path(__file__).with_name("demo.html"),
        lead=f"{image_set.photos} photos without a single label, {length} of training on a CPU, and a model that"
        " cuts things out of photos it has never seen. All of it happened just now, on this machine.",
        tiles=[
            (f"{result.noc(0.85):.1f}", label, result.nof(0.85).never, len(result.rows))
            for label, result in list(zip(labels, results))[:SHOWN]
        ],
        ranked=sorted(zip((result.noc(0.85) for result in results[:SHOWN]), labels)),
        trees=_trees(extractor, learn, image_set),
        composites=[
            Figure(overlay(image_set.image(i), image_set.mask(i) > 0.5), f"Composite {n}", alt="composite")
            for n, i in enumerate(range(image_set.photos, len(image_set))[:SAMPLES], 1)
        ],
        made=len(image_set) - image_set.photos,
        lesson=lesson,
        trained_on=[Path(photo.file).stem for photo in learn],
        held_out=[Path(photo.file).stem for photo in held_out],
        loss=line_chart([loss], x="training step", y="loss", title="Training loss", dots=False),
        section=section(results, labels, benchmark, predictors, clicks=3, drawn=SHOWN),
        out=args.out,
        args=args,
        photos=image_set.photos,
        facts=facts | ({"Remarks": "; ".join(skipped)} if skipped else {}),
    )


def _trees(
    extractor: FeatureExtractor, photos: list[DemoPhoto], image_set: ImageSet
) -> list[tuple[str, list[Figure]]]:
    """Features, tree and clicked region of the photos that have a click to show."""
    trees = []
    for i, photo in enumerate(photos):
        if photo.click is None:
            continue
        image, tree = image_and_tree(image_set, i)
        height, width = image.shape[:2]
        click = (int(photo.click[0] * (width - 1)), int(photo.click[1] * (height - 1)))
        figures = tree_figures(image, tree, click, level=photo.level)
        features = feature_map(extractor(image), (height, width))
        figures.insert(1, Figure(features, "Features", "main directions as colors", "feature map"))
        trees.append((f"{Path(photo.file).stem}: {tree.n_leaves} patches", figures))
    return trees
