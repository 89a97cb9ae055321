"""How the segmenter talks to whatever answers clicks."""

from typing import Any, Protocol

import numpy as np

from clickgrain.types import Float, Mask, Prompt, Size, UInt8


class Engine(Protocol):
    """Answers prompts on encoded images; holds no state of its own between calls."""

    def encode(self, image: UInt8) -> Any:
        """What the engine wants to keep of an H x W x 3 uint8 RGB image."""
        ...

    def answer(self, encoded: Any, prompt: Prompt, previous: Mask | None) -> Mask:
        """The mask of a prompt in image pixels, at image resolution."""
        ...


def obey(probability: Float, prompt: Prompt, radius: float) -> Float:
    """The probability with every click on its own side: positive clicks end inside, negative ones outside.

    Only clicks that the mask disobeys change anything: within `radius` pixels of such a click (at most half the
    way to the nearest click of the other label) the probability is pushed over (under) one half. Of opposite
    clicks on one pixel the last counts.

    Args:
        probability: H x W float32 in 0..1.
        prompt: in pixels of the same image.
        radius: pixels.
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
        _push(changed, (int(row), int(column)), min(radius, float(free)), bool(label))
    return changed


def _push(probability: Float, centre: Size, radius: float, inside: bool) -> None:
    reach = int(np.ceil(radius))
    top, left = max(centre[0] - reach, 0), max(centre[1] - reach, 0)
    patch = probability[top : centre[0] + reach + 1, left : centre[1] + reach + 1]
    y, x = np.ogrid[: patch.shape[0], : patch.shape[1]]
    distance = np.hypot(y - (centre[0] - top), x - (centre[1] - left))
    bump = np.float32(0.5) + np.float32(0.5) * np.clip(1 - distance / (radius + 1), 0, 1).astype(np.float32)
    disk = distance <= radius
    patch[disk] = np.maximum(patch, bump)[disk] if inside else np.minimum(patch, 1 - bump)[disk]
