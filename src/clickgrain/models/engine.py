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

    Only clicks that the mask disobeys change anything: within `radius` pixels of such a click the probability is
    pushed over (under) one half, in click order.

    Args:
        probability: H x W float32 in 0..1.
        prompt: in pixels of the same image.
        radius: pixels.
    """
    changed = probability
    reach = int(np.ceil(radius))
    for (x, y), label in zip(prompt.points, prompt.labels):
        column, row = round(float(x)), round(float(y))
        column, row = min(column, changed.shape[1] - 1), min(row, changed.shape[0] - 1)
        if (changed[row, column] > 0.5) == bool(label):
            continue
        if changed is probability:
            changed = probability.copy()
        window = (
            slice(max(row - reach, 0), row + reach + 1),
            slice(max(column - reach, 0), column + reach + 1),
        )
        _push(changed[window], (row - window[0].start, column - window[1].start), radius, bool(label))
    return changed


def _push(patch: Float, centre: Size, radius: float, inside: bool) -> None:
    y, x = np.ogrid[: patch.shape[0], : patch.shape[1]]
    distance = np.hypot(y - centre[0], x - centre[1])
    bump = np.float32(0.5) + np.float32(0.5) * np.clip(1 - distance / (radius + 1), 0, 1).astype(np.float32)
    disk = distance <= radius
    patch[disk] = np.maximum(patch, bump)[disk] if inside else np.minimum(patch, 1 - bump)[disk]
