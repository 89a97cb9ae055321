"""Click maps on the tree's leaves: closeness to the clicks in the tree and along the image."""

from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from clickgrain.jit import njit
from clickgrain.tree import MergeTree
from clickgrain.types import Float, Size

Affine = npt.NDArray[np.float64]  # 2 x 3 matrix that takes (x, y, 1) to (x, y)

LeafMap = Literal["level", "geodesic", "edge", "semantic"]
LEAF_KINDS: tuple[LeafMap, ...] = ("level", "geodesic", "edge", "semantic")
STEP_UNIT, STEP_LIMIT, STEP_FLOOR = 10.0, 4.0, 0.1
GEODESIC_RANGE = 4.0


@njit(nogil=True)
def _relax(cost: Any, lab: Any, unit: Any, limit: Any, floor: Any) -> None:
    """Shortest paths on the 4-connected grid by raster sweeps to and fro until nothing changes."""
    h, w = cost.shape
    right, down = np.empty((h, w), np.float32), np.empty((h, w), np.float32)
    for y in range(h):
        for x in range(w):
            for axis in range(2):
                y2, x2 = y + axis, x + 1 - axis
                if y2 >= h or x2 >= w:
                    continue
                step = np.float32(0)
                for c in range(3):
                    step += (lab[y, x, c] - lab[y2, x2, c]) ** 2
                step = np.float32(min(step / (unit * unit), limit) + floor)
                if axis:
                    down[y, x] = step
                else:
                    right[y, x] = step
    changed = True
    while changed:
        changed = False
        for y in range(h):
            for x in range(w):
                best = cost[y, x]
                if x > 0:
                    best = min(best, cost[y, x - 1] + right[y, x - 1])
                if y > 0:
                    best = min(best, cost[y - 1, x] + down[y - 1, x])
                if best < cost[y, x]:
                    cost[y, x] = best
                    changed = True
            for x in range(w - 2, -1, -1):
                cost[y, x] = min(cost[y, x], cost[y, x + 1] + right[y, x])
        for y in range(h - 1, -1, -1):
            for x in range(w - 1, -1, -1):
                best = cost[y, x]
                if x + 1 < w:
                    best = min(best, cost[y, x + 1] + right[y, x])
                if y + 1 < h:
                    best = min(best, cost[y + 1, x] + down[y, x])
                if best < cost[y, x]:
                    cost[y, x] = best
                    changed = True
            for x in range(1, w):
                cost[y, x] = min(cost[y, x], cost[y, x - 1] + right[y, x - 1])


def geodesic(leaf_lab: Float, leaves: npt.NDArray[np.int64]) -> Float:
    """h x w: length of the cheapest 4-connected path from every leaf to the nearest of some leaves; else infinite.

    A step between neighbors costs min(||difference of Lab||² / 10², 4) + 0.1, by h x w x 3 mean Lab of each leaf (L
    in 0..100): squared, so that the noise of many small steps does not add up to an edge.
    """
    cost = np.full(leaf_lab.shape[:2], np.inf, np.float32)
    if len(leaves):
        cost.reshape(-1)[leaves] = 0
        _relax(cost, leaf_lab, STEP_UNIT, STEP_LIMIT, STEP_FLOOR)
    return cost


class Leaves(NamedTuple):
    """What is known of an image's h x w leaves; all trees are on the same ones."""

    tree: MergeTree
    lab: Float  # h x w x 3 mean Lab
    edges: MergeTree | None = None
    vectors: Float | None = None  # h x w x d of length 1, from `semantic_vectors`
    semantic: MergeTree | None = None

    @property
    def trees(self) -> list[MergeTree]:
        """Those that differ: the semantic tree of a small image is its merge tree."""
        return [self.tree, *(other for other in (self.edges, self.semantic) if other not in (None, self.tree))]


def leaf_closeness(leaves: Leaves, points: Float, kind: LeafMap) -> Float:
    """Closeness 0..1 of every leaf to some points: h x w float32, 1 at the points, 0 without points.

    Points are N x 2 (x, y) pixels of the trees' image. "level": 1 - level of the lowest common ancestor in the
    merge tree; "edge": the same in the edge tree; "geodesic": exp(-length / 4); "semantic": the cosine of the
    leaves' vectors, at least 0.
    """
    if kind == "geodesic":
        return np.exp(-geodesic(leaves.lab, leaves.tree.leaves_at(points)) / np.float32(GEODESIC_RANGE))
    if kind == "semantic":
        assert leaves.vectors is not None
        clicked = leaves.vectors.reshape(-1, leaves.vectors.shape[-1])[leaves.tree.leaves_at(points)]
        # one by one: BLAS rounds the product with several vectors differently on some processors
        cosines = [leaves.vectors @ vector for vector in clicked]
        return np.max(cosines, 0, initial=0) if cosines else np.zeros(leaves.tree.grid, np.float32)
    tree = leaves.tree if kind == "level" else leaves.edges
    assert tree is not None
    return 1 - tree.level_map(points)


def map_to_leaf(grid: Size, image_size: Size, to_image: Affine, stride: int) -> Affine:
    """2 x 3 matrix from map pixels (x, y) to leaf coordinates, pixel centres at whole numbers."""
    to_leaf = resizing(grid[1] / image_size[1], grid[0] / image_size[0])
    return (to_leaf @ np.vstack([to_image, [0, 0, 1]]) @ resizing(stride, stride))[:2]


def moved(points: Float, to_image: Affine, tree: MergeTree) -> Float:
    """Points of the working image in the tree's image, clamped into it (rounding can step over the border)."""
    there = points @ to_image[:, :2].T + to_image[:, 2]
    height, width = tree.image_size
    return np.clip(there, 0, [width - 1, height - 1]).astype(np.float32)


def warp(values: Float, matrix: Affine, size: Size) -> Float:
    """h' x w' (x C) float32: leaf values seen through `matrix` (from the result's pixels to leaves), bilinear."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(values, matrix, size[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)


def resizing(x: float, y: float) -> Affine:
    """3 x 3 matrix that takes pixels of an image to those of the image resized by two factors."""
    return np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]], np.float64)
