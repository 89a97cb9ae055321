"""How good one prediction is: IoU, boundary IoU, and the clicks that it disobeys."""

from collections.abc import Sequence

import cv2
import numpy as np

from clickgrain.clicks.robot import Drawn, Given, split_target
from clickgrain.types import Bool, UInt8

BOUNDARY_SHARE = 0.02
"""Width of the boundary band as a share of the image's diagonal (Cheng et al., Boundary IoU, CVPR 2021)."""


def iou(object_: Bool, valid: Bool, prediction: Bool) -> float:
    """Intersection over union of H x W bool masks `object_` and `prediction`, over `valid` pixels only.

    Two empty masks agree: 1.
    """
    predicted = prediction & valid
    intersection = np.count_nonzero(object_ & predicted)
    union = np.count_nonzero(object_) + np.count_nonzero(predicted) - intersection
    return float(intersection / union) if union else 1.0


def boundary(mask: Bool) -> Bool:
    """The inner boundary of an H x W bool mask: its pixels within the band's width of its border.

    The image's frame counts as border. The width is 2 % of the image's diagonal, in pixels, at least 1; distances
    are those of a square (chessboard), as in the paper's code.
    """
    width = max(1, round(BOUNDARY_SHARE * float(np.hypot(*mask.shape))))
    result = np.zeros_like(mask)
    left, top, w, h = cv2.boundingRect(mask.view(np.uint8))
    box = slice(top, top + h), slice(left, left + w)
    if w and h:
        # Erosion by a square is a minimum along rows and columns; zeros beyond the box are the background there.
        kernel = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
        padded = cv2.copyMakeBorder(mask[box].view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        eroded = cv2.erode(padded, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)[1:-1, 1:-1]
        result[box] = mask[box] & ~eroded.view(np.bool_)
    return result


class Scorer:
    """Scores predictions of one target.

    Args:
        target: H x W uint8 (0 background, 128 ignore, 255 object) or bool.
    """

    def __init__(self, target: UInt8 | Bool) -> None:
        self._object, self._valid = split_target(target)
        self._boundary = boundary(self._object)

    def iou(self, prediction: Bool) -> float:
        """Intersection over union of an H x W bool prediction, ignored pixels left out."""
        return iou(self._object, self._valid, prediction)

    def boundary_iou(self, prediction: Bool) -> float:
        """IoU of the two masks' inner boundaries (`boundary`), ignored pixels left out."""
        # Ignored pixels take the target's side, so that no boundary arises along them.
        agreed = np.where(self._valid, prediction, self._object)
        return iou(self._boundary, self._valid, boundary(agreed))


def disobeyed(prediction: Bool, given: Sequence[Given]) -> int:
    """How many clicks and strokes lie on the wrong side of an H x W bool prediction.

    A stroke lies where most of its points do; a box has no side.
    """
    return sum(_wrong(prediction, one) for one in given)


def _wrong(prediction: Bool, one: Given) -> bool:
    if not isinstance(one, Drawn):
        x, y, label = one
        return bool(prediction[y, x]) != bool(label)
    if one.kind == "box":
        return False
    wrong = sum(bool(prediction[int(y), int(x)]) != bool(one.label) for x, y in one.points)
    return 2 * wrong > len(one.points)
