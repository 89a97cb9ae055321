"""`learn`: a folder of unlabelled photos in, a click model out."""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from clickgrain.errors import ConfigError, WeightsError
from clickgrain.features import load_extractor
from clickgrain.features.registry import default_extractor
from clickgrain.images import find_images
from clickgrain.models.base import ClickModel
from clickgrain.models.grain_config import GrainConfig
from clickgrain.models.registry import build_model, engine_for, load_click_model
from clickgrain.proposals import ProposalStore, propose
from clickgrain.segmenter import Segmenter
from clickgrain.training.args import TrainArgs
from clickgrain.training.devices import choose_device, fabric_for
from clickgrain.training.image_set import ImageSet
from clickgrain.training.learn_args import LearnArgs
from clickgrain.training.loop import METRICS, STATE, FitResult, fit
from clickgrain.training.metrics import MetricsLog
from clickgrain.training.objects import OBJECTS
from clickgrain.training.plan import LEAST
from clickgrain.training.prepare import Photos, TrainingData, choose_photos, ignored, prepare
from clickgrain.training.preview import PREVIEWS, write_preview
from clickgrain.training.progress import Bar, Progress
from clickgrain.training.recipes import Recipe, load_recipe
from clickgrain.training.regions import RegionsOf
from clickgrain.training.run_file import hash_keys, read_run, write_run
from clickgrain.training.validation import Validation
from clickgrain.weights import CONFIG, TENSORS

FALLBACK = "color-texture"
CONTINUED = 0.25
"""Rate of a run that goes on from a trained model, over the recipe's: gentler on trained weights."""
WARMUP = 0.2
"""Largest part of a run that is warm-up."""


@dataclass(frozen=True)
class LearnResult:
    """What came of `learn`.

    Attributes:
        folder: the model; `Segmenter.load(folder)`.
        fit: steps, seconds and the last validation.
        photos: trained on.
        failed: photos that could not be used, with reasons.
    """

    folder: Path
    fit: FitResult
    photos: int
    failed: list[str]


def learn(args: LearnArgs, progress: Progress | None = None) -> LearnResult:
    """Propose and train on a folder of photos; interrupted at any point, the same call goes on.

    Args:
        args: see `LearnArgs`.
        progress: shows all stages; bars on stderr when None.

    Raises:
        DataError: a folder without photos.
        ConfigError: settings that contradict each other, or a device that is not there.
        TrainingError: the run in `args.out` had other settings, or nothing can be learned from the photos.
        WeightsError: the model to start from is not there.
    """
    bar: Progress = progress or Bar()
    device = choose_device(args.device)
    path = args.store or args.out / "proposals.db"
    args = replace(args, extractor=usable_extractor(args.extractor, bar), store=path)
    _recipe(args, device)  # refuse what cannot be trained before the store is touched
    read_run(args)
    if args.cutouts is not None:
        find_images(args.cutouts)  # refuse what is not there before hours of trees
    if args.start is not None:
        load_click_model(args.start)  # the same
    report = propose(
        args.photos,
        path,
        extractor=load_extractor(args.extractor, device=device),
        ignore=ignored(args.photos, args.out, args.ignore),
        progress=progress is None,
    )
    result = train(args, bar)
    failed = [*(failure.reason for failure in report.failed), *result.failed]
    return replace(result, failed=list(dict.fromkeys(failed)))


def train(
    args: LearnArgs,
    progress: Progress | None = None,
    *,
    recipe: Recipe | None = None,
    regions: Callable[[ImageSet], RegionsOf] | None = None,
) -> LearnResult:
    """Train on the photos of an existing proposal store (`args.store`); see `learn`.

    Args:
        args: see `LearnArgs`.
        progress: as in `learn`.
        recipe: instead of the one that `args` name. Nobody checks that a folder's run had the same one.
        regions: given the photos and composites, where targets come from instead of their trees' nodes.
    """
    bar: Progress = progress or Bar()
    if args.store is None:
        raise ConfigError(
            "training needs the trees of the photos; name them with --store, or use `clickgrain learn`"
        )
    store, device = ProposalStore(args.store), choose_device(args.device)
    args = replace(args, extractor=usable_extractor(args.extractor, bar))
    recipe, saved = recipe or _recipe(args, device), read_run(args)
    extractor = load_extractor(args.extractor, device=device)
    own_trees = isinstance(recipe.model, GrainConfig) or recipe.args.data.composites > 0
    photos = choose_photos(
        args.photos, store, ignored(args.photos, args.out, args.ignore), extractor.name if own_trees else None
    )
    if saved is not None and _is_finished(args.out, saved, photos):
        return _finished(args.out, saved, photos)
    with bar:
        model, recipe = _first_model(args, recipe, bar)
        data = prepare(
            photos, store, recipe.args, extractor, bar,
            seed=args.seed, cache=args.out / OBJECTS, cutouts=args.cutouts,
        )  # fmt: skip
        if regions is not None:
            data.image_set.regions = regions(data.image_set)
        settings = _settled(args, saved, recipe.args, model, data, device, bar)
        fitted = fit(
            model,
            data.image_set,
            data.pictures,
            settings,
            args.out,
            validate=ClickValidator(data.validation, args.out, device),
            fabric=fabric_for(device),
            progress=bar,
            seconds=None if args.minutes is None else args.minutes * 60,
        )
    write_run(args, settings.steps, done=fitted.steps, finished=hash_keys(photos.keys), pictures=len(data.pictures))
    return LearnResult(args.out, fitted, len(data.pictures), data.failed)


class ClickValidator:
    """Clicks held-out targets with the current model, and leaves a picture.

    Args:
        validation: the targets.
        out: the run's folder; pictures go to `previews/`.
        device: torch device.
    """

    def __init__(self, validation: Validation, out: Path, device: str) -> None:
        self.validation, self.out, self.device = validation, out, device

    def __call__(self, model: ClickModel, step: int) -> dict[str, float]:
        """NoC@85 and mIoU@1 per kind of target."""
        segmenter = Segmenter(engine_for(model, device=self.device), "validation")
        metrics: dict[str, float] = {}
        for kind, result in self.validation.run(segmenter).items():
            metrics |= {f"{kind} NoC85": result.noc(0.85), f"{kind} mIoU@1": result.iou_at(1)}
        pairs = [*self.validation.composites[:3], *self.validation.proposals[:3]]
        if pairs:
            write_preview(self.out / PREVIEWS / f"step-{step:06d}.png", segmenter, pairs)
        return metrics


def usable_extractor(name: str, bar: Progress) -> str:
    """The extractor's name; for "default" the one behind it, with a fallback while none ships."""
    if name != "default":
        return name
    try:
        return default_extractor()
    except WeightsError:
        bar.note(f"no trained extractor ships with this version; trees come from {FALLBACK!r}")
        return FALLBACK


def _first_model(args: LearnArgs, recipe: Recipe, bar: Progress) -> tuple[ClickModel, Recipe]:
    """The model to go on from, or the one in the package where it fits the recipe, else fresh or backbone weights.

    And the recipe, gentler on trained weights.
    """
    torch.manual_seed(args.seed)
    if recipe.backbone is not None and args.start is None:
        from clickgrain.models.paper import PaperModel
        from clickgrain.models.paper_config import PaperConfig

        assert isinstance(recipe.model, PaperConfig)
        return PaperModel.from_backbone(recipe.model, recipe.backbone), recipe
    if args.start is not None or (args.recipe == "auto" and not args.from_scratch):
        try:
            model = _with_new_maps(load_click_model(args.start or "default"), recipe.model)
            return model, recipe.with_settings(lr=args.lr or recipe.args.lr * CONTINUED)
        except WeightsError:
            if args.start is not None:
                raise
            bar.note("no trained model ships with this version; training starts from scratch")
    return build_model(recipe.model.to_json()), recipe


def _with_new_maps(model: ClickModel, config: object) -> ClickModel:
    """The model with those click maps of a config that it has not seen yet."""
    from clickgrain.models.grain import GrainModel

    if not (isinstance(model, GrainModel) and isinstance(config, GrainConfig)):
        return model
    known = model.config.maps
    new = [name for name in config.maps if name not in known]
    return model.with_maps([*known, *new]) if new else model


def _recipe(args: LearnArgs, device: str) -> Recipe:
    recipe = load_recipe(args.recipe, device).with_settings(
        steps=args.steps, batch=args.batch, crop=args.crop, lr=args.lr, seed=args.seed, tree=args.extractor
    )
    if args.cutouts is not None and recipe.args.data.composites == 0:
        raise ConfigError(
            f"--cutouts is of no use to --recipe {args.recipe}, which makes no composites; leave it out"
        )
    return recipe


def _is_finished(out: Path, saved: dict[str, Any], photos: Photos) -> bool:
    """Whether the run is over, its photos are the same, and nobody has deleted its state to begin again."""
    there = all((out / name).is_file() for name in (STATE, CONFIG, TENSORS))
    return there and saved.get("finished") == hash_keys(photos.keys)


def _finished(out: Path, saved: dict[str, Any], photos: Photos) -> LearnResult:
    metrics = MetricsLog(out / METRICS)
    steps = int(saved.get("done", saved["steps"]))
    metrics.rewind(steps)
    fitted = FitResult(steps, 0.0, metrics.validated)
    return LearnResult(out, fitted, int(saved["pictures"]), photos.failed)


def _settled(
    args: LearnArgs,
    saved: dict[str, Any] | None,
    train: TrainArgs,
    model: ClickModel,
    data: TrainingData,
    device: str,
    bar: Progress,
) -> TrainArgs:
    """The settings with their number of steps, which a resumed run takes from run.json."""
    if saved is not None:
        return with_steps(train, saved["steps"])
    if args.minutes is not None:
        seconds = seconds_per_step(model, data.image_set, data.pictures, train, device)
        train = replace(train, steps=max(LEAST, int(args.minutes * 60 / seconds)))
        bar.note(f"about {train.steps} steps of {seconds:.2f} s fill {args.minutes:g} minutes")
    write_run(args, train.steps)
    return with_steps(train, train.steps)


def with_steps(train: TrainArgs, steps: int) -> TrainArgs:
    """So many steps, not too many of them warm-up."""
    return replace(train, steps=steps, warmup=min(train.warmup, round(steps * WARMUP)))


def seconds_per_step(
    model: ClickModel, image_set: ImageSet, pictures: Sequence[int], args: TrainArgs, device: str, steps: int = 12
) -> float:
    """Mean time of a training step here, measured on a copy of the model that is thrown away."""
    from tempfile import TemporaryDirectory

    fabric = fabric_for(device)
    trial = replace(args, warmup=0, checkpoint_every=3600.0)
    with TemporaryDirectory() as folder:
        warm = replace(trial, steps=2)
        fit(copy.deepcopy(model), image_set, pictures, warm, Path(folder) / "warm", fabric=fabric)
        started = time.monotonic()
        fit(
            copy.deepcopy(model),
            image_set,
            pictures,
            replace(trial, steps=steps),
            Path(folder) / "run",
            fabric=fabric,
        )
    return (time.monotonic() - started) / steps
