"""What a click's place says about its object: users click in the middle of what they mean.

Around a click lie nested regions: the nodes on its path to the root of a tree, or of several trees that err in
different ways, or all that is closer to it than some distance, along the image or in what a network sees. A region
in whose middle the click lies is a likelier object than one that it touches at its border. The weighted vote of all
of them says for each pixel how likely it belongs to the object, from one click and no training at all. The same
holds for corrections: a click lies in the middle of what the last mask missed, or added.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from clickgrain.clicks.config import CENTRE_MAPS
from clickgrain.clicks.leaf_maps import Affine, Leaves, geodesic, moved
from clickgrain.jit import njit
from clickgrain.tree import MergeTree
from clickgrain.types import Bool, Float, Prompt, Size

Ranks = npt.NDArray[np.int16]
"""h x w: for every cell the number of the smallest nested region that holds it, 0 the innermost."""

Weighed = list[tuple[Ranks, npt.NDArray[np.float64]]]
"""Nested regions around a click, and the weight of each rank's region by its shape alone."""

MIN_AREA, MAX_AREA = 0.004, 0.8  # shares of the crop that a region may cover
NO_EDGE = 0.05  # least strength of an outline, over the image's mean
NEGATIVE_WEIGHT, MISSED_WEIGHT = 0.05, 0.2  # for each negative click inside a region, each positive one outside
BALLS = 24
FAR = 0.5  # difference of cosines that weighs as much as a distance of the image's long side


class Powers(NamedTuple):
    """How strongly the shape of a region counts."""

    area: float  # how much likelier larger regions are, beyond equal odds for every octave of area
    centre: float  # of depth at the click over the region's largest depth
    compact: float  # of squared largest depth over area: stringy regions are seldom meant


PLAIN, OUTLINED = Powers(0.25, 4.0, 0.5), Powers(0.35, 5.0, 1.0)
"""Without the strength of outlines, as the maps that networks were trained on, and with it."""


@dataclass(frozen=True)
class Evidence:
    """The clicks around which nested regions are weighed, all on the same h x w grid of cells."""

    click: tuple[int, int]  # (row, column) of the click that they surround
    free: Bool  # h x w, cells that count: all for a first click, those missed (or added) for a correction
    positives: tuple[tuple[int, int], ...] = ()  # (row, column) of the other clicks
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
    ranks = _path_ranks(tree.parent, tree.order, tree.start, tree.area, leaf)
    return np.asarray(ranks, np.int16).reshape(tree.grid)


def ball_ranks(length: Float) -> Ranks:
    """h x w int16: nested regions of geometrically growing area, those of the least distance (h x w) first."""
    flat = length.ravel()
    places = np.geomspace(MIN_AREA * flat.size, MAX_AREA * flat.size, BALLS).astype(np.int64)
    places = np.unique(np.clip(places, 1, flat.size) - 1)
    radii = np.partition(flat, places)[places]
    return np.asarray(np.searchsorted(radii, flat), np.int16).reshape(length.shape)


def nested_regions(trees: Sequence[MergeTree], vectors: Float | None, leaf: int) -> list[Ranks]:
    """Ranks of the nested regions around a leaf: the nodes of each tree, and what is most like it and near to it.

    The trees are on the same leaves; `vectors` are their h x w x d `semantic_vectors`, or None.
    """
    nested = [path_ranks(tree, leaf) for tree in trees]
    h, w = trees[0].grid
    row, column = divmod(leaf, w)
    if vectors is not None and vectors[row, column].any():
        y, x = np.ogrid[:h, :w]
        apart = np.hypot(y - row, x - column, dtype=np.float32) / np.float32(max(h, w) / FAR)
        nested.append(ball_ranks(apart - vectors @ vectors[row, column]))
    return nested


def centre_map(nested: Sequence[Ranks], evidence: Evidence, strength: Float | None = None) -> Float:
    """Probability that a cell belongs to what a click means; 0 where `evidence.free` is False.

    All regions vote together, whichever hierarchy they come from. A region weighs its stretch of log-area, times
    powers (`PLAIN`) of its area, of (depth of the click / largest depth) and of its compactness; depth is the
    distance to the nearest cell outside the region or the crop. With the h x w `edge_strength` of the cells it also
    weighs the mean strength along its outline, where the image's border is no edge (and `OUTLINED` are the powers).
    """
    return votes(weighed(nested, evidence.click, evidence.free, strength), evidence)


def weighed(nested: Sequence[Ranks], click: tuple[int, int], free: Bool, strength: Float | None = None) -> Weighed:
    """Weights of the regions around a click, without regard to other clicks; see `centre_map`."""
    counted = free.copy()
    counted[click] = True
    shape = (MIN_AREA, MAX_AREA, *(PLAIN if strength is None else OUTLINED))
    found = []
    for ranks in nested:
        weights = _weights(ranks, counted, np.cumsum(np.bincount(ranks[counted])), click, shape)
        if strength is not None:
            outlines = _outlines(ranks, strength)[: len(weights)] / max(float(strength.mean()), 1e-6)
            weights *= np.maximum(outlines, NO_EDGE)
        found.append((ranks, weights))
    return found


def votes(nested: Weighed, evidence: Evidence) -> Float:
    """The vote of `weighed` regions, given all clicks; see `centre_map`."""
    free, odds = evidence.free.copy(), []
    free[evidence.click] = True
    for ranks, weights in nested:
        wrong, right = (  # how many clicks each region wrongly holds, and rightly
            np.searchsorted(sorted(ranks[cell] for cell in cells if free[cell]), np.arange(len(weights)), "right")
            for cells in (evidence.negatives, evidence.positives)
        )
        likely = NEGATIVE_WEIGHT**wrong * MISSED_WEIGHT ** (len(evidence.positives) - right)
        odds.append(weights * likely)
    total = sum(float(each.sum()) for each in odds)
    if total == 0:
        ranks = nested[0][0]
        return (ranks <= ranks[evidence.click]).astype(np.float32) * free
    probability = np.zeros(free.shape)
    for (ranks, _), each in zip(nested, odds):
        # A cell of rank r lies in the regions r, r + 1, ...
        around = np.append(np.cumsum(each[::-1])[::-1], 0.0)
        probability += around[np.minimum(ranks, len(each))]
    return np.asarray(probability / total * free, np.float32)


def decided(votes: Float) -> Float:
    """Probabilities at twice the log odds of votes, so that between nested regions few pixels are in doubt."""
    return np.asarray(votes**2 / (votes**2 + (1 - votes) ** 2), np.float32)


@njit(nogil=True)
def _weights(ranks: Any, free: Any, counts: Any, click: Any, shape: Any) -> Any:
    """Weight of every rank's region of `counts` free cells; 0 if it adds none, is too small or large."""
    (row, column), (least, most, area, centre, compact) = click, shape
    h, w = ranks.shape
    weights = np.zeros(len(counts))
    depth = np.empty((h + 2, w + 2), np.float32)
    for rank in range(len(counts) - 1):  # nothing follows the last one: it stretches over no area
        share = counts[rank] / (h * w)
        if counts[rank + 1] == counts[rank] or share <= least or share > most:
            continue
        largest = _depths(depth, ranks, free, rank)
        centred = (depth[row + 1, column + 1] / largest) ** centre
        filled = min(1.0, largest**2 / counts[rank]) ** compact
        weights[rank] = np.log(counts[rank + 1] / counts[rank]) * share**area * centred * filled
    return weights


@njit(nogil=True)
def _outlines(ranks: Any, strength: Any) -> Any:
    """Mean strength along the outline of every rank's region; 0 where that is the image's border."""
    h, w = ranks.shape
    total, length = np.zeros(ranks.max() + 1), np.zeros(ranks.max() + 1)
    for y in range(h):
        for x in range(w):
            if y == 0 or x == 0 or y == h - 1 or x == w - 1:
                length[ranks[y, x]] += 1
            for right, below in ((1, 0), (0, 1)):
                if x + right < w and y + below < h:  # parted by regions from the smaller rank to below the larger
                    ends = ranks[y, x], ranks[y + below, x + right]
                    pair = (strength[y, x] + strength[y + below, x + right]) / 2
                    total[min(ends)] += pair
                    total[max(ends)] -= pair
                    length[min(ends)] += 1
                    length[max(ends)] -= 1
    return np.cumsum(total) / np.maximum(np.cumsum(length), 1)


@njit(nogil=True)
def _depths(depth: Any, ranks: Any, free: Any, rank: Any) -> Any:
    """Distance of every cell to the outside of a region by the 3 x 3 chamfer of OpenCV, and the largest one.

    `depth` has a frame of one cell, which lies outside.
    """
    side, across = np.float32(0.955), np.float32(1.3693)
    h, w = ranks.shape
    depth[:] = 0
    for y in range(1, h + 1):
        for x in range(1, w + 1):
            if free[y - 1, x - 1] and ranks[y - 1, x - 1] <= rank:
                above = min(depth[y - 1, x - 1], depth[y - 1, x + 1]) + across
                depth[y, x] = min(above, min(depth[y - 1, x], depth[y, x - 1]) + side)
    largest = np.float32(0)
    for y in range(h, 0, -1):
        for x in range(w, 0, -1):
            if depth[y, x] > 0:
                below = min(depth[y + 1, x - 1], depth[y + 1, x + 1]) + across
                depth[y, x] = min(depth[y, x], min(below, min(depth[y + 1, x], depth[y, x + 1]) + side))
                largest = max(largest, depth[y, x])
    return largest


CELL = 4  # working pixels per cell of the grid that regions are weighed on, where click maps are finer


@dataclass(frozen=True)
class Crop:
    """A crop's or image's grid of cells, and how it sees a tree."""

    to_leaf: Affine  # 2 x 3 matrix from cells (x, y) to leaves
    size: Size  # cells down and across
    stride: int  # working pixels per cell

    def cell(self, point: Float) -> tuple[int, int]:
        """(row, column) of an (x, y) point in working pixels, clamped into the crop."""
        column, row = np.floor((point + 0.5) / self.stride).astype(int).tolist()
        return min(max(row, 0), self.size[0] - 1), min(max(column, 0), self.size[1] - 1)

    def ranks(self, ranks: Ranks) -> Ranks:
        """Those of leaves as ranks of the cells; outside of the image one more than the largest."""
        flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
        seen = cv2.warpAffine(ranks, self.to_leaf, self.size[::-1], flags=flags, borderValue=int(ranks.max()) + 1)
        return np.asarray(seen, np.int16)


def centre_maps(
    names: Sequence[str],
    crop: Crop,
    prompt: Prompt,  # in working pixels
    previous: Bool,  # h x w, the previous mask; all False for none
    leaves: Leaves,  # of the image
    to_image: Affine,  # from working pixels to those of the trees' image
    known: dict[str, Weighed] | None = None,  # caches the first click's weights, for the same prompt
) -> list[Float]:
    """The maps `names` (out of `CENTRE_MAPS`) of one prompt; h x w float32 each.

    - "centre", "ball": what the first positive click means, by nodes of the trees or by geodesic balls. Without a
      previous mask they need a lone positive: several at once lie anywhere in their object.
    - "correction+", "correction-": what the last click adds to the previous mask, or takes away from it.
    """
    known = {} if known is None else known

    def leaf_of(point: Float) -> int:
        return int(leaves.tree.leaves_at(moved(point[None], to_image, leaves.tree))[0])

    def around(leaf: int) -> list[Ranks]:
        return [crop.ranks(ranks) for ranks in nested_regions(leaves.trees, leaves.vectors, leaf)]

    positives, negatives = ([crop.cell(p) for p in side] for side in (prompt.positives, prompt.negatives))
    lone = len(positives) == 1 and not any(stroke.label for stroke in prompt.scribbles)
    first = prompt.positives[:1] if previous.any() or lone else prompt.positives[:0]
    last = prompt.points[-1:] if previous.any() else prompt.points[:0]
    everywhere = np.ones(crop.size, np.bool_)
    maps = {name: np.zeros(crop.size, np.float32) for name in CENTRE_MAPS}
    for point in first:
        cell, leaf = crop.cell(point), leaf_of(point)
        if "centre" in names and "centre" not in known:
            known["centre"] = weighed(around(leaf), cell, everywhere)
        if "ball" in names and "ball" not in known:
            lengths = geodesic(leaves.lab, np.array([leaf]))
            known["ball"] = weighed([crop.ranks(ball_ranks(lengths))], cell, everywhere)
        for name in known:
            maps[name] = votes(known[name], Evidence(cell, everywhere, tuple(positives), tuple(negatives)))
    for point in last:
        name = "correction+" if prompt.labels[-1] else "correction-"
        if name in names:
            evidence = Evidence(crop.cell(point), ~previous if prompt.labels[-1] else previous)
            maps[name] = centre_map(around(leaf_of(point)), evidence)
    return [maps[name] for name in names]
