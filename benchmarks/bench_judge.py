"""What judging costs beside the method: scoring and clicking, a whole evaluation, and two processes for one.

    python -m benchmarks judge

Wanted: scoring one prediction and finding the next click at 640 x 480 under 10 ms; an evaluation takes at most 15 %
more than a method of 30 ms a click; two processes of one thread have 1.7 times the throughput of one.
"""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from clickgrain.clicks.robot import Click, next_click
from clickgrain.evaluation import Benchmark, Target, evaluate
from clickgrain.evaluation.protocol import Scorer, disobeyed
from clickgrain.images import read_image
from clickgrain.types import Bool, Float, Mask, Scribble, UInt8

HEIGHT, WIDTH = 480, 640
ROUNDS, CLICKS, METHOD_SECONDS = 5, 5, 0.03


class Steady:
    """Computes for 30 ms of processor time a click, then answers with a disk that never fits."""

    name = "steady"

    def set_image(self, image: UInt8) -> None:
        """Nothing is computed ahead."""

    def predict(
        self,
        points: npt.ArrayLike | None,
        labels: npt.ArrayLike | None,
        box: npt.ArrayLike | None = None,
        scribbles: Sequence[Scribble] | None = None,
        level: float | None = None,
        previous: Mask | Float | None = None,
    ) -> Mask:
        """The disk."""
        end = time.thread_time() + METHOD_SECONDS
        while time.thread_time() < end:
            pass
        return Mask(_ANSWER)


def main() -> None:
    """Print the three figures."""
    cv2.setNumThreads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # for the processes
    _print_steps()
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "photo.png"
        cv2.imwrite(str(image), np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8))
        _print_overhead(_benchmark(image, 4))
        _print_throughput(_benchmark(image, 16))
        _print_work(_benchmark(image, 4), _benchmark(image, 16))


def _print_steps() -> None:
    target = _TARGET
    rng = np.random.default_rng(0)
    predictions = {
        "nothing predicted": np.zeros(target.shape, np.bool_),
        "shifted by 8 px": np.roll(target > 0, 8, axis=1),
        "random pixels": rng.random(target.shape) < 0.5,
        "everything wrong": target == 0,
    }
    scorer = Scorer(target)
    clicks: list[Click] = [(320, 240, 1)] * 10
    print(f"scores of a prediction and the next click at {WIDTH} x {HEIGHT} (wanted: under 10 ms), processor time")
    for name, prediction in predictions.items():
        ms = 1000 * _best(partial(_step, scorer, target, prediction, clicks))
        print(f"  {name:20s} {ms:6.2f} ms")


def _step(scorer: Scorer, target: UInt8, prediction: Bool, clicks: list[Click]) -> None:
    """What the protocol does between two predictions."""
    scorer.iou(prediction)
    scorer.boundary_iou(prediction)
    disobeyed(prediction, clicks)
    next_click(target, prediction, [click[:2] for click in clicks])


def _print_overhead(benchmark: Benchmark) -> None:
    """By processor time: what other programs take does not count, nor does waiting for the disk."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        seconds = _best(lambda: evaluate(Steady, benchmark, max_clicks=CLICKS, jsonl=path, resume=False))
    method = METHOD_SECONDS * CLICKS * len(benchmark)
    print(
        f"evaluation / method of {1000 * METHOD_SECONDS:.0f} ms a click: +{100 * (seconds / method - 1):.1f} %",
        end="",
    )
    print(f" (wanted: at most 15 %), processor time, best of {ROUNDS}")


def _print_throughput(benchmark: Benchmark) -> None:
    """By the clock, from the first finished target to the last: the start of processes is told apart."""
    rates, starts = {}, {}
    for processes in (1, 2):
        runs = [_paced(benchmark, processes) for _ in range(3)]
        rates[processes], starts[processes] = max(rate for rate, _ in runs), min(start for _, start in runs)
    print(f"targets a second: {rates[1]:.2f} with one process, {rates[2]:.2f} with two:", end=" ")
    print(f"{rates[2] / rates[1]:.2f} x (wanted: at least 1.7 x, on two idle cores), best of 3")
    print(f"first target after {starts[1]:.1f} s and {starts[2]:.1f} s")


def _print_work(few: Benchmark, many: Benchmark) -> None:
    """What sharing out costs by processor time of all processes; their start falls out of the difference."""
    cost = {n: (_work(many, n) - _work(few, n)) / (len(many) - len(few)) for n in (1, 2)}
    print(f"processor time a target: {cost[1]:.3f} s with one process, {cost[2]:.3f} s with two;", end=" ")
    print(f"two idle cores would give {2 * cost[1] / cost[2]:.2f} x")


def _work(benchmark: Benchmark, processes: int) -> float:
    before = os.times()
    evaluate(Steady, benchmark, max_clicks=CLICKS, processes=processes)
    return sum(os.times()[:4]) - sum(before[:4])


def _paced(benchmark: Benchmark, processes: int) -> tuple[float, float]:
    start, ends = time.perf_counter(), list[float]()
    evaluate(
        Steady,
        benchmark,
        processes=processes,
        progress=lambda done, total: ends.append(time.perf_counter() - start),
    )
    skipped = processes  # each process's first target includes its start
    return (len(ends) - skipped) / (ends[-1] - ends[skipped - 1]), ends[0]


def _benchmark(image: Path, images: int) -> Benchmark:
    """Targets of one image file under many names, so that processes have something to share."""
    return Benchmark("steady", [Target(f"{n}", f"{n}", _Photo(image), _object) for n in range(images)])


class _Photo:
    """Reads a file; can be handed to another process."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self) -> UInt8:
        return read_image(self.path)


def _object(size: tuple[int, int]) -> UInt8:
    return _TARGET


def _disk(radius: int) -> Bool:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.asarray(np.hypot(x - 320, y - 240) < radius)


_TARGET: UInt8 = np.where(_disk(180), 255, 0).astype(np.uint8)
_ANSWER = _disk(150).astype(np.float32)


def _best(work: Callable[[], object]) -> float:
    """Seconds of processor time of the fastest of some calls, after one to warm up."""
    work()
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


if __name__ == "__main__":
    main()
