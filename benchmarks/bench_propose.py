"""What `propose` costs beyond the bare forward passes of its extractor.

    python benchmarks/bench_propose.py

The extractor is honest work of a known size: a stack of 3 x 3 convolutions (torch, one thread, float32) over
the image at 1/8 of its resolution, as many layers as take at least 50 ms an image here; its features (64 per
8 x 8 patch) are made of their output, so the trees are real trees. Photos are noise at several scales, 384 x 512,
saved as BMP, so that decoding is next to nothing. Asked for: at most 10 % (best of 5). Reading, merging, packing
and writing are all in the measured time; compilation is not. Merging beside the forward passes needs a second
core; the last line says how much of one was free. On a busy machine the clock says little: the two ratios of
processor time then tell what an idle one-core and an idle two-core machine would show.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch

from clickgrain.proposals.pipeline import propose
from clickgrain.tree import build_tree
from clickgrain.types import Float, UInt8

PHOTOS, SIZE, CHANNELS, ROUNDS, WANTED_MS = 64, (384, 512), 64, 5, 55.0


class Convolutions:
    """A `FeatureExtractor` of `layers` residual convolutions at stride 8."""

    name, patch_size, dim = "benchmark-convolutions", 8, CHANNELS

    def __init__(self, layers: int) -> None:
        generator = torch.Generator().manual_seed(0)
        scale = (9 * CHANNELS) ** -0.5
        self.stem = torch.randn(CHANNELS, 3, 8, 8, generator=generator) / 14
        self.layers = [torch.randn(CHANNELS, CHANNELS, 3, 3, generator=generator) * scale for _ in range(layers)]

    @torch.inference_mode()
    def __call__(self, image: UInt8) -> Float:
        """48 x 64 x 64 features."""
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255
        value = torch.nn.functional.conv2d(pixels, self.stem, stride=8)
        for weight in self.layers:
            value = value + 0.1 * torch.relu(torch.nn.functional.conv2d(value, weight, padding=1))
        return np.ascontiguousarray(value[0].permute(1, 2, 0).numpy())

    def batch(self, images: Sequence[UInt8]) -> list[Float]:
        """One after the other."""
        return [self(image) for image in images]


class Times(NamedTuple):
    """Seconds on the clock, of the calling thread's processor time, and of the whole process's."""

    wall: float
    thread: float
    process: float


def main() -> None:
    """Print the extractor's cost, both times, and their ratio."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    images = [photo(rng) for _ in range(PHOTOS)]
    extractor = _calibrated(images[0])
    build_tree(extractor(images[0]), SIZE)  # compiles the kernel
    with tempfile.TemporaryDirectory() as folder:
        for i, image in enumerate(images):
            cv2.imwrite(f"{folder}/{i}.bmp", image)
        rounds = [_measure(extractor, images, Path(folder), i) for i in range(ROUNDS)]
    bare, full = (Times(*(min(times) for times in zip(*runs))) for runs in zip(*rounds))
    print(f"{len(extractor.layers)} layers, {bare.process / PHOTOS * 1e3:.1f} ms of processor time an image")
    print("rounds (bare s, propose s):", ", ".join(f"{b.wall:.2f} {f.wall:.2f}" for b, f in rounds))
    print(f"propose / bare forward passes, best of {ROUNDS}: {full.wall / bare.wall:.3f} (asked for: at most 1.10)")
    print(f"  by processor time, everything in one thread (no core free): {full.process / bare.process:.3f}")
    print(f"  by processor time of the forward thread (a core free):      {full.thread / bare.thread:.3f}")
    print(f"two forward passes side by side took {_side_by_side(extractor, images[0]):.2f} x one (1 = a free core)")


def _side_by_side(extractor: Convolutions, image: UInt8) -> float:
    one = _best(lambda: extractor.batch([image] * 10))
    with ThreadPoolExecutor(2) as pool:
        two = _best(lambda: list(pool.map(extractor.batch, [[image] * 10] * 2)))
    return two / one


def _measure(extractor: Convolutions, images: list[UInt8], folder: Path, i: int) -> tuple[Times, Times]:
    bare = _times(lambda: extractor.batch(images))
    store = folder / f"trees {i}.db"
    return bare, _times(lambda: propose(folder, store, extractor=extractor, batch=8, progress=False))


def _times(work: Callable[[], object]) -> Times:
    start = Times(time.perf_counter(), time.thread_time(), time.process_time())
    work()
    end = Times(time.perf_counter(), time.thread_time(), time.process_time())
    return Times(*(b - a for a, b in zip(start, end)))


def _calibrated(image: UInt8) -> Convolutions:
    layers = 8
    while (ms := _cost(Convolutions(layers), image)) < WANTED_MS:
        layers = max(layers + 1, int(layers * WANTED_MS / ms) + 1)
    return Convolutions(layers)


def photo(rng: np.random.Generator, size: tuple[int, int] = SIZE) -> UInt8:
    """Noise at several scales."""
    height, width = size
    image = np.zeros((height, width, 3), np.float32)
    for cells in (4, 16, 64):
        noise = rng.normal(size=(cells, cells, 3)).astype(np.float32)
        image += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC) * 40 / np.sqrt(cells / 4)
    return np.clip(image + 128, 0, 255).astype(np.uint8)


def _cost(extractor: Convolutions, image: UInt8) -> float:
    """Milliseconds of processor time: other programs on this machine do not count."""
    return min(_times(lambda: extractor(image)).thread for _ in range(7)) * 1e3


def _best(work: Callable[[], object]) -> float:
    return min(_times(work).wall for _ in range(5))


if __name__ == "__main__":
    main()
