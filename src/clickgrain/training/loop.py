"""The training loop: Lightning Fabric around `ClickStep`, with validation by clicks and full resume."""

import json
import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor

from clickgrain.errors import TrainingError
from clickgrain.models.base import ClickModel
from clickgrain.training.args import TrainArgs
from clickgrain.training.checkpoint import RunState, load_state_of, save_state
from clickgrain.training.ema import MovingAverage
from clickgrain.training.image_set import ImageSet
from clickgrain.training.interrupts import postponed_interrupts
from clickgrain.training.metrics import MetricsLog
from clickgrain.training.plan import Plan
from clickgrain.training.progress import Progress, Quiet
from clickgrain.training.samples import Batch, make_batch
from clickgrain.training.step import ClickStep
from clickgrain.weights import hash_bytes, save_model

STATE, METRICS = "state.pt", "metrics.jsonl"
AHEAD = 3
"""Batches prepared ahead of the network."""


class Validator(Protocol):
    """Called with the averaged weights loaded into the model; returns numbers for the log."""

    def __call__(self, model: ClickModel, step: int) -> dict[str, float]:
        """Metrics after `step` steps."""
        ...


@dataclass
class FitResult:
    """What came of a run.

    Attributes:
        steps: done in all, over all sittings.
        seconds: of this sitting.
        metrics: of the last validation.
        losses: of this sitting's steps.
    """

    steps: int
    seconds: float
    metrics: dict[str, float] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)


def fit(
    model: ClickModel,
    image_set: ImageSet,
    pictures: Sequence[int],
    args: TrainArgs,
    out: Path,
    *,
    validate: Validator | None = None,
    fabric: Fabric | None = None,
    progress: Progress | None = None,
    seconds: float | None = None,
) -> FitResult:
    """Train a click model, or go on training it, and leave the averaged weights in `out`.

    A run that is stopped at any moment loses at most `args.checkpoint_every` seconds of work; run again with the
    same settings it ends bit-identical to one that was not stopped (same machine and number of threads; not when
    `seconds` are given, for then the clock decides).

    Args:
        model: with its first weights; its `config` is saved beside the result.
        image_set: photos and composites.
        pictures: indices into the image set to train on.
        args: settings.
        out: folder for `model.safetensors` + `config.json`, `state.pt` and `metrics.jsonl`.
        validate: called every `args.validate_every` steps and at the end.
        fabric: device, precision and processes; one process on the CPU or the only GPU when None.
        progress: shows steps and loss.
        seconds: to fill with training, over all sittings; `args.steps` is only a first guess then.

    Raises:
        TrainingError: if the state in `out` is of other settings, the disk is full, the loss is not finite, or
            several processes, whose clocks differ, are given `seconds`.
    """
    fabric = fabric or Fabric(accelerator="auto", devices=1)
    if seconds is not None and fabric.world_size > 1:
        raise TrainingError(f"{fabric.world_size} processes cannot train by the clock; give a number of steps")
    run = _Run(model, image_set, pictures, args, out, fabric, Plan(args.steps, seconds))
    run.resume()
    started, losses = time.monotonic(), []
    with progress or Quiet() as bar, run.batches() as batches:
        bar.start("training", run.plan.steps, run.step)
        saved = time.monotonic()
        try:
            run.validate_if_due(validate, bar)  # the stop may have come before this step's validation
            for batch in batches:
                losses.append(run.train(batch))
                if run.plan.update(run.step):
                    bar.expect(run.plan.steps)
                bar.advance(f"loss {losses[-1]:.3f}")
                run.validate_if_due(validate, bar)
                if time.monotonic() - saved > args.checkpoint_every:
                    run.save()
                    saved = time.monotonic()
        except KeyboardInterrupt:
            run.save()
            raise
        except TrainingError:
            with suppress(TrainingError):
                run.metrics.flush()  # shows what led there
            raise
    run.metrics.flush()
    if losses:  # else the run was finished before
        run.save()
    run.export()
    fabric.barrier()  # no process goes on before the model is there
    return FitResult(run.step, time.monotonic() - started, run.metrics.validated, losses)


def learning_rate(args: TrainArgs, step: int, steps: int | None = None) -> float:
    """Learning rate of a step (0-based), of `args.steps` or as many as are planned now."""
    steps = steps or args.steps
    if step < args.warmup:
        return args.lr * (step + 1) / args.warmup
    share = (step - args.warmup) / max(steps - args.warmup, 1)
    if args.schedule == "cosine":
        return args.lr * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
    return args.lr * (0.1 if step >= steps * 50 / 55 else 1.0)


class _Run:
    """The moving parts of one run."""

    def __init__(
        self,
        model: ClickModel,
        image_set: ImageSet,
        pictures: Sequence[int],
        args: TrainArgs,
        out: Path,
        fabric: Fabric,
        plan: Plan,
    ) -> None:
        self.args, self.pictures, self.out, self.fabric, self.plan = args, list(pictures), out, fabric, plan
        self.image_set = image_set.to(fabric.device)
        self.step = 0
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = MovingAverage(self.model.to(fabric.device), args.ema)
        optimizer = torch.optim.AdamW(_groups(self.model, args.weight_decay), lr=args.lr)
        self.network, self.optimizer = fabric.setup(ClickStep(self.model, args), optimizer)
        if args.compile:
            self.model.encode = torch.compile(self.model.encode)
            self.model.decode = torch.compile(self.model.decode)
        self.fingerprint = _fingerprint(model, image_set, pictures, args, fabric.world_size)
        self.metrics = MetricsLog(out / METRICS, writes=fabric.is_global_zero)

    def resume(self) -> None:
        """Go on from the state in the run's folder, if there is one."""
        state = load_state_of(self.out / STATE, self.fingerprint)
        if state is not None:
            self.step = state.step
            self.model.load_state_dict(state.model)
            self.average.load_state_dict(state.average)
            self.optimizer.load_state_dict(state.optimizer)
            self.plan.resume(state.planned, state.spent)
        self.metrics.rewind(self.step)

    def batches(self) -> "AbstractContextManager[Iterator[Batch]]":
        """The batches that are left, prepared ahead in threads, in order."""
        return _Ahead(self)

    def prepare(self, step: int) -> Batch:
        """This process's share of the batch of a step."""
        first = self.fabric.global_rank * self.args.batch
        return make_batch(
            self.image_set,
            self.pictures,
            self.args.data,
            self.args.clicks,
            seed=self.args.seed,
            step=step,
            first=first,
            count=self.args.batch,
        )

    def train(self, batch: Batch) -> float:
        """One optimiser step."""
        started = time.monotonic()
        self.model.train()
        torch.manual_seed(self.args.seed * 1_000_003 + self.step)  # dropout, as if there had been no stop
        rate = learning_rate(self.args, self.step, self.plan.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        crops = self.image_set.crops(batch.pictures, batch.matrices, self.args.data.crop).to(self.fabric.device)
        with torch.autocast(crops.device.type, dtype=torch.bfloat16, enabled=self.args.precision != "32-true"):
            loss, parts = self.network(crops, batch)
        value = float(loss.detach())
        self._check("loss", value)
        self.fabric.backward(loss)
        norm = self.fabric.clip_gradients(
            self.network, self.optimizer, max_norm=self.args.clip, error_if_nonfinite=False
        )
        self._check("gradient", float(norm))
        numbers = {"loss": value, "lr": rate, "norm": float(norm), **{n: float(part) for n, part in parts.items()}}
        with postponed_interrupts():  # half an update must not be saved
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            self.average.update(self.model, self.step)
            self.step += 1
            if self.plan.seconds is not None:
                numbers["planned"] = self.plan.steps
            self.metrics.add(self.step, numbers | {"seconds": round(time.monotonic() - started, 4)})
        return value

    def _check(self, what: str, value: float) -> None:
        if not math.isfinite(value):
            raise TrainingError(
                f"the {what} is {value} at step {self.step}; start again in another folder with a lower learning"
                f" rate than {self.args.lr:g}, or in full precision instead of {self.args.precision}"
            )

    def validate_if_due(self, validate: Validator | None, bar: Progress) -> None:
        """Validate every `validate_every` steps and at the end, once; then leave the model as it is now."""
        last, every = self.step >= self.plan.steps, self.args.validate_every
        due = last or (every > 0 and self.step > 0 and self.step % every == 0)
        if (
            validate is None
            or not due
            or not self.fabric.is_global_zero
            or self.metrics.validated_step == self.step
        ):
            return
        metrics = self._validated(validate)
        self.metrics.add_validation(self.step, metrics)
        bar.note(", ".join(f"{name} {value:.2f}" for name, value in metrics.items()) or "nothing to validate on")
        self.export()

    def _validated(self, validate: Validator) -> dict[str, float]:
        """Metrics of the averaged weights; training goes on from its own."""
        own = {name: value.clone() for name, value in self.model.state_dict().items()}
        try:
            self.model.load_state_dict(self.average.state_dict())
            self.model.eval()
            return validate(self.model, self.step)
        finally:
            with postponed_interrupts():
                self.model.load_state_dict(own)

    def save(self) -> None:
        """Write the full state. Processes need not meet here: clocks differ, and only the first one writes."""
        self.metrics.flush()
        if self.fabric.is_global_zero:
            state = RunState(
                self.step,
                self.model.state_dict(),
                self.average.state_dict(),
                self.optimizer.state_dict(),
                self.fingerprint,
                self.plan.steps,
                self.plan.spent,
            )
            save_state(self.out / STATE, state)

    def export(self) -> None:
        """Write the averaged weights as a model that `Segmenter.load` reads."""
        if self.fabric.is_global_zero:
            save_model(self.out, config=self.model.config.to_json(), tensors=self.average.state_dict(), half=True)


class _Ahead:
    """Batches of the steps that are left, prepared by threads, handed out in order."""

    def __init__(self, run: _Run) -> None:
        self.run = run
        self.pool = ThreadPoolExecutor(run.args.threads or max(1, (torch.get_num_threads() or 2) - 1))

    def __enter__(self) -> Iterator[Batch]:
        return self._hand_out()

    def _hand_out(self) -> Iterator[Batch]:
        ahead: deque[Future[Batch]] = deque()
        first = self.run.step
        while first < self.run.plan.steps:  # which may change on the way
            wanted = min(max(AHEAD, self.pool._max_workers), self.run.plan.steps - first)
            while len(ahead) < wanted:
                ahead.append(self.pool.submit(self.run.prepare, first + len(ahead)))
            yield ahead.popleft().result()
            first += 1

    def __exit__(self, *error: object) -> None:
        self.pool.shutdown(wait=True, cancel_futures=True)


def _groups(model: torch.nn.Module, decay: float) -> list[dict[str, Any]]:
    """Weight decay on matrices and kernels, not on biases and norms."""
    matrices: list[Tensor] = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    vectors: list[Tensor] = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    return [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]


def _fingerprint(
    model: ClickModel, image_set: ImageSet, pictures: Sequence[int], args: TrainArgs, processes: int
) -> str:
    """Hash of all that decides what the weights become."""
    names = [image_set.names[i] for i in pictures]
    parts = [args.fingerprint(), model.config.to_json(), names, *([processes] if processes > 1 else [])]
    return hash_bytes(json.dumps(parts, sort_keys=True).encode("utf-8", "surrogateescape"))
