"""The click benchmark: a robot clicks until the mask is right, and counts (RITM / SimpleClick convention)."""

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from pathlib import Path
from typing import cast

from clickgrain.clicks.robot import RobotUser, User
from clickgrain.errors import ConfigError
from clickgrain.evaluation.clicking import Found, click_image
from clickgrain.evaluation.config import EvaluationSettings
from clickgrain.evaluation.datasets import Benchmark, Target, data_hash
from clickgrain.evaluation.journal import Journal, header
from clickgrain.evaluation.result import Result
from clickgrain.evaluation.workers import click_images
from clickgrain.types import Predictor

Progress = Callable[[int, int], None]
"""Called with (targets done, targets in all)."""


def evaluate(
    predictor: Predictor | Callable[[], Predictor],
    benchmark: Benchmark,
    *,
    model: str | None = None,
    max_clicks: int = 20,
    threshold: float = 0.5,
    full_curves: bool = False,
    user: User | None = None,
    targets: int | Iterable[str] | None = None,
    processes: int = 0,
    progress: Progress | None = None,
    jsonl: Path | None = None,
    resume: bool = True,
) -> Result:
    """Click every target of a benchmark as the protocol says.

    Args:
        predictor: what is evaluated, or a function without arguments that makes it, such as a class or a `Method`;
            `set_image` is called once per image, and `previous` hands its last mask back. An error that it raises
            is recorded with the target, which then counts as never reached.
        benchmark: images and target masks.
        model: name in the result and in `jsonl`; must tell checkpoints apart. Default: the predictor's `name`,
            else its class.
        max_clicks, threshold, full_curves: see `EvaluationSettings`.
        user: who clicks; the deterministic robot by default.
        targets: only the first so many, or only those with these ids.
        processes: share the images out to so many processes; 0 and 1 stay in this one. The rows are the same.
            `predictor` is then a function that makes one, importable by another process (no lambda).
        progress: called after every target with (done, total).
        jsonl: file that takes one line per target as it is finished.
        resume: take over the targets already in `jsonl` (those with an error are tried again); otherwise
            start the file over.

    Raises:
        ConfigError: for settings out of range, or what cannot be handed to another process.
        DataError: when no target can be used, `jsonl` belongs to another evaluation or cannot be written, or a
            process dies.
    """
    settings, report = (
        EvaluationSettings(max_clicks, threshold, full_curves),
        progress or (lambda done, total: None),
    )
    _check_processes(predictor, processes)
    chosen, user = benchmark.select(targets), user or RobotUser()
    if model is None:
        own = getattr(predictor, "name", None)
        model = own if isinstance(own, str) else getattr(predictor, "__name__", type(predictor).__name__)
    data = None if jsonl is None else data_hash(benchmark)
    head = header(model, benchmark.name, {**settings.to_dict(), "user": user.name}, data)
    skipped: list[str] = []
    with Journal(jsonl, head, resume=resume) as journal:
        rows = {target.id: journal.done[target.id] for target in chosen if target.id in journal.done}
        for done in range(len(rows)):
            report(done + 1, len(chosen))
        left = ([target for target in group if target.id not in rows] for group in chosen.by_image())
        groups = [group for group in left if group]
        with closing(_found(predictor, groups, settings, user, processes)) as found:
            for one in found:
                if isinstance(one, str):
                    skipped.append(one)
                else:
                    journal.add(one)
                    rows[one.id] = one
                report(len(rows) + len(skipped), len(chosen))
    ordered = tuple(rows[target.id] for target in chosen if target.id in rows)
    return Result(model, benchmark.name, user.name, settings, ordered, tuple(benchmark.notes), tuple(skipped))


def _found(
    predictor: Predictor | Callable[[], Predictor],
    groups: list[list[Target]],
    settings: EvaluationSettings,
    user: User,
    processes: int,
) -> Generator[Found, None, None]:
    """What `click_image` yields of all groups, in this process or in others."""
    if not groups:
        return
    if processes > 1:
        yield from click_images(cast(Callable[[], Predictor], predictor), groups, settings, user, processes)
        return
    made = cast(Callable[[], Predictor], predictor)() if _makes_one(predictor) else cast(Predictor, predictor)
    for group in groups:
        yield from click_image(made, group, settings, user)


def _makes_one(predictor: object) -> bool:
    return isinstance(predictor, type) or not hasattr(predictor, "set_image")


def _check_processes(predictor: object, processes: int) -> None:
    if processes < 0:
        raise ConfigError(f"--processes {processes} is negative; 0 and 1 stay in one process")
    if processes > 1 and not _makes_one(predictor):
        raise ConfigError(
            f"--processes {processes}: each process makes its own predictor; give evaluate() a class or a function"
            f" that makes one, not a {type(predictor).__name__}"
        )
    device = str(getattr(predictor, "device", "cpu"))
    if processes > 1 and not device.startswith("cpu"):
        raise ConfigError(f"--processes {processes} works on --device cpu only; leave it out on {device}")
