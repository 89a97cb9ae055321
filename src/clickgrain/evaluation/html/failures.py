"""Where methods fail: by size of the target, and by whether it touches the image's border."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clickgrain.clicks.robot import split_target
from clickgrain.errors import DataError, ImageError
from clickgrain.evaluation.datasets import SIZE_CLASSES, Benchmark, load_group
from clickgrain.evaluation.html.markup import Html, joined, tag
from clickgrain.evaluation.html.tables import Cell, bar_table
from clickgrain.evaluation.pictures import ORANGE, Pictures, data_uri, overlay
from clickgrain.evaluation.result import Result, TargetResult

WORST = 4
"""Targets shown of each group."""


@dataclass(frozen=True)
class Group:
    """Targets of one kind.

    Attributes:
        title: what they have in common.
        ids: of the targets.
    """

    title: str
    ids: frozenset[str]


def border_contact(benchmark: Benchmark) -> dict[str, bool]:
    """Whether each target touches the border of its image, by id; targets that cannot be read are left out."""
    touching = {}
    for group in benchmark.by_image():
        for target, mask in load_group(group, [])[1]:
            object_ = mask > 128
            frame = (object_[0], object_[-1], object_[:, 0], object_[:, -1])
            touching[target.id] = any(bool(side.any()) for side in frame)
    return touching


def groups_of(results: Sequence[Result], contact: Mapping[str, bool]) -> list[Group]:
    """Small, medium and large targets, each parted by border contact where that is known; none empty."""
    rows = {row.id: row for result in results for row in result.rows}
    kinds: list[tuple[bool | None, str]] = [(False, "inside the image"), (True, "touching its border"), (None, "")]
    groups = []
    for size in SIZE_CLASSES:
        for touches, where in kinds:
            ids = frozenset(id_ for id_, row in rows.items() if row.size == size and contact.get(id_) is touches)
            groups.append(Group(", ".join(filter(None, (size, where))), ids))
    return [group for group in groups if group.ids]


def failure_report(
    results: Sequence[Result],
    labels: Sequence[str] | None = None,
    *,
    contact: Mapping[str, bool] | None = None,
    pictures: Pictures | None = None,
    iou: float = 0.9,
) -> Html:
    """A table of failures (targets that never reach `iou`) by group, and the worst targets of each group.

    Args:
        results: of one benchmark.
        labels: shown instead of the models' names.
        contact: id -> whether the target touches the border (`border_contact`); by size alone when None.
        pictures: loads what is shown (`target_pictures`); no pictures when None.
        iou: that is to be reached.
    """
    names = list(labels or [result.model for result in results])
    groups = groups_of(results, contact or {})
    heads = [(name, f"never reached {iou:.2f}") for name in names]
    rows = [
        (f"{group.title} ({len(group.ids)})", [_share(result, group, iou) for result in results])
        for group in groups
    ]
    shown = [_worst(results, group, pictures, iou) for group in groups] if pictures else []
    table = bar_table("targets", heads, (), rows, keys=False)
    return joined(table, tag("div", *shown, class_="groups") if any(shown) else "")


def _share(result: Result, group: Group, iou: float) -> Cell | None:
    best = [row.curve(result.settings.max_clicks).max() for row in result.rows if row.id in group.ids]
    if not best:
        return None
    failed = sum(top < iou for top in best)
    return Cell(f"{100 * failed / len(best):.0f} %", failed / len(best), f"{failed} of {len(best)}")


def _worst(results: Sequence[Result], group: Group, pictures: Pictures, iou: float) -> Html:
    """The targets of a group that are hardest for all models together, of those that some model never reaches."""
    curves: dict[str, list[TargetResult]] = {}
    for result in results:
        for row in result.rows:
            if row.id in group.ids:
                curves.setdefault(row.id, []).append(row)
    most = min(result.settings.max_clicks for result in results)
    means = {id_: np.mean([row.curve(most) for row in rows]) for id_, rows in curves.items()}
    never = {id_: sum(row.curve(most).max() < iou for row in rows) for id_, rows in curves.items()}
    hardest = sorted((id_ for id_ in means if never[id_]), key=lambda id_: (means[id_], id_))[:WORST]
    counts = [f"{never[id_]} of {len(curves[id_])} fail" if len(results) > 1 else "" for id_ in hardest]
    cards = [_thumbnail(id_, pictures, count) for id_, count in zip(hardest, counts)]
    if not any(cards):
        return Html("")
    return tag("div", tag("h4", f"Hardest: {group.title}"), tag("div", *cards, class_="strip"))


def _thumbnail(id_: str, pictures: Pictures, count: str) -> Html:
    try:
        image, mask = pictures(id_)
    except (DataError, ImageError):  # evaluated somewhere else; the figures stand
        return Html("")
    picture = overlay(image, split_target(mask)[0], color=ORANGE, long_side=180)
    height, width = picture.shape[:2]
    uri = data_uri(picture, quality=78)
    drawn = tag("img", src=uri, alt=f"target {id_}", width=width, height=height, loading="lazy")
    return tag("figure", drawn, tag("figcaption", tag("b", id_), f" {count}"))
