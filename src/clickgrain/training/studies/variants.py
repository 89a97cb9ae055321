"""One variant of a study: its trees, its training and its evaluation, each of which goes on where it stopped."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from clickgrain.errors import TrainingError
from clickgrain.evaluation import Benchmark, Result, evaluate
from clickgrain.features import load_extractor
from clickgrain.files import atomic_write, hash_bytes, hash_file
from clickgrain.images import find_images
from clickgrain.proposals import ProposalStore, propose
from clickgrain.segmenter import Segmenter
from clickgrain.training.learn import train
from clickgrain.training.learn_args import LearnArgs
from clickgrain.training.progress import Progress
from clickgrain.training.run_dir import METRICS, hash_keys
from clickgrain.training.studies.args import StudyArgs
from clickgrain.training.studies.plans import Variant
from clickgrain.training.studies.sources import regions_from, regions_in
from clickgrain.weights import TENSORS

RUNS, TREES = "runs", "trees"


@dataclass(frozen=True)
class Trained:
    """A trained variant: its folder, its steps, and the seconds that they took in all sittings."""

    folder: Path
    steps: int
    seconds: float
    failed: list[str]


def choose_keys(photos: Path, limit: int | None) -> list[str]:
    """Relative paths of the photos of a study; with a limit a choice by hash, that more photos hardly change.

    Raises:
        DataError: no such folder, or no image in it.
    """
    folder = photos if photos.is_dir() else photos.parent
    keys = [path.relative_to(folder).as_posix() for path in find_images(photos)]
    return sorted(keys, key=_digest)[:limit]


def run_folder(args: StudyArgs, variant: Variant, seed: int, keys: Sequence[str]) -> Path:
    """The folder of a variant's training: the same for the same settings, whatever study they belong to."""
    values = json.dumps(_decisive(variant, seed, keys), sort_keys=True, default=str)
    return args.out / RUNS / hash_bytes(values.encode("utf-8", "surrogateescape"))[:12]


def train_variant(
    args: StudyArgs, variant: Variant, seed: int, keys: Sequence[str], device: str, bar: Progress
) -> Trained:
    """Train one variant (without labels) with one seed by `clickgrain.training.learn.train`.

    Raises:
        ClickgrainError: what stops this variant; others may go on.
    """
    folder = run_folder(args, variant, seed, keys)
    describe(folder, _decisive(variant, seed, keys))
    maps = make_trees(args, variant.extractor, 4, keys, device, bar)
    regions = regions_from(variant.source)
    if variant.connectivity != 4:
        regions = regions_in(make_trees(args, variant.extractor, variant.connectivity, keys, device, bar))
    learn = LearnArgs(
        args.photos, folder, args.recipe, variant.extractor, device, seed=seed, from_scratch=True, store=maps.path
    )
    recipe = variant.recipe.with_settings(seed=seed)
    result = train(learn, bar, recipe=recipe, regions=regions)
    return Trained(folder, result.fit.steps, seconds_of(folder), result.failed)


def make_trees(
    args: StudyArgs, extractor: str, connectivity: Literal[0, 4, 8], keys: Sequence[str], device: str, bar: Progress
) -> ProposalStore:
    """The store of the photos' trees; trees that are there are kept."""
    name = f"{file_name(extractor)}-c{connectivity}-{_digest(extractor + chr(0) + _photos_hash(keys))[:8]}.db"
    store = ProposalStore.create(args.out / TREES / name)
    missing = set(keys) - set(store.keys())
    if missing:
        bar.note(f"trees of {len(missing)} photos from {extractor} ({_words(connectivity)})")
    report = propose(
        args.photos,
        store,
        extractor=load_extractor(extractor, device=device),
        only=set(keys),
        connectivity=connectivity,
        progress=False,
    )
    for failure in report.failed:
        bar.note(failure.reason)
    return store


def evaluate_variant(trained: Trained, benchmark: Benchmark, device: str, bar: Progress) -> Result:
    """Click the benchmark's targets with a trained variant; finished targets are kept beside the model."""
    segmenter = Segmenter.load(trained.folder, device=device)
    ids = hash_keys([target.id for target in benchmark])  # studies may differ in how many targets they click
    bar.start(benchmark.name, len(benchmark))
    return evaluate(
        segmenter,
        benchmark,
        model=f"{trained.folder.name}@{hash_file(trained.folder / TENSORS)[:8]}",
        progress=lambda done, total: bar.advance(),
        jsonl=trained.folder / f"{file_name(benchmark.name)}-{ids[:8]}.jsonl",
    )


def describe(folder: Path, values: dict[str, Any]) -> None:
    """Write down in a run's folder what it is.

    Raises:
        TrainingError: if it cannot be written.
    """
    try:
        atomic_write(folder / "variant.json", json.dumps(values, indent=1, default=str).encode())
    except OSError as error:
        raise TrainingError(
            f"{folder} cannot be written to: {error.strerror or error}; free some space or choose another --out"
        ) from error


def seconds_of(folder: Path) -> float:
    """Seconds of all training steps of a run, of all sittings."""
    lines = (folder / METRICS).read_text(encoding="utf-8").splitlines()
    return float(sum(json.loads(line).get("seconds", 0.0) for line in lines))


def _decisive(variant: Variant, seed: int, keys: Sequence[str]) -> dict[str, Any]:
    """All that decides what the weights become."""
    settings = replace(variant.recipe.args, seed=seed).to_json()
    for name in ("threads", "validate_every", "validation_targets", "checkpoint_every"):
        del settings[name]
    return {
        "model": variant.recipe.model.to_json(),
        "args": settings,
        "backbone": variant.recipe.backbone,
        **{name: getattr(variant, name) for name in ("extractor", "source", "connectivity")},
        "photos": [len(keys), _photos_hash(keys)],
    }


def file_name(text: str) -> str:
    """A name for a file: letters, digits and a few signs, whatever `text` holds."""
    return re.sub(r"[^A-Za-z0-9.@-]+", "-", text).strip("-")


def _photos_hash(keys: Sequence[str]) -> str:
    return hash_keys(sorted(keys))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _words(connectivity: int) -> str:
    return f"{connectivity} neighbours" if connectivity else "no constraint"
