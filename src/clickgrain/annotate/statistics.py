"""What the objects of a project cost their annotator: clicks and seconds, by label, model and day."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from clickgrain.annotate.documents import Item, count_clicks
from clickgrain.annotate.project import Project
from clickgrain.errors import ClickgrainError

MOST = 20
"""Objects with more clicks count with these in the histogram."""


def collect(project: Project) -> dict[str, Any]:
    """The statistics page as JSON; objects made with prompts only, so that imports do not flatter the figures."""
    items: list[tuple[Item, float]] = []
    images = 0
    for image in project.gallery.logged():
        try:
            made = _made(project, image)
        except ClickgrainError:
            continue  # a damaged log stops no others; opening the image says what is wrong
        items += made
        images += bool(made)
    objects = [item for item, _ in items]
    labels = {label.id: label.name for label in project.labels().document.labels}
    names = {row["hash"]: row["name"] for row in project.database.models()}
    counts = Counter(min(count_clicks(item.steps), MOST) for item in objects)
    return {
        "objects": len(objects),
        "images": images,
        "clicks": _summary([count_clicks(item.steps) for item in objects]),
        "seconds": _summary([item.seconds for item in objects]),
        "labels": [
            {"label": key if key in labels else None, "name": labels.get(key or 0, "unlabelled"), **group}
            for key, group in _groups((item.label if item.label in labels else None, item) for item in objects)
        ],
        "models": [
            {"hash": key, "name": names.get(key or "", "unknown"), **group}
            for key, group in _groups((item.model, item) for item in objects)
        ],
        "steps": dict(Counter(step.type for item in objects for step in item.steps)),
        "days": _days(items),
        "histogram": [counts.get(number, 0) for number in range(MOST + 1)],
    }


def _made(project: Project, image: int) -> list[tuple[Item, float]]:
    """Objects that stand now and were made with prompts, each with the time it was begun."""
    document = project.history(image).document
    wanted = {item.id: item for item in document.objects if item.source == "prompt"}
    begun: dict[int, float] = {}
    for action in project.database.actions(image) if wanted else ():
        for values in action.patch.get("put", ()):
            begun.setdefault(values["id"], action.time)
    return [(item, begun.get(id_, 0.0)) for id_, item in wanted.items()]


def _summary(values: list[Any]) -> dict[str, float | None]:
    if not values:
        return {"mean": None, "median": None, "total": 0}
    total = round(float(sum(values)), 2)
    return {
        "mean": round(total / len(values), 2),
        "median": round(float(statistics.median(values)), 2),
        "total": total,
    }


def _groups(pairs: Iterable[tuple[Any, Item]]) -> list[tuple[Any, dict[str, Any]]]:
    groups: dict[Any, list[Item]] = defaultdict(list)
    for key, item in pairs:
        groups[key].append(item)
    return [
        (
            key,
            {
                "objects": len(items),
                "clicks": round(sum(count_clicks(item.steps) for item in items) / len(items), 2),
                "seconds": round(sum(item.seconds for item in items) / len(items), 2),
            },
        )
        for key, items in sorted(groups.items(), key=lambda pair: -len(pair[1]))
    ]


def _days(items: list[tuple[Item, float]]) -> list[dict[str, Any]]:
    days: dict[str, list[Item]] = defaultdict(list)
    for item, begun in items:
        days[datetime.fromtimestamp(begun).astimezone().date().isoformat()].append(item)
    return [
        {"day": day, "objects": len(made), "seconds": round(sum(item.seconds for item in made), 2)}
        for day, made in sorted(days.items())
    ]
