"""What a look at the whole image would have answered: the previous mask that a close look begins with.

No model is asked. The target is drawn as coarsely as a whole look draws it, then spoilt in the ways in which such
answers are wrong: the outline runs beside the true one, and a region of the image is missing or too much.
"""

import cv2
import numpy as np

from clickgrain.types import Float

CLOSE = 0.45
"""Crops of a smaller part of the image's long side are close views."""
CELLS = 128
"""Cells of a whole look on the image's long side: those of the logits of `grain` at 256 pixels."""
SHIFT = 0.7
"""Of the outline, in cells; standard deviation."""
WOBBLE = 0.25
"""Of the threshold along the outline, in parts of the probability; standard deviation."""
STEEPNESS = 8.0
"""Logits per unit of coverage."""


def whole_look(target: Float, part: float, other: Float | None, rng: np.random.Generator) -> Float:
    """S x S float32 probability of a previous mask for a target in a close view.

    Args:
        target: S x S float32 in 0..1.
        part: of the image's long side that the crop shows.
        other: S x S float32, another region; in half of the cases what it shares with the target is missing, or
            else what it does not share is added, where that is less than half of the target.
        rng: source of randomness.
    """
    inside, spoilt = target > 0.5, target
    if other is not None and rng.random() < 0.5:
        shared, beyond = inside & (other > 0.5), (other > 0.5) & ~inside
        if 0 < 2 * np.count_nonzero(shared) < np.count_nonzero(inside):
            spoilt = np.where(shared, 0, target)
        elif 0 < 2 * np.count_nonzero(beyond) < np.count_nonzero(inside):
            spoilt = np.where(beyond, other, target)
    side = target.shape[0]
    cells = min(max(round(CELLS * part), 4), side)
    small = cv2.resize(spoilt.astype(np.float32), (cells, cells), interpolation=cv2.INTER_AREA)
    moved = np.array([[1, 0, rng.normal(0, SHIFT)], [0, 1, rng.normal(0, SHIFT)]])
    small = cv2.warpAffine(small, moved, (cells, cells), borderMode=cv2.BORDER_REPLICATE)
    small = cv2.GaussianBlur(small, (0, 0), 0.7)
    wobble = cv2.resize(
        rng.normal(0, WOBBLE, (5, 5)).astype(np.float32), (cells, cells), interpolation=cv2.INTER_CUBIC
    )
    coarse = 1 / (1 + np.exp(-STEEPNESS * (small + wobble - 0.5)))
    return np.asarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR), np.float32)
