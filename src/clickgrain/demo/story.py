"""`run_demo`: the stages of the demo, each writing its output into the demo's folder, and the report at the end."""

import copy
import json
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from clickgrain import __version__
from clickgrain.demo.config import EXTRACTOR, DemoArgs, DemoScale
from clickgrain.demo.photos import ADVICE, HELD_OUT, LEARN, DemoPhoto, copy_photos, image_and_tree, write_targets
from clickgrain.errors import DataError, TrainingError
from clickgrain.evaluation import Benchmark, OpenCVGrabCut, evaluate
from clickgrain.evaluation.drawing import feature_map, overlay
from clickgrain.evaluation.examples import Entry, tree_figures
from clickgrain.evaluation.page import Chart, Figure, Line, line_chart, machine, write_page
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
from clickgrain.training.composites import add_composites
from clickgrain.training.config import DataArgs, TrainArgs
from clickgrain.training.image_set import ImageSet
from clickgrain.training.loop import fit
from clickgrain.training.prepare import load_image_set
from clickgrain.training.run_dir import METRICS, STATE, locked
from clickgrain.types import Predictor

TARGET_SEED = 1_000_003  # added to the seed, so that targets are drawn apart from everything that is trained on
SAMPLES = 4  # training composites shown
PLAN = "plan.json"
UNTRAINED = "grain, untrained"  # in the table and the curves only, neither in the headline nor in the images


@dataclass(frozen=True)
class Lesson:
    """The trained model and how training went."""

    folder: Path  # of the model
    steps: int  # made in all
    loss: Chart  # by step, over all sessions
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
    extractor = load_extractor(EXTRACTOR)
    with bar:
        with _timed(clock, "Features and trees"):
            learn, held_out, store = _grow_trees(args, scale, extractor, bar)
        with _timed(clock, "Composites and targets"):
            load = partial(load_image_set, args.out / "photos", store, side=scale.side)
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
            clicked = _click(args.out / "results", lesson, benchmark, digest, bar)
        bar.start("report", 1)
        shown = [one for one in clicked if one.drawn]
        skipped = [reason for one in clicked for reason in one.result.skipped]
        path = write_page(
            args.out / "report.html",
            Path(__file__).with_name("demo.html"),
            args=args,
            photos=image_set.photos,
            length=_length(clock["Training"]),
            tiles=[(one.result.noc(0.85), one.label, one.result.nof(0.85).never) for one in shown],
            ranked=sorted((one.result.noc(0.85), one.label) for one in shown),
            trees=list(_trees(extractor, learn, image_set)),
            composites=[
                Figure(overlay(image_set.image(i), image_set.mask(i) > 0.5), f"Composite {n}", alt="composite")
                for n, i in enumerate(range(image_set.photos, len(image_set))[:SAMPLES], 1)
            ],
            made=len(image_set) - image_set.photos,
            lesson=lesson,
            trained_on=[Path(photo.file).stem for photo in learn],
            held_out=[Path(photo.file).stem for photo in held_out],
            section=section(clicked, benchmark, clicks=3),
            facts=_facts(scale, benchmark, clock) | ({"Remarks": "; ".join(skipped)} if skipped else {}),
        )
        bar.advance()
    return path


def _grow_trees(
    args: DemoArgs, scale: DemoScale, extractor: FeatureExtractor, bar: Progress
) -> tuple[list[DemoPhoto], list[DemoPhoto], ProposalStore]:
    """Photos to learn from, photos that are held out, and the store of their trees."""
    bar.start("photos", 2)
    folder = args.out / "photos"
    learn = copy_photos(LEARN[: scale.learn], folder / "learn")
    bar.advance()
    held_out = copy_photos(HELD_OUT[: scale.held_out], folder / "held-out")
    bar.advance(f"{len(learn) + len(held_out)} photos")
    bar.start("features and trees", 1)
    store = ProposalStore.create(args.out / "trees.db")
    report = propose(folder, store, extractor=extractor, long_side=2 * scale.side, progress=False)
    if report.failed:
        raise DataError("; ".join(failure.reason for failure in report.failed))
    bar.advance(f"{report.done} trees made, {report.skipped} there already")
    return learn, held_out, store


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
    losses = [line["loss"] for line in lines if "loss" in line]
    window = max(1, len(losses) // 20)
    means = [((i + 0.5) * window, float(np.mean(losses[i : i + window]))) for i in range(0, len(losses), window)]
    chart = line_chart([Line("loss", means)], x="training step", y="loss", title="Training loss", dots=False)
    made_of = json.dumps([__version__, args.seed, config.to_json()], sort_keys=True)
    name = f"grain-start-{hash_bytes(made_of.encode())[:10]}"
    return Lesson(folder, result.steps, chart, sum(p.numel() for p in model.parameters()), start, name)


def _start_over_if_changed(args: DemoArgs, scale: DemoScale, image_set: ImageSet) -> None:
    """Delete the state of a run with other settings; `plan.json` holds those of the last one."""
    path = args.out / PLAN
    asked = {"minutes": args.minutes, "seed": args.seed, "photos": image_set.names[: image_set.photos]}
    plan = json.dumps({"asked": {**asked, "version": __version__, "scale": asdict(scale)}}, indent=1)
    with suppress(OSError, ValueError, RecursionError):  # none, or damaged
        if json.loads(path.read_text(encoding="utf-8")) == json.loads(plan):
            return
    try:
        (args.out / "model" / STATE).unlink(missing_ok=True)
    except OSError as error:
        raise TrainingError(f"{args.out}: cannot be changed ({error}); choose another --out") from error
    write_or_raise(path, plan.encode(), TrainingError, ADVICE)


def _click(folder: Path, lesson: Lesson, benchmark: Benchmark, digest: str, bar: Progress) -> list[Entry]:
    """A robot clicks the targets with every method; rows that `folder` has already are kept."""
    trained = hash_file(lesson.folder / "model.safetensors")[:10]
    methods: list[tuple[str, str, Predictor]] = [  # shown name, unique name for files, what answers
        ("grain model", f"grain-{trained}", Segmenter.load(lesson.folder)),
        ("tree mode", "tree", Segmenter.load("tree")),
        ("OpenCV GrabCut", "opencv-grabcut", OpenCVGrabCut()),
        (UNTRAINED, lesson.start_name, Segmenter(engine_for(lesson.start))),
    ]
    clicked = []
    for color, (label, name, model) in enumerate(methods):
        bar.start(f"clicks: {label}", len(benchmark))
        rows = folder / f"{name}-{digest[:10]}.jsonl"
        result = evaluate(model, benchmark, model=name, jsonl=rows, progress=lambda *_: bar.advance())
        clicked.append(Entry(result, label, color, model, drawn=label != UNTRAINED))
    return clicked


@contextmanager
def _timed(clock: dict[str, float], stage: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    clock[stage] = time.monotonic() - started


def _length(seconds: float) -> str:
    return f"{max(1, seconds):.0f} seconds" if seconds < 90 else f"{round(seconds / 60, 1):g} minutes"


def _facts(scale: DemoScale, benchmark: Benchmark, clock: dict[str, float]) -> dict[str, str]:
    """What the figures depend on: machine, data, and how long each stage took."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        **machine(),
        "Peak memory": f"{peak / (2**30 if sys.platform == 'darwin' else 2**20):.2f} GiB",
        "Data": f"composites: {len(benchmark)} targets, long side {scale.side} pixels",
        "Features": EXTRACTOR,
        **{stage: f"{seconds:.0f} s" for stage, seconds in clock.items()},
    }


def _trees(
    extractor: FeatureExtractor, photos: list[DemoPhoto], image_set: ImageSet
) -> Iterator[tuple[str, list[Figure]]]:
    """Features, tree and clicked region of the photos that have a click to show."""
    for i, photo in enumerate(photos):
        if photo.click is None:
            continue
        image, tree = image_and_tree(image_set, i)
        height, width = image.shape[:2]
        click = (int(photo.click[0] * (width - 1)), int(photo.click[1] * (height - 1)))
        figures = tree_figures(image, tree, click, level=photo.level)
        features = feature_map(extractor(image), (height, width))
        figures.insert(1, Figure(features, "Features", "main directions as colors", "feature map"))
        yield f"{Path(photo.file).stem}: {tree.n_leaves} patches", figures
