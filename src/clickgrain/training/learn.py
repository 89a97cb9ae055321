"""`learn`: a folder of unlabelled photos in, a click model out."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from clickgrain.devices import choose_device, process_number
from clickgrain.errors import ConfigError, WeightsError
from clickgrain.evaluation.datasets import data_hash
from clickgrain.features import FeatureExtractor, load_extractor
from clickgrain.features.registry import default_extractor
from clickgrain.images import find_images
from clickgrain.models.base import ClickModel
from clickgrain.models.config import GrainConfig, PaperConfig
from clickgrain.models.grain import GrainModel
from clickgrain.models.paper import PaperModel
from clickgrain.models.registry import build_model, load_click_model
from clickgrain.progress import Bar, Progress, Quiet
from clickgrain.proposals.pipeline import propose
from clickgrain.proposals.store import ProposalStore
from clickgrain.training.accepted import Accepted, add_accepted
from clickgrain.training.card import write_card
from clickgrain.training.config import LearnArgs, Recipe, load_recipe
from clickgrain.training.image_set import ImageSet
from clickgrain.training.loop import FitResult, fabric_for, finished_run, fit
from clickgrain.training.prepare import OBJECTS, choose_photos, prepare
from clickgrain.training.regions import RegionsOf
from clickgrain.training.run_dir import begun_precision, hash_keys, locked, read_run, write_run
from clickgrain.training.validation import ClickValidator

FALLBACK = "color-texture"
CONTINUED = 0.25
"""Learning rate of a run that starts from a trained model, over the recipe's: gentler on trained weights."""


@dataclass(frozen=True)
class LearnResult:
    """What came of `learn`."""

    folder: Path  # the model; `Segmenter.load(folder)`
    fit: FitResult  # steps, seconds and the last validation
    photos: int  # trained on
    failed: list[str]  # photos that could not be used, with reasons


@dataclass(frozen=True)
class Setup:
    """A run as `learn` settles it before any long work; nothing in it is resolved again later."""

    args: LearnArgs  # as given, with the extractor's name and the store filled in
    device: str  # torch device
    extractor: FeatureExtractor  # gives the features of the merge trees
    recipe: Recipe  # with all that `args` change in it


def learn(args: LearnArgs, progress: Progress | None = None, *, accepted: Accepted | None = None) -> LearnResult:
    """Propose and train on a folder of photos; interrupted at any point, the same call continues.

    Half of the samples show the `accepted` objects in these photos; the model is then marked as not label-free.
    `progress` shows all stages, bars on stderr when None.

    Raises:
        DataError: a folder without photos.
        ConfigError: settings that contradict each other, or a device that does not exist.
        TrainingError: the run in `args.out` had other settings, or nothing can be learned from the photos.
        WeightsError: the model to start from does not exist.
    """
    if process_number()[1] > 1:
        raise ConfigError(
            "several processes cannot share the trees that they build; run `clickgrain propose` once, then start"
            " `clickgrain train` with torchrun"
        )
    bar: Progress = progress or Bar()
    store = args.store or args.out / "proposals.db"
    setup = settle(replace(args, store=store), bar)
    with locked(args.out), bar:
        report = propose(args.photos, store, extractor=setup.extractor, ignore=args.ignore, progress=bar)
        result = _train(setup, bar, accepted=accepted)
    failed = [*report.left_out, *(failure.reason for failure in report.failed), *result.failed]
    return replace(result, failed=list(dict.fromkeys(failed)))


def train(
    args: LearnArgs,
    progress: Progress | None = None,
    *,
    # instead of the one that `args` name; a run that continues is not checked for the same one
    recipe: Recipe | None = None,
    # given the photos and composites, where targets come from instead of their trees' nodes
    regions: Callable[[ImageSet], RegionsOf] | None = None,
) -> LearnResult:
    """Train on the photos of an existing proposal store (`args.store`); see `learn`."""
    if args.store is None:
        raise ConfigError(
            "training needs the trees of the photos; name them with --store, or use `clickgrain learn`"
        )
    bar: Progress = progress or (Quiet() if process_number()[0] else Bar())
    setup = settle(args, bar, recipe)
    ProposalStore.open(args.store)  # reject a missing or foreign file before the run's folder is made
    with locked(args.out), bar:
        return _train(setup, bar, regions)


def settle(args: LearnArgs, bar: Progress, recipe: Recipe | None = None) -> Setup:
    """Resolve device, extractor and recipe, and reject what cannot be trained before hours of trees are built."""
    device = choose_device(args.device)
    args = replace(args, extractor=usable_extractor(args.extractor, bar))
    own = {"steps": args.steps, "lr": args.lr, "any_orientation": args.any_orientation or None}
    recipe = recipe or load_recipe(args.recipe, device).with_settings(**args.overrides, **own, tree=args.extractor)
    if args.cutouts is not None:
        if recipe.args.data.composites == 0:
            raise ConfigError(
                f"--cutouts is of no use to --recipe {args.recipe}, which makes no composites; leave it out"
            )
        find_images(args.cutouts)
    read_run(args)
    if args.start is not None:
        load_click_model(args.start)
    return Setup(args, device, load_extractor(args.extractor, device=device), recipe)


def _train(
    setup: Setup,
    bar: Progress,
    regions: Callable[[ImageSet], RegionsOf] | None = None,
    accepted: Accepted | None = None,
) -> LearnResult:
    args, recipe, extractor = setup.args, setup.recipe, setup.extractor
    assert args.store is not None, "settled"
    store = ProposalStore.open(args.store)
    taught = {} if accepted is None else {"labels": data_hash(accepted.objects), "objects": accepted.objects.ids}
    # again: another process may have trained before the lock
    saved = read_run(args, taught, labels="on other accepted objects")
    own_trees = isinstance(recipe.model, GrainConfig) or recipe.args.data.composites > 0
    photos, left_out = choose_photos(args.photos, store, args.ignore, extractor.name if own_trees else None)
    keys = hash_keys([photo.key for photo in photos])
    if saved is not None and saved.get("finished") == keys:
        over = finished_run(args.out, int(saved.get("done", saved["steps"])))
        if over is not None:
            return LearnResult(args.out, over, int(saved["pictures"]), left_out)
    model, recipe = first_model(args, recipe, bar)
    precision = begun_precision(recipe.args.precision, saved, model, setup.device, bar)
    settings = replace(recipe.args, precision=precision)
    settings = settings.with_steps(settings.steps if saved is None else saved["steps"])
    data = prepare(
        photos, store, settings, extractor, bar, seed=args.seed, cache=args.out / OBJECTS, cutouts=args.cutouts,
        memory=args.memory_bytes,
    )  # fmt: skip
    if regions is not None:
        data.image_set.regions = regions(data.image_set)
    if accepted is not None:
        threads = settings.threads or torch.get_num_threads()
        new, unusable = add_accepted(data.image_set, accepted, extractor, bar, threads=threads)
        data.images.extend(new)
        data.failed.extend(unusable)
        model.config = replace(model.config, labelled=True)
    bar.note(data.image_set.described())
    if saved is None:
        write_run(args, settings.steps, precision=precision, **taught)
    fitted = fit(
        model,
        data.image_set,
        data.images,
        settings,
        args.out,
        validate=ClickValidator(data.validation, args.out, setup.device),
        fabric=fabric_for(setup.device),
        progress=bar,
        seconds=None if args.minutes is None else args.minutes * 60,
    )
    done = {"done": fitted.steps, "finished": keys, "pictures": len(data.images)}
    write_run(args, settings.steps, precision=precision, **done, **taught)
    write_card(args.out)
    failed = [*left_out, *data.failed, *data.image_set.lost.values()]
    return LearnResult(args.out, fitted, len(data.images), failed)


def usable_extractor(name: str, bar: Progress) -> str:
    """The extractor's name; "default" becomes the one behind it, or a fallback that `bar` notes."""
    if name != "default":
        return name
    try:
        return default_extractor()
    except WeightsError:
        bar.note(f"no trained extractor ships with this version; trees come from {FALLBACK!r}")
        return FALLBACK


def first_model(args: LearnArgs, recipe: Recipe, bar: Progress) -> tuple[ClickModel, Recipe]:
    """The model before its first step, and the recipe, gentler on trained weights.

    The model is `args.start`, else the recipe's backbone, else the one in the package (for the recipe "auto"), else
    fresh. A trained `grain` model gets the recipe's click maps that it has not seen yet.
    """
    torch.manual_seed(args.seed)
    if recipe.backbone is not None and args.start is None:
        assert isinstance(recipe.model, PaperConfig)
        return PaperModel.from_backbone(recipe.model, recipe.backbone), recipe
    continues = recipe.args.learns != "all"
    if continues and args.from_scratch:
        raise ConfigError(f"--recipe {args.recipe} adds to a trained model; leave out --from-scratch")
    if args.start is not None or continues or (args.recipe == "auto" and not args.from_scratch):
        try:
            model = load_click_model(args.start or "default")
            if isinstance(model, GrainModel) and isinstance(recipe.model, GrainConfig):
                known = model.config.maps
                new = [name for name in recipe.model.maps if name not in known]
                if recipe.args.learns == "first":
                    model = model if model.first is not None else model.with_first(recipe.model.first_maps)
                elif new and not continues:
                    model = model.with_maps([*known, *new])
            return model, recipe.with_settings(lr=args.lr or recipe.args.lr * CONTINUED)
        except WeightsError:
            if args.start is not None or continues:
                raise
            bar.note("no trained model ships with this version; training starts from scratch")
    return build_model(recipe.model), recipe
