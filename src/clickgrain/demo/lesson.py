"""The training part of the demo: a small `grain` model, trained on photos and composites."""

import copy
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from clickgrain import __version__
from clickgrain.demo.config import DemoArgs, DemoScale
from clickgrain.errors import TrainingError
from clickgrain.features.config import EncoderConfig
from clickgrain.files import hash_bytes, write_or_raise
from clickgrain.models.config import GrainConfig
from clickgrain.models.grain import GrainModel
from clickgrain.progress import Progress
from clickgrain.training.config import DataArgs, TrainArgs
from clickgrain.training.image_set import ImageSet
from clickgrain.training.loop import fit
from clickgrain.training.run_dir import METRICS, STATE, locked

PLAN = "plan.json"


@dataclass(frozen=True)
class Lesson:
    """The trained model and how training went."""

    folder: Path  # of the model
    steps: int  # made in all
    losses: list[float]  # loss by step, over all sessions
    parameters: int  # of the network
    # the network with its first weights; it follows a rule on the click maps that training builds on
    start: GrainModel
    start_name: str  # differs between seeds and sizes


def teach(args: DemoArgs, scale: DemoScale, image_set: ImageSet, bar: Progress) -> Lesson:
    """Train, or continue, in `args.out / "model"`; start over if the settings differ from last time."""
    folder, images = args.out / "model", list(range(len(image_set)))
    torch.manual_seed(args.seed)
    # Objects should look as large as in the crops, which show 0.5 to 1.05 of a photo.
    side = max(64, round(scale.crop * 5 / 3 / 32) * 32)
    # Two thirds of `GrainConfig.small` in width: after two minutes on two cores it is ahead of larger ones.
    config = GrainConfig(EncoderConfig(scale.widths, (1, 1, 1, 1, 1)), scale.widths[:4], long_side=side)
    model = GrainModel(config)
    start = copy.deepcopy(model).eval()
    settings = train_args(scale, args.seed, scale.steps or 100)
    seconds = None if scale.steps else args.minutes * 60
    with locked(folder):
        _start_over_if_changed(args, scale, image_set)
        result = fit(model, image_set, images, settings, folder, progress=bar, seconds=seconds)
    lines = map(json.loads, (folder / METRICS).read_text(encoding="utf-8").splitlines())
    made_of = json.dumps([__version__, args.seed, config.to_json()], sort_keys=True)
    return Lesson(
        folder,
        result.steps,
        [line["loss"] for line in lines if "loss" in line],
        sum(p.numel() for p in model.parameters()),
        start,
        f"grain-start-{hash_bytes(made_of.encode())[:10]}",
    )


def train_args(scale: DemoScale, seed: int, steps: int) -> TrainArgs:
    """Settings for a couple of hundred steps: a short average, more composites than proposals."""
    data = DataArgs(
        crop=scale.crop, photo_side=max(scale.side, 32), window=(0.5, 1.05), composites=0.7, masks_per_image=2
    )
    return TrainArgs(
        steps=steps, batch=scale.batch, lr=1.5e-3, warmup=20, ema=0.98, seed=seed, precision="float32",
        validate_every=0, checkpoint_every=15.0, data=data,
    )  # fmt: skip


def _start_over_if_changed(args: DemoArgs, scale: DemoScale, image_set: ImageSet) -> None:
    """Delete the state of a run with other settings; `plan.json` holds those of the last one."""
    path = args.out / PLAN
    asked: dict[str, Any] = {
        "minutes": args.minutes,
        "seed": args.seed,
        "photos": image_set.names[: image_set.photos],
        "version": __version__,
    }
    asked = json.loads(json.dumps(asked | {"scale": asdict(scale)}))
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # none, or damaged
        plan = None
    if isinstance(plan, dict) and plan.get("asked") == asked:
        return
    try:
        (args.out / "model" / STATE).unlink(missing_ok=True)
    except OSError as error:
        raise TrainingError(f"{args.out}: cannot be changed ({error}); choose another --out") from error
    text = json.dumps({"asked": asked}, indent=1)
    write_or_raise(path, text.encode(), TrainingError, "make room or choose another --out")
