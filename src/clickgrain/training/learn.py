"""`learn`: a folder of unlabelled photos in, a click model out."""

import copy
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from lightning_fabric import Fabric

from clickgrain.errors import ConfigError, TrainingError, WeightsError
from clickgrain.features import FeatureExtractor, load_extractor
from clickgrain.files import atomic_write
from clickgrain.models.base import ClickModel
from clickgrain.models.registry import build_model, engine_for, load_click_model
from clickgrain.proposals import ProposalStore, propose
from clickgrain.segmenter import Segmenter
from clickgrain.training.args import TrainArgs
from clickgrain.training.bank import Bank, load_bank, with_composites
from clickgrain.training.learn_args import LearnArgs
from clickgrain.training.loop import FitResult, fit
from clickgrain.training.preview import write_preview
from clickgrain.training.progress import Bar, Progress
from clickgrain.training.recipes import Recipe, load_recipe
from clickgrain.training.validation import Validation, make_validation, split

RUN = "run.json"
FALLBACK = "color-texture"


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
        TrainingError: the run in `args.out` had other settings, or nothing can be learned from the photos.
    """
    bar: Progress = progress or Bar()
    device = choose_device(args.device)
    name = _extractor_name(args, bar)
    path = args.store or args.out / "proposals.db"
    extractor = load_extractor(name, device=device)
    report = propose(args.photos, path, extractor=extractor, ignore=args.ignore, progress=progress is None)
    result = train(replace(args, store=path, extractor=name), bar)
    return replace(result, failed=[failure.reason for failure in report.failed])


def train(args: LearnArgs, progress: Progress | None = None) -> LearnResult:
    """Train on the photos of an existing proposal store (`args.store`); see `learn`."""
    bar: Progress = progress or Bar()
    if args.store is None:
        raise ConfigError(
            "training needs the trees of the photos; name them with --store, or use `clickgrain learn`"
        )
    device = choose_device(args.device)
    name = _extractor_name(args, bar)
    recipe = load_recipe(args.recipe, device).with_settings(
        steps=args.steps, batch=args.batch, crop=args.crop, lr=args.lr, seed=args.seed, tree=name
    )
    with bar:
        model = _first_model(args, recipe, bar)
        extractor = load_extractor(name, device=device)
        data = prepare(args.photos, ProposalStore(args.store), recipe.args, extractor, bar, seed=args.seed)
        settings = _settled(args, recipe.args, model, data, device, bar)
        fitted = fit(
            model,
            data.bank,
            data.pictures,
            settings,
            args.out,
            validate=ClickValidator(data.validation, args.out, device),
            fabric=Fabric(accelerator=device.partition(":")[0], devices=1),
            progress=bar,
        )
    return LearnResult(args.out, fitted, len(data.pictures), [])


@dataclass(frozen=True)
class TrainingData:
    """A bank, the pictures to train on (photos and composites of them), and targets on held-out photos."""

    bank: Bank
    pictures: list[int]
    validation: Validation


def prepare(
    photos: Path, store: ProposalStore, args: TrainArgs, extractor: FeatureExtractor, bar: Progress, *, seed: int
) -> TrainingData:
    """Decode the photos, keep some for validation, and make composites of either part."""
    threads = args.threads or torch.get_num_threads()
    bar.start("photos", len(store))
    bank = load_bank(photos, store, side=args.data.photo_side, advance=bar.advance)
    train, held_out = split(bank, args.data, seed)
    count = round(args.data.composites_per_photo * len(train)) if args.data.composites > 0 else 0
    held = min(args.validation_targets, 4 * len(held_out)) if args.data.composites > 0 else 0
    bar.start("composites", count + held)
    full = with_composites(bank, count, extractor, photos=train, seed=seed, threads=threads, advance=bar.advance)
    kept = with_composites(
        bank, held, extractor, photos=held_out, seed=seed + 1, threads=threads, advance=bar.advance
    )
    validation = make_validation(bank, held_out, kept, args.data, count=args.validation_targets, seed=seed)
    return TrainingData(full, [*train, *range(full.photos, len(full.sizes))], validation)


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
            write_preview(self.out / "previews" / f"step-{step:06d}.png", segmenter, pairs)
        return metrics


def choose_device(name: str) -> str:
    """A torch device by name; "auto" is the GPU where there is one.

    Raises:
        ConfigError: if it is not there.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(f"--device {name} is not there: torch sees no GPU; use --device cpu")
    return name


def _extractor_name(args: LearnArgs, bar: Progress) -> str:
    if args.extractor != "default":
        return args.extractor
    try:
        load_extractor("default")
    except WeightsError:
        bar.note(f"no trained extractor ships with this version; trees come from {FALLBACK!r}")
        return FALLBACK
    return "default"


def _first_model(args: LearnArgs, recipe: Recipe, bar: Progress) -> ClickModel:
    """The model in the package where there is one and it fits the recipe, else fresh or backbone weights."""
    torch.manual_seed(args.seed)
    if recipe.backbone is not None:
        from clickgrain.models.paper import PaperModel
        from clickgrain.models.paper_config import PaperConfig

        assert isinstance(recipe.model, PaperConfig)
        return PaperModel.from_backbone(recipe.model, recipe.backbone)
    if not args.from_scratch and args.recipe == "auto":
        try:
            return load_click_model("default")
        except WeightsError:
            bar.note("no trained model ships with this version; training starts from scratch")
    return build_model(recipe.model.to_json())


def _settled(
    args: LearnArgs, train: TrainArgs, model: ClickModel, data: TrainingData, device: str, bar: Progress
) -> TrainArgs:
    """The settings with their number of steps, which a resumed run takes from run.json."""
    path = args.out / RUN
    asked = json.loads(json.dumps(asdict(args) | {"out": "", "photos": "", "store": ""}, default=str))
    if path.exists():
        saved = json.loads(path.read_text(encoding="utf-8"))
        if saved["asked"] != asked:
            changed = sorted(key for key in asked if saved["asked"].get(key) != asked[key])
            raise TrainingError(
                f"{args.out} holds a run with other settings ({', '.join(changed)}); repeat its settings to go on,"
                " or choose another --out"
            )
        return replace(train, steps=saved["steps"])
    if args.minutes is not None:
        seconds = seconds_per_step(model, data.bank, data.pictures, train, device)
        train = replace(train, steps=max(20, int(args.minutes * 60 / seconds)))
        bar.note(f"{train.steps} steps of {seconds:.2f} s fill {args.minutes:g} minutes")
    args.out.mkdir(parents=True, exist_ok=True)
    atomic_write(path, json.dumps({"asked": asked, "steps": train.steps}, indent=1).encode())
    return train


def seconds_per_step(
    model: ClickModel, bank: Bank, pictures: Sequence[int], args: TrainArgs, device: str, steps: int = 12
) -> float:
    """Mean time of a training step here, measured on a copy of the model that is thrown away."""
    from tempfile import TemporaryDirectory

    fabric = Fabric(accelerator=device.partition(":")[0], devices=1)
    trial = replace(args, warmup=0, checkpoint_every=3600.0)
    with TemporaryDirectory() as folder:
        warm = replace(trial, steps=2)
        fit(copy.deepcopy(model), bank, pictures, warm, Path(folder) / "warm", fabric=fabric)
        started = time.monotonic()
        fit(copy.deepcopy(model), bank, pictures, replace(trial, steps=steps), Path(folder) / "run", fabric=fabric)
    return (time.monotonic() - started) / steps
