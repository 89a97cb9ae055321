"""How far people who worked on the same images agree: the object as one left it, and as the other did.

Both are in the log of an image. An object that the second kept or corrected has its number in both; the others (one
that was deleted and drawn again, without seeing the first) are matched so that the sum of their IoUs is largest.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from clickgrain.annotate.database import Action
from clickgrain.annotate.documents import Document, Item
from clickgrain.annotate.folding import iou
from clickgrain.annotate.logs import History, Logs, patched
from clickgrain.errors import ClickgrainError

MATCHED = 0.5
"""Objects that were drawn again match from this IoU on, as in panoptic quality, so that no other can match."""


@dataclass
class Agreement:
    """Two people on the images that both have changed."""

    images: int = 0  # how many
    kept: int = 0  # objects that the second left as they were
    corrected: list[float] = field(default_factory=list)  # IoUs of those that the second changed
    drawn_again: list[float] = field(default_factory=list)  # IoUs of those that the second drew without the first's
    alone: tuple[int, int] = (0, 0)  # objects that only the first, and only the second has
    labels: int = 0  # of the objects that both have, those with the same label

    def to_json(self, first: str, second: str) -> dict[str, Any]:
        """For the statistics; means are None where there is no object."""
        both = self.kept + len(self.corrected) + len(self.drawn_again)

        def summary(values: list[float]) -> dict[str, Any]:
            return {"objects": len(values), "iou": round(sum(values) / len(values), 4) if values else None}

        return {
            "people": [first, second],
            "images": self.images,
            "kept": self.kept,
            "corrected": summary(self.corrected),
            "drawn_again": summary(self.drawn_again),
            "alone": list(self.alone),
            "labels": round(self.labels / both, 4) if both else None,
        }


def versions(actions: Iterable[Action]) -> dict[str, Document]:
    """An image's document as every person left it, the earliest first; only who changed masks or labels counts."""
    history, found = History(Document(), patched), dict[str, Document]()
    for action in actions:
        before = [(one.id, one.mask, one.label) for one in history.document.objects]
        history.add(action)
        now = [(one.id, one.mask, one.label) for one in history.document.objects]
        if action.user and now != before:
            found.pop(action.user, None)
            found[action.user] = history.document
    return found


def agreements(logs: Logs) -> list[dict[str, Any]]:
    """The agreement of every two people, in the order of their names; [] where no image has work of two."""
    found: dict[tuple[str, str], Agreement] = defaultdict(Agreement)
    for image in logs.database.shared_images():
        try:
            for (first, before), (second, after) in combinations(versions(logs.database.actions(image)).items(), 2):
                compare(found[first, second], before, after, logs)
        except ClickgrainError:
            continue  # a damaged log or mask; opening the image says what is wrong
    return [one.to_json(*people) for people, one in sorted(found.items())]


def compare(result: Agreement, before: Document, after: Document, logs: Logs) -> None:
    """Add two versions of an image to a result."""
    labels = logs.labels().document
    pairs = [(one, same) for one in before.objects if (same := after.find(one.id)) is not None]
    numbers = {one.id for one, _ in pairs}
    kept = sum(one.mask == same.mask for one, same in pairs)
    corrected = [_iou(one, same, logs) for one, same in pairs if one.mask != same.mask]
    left = [item for item in before.objects if item.id not in numbers]
    right = [item for item in after.objects if item.id not in numbers]
    table = np.array([[_iou(one, other, logs) for other in right] for one in left]).reshape(len(left), len(right))
    again = [
        (left[i], right[j], float(table[i, j]))
        for i, j in zip(*linear_sum_assignment(table, maximize=True))
        if table[i, j] >= MATCHED
    ]
    both = [*pairs, *((one, other) for one, other, _ in again)]
    result.images += 1
    result.kept += kept
    result.corrected += corrected
    result.drawn_again += [value for _, _, value in again]
    result.alone = (result.alone[0] + len(left) - len(again), result.alone[1] + len(right) - len(again))
    result.labels += sum(labels.find(one.label) == labels.find(other.label) for one, other in both)


def _iou(one: Item, other: Item, logs: Logs) -> float:
    if one.bbox is None or other.bbox is None or one.mask is None or other.mask is None:
        return 0.0
    (left, top, right, bottom), (left2, top2, right2, bottom2) = one.bbox, other.bbox
    if min(right, right2) < max(left, left2) or min(bottom, bottom2) < max(top, top2):
        return 0.0
    return float(iou(logs.mask(one.mask), logs.mask(other.mask)))
