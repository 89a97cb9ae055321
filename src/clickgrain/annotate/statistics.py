"""The objects of a project by source, label and person, what those made by hand cost, and how far people agree."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime
from itertools import combinations
from typing import Any, Literal

import numpy as np
from scipy.optimize import linear_sum_assignment

from clickgrain.annotate.database import Logs
from clickgrain.annotate.documents import STATUSES, Action, Document, History, Item, count_clicks, patched
from clickgrain.annotate.masks import iou
from clickgrain.annotate.project import Project
from clickgrain.errors import ClickgrainError

MOST = 20  # objects with more clicks count with these in the histogram
MATCHED = 0.5
"""Objects that were drawn again match from this IoU on, as in panoptic quality, so that no other can match."""
How = Literal["kept", "corrected", "drawn again", "first only", "second only"]
"""What the second person did with an object of the first, or who alone has it."""


def collect(project: Project) -> dict[str, Any]:
    """The statistics page as JSON; clicks and seconds are of prompted objects only: imports would flatter them."""
    everything, objects, images = list[Item](), list[Item](), 0
    days: dict[str, list[Item]] = defaultdict(list)
    people: list[tuple[str, Item]] = []
    statuses: dict[str, Counter[str]] = defaultdict(Counter)
    for image in project.gallery.logged():
        try:
            document = project.logs.history(image).document
            statuses[document.by][document.status] += 1
            made = {item.id: item for item in document.objects if item.source == "prompt"}
            everything += document.objects
            images += bool(document.objects)
            begun: dict[int, tuple[float, str]] = {}
            for action in project.database.actions(image) if made else ():
                for values in action.patch.get("put", ()):
                    begun.setdefault(values["id"], (action.time, action.user))
        except ClickgrainError:
            continue  # a damaged log; opening the image says what is wrong
        objects += made.values()
        for id_, item in made.items():
            seconds, user = begun.get(id_, (0.0, ""))
            days[datetime.fromtimestamp(seconds).astimezone().date().isoformat()].append(item)
            people.append((user, item))
    labels = project.logs.labels().document
    names = {model.hash: model.name for model, _ in project.database.models()}
    counts = Counter(min(count_clicks(item.steps), MOST) for item in objects)
    by_label = _groups((labels.find(item.label), item) for item in everything)
    by_model = _groups((item.model, item) for item in objects)
    return {
        "objects": len(everything),
        "images": images,
        "prompted": len(objects),
        "sources": dict(Counter(item.source for item in everything).most_common()),
        "clicks": _summary([count_clicks(item.steps) for item in objects]),
        "seconds": _summary([item.seconds for item in objects]),
        "labels": [
            {"label": key and key.id, "name": key.name if key else "unlabelled", **group} for key, group in by_label
        ],
        "models": [{"hash": key, "name": names.get(key or "", "unknown"), **group} for key, group in by_model],
        "people": [
            {"name": name, **group, **{status: statuses[name][status] for status in STATUSES}}
            for name, group in _groups(people, set(statuses))
            if name
        ],
        "agreement": agreements(project.logs),
        "steps": dict(Counter(step.type for item in objects for step in item.steps)),
        "days": [
            {"day": day, "objects": len(items), "seconds": round(sum(item.seconds for item in items), 2)}
            for day, items in sorted(days.items())
        ],
        "histogram": [counts.get(number, 0) for number in range(MOST + 1)],
    }


def _summary(values: list[Any]) -> dict[str, float | None]:
    if not values:
        return {"mean": None, "median": None, "total": 0}
    total, median = round(float(sum(values)), 2), round(float(statistics.median(values)), 2)
    return {"mean": round(total / len(values), 2), "median": median, "total": total}


def _groups(pairs: Iterable[tuple[Any, Item]], keys: Iterable[Any] = ()) -> list[tuple[Any, dict[str, Any]]]:
    """(key, count, and means of those made by hand) of the objects with that key, the most frequent first."""
    groups: dict[Any, list[Item]] = defaultdict(list, {key: [] for key in keys})
    for key, item in pairs:
        groups[key].append(item)
    found = []
    for key, items in sorted(groups.items(), key=lambda pair: -len(pair[1])):
        made = [item for item in items if item.source == "prompt"]
        clicks = _summary([count_clicks(item.steps) for item in made])["mean"]
        seconds = _summary([item.seconds for item in made])["mean"]
        found.append((key, {"objects": len(items), "clicks": clicks, "seconds": seconds}))
    return found


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

    An object that the second kept or corrected has its number in both versions; the others (one that was deleted
    and drawn again, without seeing the first) are matched so that the sum of their IoUs is largest. "labels": the
    share of the objects that both have whose label is the same; means are None without objects.
    """
    found: dict[tuple[str, str], list[tuple[How, float, bool]]] = defaultdict(list)
    images = Counter[tuple[str, str]]()
    query = "SELECT image FROM actions WHERE image > 0 AND user != '' GROUP BY image"
    for (image,) in logs.database.rows(f"{query} HAVING count(DISTINCT user) > 1 ORDER BY image"):
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
            how: How = "kept" if one.mask == same.mask else "corrected"
            found.append(pair(how, one, same, 1.0 if how == "kept" else _iou(one, same, logs)))
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
