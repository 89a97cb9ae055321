"""How many steps a run has, a number that is given or as many as fill a time, and their learning rates."""

import math
import time

from clickgrain.progress import Progress
from clickgrain.training.config import TrainArgs

LEAST = 20  # steps of even the shortest run by the clock
FEW = 0.1
"""Part of a recipe's steps below which little is learned: 300 of 3,000 gained 0.3 clicks of 6.2, within chance."""
TIMED, TRUSTED = 10, 0.05
"""Steps, or part of the time, after which the run's pace counts instead of the first guess."""


class Plan:
    """The number of steps, planned again after each of them where a time is to be filled.

    Steps differ in length by a factor of ten (a sample takes up to ten corrections), and a laptop has other work to
    do: a number that is fixed at the start can be off by half. The clock starts with the first optimizer step, so
    that compilation and reading do not count.
    """

    def __init__(self, steps: int, seconds: float | None = None) -> None:
        self.steps, self.seconds, self._few = steps, seconds, round(FEW * steps)
        self._before = 0.0
        self._started: float | None = None
        self._told = seconds is None

    @property
    def spent(self) -> float:
        """Seconds until now, over all sessions."""
        return self._before + (0.0 if self._started is None else time.monotonic() - self._started)

    def resume(self, steps: int, spent: float) -> None:
        """Take over the plan of an earlier session."""
        self._before, self._started = spent, None
        self._told = self._told or spent > 0
        if self.seconds is not None and steps > 0:
            self.steps = steps

    def update(self, done: int, bar: Progress) -> None:
        """Plan again after `done` steps; `bar` learns how many there will be, and once what to expect of them."""
        if self.seconds is None:
            return
        if self._started is None:
            self._started = time.monotonic()
        spent, timed, planned = self.spent, done - 1, self.steps
        known = done >= planned or timed >= TIMED or spent >= TRUSTED * self.seconds  # a used-up guess ends no run
        if spent < self.seconds and (min(timed, spent) <= 0 or not known):
            return
        pace = spent / max(timed, 1)
        left = max(self.seconds - spent, 0.0)
        self.steps = max(done + round(left / pace) if left else done, LEAST)
        if self.steps != planned:
            bar.expect(self.steps)
        if not self._told:
            self._told = True
            fill = f"fill {self.seconds / 60:g} minutes"
            if self.steps == LEAST:
                fill = f"are the fewest there can be, {LEAST * pace / 60:.1f} minutes"
            bar.note(f"about {self.steps} steps of {pace:.2f} s {fill}")
            if self.steps < self._few:
                bar.note(
                    f"{self.steps} steps are too few to learn much: {self._few} take about"
                    f" {self._few * pace / 60:.0f} minutes here; give more --minutes, or shorten the steps by a"
                    " smaller --crop or --batch"
                )


def learning_rate(args: TrainArgs, step: int) -> float:
    """Learning rate of a step (0-based)."""
    if step < args.warmup:
        return args.lr * (step + 1) / args.warmup
    share = (step - args.warmup) / max(args.steps - args.warmup, 1)
    if args.schedule == "cosine":
        return args.lr * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
    return args.lr * (0.1 if step >= args.steps * 50 / 55 else 1.0)
