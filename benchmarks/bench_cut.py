"""What guard and cut cost at a click, on photos that scikit-image ships, at three sizes.

`python -m benchmarks cut`. The model in the package, on one core and on two, ten places a photo, six clicks each.
Prints the median and 95th percentile in milliseconds of the whole click up to the binary mask, and of guard and cut
in it.
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
    """Print one line per size and number of cores."""
    cut: list[float] = []
    guard: list[float] = []
    timed("cut_mask", cut)
    timed("guard_mask", guard)
    print(f"{platform.processor() or platform.machine()}; median / 95 % in ms")
    for cores in (1, 2):
        torch.set_num_threads(cores)
        cv2.setNumThreads(cores)
        seg, rng = Segmenter.load(), np.random.default_rng(0)  # a model keeps the cores it was loaded with
        seg.predict([[20, 20]], [1], encoded=seg.encode(skimage.data.coffee()))  # loads and compiles
        for size in SIZES:
            cut.clear()
            guard.clear()
            clicks = click_times(seg, size, rng)
            taken = f"click {spread(clicks)}, cut {spread(cut)}, guard {spread(guard)}"
            print(f"cores {cores}, {size[1]} x {size[0]}: {taken}", flush=True)


def click_times(seg: Segmenter, size: tuple[int, int], rng: np.random.Generator) -> list[float]:
    """Milliseconds of every click on the photos at one size (H, W)."""
    times: list[float] = []
    for name in PHOTOS:
        encoded = seg.encode(resize(getattr(skimage.data, name)(), size))
        for _ in range(PLACES):
            points = rng.uniform((20, 20), (size[1] - 20, size[0] - 20), (CLICKS, 2))
            mask: Mask | None = None
            for k in range(1, CLICKS + 1):
                start = perf_counter()
                mask = seg.predict(points[:k], [i % 2 == 0 for i in range(k)], previous=mask, encoded=encoded)
                _ = mask.binary
                times.append(1e3 * (perf_counter() - start))
    return times


if __name__ == "__main__":
    main()
