"""How far people who worked on the same images agree: the object as one left it, and as the other did.

Both are in the log of an image. An object that the second kept or corrected has its number in both; the others (one
that was deleted and drawn again, without seeing the first) are matched so that the sum of their IoUs is largest.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import combinations
from typing import Any, Literal

import numpy as np
from scipy.optimize import linear_sum_assignment

from clickgrain.annotate.database import Action
from clickgrain.annotate.documents import Document, Item
from clickgrain.annotate.folding import iou
from clickgrain.annotate.logs import History, Logs, patched
from clickgrain.errors import ClickgrainError

MATCHED = 0.5
"""Objects that were drawn again match from this IoU on, as in panoptic quality, so that no other can match."""
How = Literal["kept", "corrected", "drawn again", "first only", "second only"]
"""What the second person did with an object of the first, or who alone has it."""


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
    """The agreement of every two people, in the order of their names; [] where no image has work of two.

    "labels": the share of the objects that both have whose label is the same; means are None without objects.
    """
    found: dict[tuple[str, str], list[tuple[How, float, bool]]] = defaultdict(list)
    images = Counter[tuple[str, str]]()
    for image in logs.database.shared_images():
        try:
            for (first, before), (second, after) in combinations(versions(logs.database.actions(image)).items(), 2):
                found[first, second] += compare(before, after, logs)
                images[first, second] += 1
        except ClickgrainError:
            continue  # a damaged log or mask; opening the image says what is wrong
    shown = []
    for people, objects in sorted(found.items()):
        counts = Counter(how for how, _, _ in objects)
        labels = [same for how, _, same in objects if not how.endswith("only")]
        entry: dict[str, Any] = {"people": list(people), "images": images[people], "kept": counts["kept"]}
        for key, what in (("corrected", "corrected"), ("drawn_again", "drawn again")):
            ious = [value for how, value, _ in objects if how == what]
            entry[key] = {"objects": len(ious), "iou": round(float(np.mean(ious)), 4) if ious else None}
        entry["alone"] = [counts["first only"], counts["second only"]]
        shown.append(entry | {"labels": round(float(np.mean(labels)), 4) if labels else None})
    return shown


def compare(before: Document, after: Document, logs: Logs) -> list[tuple[How, float, bool]]:
    """(what became of it, IoU, whether the labels are the same) of every object in two versions of an image."""
    labels = logs.labels().document

    def pair(how: How, one: Item, other: Item, value: float) -> tuple[How, float, bool]:
        return how, value, labels.find(one.label) == labels.find(other.label)

    found = list[tuple[How, float, bool]]()
    for one in before.objects:
        if (same := after.find(one.id)) is not None:
            is_kept = one.mask == same.mask
            found.append(
                pair("kept" if is_kept else "corrected", one, same, 1.0 if is_kept else _iou(one, same, logs))
            )
    left = [item for item in before.objects if after.find(item.id) is None]
    right = [item for item in after.objects if before.find(item.id) is None]
    table = np.array([[_iou(one, other, logs) for other in right] for one in left]).reshape(len(left), len(right))
    matches = [(i, j) for i, j in zip(*linear_sum_assignment(table, maximize=True)) if table[i, j] >= MATCHED]
    found += [pair("drawn again", left[i], right[j], float(table[i, j])) for i, j in matches]
    found += [("first only", 0.0, False)] * (len(left) - len(matches))
    return found + [("second only", 0.0, False)] * (len(right) - len(matches))


def _iou(one: Item, other: Item, logs: Logs) -> float:
    if one.bbox is None or other.bbox is None or one.mask is None or other.mask is None:
        return 0.0
    (left, top, right, bottom), (left2, top2, right2, bottom2) = one.bbox, other.bbox
    if min(right, right2) < max(left, left2) or min(bottom, bottom2) < max(top, top2):
        return 0.0
    return float(iou(logs.mask(one.mask), logs.mask(other.mask)))
