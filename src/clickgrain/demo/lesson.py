"""The training part of the demo: an image set of photos and composites, and a small `grain` model."""

import copy
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from clickgrain import __version__
from clickgrain.demo.args import DemoArgs, DemoScale
from clickgrain.errors import TrainingError
from clickgrain.features.encoder_config import EncoderConfig
from clickgrain.files import atomic_write, hash_bytes
from clickgrain.models.grain import GrainModel
from clickgrain.models.grain_config import GrainConfig
from clickgrain.training.args import DataArgs, TrainArgs
from clickgrain.training.image_set import ImageSet
from clickgrain.training.learn import seconds_per_step
from clickgrain.training.loop import METRICS, STATE, fit
from clickgrain.training.progress import Progress

PLAN = "plan.json"


@dataclass(frozen=True)
class Lesson:
    """What training left.

    Attributes:
        folder: of the model.
        steps: made in all.
        losses: loss by step, over all sittings.
        parameters: of the network.
        start: the network with its first weights; it follows a rule on the click maps that training builds on.
        start_name: tells first weights of other seeds and sizes apart.
    """

    folder: Path
    steps: int
    losses: list[float]
    parameters: int
    start: GrainModel
    start_name: str


def teach(args: DemoArgs, scale: DemoScale, image_set: ImageSet, bar: Progress) -> Lesson:
    """Train, or go on training, in `args.out / "model"`; with other settings than last time from the beginning.

    Raises:
        TrainingError: when the disk is full.
    """
    folder = args.out / "model"
    pictures = list(range(len(image_set.sizes)))
    torch.manual_seed(args.seed)
    # Two thirds of `GrainConfig.small` in width: after two minutes on two cores it is ahead of larger ones.
    config = GrainConfig(
        EncoderConfig(scale.widths, (1, 1, 1, 1, 1)), scale.widths[:4], long_side=_long_side(scale)
    )
    model = GrainModel(config)
    start = copy.deepcopy(model).eval()
    settings = train_args(scale, args.seed, _planned_steps(args, scale, image_set, pictures, model, bar))
    result = fit(model, image_set, pictures, settings, folder, progress=bar)
    lines = (folder / METRICS).read_text(encoding="utf-8").splitlines()
    losses = [line["loss"] for line in map(json.loads, lines) if "loss" in line]
    made_of = json.dumps([__version__, args.seed, config.to_json()], sort_keys=True)
    parameters = sum(p.numel() for p in model.parameters())
    return Lesson(
        folder, result.steps, losses, parameters, start, f"grain-start-{hash_bytes(made_of.encode())[:10]}"
    )


def train_args(scale: DemoScale, seed: int, steps: int) -> TrainArgs:
    """Settings for a couple of hundred steps: a short average, more composites than proposals."""
    data = DataArgs(
        crop=scale.crop, photo_side=max(scale.side, 32), window=(0.5, 1.05), composites=0.7, masks_per_image=2
    )
    return TrainArgs(
        steps=steps, batch=scale.batch, lr=1.5e-3, warmup=20, ema=0.98, seed=seed, precision="32-true",
        validate_every=0, checkpoint_every=15.0, data=data,
    )  # fmt: skip


def _long_side(scale: DemoScale) -> int:
    """Objects should look as large as in the crops, which show 0.5 to 1.05 of a photo."""
    return max(64, round(scale.crop * 5 / 3 / 32) * 32)


def _planned_steps(
    args: DemoArgs, scale: DemoScale, image_set: ImageSet, pictures: list[int], model: GrainModel, bar: Progress
) -> int:
    """The number of steps, kept in `plan.json` so that an interrupted run ends as it would have."""
    path = args.out / PLAN
    asked = {
        "minutes": args.minutes,
        "seed": args.seed,
        "photos": image_set.names[: image_set.photos],
        "version": __version__,
    }
    asked = json.loads(json.dumps(asked | {"scale": asdict(scale)}))
    plan = _read(path)
    if plan.get("asked") == asked:
        return int(plan["steps"])
    steps = scale.steps
    if steps is None:
        bar.start("timing a step", 1)
        each = seconds_per_step(model, image_set, pictures, train_args(scale, args.seed, 100), "cpu")
        steps = min(max(round(args.minutes * 60 / each), 20), 5000)
        bar.advance(f"{each:.2f} s")
    try:
        (args.out / "model" / STATE).unlink(missing_ok=True)
        atomic_write(path, json.dumps({"asked": asked, "steps": steps}, indent=1).encode())
    except OSError as error:
        raise TrainingError(
            f"{path}: cannot be written ({error.strerror or error}); make room or choose another --out"
        ) from error
    return steps


def _read(path: Path) -> dict[str, Any]:
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none, or damaged: planned anew
        return {}
    return plan if isinstance(plan, dict) else {}
