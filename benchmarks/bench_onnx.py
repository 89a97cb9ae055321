"""Torch and ONNX Runtime side by side on a 640 x 480 photo: encode, clicks, cold start, memory, and file size.

`python -m benchmarks onnx`. Best of five in milliseconds by the clock, and of the same calls by the processor's
time, which other work on the machine does not lengthen; every runtime and precision of the model in the package in
a separate process. The cold start is `clickgrain segment` from the shell to the mask, and `clickgrain annotate` to
the first outline under a pointer (best of three), with the processor's seconds of all threads.
"""

import os
import resource
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter, process_time, sleep

import cv2
import numpy as np

from clickgrain.images import fit_size, resize
from clickgrain.segmenter import Segmenter
from clickgrain.types import UInt8

POINTS = [(320.0, 240.0), (200.0, 180.0)]
PRECISIONS = ("fp32", "fp16", "int8")


def photo() -> UInt8:
    """That of `bench_segmenter`, which loads torch."""
    rng = np.random.default_rng(0)
    coarse = cv2.resize(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8), (640, 480)).astype(np.int16)
    return np.clip(coarse + rng.normal(0, 8, coarse.shape), 0, 255).astype(np.uint8)


def best(call: Callable[[], object]) -> str:
    """Clock and processor milliseconds, the best of five calls after one to warm up."""
    call()
    clock, processor = [], []
    for _ in range(5):
        start, used = perf_counter(), process_time()
        call()
        clock.append(perf_counter() - start)
        processor.append(process_time() - used)
    return f"{1e3 * min(clock):6.1f} / {1e3 * min(processor):6.1f}"


def bench(name: str, source: str) -> None:
    """Print one line for a model."""
    seg, image = Segmenter.load(source), photo()
    encoded = seg.encode(image)
    first = seg.predict(POINTS[:1], [1], encoded=encoded)
    encode = best(lambda: seg.encode(image))
    click = best(lambda: seg.predict(POINTS[:1], [1], encoded=encoded).binary)
    second = best(lambda: seg.predict(POINTS[:2], [1, 1], previous=first, encoded=encoded).binary)
    network = seg.engine.network  # type: ignore[attr-defined]
    work = fit_size((480, 640), network.config.long_side, 32)
    pixels = resize(image, work).transpose(2, 0, 1)[None].astype(np.float32)
    alone = best(lambda: network.encode(pixels))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    print(f"{name:11} encode {encode} (network {alone}), click {click}, second {second}, {peak:.0f} MB")


def cold(run: Callable[[], object]) -> str:
    """Seconds by the clock and of the processor of what starts a process and waits for it, the best of three."""
    clock, processor = [], []
    for _ in range(3):
        begun, before = perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        run()
        clock.append(perf_counter() - begun)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return f"{min(clock):.2f} s ({min(processor):.2f} s of the processor)"


def segment(words: list[str]) -> None:
    """From the shell to the mask."""
    subprocess.run([sys.executable, "-m", "clickgrain", "segment", *words], check=True, capture_output=True)


def annotate(photo: Path, model: str) -> None:
    """From the shell to what a click would give on the first image."""
    command = [sys.executable, "-m", "clickgrain", "annotate", str(photo), "--model", model]
    flags = ["--no-browser", "--port", "0", "--project", str(photo.with_suffix(".db"))]
    with subprocess.Popen(
        [*command, *flags], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        while True:
            try:
                with urllib.request.urlopen(f"{address}api/images/1/hover?x=320&y=240", timeout=60) as answer:
                    answer.read()
                break
            except (urllib.error.URLError, ConnectionError):  # it listens, and answers a little later
                sleep(0.01)
        server.kill()


def main() -> None:
    """Time one model when named, otherwise each in its own process."""
    if len(sys.argv) > 2:
        bench(sys.argv[1], sys.argv[2])
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = {"torch": "default", **{f"onnx {p}": str(folder / p) for p in PRECISIONS}}
        for p in PRECISIONS:
            words = ["export-model", "default", "--out", str(folder / p), "--precision", p]
            subprocess.run([sys.executable, "-m", "clickgrain", *words], check=True)
        print(f"clock / processor ms, {os.cpu_count()} cores")
        for title, source in sources.items():
            subprocess.run([sys.executable, "-m", "benchmarks.bench_onnx", title, source], check=True)
        cv2.imwrite(str(folder / "photo.png"), photo()[..., ::-1])
        words = [str(folder / "photo.png"), "--click", "320,240", "--out", str(folder / "mask.png")]
        for title, source in (("torch", "default"), ("onnx", str(folder / "fp32"))):
            print(f"clickgrain segment, {title}: {cold(partial(segment, [*words, '--model', source]))}")
            answered = cold(partial(annotate, folder / "photo.png", source))
            print(f"clickgrain annotate, first answer, {title}: {answered}")


if __name__ == "__main__":
    main()
