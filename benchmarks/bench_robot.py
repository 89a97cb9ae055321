"""Scoring one prediction and finding the next click, at 640 x 480: best of 5, one thread. Wanted: under 10 ms."""

from time import perf_counter

import cv2
import numpy as np

from clickgrain.clicks.robot import next_click, split_target
from clickgrain.evaluation.clicking import iou
from clickgrain.types import Bool, UInt8

HEIGHT, WIDTH = 480, 640


def score_and_click(target: UInt8, prediction: Bool) -> None:
    """What the protocol does between two predictions."""
    object_, valid = split_target(target)
    iou(object_, valid, prediction)
    next_click(target, prediction, [(320, 240)])


def best_of_5(target: UInt8, prediction: Bool) -> float:
    """Milliseconds of the fastest of five calls, after one to warm up."""
    score_and_click(target, prediction)
    times = []
    for _ in range(5):
        start = perf_counter()
        score_and_click(target, prediction)
        times.append(1000 * (perf_counter() - start))
    return min(times)


def main() -> None:
    """Print one line per kind of prediction, from the usual to the worst."""
    cv2.setNumThreads(1)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    target = np.where(np.hypot(x - 320, y - 240) < 180, 255, 0).astype(np.uint8)
    rng = np.random.default_rng(0)
    predictions = {
        "nothing predicted": np.zeros(target.shape, np.bool_),
        "shifted by 8 px": np.roll(target > 0, 8, axis=1),
        "random pixels": rng.random(target.shape) < 0.5,
        "everything wrong": target == 0,
    }
    for name, prediction in predictions.items():
        print(f"{name:20s} {best_of_5(target, prediction):6.2f} ms")


if __name__ == "__main__":
    main()
