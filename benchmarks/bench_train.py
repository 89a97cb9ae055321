"""Where the time of a training step goes: `python -m benchmarks train`, or `python -m benchmarks.bench_train`.

Trains a fresh network of a recipe on scikit-image's photos for some steps in each precision, with the same crops
and clicks, and prints the seconds a step takes, crops a second and core, and the share of each part. The parts are
timed on the training thread from outside, so `learn` itself pays nothing. On a GPU, whose work is queued, only the
seconds are meaningful. On a busy machine compare processor seconds: they count all threads, also those that prepare
batches.

ONEDNN_MAX_CPU_ISA=AVX2 (most laptops), AVX512_CORE or AVX512_CORE_BF16 (no AMX) shows what another CPU would do.
"""

import os
import platform
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import tyro
from lightning_fabric import Fabric

from clickgrain.clicks.maps import ClickMaps, MapContext
from clickgrain.demo.photos import HELD_OUT, LEARN, copy_photos
from clickgrain.devices import choose_device
from clickgrain.features import load_extractor
from clickgrain.models.registry import build_model
from clickgrain.progress import Quiet
from clickgrain.proposals.pipeline import propose
from clickgrain.proposals.store import ProposalStore
from clickgrain.training import loop, step
from clickgrain.training.config import Precision, Recipe, RecipeName, TrainArgs, load_recipe
from clickgrain.training.image_set import ImageSet
from clickgrain.training.loop import MovingAverage
from clickgrain.training.prepare import TrainingData, choose_photos, prepare

PARTS: tuple[tuple[str, Any, str], ...] = (
    ("step", loop._Run, "train"),
    ("crops", ImageSet, "crops"),
    ("click maps", MapContext, "of"),
    ("click maps", ClickMaps, "draw"),
    ("click maps", ClickMaps, "of"),
    ("loss", step, "total_loss"),
    ("simulated clicks", step, "corrective_click"),
    ("backward", Fabric, "backward"),
    ("optimizer", torch.optim.AdamW, "step"),
    ("optimizer", MovingAverage, "update"),
)
"""(part of the table, where a function is looked up, its name)."""
ORDER = (
    "encoder", "decoder forward", "backward", "click maps", "targets", "loss", "simulated clicks", "crops",
    "optimizer", "waiting for data", "rest",
)  # fmt: skip


@dataclass(frozen=True)
class Args:
    """What to time.

    Attributes:
        recipe: network and settings.
        device: auto, cpu or cuda.
        steps: timed, after two that warm up.
        batch: crops per step, the recipe's when None.
        precisions: to compare.
    """

    recipe: RecipeName = "auto"
    device: str = "auto"
    steps: int = 20
    batch: int | None = None
    precisions: tuple[Precision, ...] = ("float32", "bf16")


class Clock:
    """Seconds by part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.first = self.last = 0.0
        self.processor = 0.0
        """Processor seconds of all threads, those that prepare batches included."""

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, its time added to a part."""

        def call(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.last = time.perf_counter()
                self.first = self.first or start
                self.seconds[part] += self.last - start

        return call


def main() -> None:
    """Print the machine and one column per precision."""
    args = tyro.cli(Args, description=__doc__)
    device = choose_device(args.device)
    recipe = load_recipe(args.recipe, device).with_settings(batch=args.batch)
    recipe = replace(recipe, args=replace(recipe.args, validate_every=0, checkpoint_every=1e9, compile=False))
    print(f"{_processor()}; {torch.get_num_threads()} threads; {_flags()}")
    print(f"{args.steps} steps of {recipe.args.batch} crops of {recipe.args.data.crop} px, recipe {args.recipe}")
    with tempfile.TemporaryDirectory() as folder:
        data = _data(Path(folder), recipe)
        settings = [replace(recipe.args, precision=name) for name in args.precisions]
        columns = [_measure(recipe, data, one, device, args.steps) for one in settings]
    each = [clock.last - clock.first for clock in columns]
    cores = torch.get_num_threads()
    print(f"{'':18}" + "".join(f"{name:>12}" for name in args.precisions))
    print(f"{'seconds a step':18}" + "".join(f"{total / args.steps:12.2f}" for total in each))
    print(f"{'processor s a step':18}" + "".join(f"{clock.processor / args.steps:12.2f}" for clock in columns))
    rates = [args.steps * recipe.args.batch / total / cores for total in each]
    print(f"{'crops / s / core':18}" + "".join(f"{rate:12.2f}" for rate in rates))
    for part in ORDER:
        shares = [clock.seconds[part] / total for clock, total in zip(columns, each)]
        print(f"{part:18}" + "".join(f"{share:12.1%}" for share in shares))


def _data(folder: Path, recipe: Recipe) -> TrainingData:
    copy_photos((*LEARN, *HELD_OUT), folder / "photos")
    extractor = load_extractor("color-texture")
    propose(folder / "photos", folder / "trees.db", extractor=extractor, progress=False)
    store = ProposalStore(folder / "trees.db")
    photos, _ = choose_photos(folder / "photos", store, (), None)
    return prepare(photos, store, recipe.args, extractor, Quiet(), seed=0)


def _measure(recipe: Recipe, data: TrainingData, train: TrainArgs, device: str, steps: int) -> Clock:
    """Two steps to warm up (compilation, caches), then a run whose parts are timed."""
    fabric = loop.fabric_for(device)
    for count in (2, steps):
        torch.manual_seed(0)
        clock, model = Clock(), build_model(recipe.model.to_json())
        for part, name in (("encoder", "encode"), ("decoder forward", "decode")):
            setattr(model, name, clock.timed(part, getattr(model, name)))
        settings = replace(train, steps=count, warmup=0)
        with _watched(clock), tempfile.TemporaryDirectory() as out:
            before = time.process_time()
            loop.fit(model, data.image_set, data.images, settings, Path(out), fabric=fabric)
            clock.processor = time.process_time() - before
    inside = sum(clock.seconds[part] for part in ORDER)
    clock.seconds["waiting for data"] = (clock.last - clock.first) - clock.seconds["step"]
    clock.seconds["rest"] = clock.seconds["step"] - inside
    return clock


@contextmanager
def _watched(clock: Clock) -> Iterator[None]:
    """Time the parts inside; first and last call are those of whole steps."""
    with ExitStack() as stack:
        for part, owner, name in PARTS:
            stack.enter_context(mock.patch.object(owner, name, clock.timed(part, getattr(owner, name))))
        yield


def _processor() -> str:
    """The CPU's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _flags() -> str:
    """What of it matters here."""
    there: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    wanted = ("avx2", "avx512_f", "avx512_bf16", "amx_bf16", "neon", "bf16", "sve_bf16")
    found = [name for name in wanted if there.get(name)]
    forced = os.environ.get("ONEDNN_MAX_CPU_ISA")
    return ", ".join(found) + (f" (oneDNN held to {forced})" if forced else "")


if __name__ == "__main__":
    main()
