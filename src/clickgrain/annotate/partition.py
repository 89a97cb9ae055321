"""The whole image in regions: a cut of the tree on the pixels that are free, and objects split along the tree."""

import cv2
import numpy as np
import numpy.typing as npt

from clickgrain.annotate.leafmap import Int32, cut_nodes, node_mask
from clickgrain.annotate.refusals import RequestError
from clickgrain.tree import MergeTree
from clickgrain.types import Bool

SMALLEST = 0.0002
"""Free parts of a region below this share of the image join their nearest neighbour."""
SMALLEST_PART = 0.05
"""A split gives each side at least this share of the object."""


def partition(tree: MergeTree, leaves: Int32, level: float, free: Bool) -> tuple[Int32, list[int]]:
    """(H x W int32 regions, their numbers, the largest first); 0 exactly where a pixel is not free.

    Args:
        tree: of the image; leaves: its leaf map.
        level: of the cut, 0..1.
        free: H x W bool, the pixels to give away.
    """
    regions = _labels(tree, leaves, level, free.shape)
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


def _labels(tree: MergeTree, leaves: Int32, level: float, size: tuple[int, ...]) -> npt.NDArray[np.int32]:
    """H x W int32: 1, 2 ... for the nodes of the cut."""
    of_leaf = np.zeros(tree.n_leaves, np.int32)
    for number, node in enumerate(cut_nodes(tree, level), 1):
        of_leaf[tree.leaves(int(node))] = number
    labels = of_leaf[leaves]
    if labels.shape != size:
        labels = cv2.resize(labels, (size[1], size[0]), interpolation=cv2.INTER_NEAREST)
    return np.asarray(labels, np.int32)


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


def split_in_two(tree: MergeTree, leaves: Int32, mask: Bool) -> tuple[Bool, Bool]:
    """(larger, smaller) parts of an H x W mask, cut where the tree joined it last.

    Raises:
        RequestError: the object is no larger than a leaf of the tree.
    """
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
    raise RequestError("invalid", "this object is too small to be split along the tree; paint the part instead")
