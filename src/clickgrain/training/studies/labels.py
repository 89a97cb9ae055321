"""The study `labels`: fine-tuning with a share of the labels, from trained weights and from scratch."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clickgrain.evaluation import Benchmark, load_benchmark
from clickgrain.evaluation.html import Series
from clickgrain.files import hash_bytes, hash_file
from clickgrain.training.finetune import finetune_on
from clickgrain.training.finetune_args import FinetuneArgs, named_set
from clickgrain.training.learn import CONTINUED
from clickgrain.training.progress import Progress
from clickgrain.training.run_dir import hash_keys
from clickgrain.training.studies.args import StudyArgs
from clickgrain.training.studies.figures import Row
from clickgrain.training.studies.plans import Variant
from clickgrain.training.studies.variants import RUNS, Trained, describe, seconds_of
from clickgrain.weights import TENSORS


@dataclass(frozen=True)
class LabelSplit:
    """What is fine-tuned on, what is evaluated on, and a sentence about it for the table."""

    labelled: Benchmark
    test: Benchmark
    remark: str


def split_labels(benchmark: Benchmark, labelled: str | None) -> LabelSplit:
    """A labelled set of its own, or else one half of the benchmark's images, the other half being evaluated on."""
    if labelled is not None:
        other = load_benchmark(*named_set(labelled))
        images = len(list(other.by_image()))
        return LabelSplit(other, benchmark, f"Labels: {len(other)} masks of {images} images of {other.name}.")
    groups = list(benchmark.by_image())
    order = np.random.default_rng(0).permutation(len(groups))
    half = len(groups) // 2
    parts = [[t for i in sorted(chosen) for t in groups[i]] for chosen in (order[:half], order[half:])]
    train, test = (Benchmark(benchmark.name, part, benchmark.notes) for part in parts)
    remark = (
        f"Labels: {len(train)} masks of {half} images of {benchmark.name}, drawn at random; the targets are on the"
        f" other {len(groups) - half}."
    )
    return LabelSplit(train, test, remark)


def tune_variant(
    args: StudyArgs,
    variant: Variant,
    seed: int,
    start: Trained | None,
    split: LabelSplit,
    device: str,
    bar: Progress,
) -> Trained:
    """Fine-tune by `clickgrain.training.finetune`, from a trained variant or from scratch (None)."""
    assert variant.labels is not None
    lr = variant.recipe.args.lr * (1.0 if start is None else CONTINUED)
    recipe = variant.recipe.with_settings(composites=0.0, composites_per_photo=0.0, seed=seed, lr=lr)
    values = {
        "model": recipe.model.to_json(),
        "args": recipe.args.to_json(),
        "labels": variant.labels,
        "start": None if start is None else hash_file(start.folder / TENSORS),
        "targets": hash_keys([target.id for target in split.labelled]),
    }
    folder = args.out / RUNS / hash_bytes(json.dumps(values, sort_keys=True, default=str).encode())[:12]
    describe(folder, values)
    tune = FinetuneArgs(
        split.labelled.name,
        folder,
        variant.labels,
        None if start is None else str(start.folder),
        start is None,
        args.recipe,
        device=device,
        seed=seed,
    )
    result = finetune_on(split.labelled, tune, bar, recipe=recipe)
    return Trained(folder, result.fit.steps, seconds_of(folder), result.failed)


def label_curves(variants: Sequence[Variant], rows: Sequence[Row]) -> list[Series]:
    """NoC85 over log10 of the percentage of labels: the model without labels, then each start."""
    done = [(v, row) for v, row in zip(variants, rows) if row.error is None]
    shares = [math.log10(100 * v.labels) for v, _ in done if v.labels is not None]
    if not shares:
        return []
    lines = [
        Series("no labels", [(x, row.figures["NoC85"]) for x in sorted({min(shares), max(shares)})])
        for v, row in done
        if v.labels is None
    ]
    for start, name in (("trained", "fine-tuned"), ("scratch", "from scratch")):
        points = [
            (math.log10(100 * v.labels), row.figures["NoC85"])
            for v, row in done
            if v.labels is not None and v.start == start
        ]
        lines += [Series(name, points)] if points else []
    return lines
