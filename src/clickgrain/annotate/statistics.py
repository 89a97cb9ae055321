"""The objects of a project by source, label and person, and what those made by hand cost."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from clickgrain.annotate.agreement import agreements, pairs_of
from clickgrain.annotate.documents import STATUSES, Item, count_clicks
from clickgrain.annotate.project import Project
from clickgrain.errors import ClickgrainError

MOST = 20  # objects with more clicks count with these in the histogram
LATEST = 32_503_680_000.0  # seconds until the year 3000; what a damaged file says beyond, no calendar knows
SHOWN = 20  # pairs of least agreement on the page; the CSV has all


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
            seconds = min(max(seconds, 0.0), LATEST)
            days[datetime.fromtimestamp(seconds).astimezone().date().isoformat()].append(item)
            people.append((user, item))
    pairs = list(pairs_of(project))
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
        "agreement": agreements(pairs),
        "least_agreement": [pair._asdict() for pair in sorted(pairs, key=lambda pair: pair.iou)[:SHOWN]],
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
