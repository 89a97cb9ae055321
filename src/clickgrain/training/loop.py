"""The training loop: Lightning Fabric around `ClickStep`, with validation by clicks and full resume."""

import json
import math
import os
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from clickgrain.devices import process_number, resolve_precision
from clickgrain.errors import ConfigError, TrainingError, WeightsError
from clickgrain.files import hash_bytes
from clickgrain.models.base import ClickModel
from clickgrain.progress import Progress, Quiet
from clickgrain.training import run_dir
from clickgrain.training.config import TrainArgs
from clickgrain.training.image_set import READERS, ImageSet
from clickgrain.training.plan import Plan, learning_rate
from clickgrain.training.samples import Batch, Pools, make_batch, sample_rng
from clickgrain.training.step import ClickStep
from clickgrain.weights import load_model, save_model

AHEAD = 3  # batches prepared ahead of the network
MOST_SKIPPED = 10  # steps in a row without a finite gradient after which a run stops

Validator = Callable[[ClickModel, int], dict[str, float]]
"""(model with the averaged weights, steps done) -> numbers for the log."""


@dataclass
class FitResult:
    """What came of a run."""

    steps: int  # done in all, over all sessions
    seconds: float  # of this session
    metrics: dict[str, float] = field(default_factory=dict)  # of the last validation
    losses: list[float] = field(default_factory=list)  # of this session's steps
    skipped: int = 0  # steps, over all sessions, that changed nothing because loss or gradient were not finite
    waited: float = 0.0  # share of this session's training during which the network waited for a batch


def fit(
    model: ClickModel,  # with its first weights; its `config` is saved with the result
    image_set: ImageSet,  # photos and composites
    images: Sequence[int],  # indices into the image set to train on
    args: TrainArgs,
    out: Path,  # folder for `model.safetensors` + `config.json`, `state.pt` and `metrics.jsonl`
    *,
    validate: Validator | None = None,  # called every `args.validate_every` steps and at the end
    fabric: Fabric | None = None,  # device and processes; one process on the CPU or the only GPU when None
    progress: Progress | None = None,
    seconds: float | None = None,  # to fill with training over all sessions; `args.steps` is a first guess then
) -> FitResult:
    """Train a click model, or continue to, and leave the averaged weights in `out`.

    A run that is stopped at any moment loses at most `args.checkpoint_every` seconds of work; run again with the
    same settings it ends bit-identical to one that was not stopped (same machine and number of threads, without
    `seconds`). A step whose loss or gradient is not finite changes nothing.
    Raises TrainingError: the state in `out` is of other settings, the disk is full, many losses or gradients in a
    row are not finite, or several processes are given `seconds`, cannot share a batch evenly, or lose one of them.
    """
    fabric = fabric or Fabric(accelerator="auto", devices=1)
    if seconds is not None and fabric.world_size > 1:
        raise TrainingError(f"{fabric.world_size} processes cannot train by the clock; give a number of steps")
    if args.batch % (fabric.world_size * args.accumulate):
        raise TrainingError(
            f"{fabric.world_size} processes cannot share --batch {args.batch} evenly in --accumulate"
            f" {args.accumulate} parts each; give a multiple of {fabric.world_size * args.accumulate}"
        )
    parameters = sum(p.numel() for p in model.parameters())
    args = replace(args, precision=resolve_precision(args.precision, str(fabric.device), parameters))
    bar = progress or Quiet()
    run = _Run(model, image_set, images, args, out, fabric, Plan(args.steps, seconds), validate, bar)
    started = time.monotonic()
    with bar:
        run.resume()
        bar.start("training", run.plan.steps, run.step)
        with run.batches() as batches:
            try:
                with run.failures_kept():
                    run.validate_if_due()  # the stop may have come before this step's validation
                    run.train_on(batches)
            except KeyboardInterrupt:
                with run_dir.postponed_interrupts():  # the second Ctrl-C of an impatient user
                    run.save()
                raise
    run.metrics.flush()
    if run.changed:  # else the run was finished before
        run.save()
    run.export()
    fabric.barrier()  # no process continues before the model is written
    waited = run.waited / max(run.waited + run.worked, 1e-9)
    took, metrics = time.monotonic() - started, run.metrics
    return FitResult(run.step, took, metrics.validated, run.losses, metrics.skipped, waited)


def finished_run(out: Path, steps: int) -> FitResult | None:
    """What came of a run of `steps` steps that is over; None if its files are gone or damaged.

    Then it begins again, or the model is written again from its state.
    """
    try:
        load_model(out)
    except WeightsError:
        return None
    if not (out / run_dir.STATE).is_file():
        return None
    metrics = run_dir.MetricsLog(out / run_dir.METRICS)
    metrics.rewind(steps)
    return FitResult(steps, 0.0, metrics.validated, [], metrics.skipped)


def fabric_for(device: str) -> Fabric:
    """This process on a device that `choose_device` gave; those that torchrun started find each other.

    Raises ConfigError: torchrun has started the processes again in a way that they cannot find each other.
    """
    kind, _, index = device.partition(":")
    processes = process_number()[1]
    if processes > 1:
        # the store of the processes before this start still has their addresses (pytorch issue 135712)
        if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True" and int(
            os.environ["TORCHELASTIC_RESTART_COUNT"]
        ):
            raise ConfigError(
                "torchrun --max-restarts needs TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 in its environment; start the"
                " same command again to continue"
            )
        here = int(os.environ.get("LOCAL_WORLD_SIZE", processes))
        # a batch may lack prompts for one of a model's two decoders
        strategy = "ddp_find_unused_parameters_true"
        fabric = Fabric(accelerator=kind, devices=here, num_nodes=processes // here, strategy=strategy)
        fabric.launch()
        return fabric
    return Fabric(accelerator=kind, devices=[int(index)] if index and kind == "cuda" else 1)


class MovingAverage:
    """Exponential moving average of parameters; its memory grows from a few steps to 1 / (1 - decay)."""

    def __init__(self, model: torch.nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: torch.nn.Module, step: int) -> None:
        """Take in the weights after step `step` (0-based)."""
        keep = min(self.decay, (1 + step) / (10 + step))
        now = model.state_dict()
        averaged = [name for name, value in self.weights.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.weights[n] for n in averaged], [now[n] for n in averaged], 1 - keep)
        for name in self.weights.keys() - set(averaged):  # counters
            self.weights[name].copy_(now[name])

    def load(self, weights: dict[str, Tensor]) -> None:
        """Take over saved weights."""
        for name, value in self.weights.items():
            value.copy_(weights[name])


class _Run:
    """The moving parts of one run."""

    def __init__(
        self,
        model: ClickModel,
        image_set: ImageSet,
        images: Sequence[int],
        args: TrainArgs,
        out: Path,
        fabric: Fabric,
        plan: Plan,
        validate: Validator | None,
        bar: Progress,
    ) -> None:
        self.args, self.out, self.fabric, self.plan = args, out, fabric, plan
        self.validate, self.bar = validate, bar
        self.image_set, self.pools = image_set.to(fabric.device), Pools.of(image_set, images, args.data)
        share, rank = args.batch // fabric.world_size, fabric.global_rank
        self.numbers = range(rank * share, (rank + 1) * share)  # this process's samples of a step
        self.step, self.changed, self.in_a_row, self.losses = 0, False, 0, list[float]()
        self.waited = self.worked = 0.0  # seconds without and with a batch at hand, the first one aside
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = MovingAverage(self.model.to(fabric.device), args.ema)
        self.own: dict[str, Tensor] | None = None  # the model's own weights while it has the averaged ones
        if args.learns != "all":
            if getattr(model, "first", None) is None:
                raise TrainingError("this model has no decoder for first clicks; start from one, or a grain model")
            self.model.requires_grad_(False)
            decoder = model.first if args.learns == "first" else model.decoder
            decoder.requires_grad_(True)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        groups = [  # weight decay on matrices and kernels, not on biases and norms
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": args.weight_decay},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=args.lr)
        self.network, self.optimizer = fabric.setup(ClickStep(self.model, args), optimizer)
        if args.compile:
            self.model.encode = torch.compile(self.model.encode)
            self.model.decode = torch.compile(self.model.decode)
        decisive = [args.fingerprint(), model.config.to_json(), [image_set.names[i] for i in images]]
        text = json.dumps(decisive, sort_keys=True)
        self.fingerprint = hash_bytes(text.encode("utf-8", "surrogateescape"))
        self.metrics = run_dir.MetricsLog(out / run_dir.METRICS, writes=fabric.is_global_zero)

    def resume(self) -> None:
        """Take over the state in the run's folder, if there is one."""
        state = run_dir.load_state_of(self.out, self.fingerprint, self.bar)
        if state is not None:
            self.step = state.step
            self.model.load_state_dict(state.model)
            self.average.load(state.average)
            self.optimizer.load_state_dict(state.optimizer)
            self.plan.resume(state.planned, state.spent)
        self.metrics.rewind(self.step)

    @contextmanager
    def batches(self) -> Iterator[Iterator[list[Batch]]]:
        """The batches that are left, prepared ahead in threads, in order; others read what is not in memory."""
        workers = self.args.threads or max(1, (torch.get_num_threads() or 2) - 1)
        pool, reading = ThreadPoolExecutor(workers), ThreadPoolExecutor(READERS)

        def hand_out() -> Iterator[list[Batch]]:
            ahead: deque[Future[list[Batch]]] = deque()
            while self.step < self.plan.steps:  # both change on the way
                while len(ahead) < min(max(AHEAD, workers), self.plan.steps - self.step):
                    step = self.step + len(ahead)
                    for i in self.first_choices(step) if self.image_set.streams else ():
                        reading.submit(self.image_set.read_ahead, i)
                    ahead.append(pool.submit(self.prepare, step))
                yield ahead.popleft().result()

        try:
            yield hand_out()
        finally:
            for threads in (reading, pool):
                threads.shutdown(wait=True, cancel_futures=True)

    def first_choices(self, step: int) -> list[int]:
        """The images that the samples of a step show, unless one of them has no target of a useful size."""
        return [self.pools.choose(self.args.data, sample_rng(self.args.seed, step, i))[0] for i in self.numbers]

    def prepare(self, step: int) -> list[Batch]:
        """This process's share of the batch of a step, in parts."""
        count = len(self.numbers) // self.args.accumulate
        given = (self.image_set, self.pools, self.args.data, self.args.clicks)
        firsts = self.numbers[::count]
        return [make_batch(*given, seed=self.args.seed, step=step, first=first, count=count) for first in firsts]

    def train_on(self, batches: Iterator[list[Batch]]) -> None:
        """All steps that are left, with what is due between them."""
        saved = ended = time.monotonic()
        paces, told = deque[float](maxlen=20), 0
        for count, parts in enumerate(batches):
            begun = time.monotonic()
            loss = self.train(parts, begun - ended)
            now = time.monotonic()
            if count > 0:
                self.waited, self.worked = self.waited + begun - ended, self.worked + now - begun
            self.losses += [] if loss is None else [loss]
            self.plan.update(self.step, self.bar)
            if count == 1:
                paces.clear()  # the first step also waits for compilation and the first batch
            paces.append(now - ended)
            said = "skipped: not finite" if loss is None else f"loss {loss:.3f}"
            self.bar.advance(f"{said}, {statistics.fmean(paces):.2f} s a step")
            for why in list(self.image_set.lost.values())[told:]:
                self.bar.note(f"left out for now: {why}")
                told += 1
            self.validate_if_due()
            if time.monotonic() - saved > self.args.checkpoint_every:
                self.save()
                saved = time.monotonic()
            ended = time.monotonic()

    def train(self, batches: list[Batch], waited: float) -> float | None:
        """One optimizer step: its loss, or None if loss or gradient were not finite and nothing was changed.

        `batches` are the parts of this process's share, `waited` the seconds that they were waited for.
        """
        started = time.monotonic()
        self.model.train()
        torch.manual_seed(self.args.seed * 1_000_003 + self.step)  # dropout, as if there had been no stop
        by_clock = self.plan.seconds is not None
        rate = learning_rate(self.args.with_steps(self.plan.steps) if by_clock else self.args, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        named = [self.backward(batch, batch is batches[-1]) for batch in batches]
        norm = self.fabric.clip_gradients(
            self.network, self.optimizer, max_norm=self.args.clip, error_if_nonfinite=False
        )
        sums = torch.stack([torch.stack(list(one.values())).float() for one in named]).mean(0)
        # shared by all processes, so that all skip a step or none
        shared = self.fabric.all_reduce(torch.cat([sums, norm.reshape(1).to(sums)]), reduce_op="mean").tolist()
        value, length = shared[0], shared[-1]
        finite = math.isfinite(value + length)
        numbers: dict[str, Any] = {"lr": rate, "planned": self.plan.steps} if by_clock else {"lr": rate}
        if finite:
            numbers |= {"norm": length, **dict(zip(named[0], shared))}
        else:
            numbers["skipped"] = f"loss {value}, gradient {length}"
        with run_dir.postponed_interrupts():  # half an update must not be saved
            if finite:
                self.optimizer.step()
                self.average.update(self.model, self.step)
            self.optimizer.zero_grad(set_to_none=True)
            self.step += 1
            self.changed, self.in_a_row = True, 0 if finite else self.in_a_row + 1
            numbers |= {"seconds": round(time.monotonic() - started, 4), "waited": round(waited, 4)}
            self.metrics.add(self.step, numbers)
        if self.in_a_row >= MOST_SKIPPED:
            raise TrainingError(
                f"{self.in_a_row} steps in a row were skipped because they were not finite (step {self.step}: loss"
                f" {value}, gradient {length}); start again in another folder with a lower --lr than"
                f" {self.args.lr:g}" + (", or with --precision float32" if self.args.precision == "bf16" else "")
            )
        return value if finite else None

    def backward(self, batch: Batch, last: bool) -> dict[str, Tensor]:
        """Loss of a part of a step and what it is made of; gradients are added, and shared after the last part."""
        pixels = [one.pixels for one in batch.shown]
        crops = self.image_set.crops(batch.images, batch.matrices, self.args.data.crop, pixels)
        crops = crops.to(self.fabric.device)
        alone = self.fabric.world_size > 1 and not last
        with self.fabric.no_backward_sync(self.network, enabled=alone):
            with torch.autocast(crops.device.type, dtype=torch.bfloat16, enabled=self.args.precision == "bf16"):
                loss, parts = self.network(crops, batch)
            self.fabric.backward(loss / self.args.accumulate)
        return {"loss": loss.detach(), **parts}

    @contextmanager
    def failures_kept(self) -> Iterator[None]:
        """Write what led to a failure; the loss of another process becomes a TrainingError."""
        try:
            yield
        except TrainingError:
            with suppress(TrainingError):
                self.metrics.flush()
            raise
        except RuntimeError as error:
            if self.fabric.world_size == 1:
                raise
            self.save()  # of the last whole step
            raise TrainingError(
                f"process {self.fabric.global_rank} of {self.fabric.world_size} lost the others after step"
                f" {self.step} ({str(error).splitlines()[0]}); the same command continues from there"
            ) from error

    def validate_if_due(self) -> None:
        """Validate every `validate_every` steps and at the end, once; then leave the model as it is now."""
        last, every = self.step >= self.plan.steps, self.args.validate_every
        due = last or (every > 0 and self.step > 0 and self.step % every == 0)
        done = not self.fabric.is_global_zero or self.metrics.validated_step == self.step
        if self.validate is None or not due or done:
            return
        self.bar.note(f"validating after step {self.step}")
        self.own = {name: value.clone() for name, value in self.model.state_dict().items()}
        try:
            self.model.load_state_dict(self.average.weights)
            self.model.eval()
            metrics = self.validate(self.model, self.step)
        finally:
            self.model.load_state_dict(self.own)
            self.own = None
        self.metrics.add(self.step, dict(metrics))
        told = ", ".join(f"{name} {value:.2f}" for name, value in metrics.items())
        self.bar.note(told or "nothing to validate on")
        self.export()

    def save(self) -> None:
        """Write the full state. Processes need not meet here: clocks differ, and only the first one writes."""
        self.metrics.flush()
        if self.fabric.is_global_zero:
            state = run_dir.RunState(
                self.step,
                self.model.state_dict() if self.own is None else self.own,  # a stop while it was validated
                self.average.weights,
                self.optimizer.state_dict(),
                self.fingerprint,
                self.plan.steps,
                self.plan.spent,
            )
            run_dir.save_state(self.out, state)

    def export(self) -> None:
        """Write the averaged weights as a model that `Segmenter.load` reads."""
        if self.fabric.is_global_zero:
            save_model(self.out, config=self.model.config.to_json(), tensors=self.average.weights, half=True)
