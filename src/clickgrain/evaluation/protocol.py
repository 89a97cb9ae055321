"""The click benchmark: a robot clicks until the mask is right, and counts (RITM / SimpleClick convention)."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from time import perf_counter

from clickgrain.clicks.robot import RobotUser, User, split_target
from clickgrain.evaluation.clicking import Attempt, click_target, said
from clickgrain.evaluation.datasets import Benchmark, Target, load_group, size_class
from clickgrain.evaluation.journal import Journal, header
from clickgrain.evaluation.result import Result, TargetResult
from clickgrain.evaluation.settings import EvaluationSettings
from clickgrain.types import Predictor, UInt8

Progress = Callable[[int, int], None]
"""Called with (targets done, targets in all)."""


def evaluate(
    predictor: Predictor,
    benchmark: Benchmark,
    *,
    model: str | None = None,
    max_clicks: int = 20,
    threshold: float = 0.5,
    full_curves: bool = False,
    user: User | None = None,
    targets: int | Iterable[str] | None = None,
    progress: Progress | None = None,
    jsonl: Path | None = None,
    resume: bool = True,
) -> Result:
    """Click every target of a benchmark as the protocol says.

    Args:
        predictor: what is evaluated; `set_image` is called once per image, and `previous` hands its last
            mask back. An error that it raises is recorded with the target, which then counts as never reached.
        benchmark: images and target masks.
        model: name in the result and in `jsonl`; must tell checkpoints apart. Default: the predictor's `name`,
            else its class.
        max_clicks, threshold, full_curves: see `EvaluationSettings`.
        user: who clicks; the deterministic robot by default.
        targets: only the first so many, or only those with these ids.
        progress: called after every target with (done, total).
        jsonl: file that takes one line per target as it is finished.
        resume: take over the targets already in `jsonl` (those with an error are tried again); otherwise
            start the file anew.

    Raises:
        ConfigError: for settings out of range.
        DataError: when no target can be used, or `jsonl` belongs to another evaluation or cannot be written.
    """
    settings = EvaluationSettings(max_clicks, threshold, full_curves)
    chosen = benchmark.select(targets)
    model = model or str(getattr(predictor, "name", type(predictor).__name__))
    user = user or RobotUser()
    head = header(model, benchmark.name, {**settings.to_dict(), "user": user.name})
    with Journal(jsonl, head, resume=resume) as journal:
        run = _Run(predictor, user, settings, journal, progress, len(chosen))
        for group in chosen.by_image():
            run.image(group)
    rows = tuple(run.rows[target.id] for target in chosen if target.id in run.rows)
    return Result(model, benchmark.name, user.name, settings, rows, tuple(benchmark.notes), tuple(run.skipped))


class _Run:
    """One evaluation on its way; `rows` and `skipped` are what it has found."""

    def __init__(
        self,
        predictor: Predictor,
        user: User,
        settings: EvaluationSettings,
        journal: Journal,
        progress: Progress | None,
        total: int,
    ) -> None:
        self.predictor, self.user, self.settings = predictor, user, settings
        self.journal, self.progress, self.total = journal, progress, total
        self.rows: dict[str, TargetResult] = {}
        self.skipped: list[str] = []

    def image(self, group: list[Target]) -> None:
        """Evaluate the targets of one image, except those that the journal has."""
        for target in group:
            if target.id in self.journal.done:
                self._done(self.journal.done[target.id], new=False)
        left = [target for target in group if target.id not in self.rows]
        if not left:
            return
        image, masks = load_group(left, self.skipped)
        if image is None or len(masks) < len(left):
            self._report()
        if image is None or not masks:
            return
        encode_seconds, error = self._encode(image)
        for target, mask in masks:
            attempt = Attempt(error=error)
            if error is None:
                self.user.start(target.id)
                attempt = click_target(self.predictor, mask, self.settings, self.user)
            self._done(_row(target, mask, attempt, encode_seconds), new=True)

    def _encode(self, image: UInt8) -> tuple[float, str | None]:
        start = perf_counter()
        try:
            self.predictor.set_image(image)
            _wait_for_gpu()
        except Exception as error:  # anybody's predictor may raise anything
            return perf_counter() - start, said(error)
        return perf_counter() - start, None

    def _done(self, row: TargetResult, *, new: bool) -> None:
        self.rows[row.id] = row
        if new:
            self.journal.add(row)
        self._report()

    def _report(self) -> None:
        if self.progress is not None:
            self.progress(len(self.rows) + len(self.skipped), self.total)


def _row(target: Target, mask: UInt8, attempt: Attempt, encode_seconds: float) -> TargetResult:
    area = float(split_target(mask)[0].mean())
    return TargetResult(
        id=target.id,
        image=target.image_id,
        area=area,
        size=size_class(area),
        ious=tuple(attempt.ious),
        boundary_ious=tuple(attempt.boundary_ious),
        disobeyed=tuple(attempt.disobeyed),
        clicks=tuple(attempt.clicks),
        click_seconds=tuple(attempt.seconds),
        encode_seconds=encode_seconds,
        error=attempt.error,
    )


def _wait_for_gpu() -> None:
    """Let queued GPU work end, so that encoding is not timed with the first click."""
    torch = sys.modules.get("torch")  # not imported here: a predictor may do without it
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()
