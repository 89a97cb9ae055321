"""A click must not destroy what was right.

People, and the robot of the benchmarks, click in the middle of the largest error. So nothing that is wrong with the
previous mask is thicker than the error around the click, and that error ends where the mask already agrees with the
click, and at clicks of the other label. A change that is thicker than this contradicts the user.
"""

import cv2
import numpy as np

from clickgrain.types import Bool, Float, Mask, Prompt

LONG_SIDE = 320  # thickness is measured at this size
SLACK = 1.25
"""Largest thickness of a change over that of the error at the click; in the middle of a half disk it is 1.18."""
CORNER = 1.5
"""How far around its thick core a change is undone, over the largest thickness: right angles end at 1.42."""
SPOT = 2  # pixels around every click where the new answer stands
INERTIA, NEAR = 0.3, 2.0
"""Weight of the previous mask over the new answer; distance at which it is full, over the size of the error."""


def guard_mask(probability: Float, previous: Mask, prompt: Prompt) -> Float:
    """The new answer, held back where it contradicts the last click or is not sure of what it changes.

    Args:
        probability: H x W float32 in 0..1, the new answer.
        previous: the mask that the user corrects.
        prompt: in pixels of the image; its last click is the correction.

    Returns:
        H x W float32: the mean of both masks, the previous one weighing less around the click, and the previous
        probability where a change is too thick. The array that was given where the click corrects nothing.
    """
    height, width = probability.shape
    (x, y), label = np.floor(prompt.points[-1]).astype(int), bool(prompt.labels[-1])
    if previous.binary[y, x] == label:
        return probability
    scale = min(1.0, LONG_SIDE / max(height, width))
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    column, row = min(int(x * size[0] / width), size[0] - 1), min(int(y * size[1] / height), size[1] - 1)
    before, after = (cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in (previous.probability, probability))
    before = before > 0.5

    others = (prompt.points[prompt.labels != label] - prompt.points[-1]) * scale
    depth = min(float(depth_in(before != label)[row, column]), np.hypot(*others.T).min(initial=np.inf))
    distance = np.hypot(*np.ogrid[-row : size[1] - row, -column : size[0] - column]).astype(np.float32)
    weight = INERTIA * np.clip(distance / (NEAR * depth + 1), 0, 1) ** 2
    held = (after + weight * before) / (1 + weight)
    changed = (held > 0.5) != before
    core = depth_in(changed) > SLACK * depth + 1
    result = probability + cv2.resize(held - after, (width, height), interpolation=cv2.INTER_LINEAR)
    if core.any():
        away = cv2.distanceTransform((~core).astype(np.uint8), cv2.DIST_L2, 5)
        undone = changed & (away <= CORNER * (SLACK * depth + 1)) & (distance > depth)
        wide = cv2.resize(undone.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
        np.copyto(result, previous.probability, where=wide > 0)
    restore_at_clicks(result, probability, prompt)
    return np.clip(result, 0, 1, out=result)


def restore_at_clicks(changed: Float, answer: Float, prompt: Prompt) -> None:
    """Copy the engine's answer (H x W) back around every click: where it obeys the clicks, `changed` does, too."""
    for column, row in np.floor(prompt.points).astype(int):
        spot = slice(max(row - SPOT, 0), row + SPOT + 1), slice(max(column - SPOT, 0), column + SPOT + 1)
        changed[spot] = answer[spot]


def depth_in(region: Bool) -> Float:
    """Distance of every pixel of a region to the nearest one outside of it or of the image."""
    padded = np.pad(region, 1).astype(np.uint8)
    return np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1], np.float32)
