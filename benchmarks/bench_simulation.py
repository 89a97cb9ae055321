"""Time of one simulated click (one core): `python benchmarks/bench_simulation.py`.

Prints the best of five means over `CALLS` calls, in milliseconds, on blob masks of several sizes.
"""

import time
from collections.abc import Callable

import cv2
import numpy as np

from clickgrain.clicks.config import ClickSimulation
from clickgrain.clicks.simulation import (
    corrective_click,
    first_click,
    initial_clicks,
    simulated_box,
    simulated_scribble,
)
from clickgrain.types import Bool

CALLS, REPEATS = 100, 5


def blob(size: int, seed: int) -> Bool:
    """A size x size random smooth mask of about 40 % of the image."""
    noise = np.random.default_rng(seed).random((size, size), dtype=np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), size / 12)
    return np.asarray(smooth > np.quantile(smooth, 0.6), np.bool_)


def best_ms(call: Callable[[], object]) -> float:
    """Best mean time of a call in milliseconds."""
    call()
    means = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        for _ in range(CALLS):
            call()
        means.append((time.perf_counter() - start) / CALLS)
    return 1e3 * min(means)


def calls(size: int) -> dict[str, Callable[[], object]]:
    """The functions under test on masks of one size."""
    rng, paper, grain = np.random.default_rng(0), ClickSimulation.paper(), ClickSimulation.grain()
    mask, other = blob(size, 0), blob(size, 1)
    return {
        "initial_clicks (paper)": lambda: initial_clicks(mask, rng, paper),
        "initial_clicks (grain)": lambda: initial_clicks(mask, rng, grain, sibling=other),
        "corrective_click": lambda: corrective_click(mask, other, rng),
        "first_click": lambda: first_click(mask, rng),
        "simulated_box": lambda: simulated_box(mask, rng),
        "simulated_scribble": lambda: simulated_scribble(mask, rng),
    }


def main() -> None:
    """Print one line per function and size."""
    cv2.setNumThreads(1)
    for size in (192, 384):
        for name, call in calls(size).items():
            print(f"{size:4d} px  {name:24s} {best_ms(call):7.3f} ms")


if __name__ == "__main__":
    main()
