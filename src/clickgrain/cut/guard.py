"""A click must not destroy what was right.

People, and the robot of the benchmarks, click in the middle of the largest error. So nothing that is wrong with the
previous mask is thicker than the error around the click, and that error ends where the mask already agrees with the
click, and at clicks of the other label. A change that is thicker than this contradicts the user.
"""

import cv2
import numpy as np

from clickgrain.types import Bool, Float, Mask, Prompt

LONG_SIDE = 320
"""Thickness is measured at this size."""
SLACK = 1.2
"""Largest thickness of a change over that of the error at the click."""

CORNER = 1.5
"""How far around its thick core a change is undone, over the largest thickness: right angles end at 1.42."""


def guard(probability: Float, previous: Mask, prompt: Prompt) -> Float:
    """The probability without changes that are thicker than the error that the last click corrects.

    Args:
        probability: H x W float32 in 0..1, the new answer.
        previous: the mask that the user corrects.
        prompt: in pixels of the image; its last click is the correction.

    Returns:
        H x W float32: the previous probability where a change is undone; the array that was given where none is.
    """
    height, width = probability.shape
    (x, y), label = np.floor(prompt.points[-1]).astype(int), bool(prompt.labels[-1])
    if previous.binary[y, x] == label:
        return probability  # the click corrects nothing
    scale = min(1.0, LONG_SIDE / max(height, width))
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    before, after = (
        cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.5
        for mask in (previous.binary, probability > 0.5)
    )
    column, row = min(int(x * size[0] / width), size[0] - 1), min(int(y * size[1] / height), size[1] - 1)
    others = (prompt.points[prompt.labels != label] - prompt.points[-1]) * scale
    depth = min(float(_depth(before != label)[row, column]), np.hypot(*others.T).min(initial=np.inf))
    changed = before != after
    limit = SLACK * depth + 1
    core = _depth(changed) > limit
    if not core.any():
        return probability
    undone = changed & (cv2.distanceTransform((~core).astype(np.uint8), cv2.DIST_L2, 5) <= CORNER * limit)
    cv2.circle(mask := undone.astype(np.uint8), (column, row), int(depth), 0, -1)
    wide = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST) > 0
    return np.where(wide, previous.probability, probability)


def _depth(region: Bool) -> Float:
    """Distance of every pixel of a region to the nearest one outside of it or of the image."""
    padded = np.pad(region.astype(np.uint8), 1)
    return np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1], np.float32)
