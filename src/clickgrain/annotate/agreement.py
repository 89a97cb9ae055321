"""How far people agree: every object of an image as one person left it, and as the next one did."""

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain, combinations
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from clickgrain.annotate.database import Logs
from clickgrain.annotate.documents import Action, Document, History, Item, patched
from clickgrain.annotate.masks import iou
from clickgrain.annotate.project import Project
from clickgrain.errors import ClickgrainError

MATCHED = 0.5
"""Objects that were drawn again match from this IoU on, as in panoptic quality, so that no other can match."""
How = Literal["kept", "corrected", "drawn again", "first only", "second only"]
"""What the second person did with an object of the first, or who alone has it."""


class Pair(NamedTuple):
    """An object as two people left it, or as one of them alone has it (then the other's number is None)."""

    image: str  # name
    first: str  # person
    second: str  # person, later
    how: How
    iou: float  # 0 where one alone has it
    first_object: int | None
    second_object: int | None
    first_label: str | None
    second_label: str | None


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


def pairs_of(project: Project) -> Iterator[Pair]:
    """Every object of the images that two people or more have changed, once for every two of these.

    An object that the second kept or corrected has its number in both versions; the others (one that was deleted
    and drawn again, without seeing the first) are matched so that the sum of their IoUs is largest.
    """
    logs = project.logs
    query = "SELECT image FROM actions WHERE image > 0 AND user != '' GROUP BY image"
    for (image,) in logs.database.rows(f"{query} HAVING count(DISTINCT user) > 1 ORDER BY image"):
        try:
            name, left = project.gallery.name(image), versions(logs.database.actions(image))
            found = [compare(name, one, other, logs) for one, other in combinations(left.items(), 2)]
        except ClickgrainError:
            continue  # a damaged log or mask; opening the image says what is wrong
        yield from chain.from_iterable(found)


def compare(image: str, one: tuple[str, Document], other: tuple[str, Document], logs: Logs) -> list[Pair]:
    """Every object of an image as two people left it, each given as (name, document)."""
    (first, before), (second, after) = one, other
    names = {label.id: label.name for label in logs.labels().document.labels}

    def pair(how: How, a: Item | None, b: Item | None, value: float = 0.0) -> Pair:
        ids = [None if item is None else item.id for item in (a, b)]
        labels = [None if item is None or item.label is None else names.get(item.label) for item in (a, b)]
        return Pair(image, first, second, how, round(value, 4), ids[0], ids[1], labels[0], labels[1])

    found = list[Pair]()
    for item in before.objects:
        if (same := after.find(item.id)) is not None and item.mask == same.mask:
            found.append(pair("kept", item, same, 1.0))
        elif same is not None:
            found.append(pair("corrected", item, same, _iou(item, same, logs)))
    left = [item for item in before.objects if after.find(item.id) is None]
    right = [item for item in after.objects if before.find(item.id) is None]
    table = np.array([[_iou(a, b, logs) for b in right] for a in left]).reshape(len(left), len(right))
    matches = {
        int(i): int(j) for i, j in zip(*linear_sum_assignment(table, maximize=True)) if table[i, j] >= MATCHED
    }
    found += [pair("drawn again", left[i], right[j], float(table[i, j])) for i, j in matches.items()]
    found += [pair("first only", item, None) for i, item in enumerate(left) if i not in matches]
    return found + [pair("second only", None, item) for j, item in enumerate(right) if j not in matches.values()]


def agreements(pairs: Iterable[Pair]) -> list[dict[str, Any]]:
    """The agreement of every two people, in the order of their names; [] where no image has work of two.

    "labels": the share of the objects that both have whose label is the same; means are None without objects.
    """
    of = defaultdict[tuple[str, str], list[Pair]](list)
    for pair in pairs:
        of[pair.first, pair.second].append(pair)
    shown = []
    for people, own in sorted(of.items()):
        counts = Counter(pair.how for pair in own)
        labels = [pair.first_label == pair.second_label for pair in own if not pair.how.endswith("only")]
        images = len({pair.image for pair in own})
        entry: dict[str, Any] = {"people": list(people), "images": images, "kept": counts["kept"]}
        for key, what in (("corrected", "corrected"), ("drawn_again", "drawn again")):
            ious = [pair.iou for pair in own if pair.how == what]
            entry[key] = {"objects": len(ious), "iou": round(float(np.mean(ious)), 4) if ious else None}
        entry["alone"] = [counts["first only"], counts["second only"]]
        shown.append(entry | {"labels": round(float(np.mean(labels)), 4) if labels else None})
    return shown


def pairs_as_csv(pairs: Iterable[Pair]) -> str:
    """A line for every pair below a line of names."""
    text = io.StringIO()
    lines = csv.writer(text)
    lines.writerow(Pair._fields)
    for pair in pairs:  # a table program would compute what begins so
        lines.writerow(f"'{one}" if isinstance(one, str) and one[:1] in "=+-@\t\r" else one for one in pair)
    return text.getvalue()


def _iou(one: Item, other: Item, logs: Logs) -> float:
    if one.bbox is None or other.bbox is None or one.mask is None or other.mask is None:
        return 0.0
    (left, top, right, bottom), (left2, top2, right2, bottom2) = one.bbox, other.bbox
    if min(right, right2) < max(left, left2) or min(bottom, bottom2) < max(top, top2):
        return 0.0
    return float(iou(logs.mask(one.mask), logs.mask(other.mask)))
