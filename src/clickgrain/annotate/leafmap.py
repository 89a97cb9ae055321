"""An object cut in two along the tree."""

import numpy as np

from clickgrain.annotate.http_errors import RequestError
from clickgrain.tree import MergeTree
from clickgrain.tree.leaf_map import Int32, node_mask
from clickgrain.types import Bool

SMALLEST_PART = 0.05  # a split gives each side at least this share of the object


def split_in_two(tree: MergeTree, leaves: Int32, mask: Bool) -> tuple[Bool, Bool]:
    """(larger, smaller) parts of an H x W mask, cut where the tree joined it last.

    Raises RequestError: the object is no larger than a leaf of the tree.
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
