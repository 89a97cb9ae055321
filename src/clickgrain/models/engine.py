"""What engines share: the previous mask as an array, and an answer that obeys every click."""

import numpy as np

from clickgrain.types import Float, Mask, Prompt, Size


def previous_probability(previous: Mask, size: Size) -> Float:
    """H x W float32, writable and contiguous: the probability of a previous mask of an image of `size`."""
    previous.check_size(size)
    return np.require(previous.probability, np.float32, ["C", "W"])


def obey(probability: Float, prompt: Prompt, radius: float) -> Float:
    """The probability with every click on its own side: positive clicks end inside, negative ones outside.

    Only clicks that the mask disobeys change anything: within `radius` pixels of such a click (at most half the
    way to the nearest click of the other label) the probability is pushed over (under) one half. Of opposite
    clicks on one pixel the last counts.
    """
    changed = probability
    height, width = probability.shape
    pixels = np.minimum(np.rint(prompt.points).astype(np.int64), [width - 1, height - 1])
    for (column, row), label in zip(pixels, prompt.labels):
        if (changed[row, column] > 0.5) == bool(label):
            continue
        if changed is probability:
            changed = probability.copy()
        others = pixels[prompt.labels != label]
        free = np.hypot(*(others - [column, row]).T).min(initial=np.inf) / 2
        around = min(radius, float(free))
        reach = int(np.ceil(around))
        top, left = max(row - reach, 0), max(column - reach, 0)
        patch = changed[top : row + reach + 1, left : column + reach + 1]
        y, x = np.ogrid[: patch.shape[0], : patch.shape[1]]
        distance = np.hypot(y - (row - top), x - (column - left))
        bump = np.float32(0.5) + np.float32(0.5) * np.clip(1 - distance / (around + 1), 0, 1).astype(np.float32)
        disk = distance <= around
        patch[disk] = np.maximum(patch, bump)[disk] if label else np.minimum(patch, 1 - bump)[disk]
    return changed
