"""How many steps a run makes: a number, or as many as a time holds."""

import time

LEAST = 20
"""Steps of even the shortest run by the clock."""
TRUSTED = 0.05
"""Part of the time after which its own pace counts instead of the first guess."""


class Plan:
    """The number of steps, planned anew after each of them where a time is to be filled.

    Steps differ in length by a factor of ten (a sample takes up to ten corrections), and a laptop has other work to
    do: a number that is fixed at the start can be off by half.

    Args:
        steps: of the run; with `seconds` a first guess.
        seconds: to fill with steps and validations, over all sittings; None: exactly `steps` steps.
    """

    def __init__(self, steps: int, seconds: float | None = None) -> None:
        self.steps, self.seconds = steps, seconds
        self._before, self._started = 0.0, time.monotonic()

    @property
    def spent(self) -> float:
        """Seconds until now, over all sittings."""
        return self._before + time.monotonic() - self._started

    def resume(self, steps: int, spent: float) -> None:
        """Go on from the plan of an earlier sitting."""
        self._before, self._started = spent, time.monotonic()
        if self.seconds is not None and steps > 0:
            self.steps = steps

    def update(self, done: int) -> bool:
        """Plan anew after `done` steps; whether their number has changed."""
        if self.seconds is None:
            return False
        share, before = self.spent / self.seconds, self.steps
        if share >= 1:
            self.steps = max(done, LEAST)
        elif share > TRUSTED:
            self.steps = max(done + 1, round(done / share), LEAST)
        return self.steps != before
