"""Time and memory of grain's encode and click on a 640 x 480 photo.

`python benchmarks/bench_segmenter.py [THREADS]`. Best of five in milliseconds, for the model in the package,
and for the large and the small one with random weights (they cost what trained ones do); of the model in the
package also median and 95th percentile of 60 clicks, and all of it again while another process keeps one core
busy, with threads that spin and with threads that wait passively (ADR 5). A click is timed up to the binary mask
at image resolution, the third click with its previous mask; a close look (ADR 9) is that of a sixth click. Every
model runs in a separate process, so that its resident memory counts nothing else.
"""

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np
import torch

from clickgrain.features import load_extractor
from clickgrain.models.config import GrainConfig
from clickgrain.models.grain import GrainModel, TorchGrain
from clickgrain.models.grain_engine import GrainEngine
from clickgrain.models.registry import load_click_model
from clickgrain.segmenter import Encoded, Segmenter
from clickgrain.tree import build_tree
from clickgrain.types import Mask, UInt8

HEIGHT, WIDTH = 480, 640
CONFIGS: dict[str, Callable[[], GrainConfig]] = {"grain": GrainConfig, "grain-small": GrainConfig.small}
SHIPPED = "default"
POINTS = [(320.0, 240.0), (200.0, 180.0), (60.0, 400.0)]


def photo() -> UInt8:
    """A noisy image of a few hundred coloured blobs."""
    rng = np.random.default_rng(0)
    coarse = cv2.resize(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8), (WIDTH, HEIGHT)).astype(np.int16)
    return np.clip(coarse + rng.normal(0, 8, coarse.shape), 0, 255).astype(np.uint8)


def best_ms(call: Callable[[], object]) -> float:
    """Best of five calls in milliseconds, after one to warm up."""
    call()
    times = []
    for _ in range(5):
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return 1e3 * min(times)


def resident_mb() -> float:
    """Peak resident memory of this process in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def bench(name: str) -> None:
    """Print one line for a model."""
    loaded = resident_mb()
    model = load_click_model(name) if name == SHIPPED else GrainModel(CONFIGS[name]())
    assert isinstance(model, GrainModel)
    extractor = load_extractor(model.config.tree)
    seg, image = Segmenter(GrainEngine(TorchGrain(model), extractor), name), photo()
    encoded = seg.encode(image)
    before = seg.predict(POINTS[:2], [1, 1], encoded=encoded)
    tree = best_ms(lambda: build_tree(extractor(image), (HEIGHT, WIDTH)))
    encode = best_ms(lambda: seg.encode(image))
    first = best_ms(lambda: seg.predict(POINTS[:1], [1], encoded=encoded).binary)
    third = best_ms(lambda: seg.predict(POINTS, [1, 1, 0], previous=before, encoded=encoded).binary)
    fresh, again = close_looks(seg, encoded)
    spread = f", 60 clicks {percentiles(seg, encoded)}" if name == SHIPPED else ""
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    print(
        f"{name} ({parameters:.2f} M, {model.config.long_side} px, {torch.get_num_threads()} threads):"
        f" encode {encode:.1f} ms (tree {tree:.1f}), first click {first:.1f} ms, third {third:.1f} ms{spread},"
        f" close look {fresh:.1f} ms, at the same part again {again:.1f} ms,"
        f" memory {resident_mb():.0f} MB (imports {loaded:.0f})"
    )


def close_looks(seg: Segmenter, encoded: Encoded) -> tuple[float, float]:
    """Best of five in milliseconds: a sixth click on a small object, its part of the image new or known."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    small = Mask((np.hypot(x - 200, y - 180) < 40).astype(np.float32))
    points = [(200 + dx, 180 + dy) for dx, dy in ((0, 0), (20, 5), (-18, 9), (4, -25), (9, 22), (60, 0))]

    def click(forget: bool) -> None:
        if forget:
            encoded.state.close.clear()
        mask = seg.predict(points, [1, 1, 1, 1, 1, 0], previous=small, encoded=encoded)
        assert mask.binary.shape == (HEIGHT, WIDTH)
        assert mask.roi is not None

    return best_ms(lambda: click(True)), best_ms(lambda: click(False))


def percentiles(seg: Segmenter, encoded: Encoded) -> str:
    """Median and 95th percentile of six clicks on each of ten places, each with the previous mask."""
    rng, times = np.random.default_rng(0), []
    for _ in range(10):
        points = rng.uniform((20, 20), (WIDTH - 20, HEIGHT - 20), (6, 2))
        mask = None
        for k in range(1, 7):
            start = perf_counter()
            mask = seg.predict(points[:k], [i % 2 == 0 for i in range(k)], previous=mask, encoded=encoded)
            _ = mask.binary
            times.append(1e3 * (perf_counter() - start))
    return f"{np.median(times):.1f} ms, 95 % within {np.percentile(times, 95):.1f} ms"


@contextmanager
def one_core_busy() -> Iterator[None]:
    """Another process computes all the while."""
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        other.kill()
        other.wait()


def main() -> None:
    """Time one model when named, otherwise each in its own process."""
    threads = sys.argv[1] if len(sys.argv) > 1 else str(torch.get_num_threads())
    if len(sys.argv) > 2:
        torch.set_num_threads(int(threads))
        cv2.setNumThreads(int(threads))
        bench(sys.argv[2])
        return
    for name in (SHIPPED, *CONFIGS):
        subprocess.run([sys.executable, str(Path(__file__)), threads, name], check=True)
    spinning = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    with one_core_busy():
        for wait, environment in (("spin", spinning), ("wait", spinning | {"OMP_WAIT_POLICY": "PASSIVE"})):
            print(f"one core busy, threads {wait}: ", end="", flush=True)
            subprocess.run([sys.executable, str(Path(__file__)), threads, SHIPPED], env=environment, check=True)


if __name__ == "__main__":
    main()
