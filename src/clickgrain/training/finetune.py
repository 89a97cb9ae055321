"""`finetune`: supervised training of a click model on photos with masks, all of them or a share."""

from typing import Any

import torch

from clickgrain.errors import TrainingError, WeightsError
from clickgrain.evaluation import Benchmark, load_benchmark
from clickgrain.features import load_extractor
from clickgrain.models.base import ClickModel
from clickgrain.models.grain_config import GrainConfig
from clickgrain.models.registry import build_model, load_click_model
from clickgrain.training.args import TrainArgs
from clickgrain.training.devices import choose_device, fabric_for
from clickgrain.training.finetune_args import FinetuneArgs, named_set
from clickgrain.training.finetune_data import Subset, choose_labelled, load_labelled, usable
from clickgrain.training.learn import (
    CONTINUED,
    FALLBACK,
    ClickValidator,
    LearnResult,
    usable_extractor,
    with_steps,
)
from clickgrain.training.loop import METRICS, STATE, FitResult, fit
from clickgrain.training.metrics import MetricsLog
from clickgrain.training.progress import Bar, Progress
from clickgrain.training.recipes import Recipe, load_recipe
from clickgrain.training.run_file import hash_keys, read_run, write_run
from clickgrain.training.validation import Validation
from clickgrain.weights import CONFIG, TENSORS, hash_tensors

STEPS = 0.25
"""Part of the recipe's steps."""


def finetune(args: FinetuneArgs, progress: Progress | None = None) -> LearnResult:
    """Fine-tune on a labelled set; interrupted at any point, the same call goes on.

    The clicks are simulated and the losses taken as in `learn`; masks are exact instead of regions of trees.

    Args:
        args: see `FinetuneArgs`.
        progress: shows all stages; bars on stderr when None.

    Raises:
        DataError: the folder holds no labelled set, or none of its images can be used.
        WeightsError: there is no model to start from.
        ConfigError: settings that contradict each other, or a device that is not there.
        TrainingError: the run in `args.out` had other settings, other labels or another start.
    """
    return finetune_on(load_benchmark(*named_set(args.photos)), args, progress)


def finetune_on(
    benchmark: Benchmark, args: FinetuneArgs, progress: Progress | None = None, *, recipe: Recipe | None = None
) -> LearnResult:
    """Fine-tune on a benchmark's targets; see `finetune`. A `recipe` replaces the one that `args` name, whole."""
    bar: Progress = progress or Bar()
    device, saved = choose_device(args.device), read_run(args)
    subset = choose_labelled(
        benchmark, args.labels, held_out=_recipe(args, device).args.data.held_out, seed=args.seed
    )
    model = _start(args, recipe, device, bar)
    settings = recipe.args if recipe is not None else _settings(args, model, device)
    made_of = {"start": hash_tensors(model.state_dict()), "labels": _labels_hash(subset)}
    if saved is not None:
        _check(args, saved, made_of)
        if all((args.out / name).is_file() for name in (STATE, CONFIG, TENSORS)) and saved.get("finished"):
            return _finished(args, saved)
    write_run(args, settings.steps, **made_of)
    with bar:
        result = _fit(benchmark, subset, model, settings, args, device, bar)
    write_run(args, settings.steps, **made_of, finished=True, pictures=result.photos, failed=result.failed)
    return result


def _fit(
    benchmark: Benchmark,
    subset: Subset,
    model: ClickModel,
    settings: TrainArgs,
    args: FinetuneArgs,
    device: str,
    bar: Progress,
) -> LearnResult:
    tree = model.config.tree if isinstance(model.config, GrainConfig) else FALLBACK
    extractor, threads = load_extractor(tree, device=device), settings.threads or torch.get_num_threads()
    image_set, failed = load_labelled(subset.train, settings.data.photo_side, extractor, bar, threads=threads)
    held_out = usable(benchmark, subset.held_out, settings.validation_targets)
    if held_out is None:
        bar.note("none of the held-out images can be used; the model is not validated")
    validation = Validation([], [], labelled=held_out)
    fitted = fit(
        model,
        image_set,
        list(range(len(image_set.sizes))),
        settings,
        args.out,
        validate=ClickValidator(validation, args.out, device),
        fabric=fabric_for(device),
        progress=bar,
    )
    return LearnResult(args.out, fitted, len(image_set.sizes), failed)


def _start(args: FinetuneArgs, recipe: Recipe | None, device: str, bar: Progress) -> ClickModel:
    """Fresh weights, or those of the model to start from."""
    if not args.from_scratch:
        try:
            return load_click_model(args.start or "default")
        except WeightsError as error:
            if args.start is not None:
                raise
            raise WeightsError(f"{error}; name a trained model with --from, or give --from-scratch") from error
    torch.manual_seed(args.seed)
    if recipe is None:
        recipe = _recipe(args, device).with_settings(tree=usable_extractor(args.extractor, bar))
    return build_model(recipe.model.to_json())


def _recipe(args: FinetuneArgs, device: str) -> Recipe:
    return load_recipe(args.recipe, device)


def _settings(args: FinetuneArgs, model: ClickModel, device: str) -> TrainArgs:
    """The recipe's settings, without composites, shorter, and gentler on trained weights."""
    paper = args.recipe == "auto" and model.config.kind == "paper"
    recipe = load_recipe("paper" if paper else args.recipe, device)
    own = recipe.args
    lr = args.lr or own.lr * (1.0 if args.from_scratch else CONTINUED)
    steps = args.steps or max(round(own.steps * STEPS), 1)
    given = {"batch": args.batch, "crop": args.crop, "seed": args.seed, "lr": lr}
    settings = recipe.with_settings(**given, composites=0.0, composites_per_photo=0.0).args
    return with_steps(settings, steps)


def _labels_hash(subset: Subset) -> str:
    return hash_keys([target.id for group in (*subset.train, *subset.held_out) for target in group])


def _check(args: FinetuneArgs, saved: dict[str, Any], made_of: dict[str, str]) -> None:
    words = {"start": "from another model", "labels": "on other labels"}
    for key, value in made_of.items():
        if saved.get(key) != value:
            raise TrainingError(
                f"{args.out} holds a run {words[key]}; use the same to go on, or choose another --out"
            )


def _finished(args: FinetuneArgs, saved: dict[str, Any]) -> LearnResult:
    metrics = MetricsLog(args.out / METRICS)
    metrics.rewind(saved["steps"])
    fitted = FitResult(saved["steps"], 0.0, metrics.validated)
    return LearnResult(args.out, fitted, int(saved["pictures"]), list(saved["failed"]))
