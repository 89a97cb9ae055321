"""The leaf map: every pixel's leaf, snapped to the image's edges; and masks and partitions made with it.

One step of SLIC (Achanta et al., "SLIC Superpixels", TPAMI 2012, equation 3) with leaves as centres: a pixel goes
to the leaf among the 3 x 3 around it that is nearest in color and place.
"""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from clickgrain.images import to_lab
from clickgrain.jit import njit
from clickgrain.tree.merge_tree import MergeTree
from clickgrain.types import Bool, Size, UInt8

MAX_SIDE = 1280
SMALLEST_PART = 0.05  # a split gives each side at least this share of the mask
COMPACTNESS = 12.0  # Lab units that one leaf's width counts as: lower follows weaker edges

Int32 = npt.NDArray[np.int32]


@njit(nogil=True)
def _assign(lab: Any, means: Any, compactness: float, out: Any) -> None:
    height, width = out.shape
    h, w = means.shape[:2]
    for y in range(height):
        v = (y + 0.5) * h / height - 0.5
        row = min(int((y + 0.5) * h / height), h - 1)
        for x in range(width):
            u = (x + 0.5) * w / width - 0.5
            column = min(int((x + 0.5) * w / width), w - 1)
            best, chosen = np.float32(1e30), 0
            for r in range(max(row - 1, 0), min(row + 2, h)):
                for c in range(max(column - 1, 0), min(column + 2, w)):
                    place = np.float32((v - r) * (v - r) + (u - c) * (u - c)) * np.float32(compactness**2)
                    for k in range(3):
                        place += (lab[y, x, k] - means[r, c, k]) ** 2
                    if place < best:
                        best, chosen = place, r * w + c
            out[y, x] = chosen


def leaf_map(tree: MergeTree, image: UInt8) -> Int32:
    """m x m' int32: the leaf of every pixel of an H x W x 3 uint8 RGB image, reduced to a long side of 1280."""
    height, width = image.shape[:2]
    scale = min(1.0, MAX_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image
    lab = to_lab(small)
    means = cv2.resize(lab, (tree.grid[1], tree.grid[0]), interpolation=cv2.INTER_AREA)
    out = np.empty(lab.shape[:2], np.int32)
    _assign(lab, means.reshape(*tree.grid, 3), COMPACTNESS, out)
    return out


def node_mask(tree: MergeTree, leaves: Int32, nodes: npt.ArrayLike, size: Size) -> Bool:
    """H x W bool: the pixels whose leaf is in one of some nodes."""
    inside = np.zeros(tree.n_leaves, bool)
    for node in np.atleast_1d(np.asarray(nodes)):
        inside[tree.leaves(int(node))] = True
    return to_size(inside[leaves], size)


def to_size(mask: Bool, size: Size) -> Bool:
    """A mask on another pixel grid over the same field of view: smooth up, majority down.

    A mask too small or thin for a majority anywhere takes all pixels that it touches: no object vanishes.
    """
    if mask.shape == size:
        return mask
    there = size[1], size[0]
    if size[0] * size[1] < mask.size:  # as bytes, half the time of floats: 127 is just no majority
        grown: Bool = cv2.resize(mask.view(np.uint8) * np.uint8(254), there, interpolation=cv2.INTER_AREA) > 127
        return (
            grown if grown.any() else cv2.resize(mask.astype(np.float32), there, interpolation=cv2.INTER_AREA) > 0
        )
    soft = cv2.resize(mask.astype(np.float32), there, interpolation=cv2.INTER_LINEAR)
    return soft > 0.5 if (soft > 0.5).any() else soft > 0


def node_over(tree: MergeTree, leaves: Int32, point: tuple[float, float], level: float) -> int:
    """The largest node at most at `level` that holds the leaf of image pixel (x, y), as the page finds it."""
    height, width = tree.image_size
    column = min(int(point[0] * leaves.shape[1] / width), leaves.shape[1] - 1)
    row = min(int(point[1] * leaves.shape[0] / height), leaves.shape[0] - 1)
    path = tree.ancestors(int(leaves[row, column]))
    return int(path[np.searchsorted(tree.level[path], np.float32(level), side="right") - 1])


def cut_nodes(tree: MergeTree, level: float) -> npt.NDArray[np.int64]:
    """Nodes of the partition at a level: those not above it whose parent is."""
    low = tree.level <= np.float32(level)
    low[: tree.n_leaves] = True
    parents_low = np.append(low[tree.parent[:-1]], False)
    return np.flatnonzero(low & ~parents_low)


def split_in_two(tree: MergeTree, leaves: Int32, mask: Bool) -> tuple[Bool, Bool] | None:
    """(larger, smaller) part of an H x W mask, cut where the tree joined it last; None if it is a leaf."""
    total = np.count_nonzero(mask)
    node = tree.root
    while node >= tree.n_leaves and total:
        first, second = (int(child) for child in tree.children[node - tree.n_leaves])
        part = mask & node_mask(tree, leaves, second, (mask.shape[0], mask.shape[1]))
        share = np.count_nonzero(part) / total
        if SMALLEST_PART <= share <= 1 - SMALLEST_PART:
            rest = mask & ~part
            return (rest, part) if share <= 0.5 else (part, rest)
        node = second if share > 0.5 else first
    return None


SMALLEST = 0.0002  # free parts of a region below this share of the image join their nearest neighbor


def partition(tree: MergeTree, leaves: Int32, level: float, free: Bool) -> tuple[Int32, list[int]]:
    """The cut of a tree at a level, on the pixels that are free (H x W bool).

    Returns H x W int32 regions, 0 exactly where a pixel is not free, and their numbers, the largest first.
    """
    of_leaf = np.zeros(tree.n_leaves, np.int32)
    for number, node in enumerate(cut_nodes(tree, level), 1):
        of_leaf[tree.leaves(int(node))] = number
    regions = of_leaf[leaves]
    if regions.shape != free.shape:
        regions = np.asarray(cv2.resize(regions, free.shape[::-1], interpolation=cv2.INTER_NEAREST), np.int32)
    regions[~free] = 0
    areas = np.bincount(regions.ravel())
    areas[0] = 0
    small = areas < max(4, SMALLEST * free.size)
    if areas.any() and small[np.flatnonzero(areas)].all():
        small[int(areas.argmax())] = False
    _give_to_nearest(regions, small[regions] & free, free)
    areas = np.bincount(regions.ravel(), minlength=1)
    areas[0] = 0
    return regions, [int(region) for region in np.argsort(-areas, kind="stable") if areas[region]]


def _give_to_nearest(regions: npt.NDArray[np.int32], homeless: Bool, free: Bool) -> None:
    """Pixels of `homeless` get the region of the nearest pixel that has one to keep."""
    keeps = free & ~homeless
    if not homeless.any() or not keeps.any():
        return
    _, nearest = cv2.distanceTransformWithLabels(
        (~keeps).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    region_of = np.zeros(int(nearest.max()) + 1, np.int32)
    region_of[nearest[keeps]] = regions[keeps]
    regions[homeless] = region_of[nearest[homeless]]
