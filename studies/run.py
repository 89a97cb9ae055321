"""`run_study`: trains and clicks every variant of a study. Stopped at any point, the same call continues."""

import hashlib
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from clickgrain import __version__
from clickgrain.commands.parsing import file_name
from clickgrain.devices import choose_device
from clickgrain.errors import ClickgrainError, TrainingError
from clickgrain.evaluation import Benchmark, Result, evaluate, evaluate_trees, load_benchmark
from clickgrain.features import load_extractor
from clickgrain.files import atomic_write, hash_bytes, hash_file
from clickgrain.images import find_images
from clickgrain.progress import Bar, Progress
from clickgrain.proposals.pipeline import propose
from clickgrain.proposals.store import ProposalStore
from clickgrain.segmenter import Segmenter
from clickgrain.training.config import NEUTRAL, FinetuneArgs, LearnArgs, named_set
from clickgrain.training.finetune import finetune_on
from clickgrain.training.learn import CONTINUED, train, usable_extractor
from clickgrain.training.run_dir import METRICS, hash_keys
from clickgrain.tree import MergeTree, build_tree
from clickgrain.types import UInt8
from clickgrain.weights import TENSORS
from studies.config import StudyArgs
from studies.plans import STUDIES, Variant, plan
from studies.sources import regions_from, regions_in
from studies.table import Row, Series, Table, row_of

Connectivity = Literal[0, 4, 8]
CUT = 100


@dataclass(frozen=True)
class Trained:
    """A trained variant: its folder, and the seconds of all its training steps."""

    folder: Path
    seconds: float


@dataclass(frozen=True)
class Setup:
    """What all variants of a study share.

    Attributes:
        args: of the study, with the extractor that is used.
        photos: their folder.
        out: folder for tables, trees and runs.
        device: torch device.
        keys: relative paths of the photos.
        test: targets that are clicked.
        labelled: targets to fine-tune on, in the study `labels`.
    """

    args: StudyArgs
    photos: Path
    out: Path
    device: str
    keys: list[str]
    test: Benchmark
    labelled: Benchmark | None


def run_study(args: StudyArgs, progress: Progress | None = None) -> Table:
    """Train and evaluate all variants of a study; the table in `args.out` grows with each of them.

    A variant that cannot be run (an extractor without its weights, say) gets a row that says why, and is tried
    again by the next call.

    Args:
        args: see `StudyArgs`.
        progress: shows all stages; a bar on stderr when None.

    Raises:
        ConfigError: settings that do not fit the study.
        DataError: no photos, or no such data set.
        TrainingError: tables cannot be written.
        ClickgrainError: not even the first variant can be run.
    """
    name, photos, data, out = args.study, args.photos, args.data, args.out
    assert name is not None and photos is not None and data is not None and out is not None  # noqa: PT018
    device, benchmark = choose_device(args.device), load_benchmark(*named_set(data))
    keys = choose_keys(photos, args.photos_limit)
    args = replace(args, extractor=usable_extractor(args.extractor, progress or Bar()))
    variants, study = plan(args, device), STUDIES[name]
    labelled, remark = None, ""
    if name == "labels":
        labelled, benchmark, remark = split_labels(benchmark, args.labelled)
    setup = Setup(args, photos, out, device, keys, benchmark.select(args.data_limit), labelled)
    size = f"{_size(setup, variants[0])} {remark}".strip()
    table = Table(name, study.title, study.question, size, len(variants), settings=asdict(args))
    first: list[Result] | None = None
    for variant in variants:
        with progress or Bar() as bar:  # a bar per variant: those of finished ones stay above it
            try:
                trained = [train_variant(setup, variant, seed, bar) for seed in args.seeds]
                results = [click_variant(setup, one, bar) for one in trained]
                more = tree_figures(setup, variant) if study.measures_trees else {}
                row = row_of(variant.name, results, [one.seconds for one in trained], first, **more)
                first = first or results
            except ClickgrainError as error:
                if first is None:
                    raise
                row = Row(variant.name, error=f"{error}".splitlines()[0])
            table.rows.append(row)
            table.curves = label_curves(variants, table.rows) if labelled else []
            table.save(out)
            said = row.error or f"NoC85 {row.figures['NoC85']:.2f}, {row.seconds:.0f} s of training"
            bar.note(f"{len(table.rows)} of {len(variants)}, {row.name}: {said}")
    return table


def choose_keys(photos: Path, limit: int | None) -> list[str]:
    """Relative paths of the photos of a study; with a limit a choice by hash, that more photos hardly change.

    Raises:
        DataError: no such folder, or no image in it.
    """
    folder = photos if photos.is_dir() else photos.parent
    keys = [path.relative_to(folder).as_posix() for path in find_images(photos)]
    return sorted(keys, key=_digest)[:limit]


def split_labels(benchmark: Benchmark, labelled: str | None) -> tuple[Benchmark, Benchmark, str]:
    """What to fine-tune on, what to click, and a sentence about it: a set for each, or halves of one by image."""
    if labelled is not None:
        other = load_benchmark(*named_set(labelled))
        images = len(list(other.by_image()))
        return other, benchmark, f"Labels: {len(other)} masks of {images} images of {other.name}."
    groups = list(benchmark.by_image())
    order = np.random.default_rng(0).permutation(len(groups))
    half = len(groups) // 2
    parts = [[t for i in sorted(chosen) for t in groups[i]] for chosen in (order[:half], order[half:])]
    tune, test = (Benchmark(benchmark.name, part, benchmark.notes) for part in parts)
    remark = (
        f"Labels: {len(tune)} masks of {half} images of {benchmark.name}, drawn at random; the targets are on the"
        f" other {len(groups) - half}."
    )
    return tune, test, remark


def train_variant(setup: Setup, variant: Variant, seed: int, bar: Progress) -> Trained:
    """Train one variant with one seed as `clickgrain train` does, or fine-tune as `clickgrain finetune` does.

    Its folder is named by a hash of all that decides what the weights become, so that studies share runs.

    Raises:
        ClickgrainError: what stops this variant; others may be run.
    """
    args = setup.args
    if variant.labels is not None and setup.labelled is not None:
        return _tune(setup, variant, seed, bar)
    settings = replace(variant.recipe.args, seed=seed)
    values = {
        "model": variant.recipe.model.to_json(),
        "args": settings.hashed() | {"precision": settings.precision},
        "backbone": variant.recipe.backbone,
        **{name: getattr(variant, name) for name in ("extractor", "source", "connectivity")},
        "photos": [len(setup.keys), hash_keys(sorted(setup.keys))],
    }
    folder = _folder(setup, values)
    maps = make_trees(setup, variant.extractor, 4, bar)
    regions = regions_from(variant.source)
    if variant.connectivity != 4:
        regions = regions_in(make_trees(setup, variant.extractor, variant.connectivity, bar))
    learn = LearnArgs(
        setup.photos, folder, args.recipe, variant.extractor, setup.device, seed=seed, from_scratch=True,
        store=maps.path,
    )  # fmt: skip
    train(learn, bar, recipe=variant.recipe.with_settings(seed=seed), regions=regions)
    return Trained(folder, _seconds(folder))


def _tune(setup: Setup, variant: Variant, seed: int, bar: Progress) -> Trained:
    """From the model trained without labels, or from scratch."""
    assert variant.labels is not None
    assert setup.labelled is not None
    start = None
    if variant.start == "trained":
        start = train_variant(setup, replace(variant, labels=None), seed, bar).folder
    lr = variant.recipe.args.lr * (1.0 if start is None else CONTINUED)
    recipe = variant.recipe.with_settings(composites=0.0, composites_per_photo=0.0, seed=seed, lr=lr)
    values = {
        "model": recipe.model.to_json(),
        "args": recipe.args.hashed() | {name: getattr(recipe.args, name) for name in ("precision", *NEUTRAL)},
        "labels": variant.labels,
        "start": None if start is None else hash_file(start / TENSORS),
        "targets": hash_keys([target.id for target in setup.labelled]),
    }
    folder = _folder(setup, values)
    tune = FinetuneArgs(
        setup.labelled.name, folder, setup.args.recipe, device=setup.device, labels=variant.labels,
        start=None if start is None else str(start), from_scratch=start is None, seed=seed,
    )  # fmt: skip
    finetune_on(setup.labelled, tune, bar, recipe=recipe)
    return Trained(folder, _seconds(folder))


def click_variant(setup: Setup, trained: Trained, bar: Progress) -> Result:
    """Click the targets with a trained variant; finished targets are kept in its folder."""
    name = setup.test.name
    ids = hash_keys([target.id for target in setup.test])  # studies may differ in how many targets they click
    bar.start(name, len(setup.test))
    return evaluate(
        Segmenter.load(trained.folder, device=setup.device),
        setup.test,
        model=f"{trained.folder.name}@{hash_file(trained.folder / TENSORS)[:8]}",
        progress=lambda done, total: bar.advance(),
        jsonl=trained.folder / f"{file_name(name)}-{ids[:8]}-{__version__}.jsonl",
    )


def make_trees(setup: Setup, extractor: str, connectivity: Connectivity, bar: Progress) -> ProposalStore:
    """The store of the photos' trees; trees that are there are kept."""
    digest = _digest(f"{extractor}\0{hash_keys(sorted(setup.keys))}")[:8]
    path = setup.out / "trees" / f"{file_name(extractor)}-c{connectivity}-{digest}.db"
    store = ProposalStore.create(path)
    if missing := set(setup.keys) - set(store.keys()):
        words = f"{connectivity} neighbours" if connectivity else "no constraint"
        bar.note(f"trees of {len(missing)} photos from {extractor} ({words})")
    report = propose(
        setup.photos,
        store,
        extractor=load_extractor(extractor, device=setup.device),
        only=set(setup.keys),
        connectivity=connectivity,
        progress=False,
    )
    for failure in report.failed:
        bar.note(failure.reason)
    return store


def tree_figures(setup: Setup, variant: Variant) -> dict[str, float]:
    """Mean IoU of the best node, AR@100, and processor milliseconds of a merge (median image); cached in a file."""
    ids = "\0".join(target.id for target in setup.test)
    digest = _digest(f"{variant.extractor}\0{variant.connectivity}\0{setup.test.name}\0{ids}")
    path = setup.out / "trees" / f"quality-{digest[:12]}.json"
    if path.exists():
        return dict(json.loads(path.read_text(encoding="utf-8")))
    extract, spent = load_extractor(variant.extractor, device=setup.device), list[float]()

    def build(image: UInt8) -> MergeTree:
        features = extract(image)
        started = time.thread_time()
        tree = build_tree(features, (image.shape[0], image.shape[1]), connectivity=variant.connectivity)
        spent.append(1000 * (time.thread_time() - started))
        return tree

    found = evaluate_trees(build, setup.test, name=variant.extractor, cuts=(CUT,)).summary()
    figures = {"best node IoU": found["best IoU"] or 0.0, f"AR@{CUT}": found[f"AR@{CUT}"] or 0.0}
    figures["merge ms"] = float(np.median(spent))
    _write(path, figures)
    return figures


def label_curves(variants: Sequence[Variant], rows: Sequence[Row]) -> list[Series]:
    """NoC85 over log10 of the percentage of labels: the model without labels, then each start."""
    done = [(variant, row.figures["NoC85"]) for variant, row in zip(variants, rows) if row.error is None]
    points = {
        start: [(math.log10(100 * v.labels), noc) for v, noc in done if v.labels is not None and v.start == start]
        for start in ("trained", "scratch")
    }
    shares = sorted(x for line in points.values() for x, _ in line)
    if not shares:
        return []
    without = [(x, noc) for v, noc in done if v.labels is None for x in sorted({shares[0], shares[-1]})]
    lines = {"no labels": without, "fine-tuned": points["trained"], "from scratch": points["scratch"]}
    return [(name, line) for name, line in lines.items() if line]


def _size(setup: Setup, first: Variant) -> str:
    recipe, images = first.recipe.args, len(list(setup.test.by_image()))
    seeds = ", ".join(map(str, setup.args.seeds))
    return (
        f"Recipe `{setup.args.recipe}`, {len(setup.keys)} photos, {recipe.steps} steps of {recipe.batch} crops of"
        f" {recipe.data.crop} px, seed {seeds}; targets of {setup.test.name}: {len(setup.test)}, images: {images}."
    )


def _folder(setup: Setup, values: dict[str, Any]) -> Path:
    """The folder of a run with these values, which are written into it."""
    text = json.dumps(values, sort_keys=True, default=str)
    folder = setup.out / "runs" / hash_bytes(text.encode("utf-8", "surrogateescape"))[:12]
    _write(folder / "variant.json", values)
    return folder


def _write(path: Path, values: dict[str, Any]) -> None:
    try:
        atomic_write(path, json.dumps(values, indent=1, default=str).encode())
    except OSError as error:
        raise TrainingError(
            f"{path} cannot be written: {error.strerror or error}; free some space or choose another --out"
        ) from error


def _seconds(folder: Path) -> float:
    lines = (folder / METRICS).read_text(encoding="utf-8").splitlines()
    return float(sum(json.loads(line).get("seconds", 0.0) for line in lines))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
