"""`finetune`: supervised training of a click model on photos with masks, all of them or a share."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import islice
from typing import Any

import numpy as np
import torch

from clickgrain.devices import choose_device, process_number
from clickgrain.errors import DataError, WeightsError
from clickgrain.evaluation import Benchmark, load_benchmark
from clickgrain.evaluation import Target as LabelledTarget
from clickgrain.evaluation.datasets import load_group
from clickgrain.features import FeatureExtractor, load_extractor
from clickgrain.models.config import GrainConfig
from clickgrain.models.registry import build_model, load_click_model
from clickgrain.progress import Bar, Progress, Quiet
from clickgrain.proposals.config import Sampler
from clickgrain.proposals.pipeline import shrunk
from clickgrain.training.card import write_card
from clickgrain.training.config import FinetuneArgs, Recipe, load_recipe, named_set
from clickgrain.training.image_set import Entry, ImageSet, decode_mask, encode_mask, mask_of_size, scaled_mask
from clickgrain.training.learn import CONTINUED, FALLBACK, LearnResult, usable_extractor
from clickgrain.training.loop import fabric_for, finished_run, fit
from clickgrain.training.regions import Regions, Target
from clickgrain.training.run_dir import begun_precision, hash_keys, locked, read_run, write_run
from clickgrain.training.validation import ClickValidator, Validation
from clickgrain.tree import build_tree
from clickgrain.types import UInt8
from clickgrain.weights import hash_tensors

STEPS = 0.25  # part of the recipe's steps
HELD_OUT_MOST = 64
IN_MEMORY = 1000  # images whose decoded masks stay in memory

Group = list[LabelledTarget]  # the targets of one image


def finetune(args: FinetuneArgs, progress: Progress | None = None) -> LearnResult:
    """Fine-tune on a labelled set; interrupted at any point, the same call continues.

    Clicks are simulated and losses computed as in `learn`; masks are exact instead of regions of trees. `progress`
    shows all stages, bars on stderr when None.

    Raises:
        DataError: the folder holds no labelled set, or none of its images can be used.
        WeightsError: there is no model to start from.
        ConfigError: settings that contradict each other, or a device that does not exist.
        TrainingError: the run in `args.out` had other settings, other labels or another start.
    """
    choose_device(args.device)  # before a large set is read
    return finetune_on(load_benchmark(*named_set(args.photos)), args, progress)


def finetune_on(
    benchmark: Benchmark,
    args: FinetuneArgs,
    progress: Progress | None = None,
    *,
    recipe: Recipe | None = None,
    held_out: Benchmark | None = None,
) -> LearnResult:
    """Fine-tune on a benchmark's targets; see `finetune`.

    A `recipe` replaces the one that `args` name. With `held_out`, which are targets for validation, none of the
    benchmark's are held out.
    """
    bar: Progress = progress or (Quiet() if process_number()[0] else Bar())
    device = choose_device(args.device)
    read_run(args)  # reject another run's folder before the model is loaded
    named = load_recipe(args.recipe, device)
    share = named.args.data.held_out
    subset = choose_labelled(benchmark, args.labels, held_out=share, seed=args.seed, apart=held_out)
    if args.from_scratch:
        torch.manual_seed(args.seed)
        fresh = recipe or named.with_settings(tree=usable_extractor(args.extractor, bar))
        model = build_model(fresh.model)
    else:
        try:
            model = load_click_model(args.start or "default")
        except WeightsError as error:
            if args.start is not None:
                raise
            raise WeightsError(f"{error}; name a trained model with --from, or give --from-scratch") from error
    if recipe is None:  # without composites, shorter, and gentler on trained weights
        own = load_recipe("paper", device) if args.recipe == "auto" and model.config.kind == "paper" else named
        lr = args.lr or own.args.lr * (1.0 if args.from_scratch else CONTINUED)
        recipe = own.with_settings(**args.overrides, lr=lr, composites=0.0, composites_per_photo=0.0)
        steps = args.steps or max(round(own.args.steps * STEPS), 1)
        recipe = Recipe(recipe.model, recipe.args.with_steps(steps))
    targets = [target.id for group in (*subset.train, *subset.held_out) for target in group]
    made_of: dict[str, Any] = {"start": hash_tensors(model.state_dict()), "labels": hash_keys(targets)}
    if held_out is not None:
        made_of["objects"] = [target.id for group in subset.train for target in group]
    model.config = replace(model.config, labelled=True)
    with locked(args.out), bar:
        saved = read_run(args, made_of, start="from another model", labels="on other labels")
        if saved is not None and saved.get("finished"):
            over = finished_run(args.out, saved["steps"])
            if over is not None:
                return LearnResult(args.out, over, int(saved["pictures"]), list(saved["failed"]))
        made_of["precision"] = begun_precision(recipe.args.precision, saved, model, device, bar)
        settings = replace(recipe.args, precision=made_of["precision"])
        write_run(args, settings.steps, **made_of)
        tree = model.config.tree if isinstance(model.config, GrainConfig) else FALLBACK
        extractor, threads = load_extractor(tree, device=device), settings.threads or torch.get_num_threads()
        image_set, failed = load_labelled(
            subset.train, settings.data.photo_side, extractor, bar, threads=threads, memory=args.memory_bytes
        )
        bar.note(image_set.described())
        checked = usable(held_out or benchmark, subset.held_out, settings.validation_targets)
        if checked is None:
            bar.note("none of the held-out images can be used; the model is not validated")
        fitted = fit(
            model,
            image_set,
            range(len(image_set)),
            settings,
            args.out,
            validate=ClickValidator(Validation([], [], labelled=checked), args.out, device),
            fabric=fabric_for(device),
            progress=bar,
        )
        write_run(args, settings.steps, **made_of, finished=True, pictures=len(image_set), failed=failed)
        write_card(args.out)
    return LearnResult(args.out, fitted, len(image_set), failed)


@dataclass(frozen=True)
class Subset:
    """Labelled images: those to train on, and those that are never trained on, whatever the share."""

    train: list[Group]
    held_out: list[Group]


def choose_labelled(
    benchmark: Benchmark, share: float, *, held_out: float, seed: int, apart: Benchmark | None = None
) -> Subset:
    """A share of a set's images. Subsets of one seed are nested: 1 % is inside 5 %, and so on.

    `apart` holds targets for validation; with it, all images of the benchmark are for training. Raises DataError:
    for a set of a single image.
    """
    groups = list(benchmark.by_image())
    if apart is None and len(groups) < 2:
        raise DataError(
            f"the set {benchmark.name!r} has masks of {len(groups)} image; fine-tuning needs 2 at least, for one is"
            " kept for validation"
        )
    order = np.random.default_rng([seed, 7]).permutation(len(groups))
    held = min(max(round(held_out * len(groups)), 1), HELD_OUT_MOST) if apart is None else 0
    count = max(round(share * (len(groups) - held)), 1)
    kept = [groups[i] for i in order[:held]] if apart is None else list(apart.by_image())
    return Subset([groups[i] for i in order[held : held + count]], kept)


class LabelRegions(Regions):
    """The masks of one image, drawn without regard to their area."""

    def __init__(self, masks: list[UInt8], ignored: UInt8) -> None:
        """Both are PNGs of the image's size at training, 255 inside."""
        there = decode_mask(ignored) > 127
        super().__init__(there.shape, there.shape, True, there if there.any() else None)
        self.masks = [scaled_mask(mask) for mask in masks]

    def draw(self, rng: np.random.Generator, n: int, sampler: Sampler) -> list[Target]:
        """Up to n different masks, in random order."""
        return [Target(self.masks[i]) for i in rng.permutation(len(self.masks))[:n]]


def load_labelled(
    groups: Sequence[Group],
    side: int,
    extractor: FeatureExtractor,
    bar: Progress,
    *,
    threads: int,
    memory: float | None = None,
) -> tuple[ImageSet, list[str]]:
    """An image set of labelled images, and why others are left out; DataError if no image with a mask is left."""
    failed: list[str] = []
    bar.start("labelled images", len(groups))
    image_set, labels = ImageSet(side, memory=memory), list[Callable[[], LabelRegions]]()

    def again(group: Group) -> Entry:
        problems: list[str] = []
        found = _load(group, side, extractor, problems)
        if found is None:
            raise DataError("; ".join(problems))
        return found[0]

    with ThreadPoolExecutor(threads) as pool:
        for group, found in zip(groups, pool.map(lambda group: _load(group, side, extractor, failed), groups)):
            bar.advance()
            if found is not None:
                image_set.add(found[0], group[0].image_id, partial(again, group))
                labels.append(found[1])
    if not labels:
        raise DataError("none of the labelled images can be used:" + "".join(f"\n- {line}" for line in failed[:5]))
    image_set.regions = lru_cache(IN_MEMORY)(lambda i: labels[i]())
    return image_set, failed


def usable(benchmark: Benchmark, groups: Sequence[Group], most: int) -> Benchmark | None:
    """Up to `most` targets of the groups whose image and mask can be read, or None."""
    ids = list(islice((target.id for group in groups for target, _ in load_group(group, [])[1]), most))
    return benchmark.select(ids) if ids else None


def _load(
    group: Group, side: int, extractor: FeatureExtractor, failed: list[str]
) -> tuple[Entry, Callable[[], LabelRegions]] | None:
    image, masks = load_group(group, failed)
    if image is None:
        return None
    small = shrunk(image, side)
    size = small.shape[:2]
    encoded, ignored = list[UInt8](), np.zeros(size, np.uint8)
    for target, mask in masks:
        object_ = mask_of_size(mask == 255, size)
        if (object_ > 127).any():
            encoded.append(encode_mask(object_))
            ignored = np.maximum(ignored, mask_of_size((mask != 255) & (mask != 0), size))
        else:
            failed.append(f"target {target.id}: nothing is left of it at a long side of {side} pixels")
    if not encoded:
        return None
    tree = build_tree(extractor(small), size)
    return Entry(small, tree), partial(LabelRegions, encoded, encode_mask(ignored))
