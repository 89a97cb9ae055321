"""Settings of training without torch: data, run, the `learn` and `finetune` commands, and the recipes."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from clickgrain.clicks.config import ClickSimulation
from clickgrain.errors import ConfigError, check_range
from clickgrain.files import hash_bytes
from clickgrain.models.config import GrainConfig, LossWeights, PaperConfig
from clickgrain.proposals.config import AREA, Sampler

RecipeName = Literal["auto", "grain", "grain-small", "first-clicks", "corrections", "paper"]
Precision = Literal["auto", "float32", "bf16"]
FORMER = {"float32": "32-true", "bf16": "bf16-mixed"}  # names of precisions in the files of earlier versions
LEAST_MEMORY = 0.5  # gigabytes; half of it is about what the images and trees of a few batches take
_OF_RECIPE = tyro.conf.arg(help_behavior_hint="(default: the recipe's)")
NEUTRAL = ("accumulate", "threads", "validate_every", "validation_targets", "checkpoint_every")
"""Fields of `TrainArgs` that do not decide the final weights."""


@dataclass(frozen=True)
class DataArgs:
    """What a training sample is made of."""

    crop: int = 192  # side in pixels of the square crops that the network sees; a multiple of 32
    photo_side: int = 256  # photos are shrunk to this long side
    tiles: int = 0  # most zoom crops of a photo that are added as images; photos under twice `photo_side` get none
    # smallest and largest part of a photo's long side that a crop shows, log-uniform
    window: tuple[float, float] = (0.45, 1.05)
    # share of the zoom crops (under 0.45 of the long side) that start from a simulated answer to the whole image
    # (`clickgrain.training.samples.whole_look`), as zoom crops do in use
    whole_looks: float = 0.0
    rotate: float = 0.2  # share of crops that are turned, by up to 15 degrees
    # also turn crops by quarters and flip them upside down, for images that have no up: micrographs, aerial images
    any_orientation: bool = False
    composites: float = 0.5  # share of the samples made from composites, whose masks are exact
    composites_per_photo: float = 1.0  # composites made per photo
    # share of the composites that show a whole object from the `--cutouts` folder, if there is one
    cutouts: float = 0.2
    # share of the other samples made from photos with a salient object, whose mask is a target; 0 skips the search
    # for objects
    objects: float = 0.0
    # share of the samples without an exact mask whose targets come from the photo's edge tree
    # (`clickgrain.tree.edge_tree`) instead of the tree of its features
    edges: float = 0.0
    # likewise from its semantic tree (`clickgrain.tree.semantic_tree`), which is looked at first
    semantic: float = 0.0
    # share of all samples whose targets are regions that the click maps cannot show
    # (`clickgrain.training.regions.hidden_regions`); nodes of the maps' own trees teach blind trust in them. Where
    # no large region stands out, as among cells on textured ground, all are: one node in a hundred is a thing there
    hidden: float = 0.0
    # share of the samples whose proposals are drawn by the published sampler, which prefers large regions
    large: float = 0.0
    masks_per_image: int = 2  # prompts per crop; the encoder runs once for all of them
    sampler: Sampler = AREA  # how proposals are drawn
    color: float = 0.2  # strength of brightness, contrast and saturation jitter; 0 for none
    held_out: float = 0.05  # share of the photos kept for validation (at least 1, at most 64)

    def __post_init__(self) -> None:
        if self.crop < 32 or self.crop % 32:
            raise ConfigError(f"--data.crop {self.crop} must be a multiple of 32, 32 or more")
        if self.photo_side < 32:
            raise ConfigError(f"--data.photo-side {self.photo_side} is under 32 pixels")
        if not 0 < self.window[0] <= self.window[1] <= 4:
            raise ConfigError(f"--data.window {self.window} must be two parts of a photo's side, small one first")
        shares = "whole_looks rotate composites cutouts objects edges semantic hidden large held_out"
        check_range(self, shares, 0, 1, prefix="--data.")
        check_range(self, "masks_per_image", 1, prefix="--data.")
        check_range(self, "composites_per_photo color tiles", 0, prefix="--data.")


@dataclass(frozen=True)
class TrainArgs:
    """A training run. Order and augmentation are functions of `seed` and step alone."""

    steps: int = 2000  # optimizer steps in all
    batch: int = 16  # crops per step, over all processes
    lr: float = 1e-3  # peak learning rate
    warmup: int = 100  # steps of linear warm-up
    # "cosine" to zero, or "steps": x0.1 at 50/55 of the run (the paper's)
    schedule: Literal["cosine", "steps"] = "cosine"
    weight_decay: float = 0.02  # of AdamW, on weights of two or more dimensions; 0 makes it Adam
    clip: float = 1.0  # largest norm of the gradient
    ema: float = 0.998  # decay of the weights' moving average, which is what is validated and saved
    # "all" weights; or, with a second decoder, only those of the "first" clicks or of "corrections"
    learns: Literal["all", "first", "corrections"] = "all"
    # "two" random clicks of a sample, the same gradient in expectation as "all" at half the cost, or only the
    # "last" (the paper's)
    supervise: Literal["two", "all", "last"] = "two"
    seed: int = 0  # of everything random
    # of the forward passes; auto is bf16 where the device gains by it, float32 elsewhere
    precision: Precision = "auto"
    compile: bool = False  # run encoder and decoder through torch.compile
    accumulate: int = 1  # parts of a process's share of a step that it takes one after the other, for less memory
    threads: int = 0  # workers that prepare batches; 0: all cores but one
    validate_every: int = 500  # steps between validations; 0: only at the end
    validation_targets: int = 16  # proposals, and as many composites, of held-out photos
    checkpoint_every: float = 120.0  # seconds between checkpoints
    data: DataArgs = field(default_factory=DataArgs)
    clicks: ClickSimulation = field(default_factory=ClickSimulation.grain)
    losses: LossWeights = field(default_factory=lambda: LossWeights(smoothness=0.0, dice=0.5, iou=0.2))

    def __post_init__(self) -> None:
        for name, former in FORMER.items():
            if self.precision == former:
                object.__setattr__(self, "precision", name)
        check_range(self, "steps batch accumulate validation_targets", 1)
        check_range(self, "lr clip", 0, above=True)
        check_range(self, "warmup weight_decay seed threads validate_every checkpoint_every", 0)
        if not 0 <= self.ema < 1:
            raise ConfigError(f"--ema {self.ema} must lie in 0..1, below 1")

    def fingerprint(self) -> str:
        """Hash of everything that decides the final weights; a checkpoint continues only under the same one."""
        return hash_bytes(json.dumps(self.hashed(), sort_keys=True).encode())

    def hashed(self) -> dict[str, Any]:
        """What the fingerprint covers, under the names of the first version: its checkpoints must continue."""
        values = asdict(self) | {"precision": FORMER.get(self.precision, self.precision)}
        for name in (*NEUTRAL, "learns") if self.learns == "all" else NEUTRAL:
            del values[name]
        # the first version had a band around outlines that counted nowhere, its width 0 unless asked for
        values["rim"], values["data"]["law"] = 0, values["data"].pop("sampler")
        return values

    def with_steps(self, steps: int) -> "TrainArgs":
        """The same run with another number of steps, at most a fifth of them warm-up."""
        return replace(self, steps=steps, warmup=min(self.warmup, round(steps * 0.2)))


@dataclass(frozen=True)
class RunArgs:
    """What `learn`, `train` and `finetune` have in common."""

    photos: str | Path
    # folder for the model and the state of the run; give it to --model afterwards.
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    # settings of training, and the network of a model from scratch; auto is grain on a GPU, grain-small elsewhere.
    recipe: RecipeName = "auto"
    # whose features make the merge trees: "default" (the model in the package), "color-texture", a Hugging Face id
    # or a folder.
    extractor: str = "default"
    device: str = "auto"  # auto, cpu, cuda or another torch device.
    # of the network; auto is bf16 where this device gains by it, else float32. A run keeps its own.
    precision: Precision = "auto"
    steps: Annotated[int | None, _OF_RECIPE] = None  # the recipe's steps when None.
    batch: Annotated[int | None, _OF_RECIPE] = None  # crops per step, over all processes.
    crop: Annotated[int | None, _OF_RECIPE] = None  # side of the crops in pixels.
    # peak learning rate; a quarter of the recipe's when training starts from a trained model.
    lr: Annotated[
        float | None, tyro.conf.arg(help_behavior_hint="(default: the recipe's, or a quarter of it with --from)")
    ] = None
    seed: int = 0  # of everything random.
    # the trained model to start from, a folder or a Hugging Face id.
    start: Annotated[
        str | None,
        tyro.conf.arg(name="from", metavar="MODEL", help_behavior_hint="(default: the model in the package)"),
    ] = None
    from_scratch: bool = False  # start from fresh weights instead.
    accumulate: int = 1  # parts that a process takes its crops in, one after the other, for less memory.
    # gigabytes for images and their trees; 80 % of what is available when None. Images that do not fit are read
    # again, ahead of their turn. Samples, and so the weights, do not depend on it.
    memory: Annotated[float | None, tyro.conf.arg(metavar="GB")] = None

    @property
    def overrides(self) -> dict[str, Any]:
        """What takes the place of the recipe's settings, for `Recipe.with_settings`; None leaves one as it is."""
        given = {name: getattr(self, name) for name in ("batch", "crop", "seed", "accumulate", "precision")}
        return {name: None if value == "auto" else value for name, value in given.items()}

    @property
    def memory_bytes(self) -> float | None:
        """`memory` in bytes."""
        return None if self.memory is None else self.memory * 1e9

    def __post_init__(self) -> None:
        """Reject numbers that no training can have, before photos and models are read; None is the recipe's."""
        if self.from_scratch and self.start is not None:
            raise ConfigError("--from and --from-scratch contradict each other; give one of them")
        check_range(self, "seed", 0)
        check_range(self, "steps batch accumulate", 1)
        check_range(self, "lr", 0, above=True)
        check_range(self, "memory", LEAST_MEMORY)
        if self.crop is not None and (self.crop < 32 or self.crop % 32):
            raise ConfigError(f"--crop {self.crop} must be a multiple of 32, 32 or more")


@dataclass(frozen=True)
class LearnArgs(RunArgs):
    """Make a click model of your own from a folder of unlabelled photos.

    Merge trees are built, then a model is trained on clicks simulated on their regions. Stop it at any time:
    the same command continues. Afterwards give DIR to --model.

    Attributes:
        steps: the recipe's steps if neither this nor minutes is given.
        start: the trained model to start from, a folder or a Hugging Face id; the one in the package when None and
            the recipe is auto.
    """

    # folder of photos, walked recursively; or a list of addresses, tars or a URL, as in `propose`.
    photos: Annotated[str | Path, tyro.conf.Positional, tyro.conf.arg(metavar="PHOTOS")]
    # minutes of training, over all sessions; building trees comes before and does not count.
    minutes: float | None = None
    # the photos have no up (micrographs, aerial images): crops are also turned by quarters and flipped upside down.
    any_orientation: bool = False
    # proposal store to use (and continue), or a folder of shards *.db; DIR/proposals.db when not given.
    store: Annotated[str | Path | None, tyro.conf.arg(metavar="STORE")] = None
    # patterns of files and folders to leave out.
    ignore: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="PATTERN")] = ()
    # folder of RGBA images, each the exact cutout of one whole object; a fifth of the composites show them.
    cutouts: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None

    def __post_init__(self) -> None:
        if self.minutes is not None and self.steps is not None:
            raise ConfigError("--minutes and --steps both say how long to train; give one of them")
        check_range(self, "minutes", 0, above=True)
        super().__post_init__()


@dataclass(frozen=True)
class FinetuneArgs(RunArgs):
    """Fine-tune a click model on a folder with images/<id>.* and masks/<id>#<k>.png, or NAME=DIR for a known set.

    Stop it at any time: the same command continues. Afterwards give DIR to --model.

    Attributes:
        extractor: whose features make the merge trees of a model from scratch; others keep their own.
        lr: peak learning rate; the recipe's from scratch, a quarter of it from trained weights when None.
        seed: of everything random, the choice of images included.
        start: the trained model to start from: "default", a model folder or a Hugging Face id.
    """

    # folder with images/<id>.* and masks/<id>#<k>.png, NAME=DIR for a set that is known by name, or a project
    # file (clickgrain.db) of the browser tool.
    photos: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="PHOTOS_WITH_MASKS")]
    # a quarter of the recipe's when None.
    steps: Annotated[int | None, tyro.conf.arg(help_behavior_hint="(default: a quarter of the recipe's)")] = None
    # share of the labelled images to train on, above 0, up to 1; smaller shares are parts of larger ones.
    labels: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.labels <= 1:
            raise ConfigError(f"--labels {self.labels:g} is no share; give e.g. 0.05 for 5 %, or 1 for all")
        super().__post_init__()


def named_set(text: str) -> tuple[str, Path]:
    """ "NAME=DIR" as its two parts; a folder alone is called "labelled" and has the generic layout."""
    name, sign, folder = text.partition("=")
    if sign and name.strip() and folder and not Path(text).is_dir():
        return name.strip(), Path(folder).expanduser()
    return "labelled", Path(text).expanduser()


@dataclass(frozen=True)
class Recipe:
    """A network and how it is trained."""

    model: GrainConfig | PaperConfig  # config of the network
    args: TrainArgs  # of the run
    backbone: str | None = None  # Hugging Face id or folder whose weights start the network, or None

    def with_settings(self, **changes: Any) -> "Recipe":
        """The recipe with other fields of `TrainArgs` or `DataArgs`; None leaves one as it is.

        "tree" is the extractor behind a grain model's maps.
        """
        given = {key: value for key, value in changes.items() if value is not None}
        tree = given.pop("tree", None)
        model = replace(self.model, tree=tree) if tree and isinstance(self.model, GrainConfig) else self.model
        data = {key: given.pop(key) for key in list(given) if key in DataArgs.__dataclass_fields__}
        args = replace(self.args, **given, data=replace(self.args.data, **data))
        return replace(self, model=model, args=args)


def grain_small() -> Recipe:
    """The click model for two cores.

    command:  clickgrain learn PHOTOS --out DIR --recipe grain-small
    hardware: 2 CPU cores, 3 GiB of memory for some hundred photos
    time:     the table in docs/experiments.md has the measured time and score of 500 photos
    """
    args = TrainArgs(
        steps=3000, batch=24, lr=2e-3, validate_every=500,
        data=DataArgs(
            crop=160, tiles=4, masks_per_image=1,
            objects=0.4, hidden=0.35, semantic=0.6, edges=0.3, large=0.4,
        ),
    )  # fmt: skip
    return Recipe(GrainConfig.small(), args)


def first_clicks() -> Recipe:
    """A second decoder for first clicks; the rest of a trained model stays as it is.

    The first click has to guess what is meant, corrections have to keep what is right: one decoder that learns more
    of the one forgets of the other.

    command:  clickgrain train PHOTOS --store DIR/trees.db --recipe first-clicks --from default --out DIR
    hardware: as `grain-small`; docs/experiments.md has times
    """
    small, config = grain_small(), GrainConfig.small()
    clicks = ClickSimulation(share_single=1.0, corrective=(0, 0), share_centre=0.75)
    data = replace(small.args.data, tiles=2, masks_per_image=2)
    args = replace(small.args, learns="first", lr=3.2e-3, clicks=clicks, data=data)
    return Recipe(replace(config, first_maps=tuple(name for name in config.maps if name != "alike")), args)


def corrections() -> Recipe:
    """The decoder for corrections of a model with two, on the masks that the one for first clicks gives.

    command:  clickgrain train PHOTOS --store DIR/trees.db --recipe corrections --from default --out DIR
    hardware: as `grain-small`; docs/experiments.md has times
    """
    small = grain_small()
    args = replace(small.args, learns="corrections", losses=replace(small.args.losses, kept=1.0))
    return replace(small, args=args)


def grain() -> Recipe:
    """The click model for a GPU and thousands of photos.

    command:  clickgrain learn PHOTOS --out DIR --recipe grain --device cuda
    hardware: one GPU with 16 GiB or more; photos take 200 KB of memory each, where they fit
    time:     not measured yet; see docs/experiments.md
    """
    data = DataArgs(
        crop=224, tiles=4, masks_per_image=4,
        objects=0.4, hidden=0.35, semantic=0.6, edges=0.3, large=0.4,
    )  # fmt: skip
    args = TrainArgs(
        steps=40_000, batch=64, lr=1.5e-3, warmup=500, ema=0.9995, compile=True, validate_every=4000,
        validation_targets=64, data=data,
    )  # fmt: skip
    return Recipe(GrainConfig(), args)


def paper() -> Recipe:
    """The published recipe (MIS, ICCV 2023): SimpleClick ViT-B/16 at 448, from MAE weights, on DINO ViT-S/8 trees.

    command:  clickgrain propose PHOTOS --extractor facebook/dino-vits8 --out trees.db
              clickgrain train PHOTOS --store trees.db --recipe paper --device cuda --out DIR
    hardware: one GPU with 40 GiB or more
    time:     14,600 steps of 32 crops, as published; not run by us
    """
    data = DataArgs(
        crop=448, photo_side=512, window=(0.66, 1.12), rotate=1.0, composites=0.0, composites_per_photo=0.0,
        masks_per_image=1, sampler=Sampler("paper", decay=0.9, min_area=0.05), color=0.3,
    )  # fmt: skip
    args = TrainArgs(
        steps=14_600, batch=32, lr=5e-5, warmup=0, schedule="steps", weight_decay=0.0, clip=1e9, ema=0.0,
        supervise="last", validate_every=2000, data=data, clicks=ClickSimulation.paper(), losses=LossWeights(),
    )  # fmt: skip
    return Recipe(PaperConfig(), args, backbone="facebook/vit-mae-base")


RECIPES: dict[str, Callable[[], Recipe]] = {
    "grain": grain,
    "grain-small": grain_small,
    "first-clicks": first_clicks,
    "corrections": corrections,
    "paper": paper,
}


def load_recipe(name: str, device: str) -> Recipe:
    """A recipe by name; "auto" is grain on a GPU and grain-small elsewhere. ConfigError: an unknown name."""
    if name == "auto":
        name = "grain-small" if device == "cpu" else "grain"
    if name not in RECIPES:
        raise ConfigError(f"--recipe {name!r} is unknown; use auto, {', '.join(RECIPES)}")
    return RECIPES[name]()
