"""Published results and our own earlier ones, to compare with; and which sets are development sets."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from clickgrain.evaluation.config import EvaluationSettings
from clickgrain.evaluation.layouts import LOADERS

Kind = Literal["before", "label-free", "non-deep", "supervised"]
KINDS: Mapping[Kind, str] = {  # in the order of reports, with their titles there
    "before": "measured by us before",
    "label-free": "published, trained without labels",
    "non-deep": "published, not trained",
    "supervised": "published, trained on human masks",
}

DEVELOPMENT = frozenset({"bsds", "objects"})  # our methods were tuned on them: figures prove nothing


@dataclass(frozen=True)
class PublishedResult:
    """One result that was not measured in this evaluation."""

    method: str  # as its authors call it
    kind: Kind  # what it was trained with, or "before" for our own
    figures: Mapping[str, float]  # by their names in `Result.summary`; IoU in 0..1
    source: str  # where the figures are published, or the command, date and versions that they were measured with
    remark: str = ""  # what must be said with them
    compares: bool = True  # False where the authors measured something else under the same name


@dataclass(frozen=True)
class Published:
    """The published results on a set, and how far they compare."""

    name: str  # of the published set, as papers write it
    rows: tuple[PublishedResult, ...] = ()  # in the order of `KINDS`
    caveats: tuple[str, ...] = ()  # why measured rows do not compare directly; empty where they do


def published(name: str, targets: int) -> Published:
    """Published results on the set called `name`, or on the set that it is a part of; no rows if there are none."""
    table = _table("published.json")
    given = name.lower().replace("_", "-")
    known = table["parts"].get(given, given)
    rows = []
    for row in table["rows"]:
        if figures := row["figures"].get(known):
            other = row.get("other_task", {}).get(known, "")
            remark = "; ".join(filter(None, (row["remark"], other)))
            rows.append(PublishedResult(row["method"], row["kind"], figures, row["source"], remark, not other))
    if not rows:
        return Published(name)
    shown, complete, caveats = table["sets"][known], LOADERS[known].targets, []
    if complete is not None and targets != complete:
        part = f"{targets} of the {complete} targets of {shown} were evaluated"
        caveats.append(f"{name} is not the published set: {part}, the published rows are means over all {complete}")
    elif known != given:
        caveats.append(f"{name} is a part of {shown}; the published rows are means over all of it")
    return Published(shown, tuple(rows), tuple(caveats))


def measured_before(data: str, settings: EvaluationSettings) -> tuple[PublishedResult, ...]:
    """Earlier results of our slow baselines on exactly the same images and masks, with the same protocol."""
    wanted = (data, settings.max_clicks, settings.threshold)
    return tuple(
        PublishedResult(
            row["method"], "before", row["figures"],
            f"{row['command']}; {row['date']}; " + ", ".join(f"{k} {v}" for k, v in row["versions"].items()),
        )
        for row in _table("baselines.json")["rows"]
        if (row["data_hash"], row["max_clicks"], row["threshold"]) == wanted
    )  # fmt: skip


def is_development(name: str) -> bool:
    """Whether methods here were tuned on this set."""
    return name.lower() in DEVELOPMENT


@cache
def _table(name: str) -> dict[str, Any]:
    return dict(json.loads((files("clickgrain.evaluation") / name).read_text(encoding="utf-8")))
