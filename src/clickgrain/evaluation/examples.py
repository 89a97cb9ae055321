"""Figures of what methods did: best, median and worst targets, the hardest of each kind, and trees."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from clickgrain.clicks.robot import Given, split_target
from clickgrain.errors import DataError, ImageError
from clickgrain.evaluation.datasets import SIZE_CLASSES, Benchmark, load_group
from clickgrain.evaluation.drawing import ORANGE, overlay, region_map
from clickgrain.evaluation.page import Figure
from clickgrain.evaluation.protocol import iou, prompt_of
from clickgrain.evaluation.result import Result, TargetResult
from clickgrain.tree import MergeTree
from clickgrain.types import Bool, Mask, Predictor, UInt8

SAME = 0.02  # IoU may differ by this much between two machines
WORST = 4  # targets shown of each group

Load = Callable[[str], tuple[UInt8, UInt8 | Bool]]
"""`Benchmark.load`: image and mask of a target by its id; one that raises DataError or ImageError is left out."""


@dataclass(frozen=True)
class Entry:
    """A result as a page shows it."""

    result: Result
    label: str  # its name
    color: int = 0  # number of its color
    predictor: Predictor | None = None  # answers its recorded clicks again; None shows clicks alone
    drawn: bool = True  # whether its clicks are shown on images


def replay(predictor: Predictor, image: UInt8, given: Sequence[Given]) -> Mask:
    """The mask after recorded clicks, boxes and strokes (at least one), given one by one as in the evaluation."""
    predictor.set_image(image)
    mask: Mask | None = None
    for k in range(1, len(given) + 1):
        prompt = prompt_of(given[:k])
        mask = predictor.predict(prompt.pop("points"), prompt.pop("labels"), previous=mask, **prompt)
        _ = mask.probability  # the next click builds on what was shown
    assert mask is not None, "no clicks to replay"
    return mask


def places(result: Result) -> list[tuple[str, str]]:
    """(place, id) of the best, median and worst target by mean IoU over five clicks; each target once."""
    means = result.curves[:, :5].mean(1)
    ranked = [result.rows[i].id for i in np.argsort(-means, kind="stable")]
    chosen: dict[str, str] = {}
    for place, rank in (("best", 0), ("median", len(ranked) // 2), ("worst", -1)):
        chosen.setdefault(ranked[rank], place)
    return [(place, id_) for id_, place in chosen.items()]


def examples(
    entries: Sequence[Entry],
    load: Load,
    *,
    leader: int = 0,  # whose targets are ranked
    clicks: int = 3,  # how many are shown
) -> list[tuple[str, list[Figure]]]:
    """The best, median and worst target of one result, each with every model's mask after a few clicks."""
    shown = []
    for place, id_ in places(entries[leader].result):
        try:
            image, wanted = load(id_)
        except (DataError, ImageError):  # the file is gone; the figures stand
            continue
        target = split_target(wanted)[0]
        about = f"{100 * target.mean():.1f} % of the image"
        figures = [Figure(overlay(image, target=target), "Wanted", about, "the wanted outline")]
        for one in entries:
            rows = [row for row in one.result.rows if row.id == id_ and row.error is None and row.ious]
            figures += [_example(one, row, image, wanted, clicks) for row in rows if one.drawn]
        shown.append((f"{place.capitalize()}: target {id_}", figures))
    return shown


def _example(one: Entry, row: TargetResult, image: UInt8, wanted: UInt8 | Bool, clicks: int) -> Figure:
    """The first clicks of one model on one target, and its mask after them if it can be made again."""
    made, mask = row.given[: min(clicks, len(row.ious))], None
    if one.predictor is not None:
        with suppress(Exception):  # a method may raise anything; the page is worth more than one image
            again = replay(one.predictor, image, made).probability > one.result.settings.threshold
            mask = again if again.shape == image.shape[:2] else None
    target, valid = split_target(wanted)
    count, reached = f"{len(made)} click{'s' if len(made) != 1 else ''}", row.ious[len(made) - 1]
    text = f"IoU {reached:.2f} after {count}"
    if mask is not None and abs((now := iou(target, valid, mask)) - reached) > SAME:
        text += f"; the mask shown has {now:.2f}: the model has changed since"
    alt = f"{one.label}: {'clicks' if mask is None else 'mask'} after {count}"
    return Figure(overlay(image, mask, made, target=target), one.label, text, alt)


def border_contact(benchmark: Benchmark) -> dict[str, bool]:
    """Whether each target touches the border of its image, by id, without unreadable targets."""
    touching = {}
    for group in benchmark.by_image():
        for target, mask in load_group(group, [])[1]:
            object_ = split_target(mask)[0]
            touching[target.id] = bool(object_[[0, -1]].any() or object_[:, [0, -1]].any())
    return touching


def groups_of(results: Sequence[Result], contact: Mapping[str, bool]) -> dict[str, frozenset[str]]:
    """Title -> ids: small, medium and large targets, each split by border contact if known; no empty group."""
    rows = {row.id: row for result in results for row in result.rows}
    groups: dict[str, frozenset[str]] = {}
    for size in SIZE_CLASSES:
        for touches, where in ((False, ", inside the image"), (True, ", touching its border"), (None, "")):
            ids = [id_ for id_, row in rows.items() if row.size == size and contact.get(id_) is touches]
            if ids:
                groups[f"{size}{where}"] = frozenset(ids)
    return groups


def hardest(results: Sequence[Result], ids: frozenset[str], load: Load, wanted: float) -> list[Figure]:
    """The hardest targets for all models together, of those on which some model never reaches IoU `wanted`."""
    most = min(result.settings.max_clicks for result in results)
    curves = {id_: [row.curve(most) for result in results for row in result.rows if row.id == id_] for id_ in ids}
    never = {id_: sum(curve.max() < wanted for curve in own) for id_, own in curves.items()}
    ranked = sorted((id_ for id_ in ids if never[id_]), key=lambda id_: (np.mean(curves[id_]), id_))
    shown = []
    for id_ in ranked[:WORST]:
        try:
            image, mask = load(id_)
        except (DataError, ImageError):  # evaluated on another machine; the figures stand
            continue
        drawn = overlay(image, split_target(mask)[0], color=ORANGE, long_side=180)
        text = f"{never[id_]} of {len(curves[id_])} fail" if len(results) > 1 else ""
        shown.append(Figure(drawn, id_, text, f"target {id_}", quality=78))
    return shown


def tree_figures(image: UInt8, tree: MergeTree, click: tuple[int, int], *, level: float = 0.6) -> list[Figure]:
    """The image with a click (x, y), its tree cut at three levels, and the node that the click means at `level`."""
    node = tree.node_at(*click, level)
    chosen = tree.upsample(node, image) > 0.5
    cuts = [k for k in (120, 30, 8) if k <= tree.n_leaves] or [1]
    share = 100 * float(tree.area[node]) / tree.n_leaves
    about = f"at level {tree.level[node]:.2f}, {share:.0f} % of the photo"
    return [
        Figure(overlay(image, clicks=[(*click, 1)]), "Photo", "with one click", "photo with a click"),
        *(Figure(region_map(image, tree.cut(k)), f"{k} regions", alt=f"{k} regions") for k in cuts),
        Figure(overlay(image, chosen, [(*click, 1)]), "The clicked region", about, "the region that was clicked"),
    ]
