"""Carrying a mask through drawn sequences: `Tracker` against optical flow alone, and seconds for 50 frames.

`python -m benchmarks track`. A textured shape, cut from a photo of scikit-image, moves, turns or passes behind a
bar on another photo that moves, too; masks are exact. Sequences 100 to 129 of 30 frames each; the settings were
chosen on 0 to 11.
"""

import sys
from time import perf_counter

import cv2
import numpy as np
from skimage import data

from clickgrain.tracking import LOST, Tracker
from clickgrain.types import Bool, UInt8

KINDS = ("moving", "turning", "partly hidden")
SIZE = 240, 320
Frames = list[tuple[UInt8, Bool]]


def photos() -> list[UInt8]:
    """Of scikit-image."""
    gray = cv2.cvtColor(data.camera(), cv2.COLOR_GRAY2RGB)
    return [data.astronaut(), data.coffee(), data.chelsea(), data.rocket(), gray, data.immunohistochemistry()]


def shape(rng: np.random.Generator, side: int) -> np.ndarray:
    """side x side float32: a rounded polygon."""
    corners = int(rng.integers(6, 12))
    angle, radius = np.sort(rng.uniform(0, 2 * np.pi, corners)), rng.uniform(0.55, 1, corners) * side * 0.475
    points = side / 2 + np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    mask = np.zeros((side, side), np.uint8)
    cv2.fillPoly(mask, [points.astype(np.int32)], 255)
    return (cv2.GaussianBlur(mask, (0, 0), side / 25) > 127).astype(np.float32)


def sequence(seed: int, count: int = 30, size: tuple[int, int] = SIZE) -> Frames:
    """Frames with their exact masks; the kind is `KINDS[seed % 3]`."""
    rng, every, kind = np.random.default_rng(seed), photos(), KINDS[seed % 3]
    height, width = size
    unit = width / SIZE[1]  # sizes and speeds are those of 320 x 240
    ground = every[int(rng.integers(len(every)))]
    scale = 1.5 * max(height / ground.shape[0], width / ground.shape[1])
    ground = cv2.resize(ground, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    source, side = every[int(rng.integers(len(every)))], int(rng.integers(60, 110) * unit)
    for _ in range(50):
        y, x = (int(rng.integers(max(length - side, 1))) for length in source.shape[:2])
        texture = cv2.resize(source[y : y + side, x : x + side], (side, side)).astype(np.float32)
        if texture.std((0, 1)).mean() > 30:
            break
    texture = np.clip(texture * rng.uniform(0.7, 1.3, 3), 0, 255)
    mask, place = shape(rng, side), rng.uniform(side / 2, np.array([width, height]) - side / 2)
    direction = rng.uniform(0, 2 * np.pi)
    speed = unit * rng.uniform(2, 6) * np.array([np.cos(direction), np.sin(direction)])
    turning = rng.uniform(3, 7) * rng.choice([-1, 1]) if kind == "turning" else rng.uniform(-1, 1)
    growth, drift, bar = 1 + rng.uniform(-0.012, 0.012), unit * rng.uniform(-1, 1, 2), None
    if kind == "partly hidden":
        wide = int(side * rng.uniform(0.2, 0.45))
        bar = cv2.resize(every[int(rng.integers(len(every)))], (width, height))[:, :wide]
        place[0], speed = (
            rng.uniform(side / 2, width * 0.35),
            unit * np.array([rng.uniform(3.5, 6), rng.uniform(-0.6, 0.6)]),
        )
    room, frames = np.array([ground.shape[1] - width, ground.shape[0] - height]), []
    for i in range(count):
        left, top = (room / 2 + i * drift).clip(0, room - 1).astype(int)
        frame = ground[top : top + height, left : left + width].astype(np.float32)
        motion = cv2.getRotationMatrix2D((side / 2 - 0.5, side / 2 - 0.5), i * turning, growth**i)
        motion[:, 2] += place - side / 2
        alpha = cv2.warpAffine(mask, motion, (width, height))
        frame += alpha[..., None] * (cv2.warpAffine(texture, motion, (width, height)) - frame)
        visible = alpha > 0.5
        if bar is not None:
            left = (width - bar.shape[1]) // 2
            frame[:, left : left + bar.shape[1]], visible[:, left : left + bar.shape[1]] = bar, False
        frame = frame * rng.uniform(0.96, 1.04) + rng.normal(0, 4, frame.shape)
        frames.append((np.clip(frame, 0, 255).astype(np.uint8), visible))
        place = place + speed
        for axis, length in enumerate((width, height)):
            if not side / 3 <= place[axis] <= length - side / 3:
                speed[axis] *= -1
    return frames


def flow_alone(frames: Frames) -> list[Bool]:
    """Masks carried by optical flow and nothing else."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    mask, last, found = frames[0][1].astype(np.float32), cv2.cvtColor(frames[0][0], cv2.COLOR_RGB2GRAY), []
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]].astype(np.float32)
    for image, _ in frames[1:]:
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        back = flow.calc(gray, last, None)
        mask, last = cv2.remap(mask, x + back[..., 0], y + back[..., 1], cv2.INTER_LINEAR), gray
        found.append(mask > 0.5)
    return found


def iou(a: Bool, b: Bool) -> float:
    """1 where both are empty."""
    return float((a & b).sum() / max(int((a | b).sum()), 1)) if (a | b).any() else 1.0


def main() -> None:
    """Mean IoU per frame by kind, how well the score finds lost objects, and the time of 50 frames of 640 x 480."""
    seeds = range(*map(int, sys.argv[1:3])) if len(sys.argv) > 2 else range(100, 130)
    table: dict[str, dict[str, list[float]]] = {"flow alone": {}, "tracker": {}}
    good, bad = list[float](), list[float]()
    for seed in seeds:
        frames = sequence(seed)
        tracker = Tracker(*frames[0])
        tracked = [tracker.step(image) for image, _ in frames[1:]]
        for name, masks in (("flow alone", flow_alone(frames)), ("tracker", [one.mask for one in tracked])):
            values = [iou(mask, truth) for mask, (_, truth) in zip(masks, frames[1:])]
            table[name].setdefault(KINDS[seed % 3], []).append(float(np.mean(values)))
        for one, value in zip(tracked, values):
            (good if value >= 0.7 else bad if value < 0.3 else []).append(one.score)
    print(f"mean IoU per frame, {len(seeds)} sequences of {len(frames)} frames of {SIZE[1]} x {SIZE[0]}")
    for name, kinds in table.items():
        every = [value for values in kinds.values() for value in values]
        print(
            f"  {name:10}  all {np.mean(every):.3f}  "
            + "  ".join(f"{k} {np.mean(v):.3f}" for k, v in kinds.items())
        )
    kept, caught = np.mean(np.array(good) >= LOST), np.mean(np.array(bad) < LOST) if bad else np.nan
    print(
        f"a score of {LOST} or more have {kept:.2f} of the frames with an IoU of 0.7 and more,"
        f" {1 - caught:.2f} of those with an IoU under 0.3"
    )
    frames = sequence(100, 51, (480, 640))
    start, tracker = perf_counter(), Tracker(*frames[0])
    for image, _ in frames[1:]:
        tracker.step(image)
    print(f"50 frames of 640 x 480: {perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
