"""What a click's place says about its object: users click in the middle of what they mean.

Around a click lie nested regions: the nodes on its path to the root of a tree, or of two trees that err in
different ways, or balls of growing geodesic radius. A region in whose middle the click lies is a likelier
object than one that it touches at the rim. The weighted vote of all of them says for each pixel how likely it
belongs to the object, from one click and no training at all. The same holds for corrections: a click lies in
the middle of what the last mask missed, or added.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt

from clickgrain.clicks.leaf_maps import Affine, geodesic
from clickgrain.clicks.spec import CENTRE_MAPS
from clickgrain.jit import njit
from clickgrain.tree import MergeTree
from clickgrain.types import Bool, Float, Prompt, Size

Ranks = npt.NDArray[np.int16]
"""h x w: for every cell the number of the smallest nested region that holds it, 0 the innermost."""

MIN_AREA, MAX_AREA = 0.004, 0.8
"""Shares of the view that a region may cover."""
AREA_POWER = 0.25
"""How much likelier larger regions are, beyond equal odds for every octave of area."""
CENTRE_POWER = 4.0
"""Of depth at the click over the region's largest depth."""
COMPACT_POWER = 0.5
"""Of squared largest depth over area: stringy regions are seldom meant."""
NEGATIVE_WEIGHT, MISSED_WEIGHT = 0.05, 0.2
"""Factors for each negative click inside a region, and for each positive one outside."""
BALLS = 24


@dataclass(frozen=True)
class Evidence:
    """What is known when nested regions are weighed; all on the same h x w grid of cells.

    Attributes:
        click: (row, column) of the click that they surround.
        free: h x w bool, cells that count: all of them for a first click, those that the last mask missed (or
            added) for a correction.
        positives, negatives: (row, column) of the other clicks.
    """

    click: tuple[int, int]
    free: Bool
    positives: tuple[tuple[int, int], ...] = ()
    negatives: tuple[tuple[int, int], ...] = ()


@njit(nogil=True)
def _path_ranks(parent: Any, order: Any, start: Any, area: Any, leaf: Any) -> Any:
    ranks = np.zeros(order.shape[0], np.int16)
    node, rank = leaf, 0
    while parent[node] >= 0:
        up = parent[node]
        rank += 1
        first, last = start[node], start[node] + area[node]
        for i in range(start[up], start[up] + area[up]):
            if i < first or i >= last:
                ranks[order[i]] = rank
        node = up
    return ranks


def path_ranks(tree: MergeTree, leaf: int) -> Ranks:
    """h x w int16: for every leaf its place on another leaf's path to the root where the two meet (0: itself)."""
    ranks = cast(Callable[..., Any], _path_ranks)(tree.parent, tree.order, tree.start, tree.area, leaf)
    return np.asarray(ranks, np.int16).reshape(tree.grid)


def ball_ranks(length: Float) -> Ranks:
    """h x w int16: nested balls of geometrically growing area around the sources of a geodesic length (h x w)."""
    flat = length.ravel()
    places = np.geomspace(MIN_AREA * flat.size, MAX_AREA * flat.size, BALLS).astype(np.int64)
    places = np.unique(np.clip(places, 1, flat.size) - 1)
    radii = np.partition(flat, places)[places]
    return np.asarray(np.searchsorted(radii, flat), np.int16).reshape(length.shape)


def centre_map(nested: Sequence[Ranks], evidence: Evidence) -> Float:
    """Probability that a cell belongs to what a click means; 0 where `evidence.free` is False.

    All regions vote together, whichever hierarchy they come from: one that has none that fits says little.

    A region weighs its stretch of log-area, times area^0.25, times (depth of the click / largest depth)^4, times
    the square root of its compactness; depth is the distance to the nearest cell outside the region or the view.

    Args:
        nested: of one or more hierarchies the h x w ranks of nested regions around the click.
        evidence: on the same grid.

    Returns:
        h x w float32 in 0..1.
    """
    free = evidence.free.copy()
    free[evidence.click] = True
    weighed = [(ranks, _weights(ranks, free, evidence)) for ranks in nested]
    total = sum(float(weights.sum()) for _, weights in weighed)
    if total == 0:
        return _innermost(nested[0], evidence.click) * free
    votes = np.zeros(free.shape)
    for ranks, weights in weighed:
        # A cell of rank r lies in the regions r, r + 1, ...
        around = np.append(np.cumsum(weights[::-1])[::-1], 0.0)
        votes += around[np.minimum(ranks, len(weights))]
    return np.asarray(votes / total * free, np.float32)


def _innermost(ranks: Ranks, click: tuple[int, int]) -> Float:
    return (ranks <= ranks[click]).astype(np.float32)


def _weights(ranks: Ranks, free: Bool, evidence: Evidence) -> npt.NDArray[np.float64]:
    """What every rank's region weighs."""
    counts = np.cumsum(np.bincount(ranks[free]))
    shares = counts / ranks.size
    weights = np.zeros(len(counts))
    stretch = np.diff(np.log(np.maximum(counts, 1)), append=np.log(max(counts[-1], 1)))
    for rank in np.flatnonzero((shares > MIN_AREA) & (shares <= MAX_AREA) & (stretch > 0)):
        weights[rank] = stretch[rank] * _odds((ranks <= rank) & free, shares[rank], evidence)
    return weights


def _odds(region: Bool, share: float, evidence: Evidence) -> float:
    depth = cv2.distanceTransform(
        cv2.copyMakeBorder(region.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0), cv2.DIST_L2, 3
    )[1:-1, 1:-1]
    largest = float(depth.max())
    centred = (float(depth[evidence.click]) / largest) ** CENTRE_POWER
    compact = min(1.0, largest**2 / (share * region.size)) ** COMPACT_POWER
    wrong = sum(bool(region[cell]) for cell in evidence.negatives)
    missed = sum(not region[cell] for cell in evidence.positives)
    return float(share**AREA_POWER * centred * compact * NEGATIVE_WEIGHT**wrong * MISSED_WEIGHT**missed)


CELL = 4
"""Working pixels per cell of the grid that regions are weighed on, where click maps are finer."""


@dataclass(frozen=True)
class View:
    """A crop's or image's grid of cells, and how it sees a tree.

    Attributes:
        to_leaf: 2 x 3 matrix from cells (x, y) to leaves.
        size: cells down and across.
        stride: working pixels per cell.
    """

    to_leaf: Affine
    size: Size
    stride: int

    def cell(self, point: Float) -> tuple[int, int]:
        """(row, column) of an (x, y) point in working pixels, clamped into the view."""
        column, row = np.floor((point + 0.5) / self.stride).astype(int).tolist()
        return min(max(row, 0), self.size[0] - 1), min(max(column, 0), self.size[1] - 1)

    def ranks(self, on_leaves: Ranks) -> Ranks:
        """Ranks of the cells; beside the picture one more than the largest."""
        flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
        seen = cv2.warpAffine(
            on_leaves, self.to_leaf, self.size[::-1], flags=flags, borderValue=int(on_leaves.max()) + 1
        )
        return np.asarray(seen, np.int16)


def centre_maps(
    names: Sequence[str],
    view: View,
    prompt: Prompt,
    previous: Bool,
    trees: Sequence[MergeTree],
    leaf_of: Callable[[Float], int],
    leaf_lab: Float,
) -> list[Float]:
    """The maps `names` (out of `CENTRE_MAPS`) of one prompt; h x w float32 each.

    - "centre", "ball": what the first positive click means, by nodes of the trees or by geodesic balls. Without a
      previous mask they need a lone positive: several at once lie anywhere in their object.
    - "correction+", "correction-": what the last click adds to the previous mask, or takes away from it.

    Args:
        names: which maps.
        view: the grid.
        prompt: in working pixels.
        previous: h x w bool, the previous mask; all False for none.
        trees: of the picture, on the same leaves.
        leaf_of: leaf under an (x, y) point in working pixels.
        leaf_lab: mean Lab on the leaves.
    """

    def around(leaf: int) -> list[Ranks]:
        return [view.ranks(path_ranks(tree, leaf)) for tree in trees]

    positives, negatives = ([view.cell(p) for p in side] for side in (prompt.positives, prompt.negatives))
    lone = len(positives) == 1 and not any(stroke.label for stroke in prompt.scribbles)
    first = prompt.positives[:1] if previous.any() or lone else prompt.positives[:0]
    last = prompt.points[-1:] if previous.any() else prompt.points[:0]
    everywhere = np.ones(view.size, np.bool_)
    maps = {name: np.zeros(view.size, np.float32) for name in CENTRE_MAPS}
    for point in first:
        evidence = Evidence(view.cell(point), everywhere, tuple(positives), tuple(negatives))
        leaf = leaf_of(point)
        if "centre" in names:
            maps["centre"] = centre_map(around(leaf), evidence)
        if "ball" in names:
            lengths = geodesic(leaf_lab, np.array([leaf]))
            maps["ball"] = centre_map([view.ranks(ball_ranks(lengths))], evidence)
    for point in last:
        name = "correction+" if prompt.labels[-1] else "correction-"
        if name in names:
            evidence = Evidence(view.cell(point), ~previous if prompt.labels[-1] else previous)
            maps[name] = centre_map(around(leaf_of(point)), evidence)
    return [maps[name] for name in names]
