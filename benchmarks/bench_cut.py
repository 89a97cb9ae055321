"""What guard and cut cost at a click, on photos that scikit-image ships, at three sizes.

`python -m benchmarks cut`. The model in the package, one core, ten places a photo, six clicks each. Prints the
median and 95th percentile in milliseconds of the whole click up to the binary mask, and of guard and cut in it.
"""

import platform
from collections.abc import Callable
from time import perf_counter
from typing import Any

import cv2
import numpy as np
import skimage.data
import torch

import clickgrain.segmenter as module
from clickgrain.images import resize
from clickgrain.segmenter import Segmenter
from clickgrain.types import Mask

PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")
SIZES = ((480, 640), (480, 854), (3000, 4000))
PLACES, CLICKS = 10, 6


def spread(times: list[float]) -> str:
    """Median and 95th percentile."""
    return f"{np.median(times):6.1f} / {np.percentile(times, 95):6.1f}"


def timed(name: str, times: list[float]) -> None:
    """Note the milliseconds of every call of a function of the segmenter's module."""
    real: Callable[..., Any] = getattr(module, name)

    def call(*given: Any) -> Any:
        start = perf_counter()
        result = real(*given)
        times.append(1e3 * (perf_counter() - start))
        return result

    setattr(module, name, call)


def main() -> None:
    """Print one line per size."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    cut: list[float] = []
    guard: list[float] = []
    timed("cut_mask", cut)
    timed("guard_mask", guard)
    seg, rng = Segmenter.load(), np.random.default_rng(0)
    print(f"{platform.processor() or platform.machine()}, one core; median / 95 % in ms")
    for height, width in SIZES:
        clicks: list[float] = []
        cut.clear()
        guard.clear()
        for name in PHOTOS:
            encoded = seg.encode(resize(getattr(skimage.data, name)(), (height, width)))
            for place in range(PLACES + 1):
                if place == 1 and name == PHOTOS[0]:  # the first one loads and compiles
                    for times in (clicks, cut, guard):
                        times.clear()
                points = rng.uniform((20, 20), (width - 20, height - 20), (CLICKS, 2))
                mask: Mask | None = None
                for k in range(1, CLICKS + 1):
                    start = perf_counter()
                    mask = seg.predict(points[:k], [i % 2 == 0 for i in range(k)], previous=mask, encoded=encoded)
                    _ = mask.binary
                    clicks.append(1e3 * (perf_counter() - start))
        print(f"{width} x {height}: click {spread(clicks)}, cut {spread(cut)}, guard {spread(guard)}", flush=True)


if __name__ == "__main__":
    main()
