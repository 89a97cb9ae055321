"""`region_contrast`: whether large regions stand out in an image, from its merge tree and its edges.

Things in photos have outlines that are clear edges. Among many small things on textured ground, as in micrographs,
large regions end where nothing is seen; what is said of whole things in photos does not hold there.
"""

from typing import Any

import numpy as np

from clickgrain.jit import njit
from clickgrain.tree.merge_tree import MergeTree
from clickgrain.types import Float

AREA_RANGE = (0.05, 0.8)  # shares of the image that large regions cover
FLAT = 1.8  # region contrast below which no large region stands out (docs/experiments.md, 2026-12-01)


def region_contrast(tree: MergeTree, strength: Float) -> float:
    """How much stronger an image's edges are along the outline of its best outlined large region than on average.

    An outline is as strong as the mean of `strength` (h x w on the tree's leaves, from `edge_strength`) over all
    pairs of neighboring leaves that it parts; large are regions of 5 to 80 % of the image. 0 for an image without
    edges or large regions.
    """
    share = tree.area / tree.n_leaves
    large = (share >= AREA_RANGE[0]) & (share <= AREA_RANGE[1])
    everywhere = float(strength.mean())
    if not large.any() or everywhere == 0:
        return 0.0
    total, length = _outlines(tree.parent, strength)
    return float((total[large] / length[large]).max()) / everywhere


@njit(nogil=True)
def _outlines(parent: Any, strength: Any) -> tuple[Any, Any]:
    """Sum of the strengths along every node's outline, and its length in pairs of leaves."""
    h, w = strength.shape
    total, length = np.zeros(len(parent)), np.zeros(len(parent))
    for y in range(h):
        for x in range(w):
            for right, below in ((1, 0), (0, 1)):
                if x + right < w and y + below < h:
                    one, two = y * w + x, (y + below) * w + x + right
                    pair = (strength[y, x] + strength[y + below, x + right]) / 2
                    while one != two:  # nodes are numbered upwards: the smaller one cannot hold both leaves
                        node = min(one, two)
                        total[node] += pair
                        length[node] += 1
                        one, two = max(one, two), parent[node]
    return total, length
