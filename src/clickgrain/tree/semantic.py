"""`semantic_tree`: a second opinion on what belongs together."""

from functools import lru_cache

import cv2
import numpy as np

from clickgrain.features import ColorTexture, SemanticNetwork
from clickgrain.tree.build import build_tree
from clickgrain.tree.merge_tree import MergeTree
from clickgrain.types import UInt8

REGIONS = 40
"""The network has cells of 16 pixels; means of its vectors over so many regions of the merge tree have edges."""
SMALLEST = 96  # pixels of an image's short side below which the network, which sees 320, has nothing to add
FLAT = 1e-3  # cost of a merge, over that of the last, below which it joined two parts of one color

network = lru_cache(1)(SemanticNetwork)
near = lru_cache(1)(ColorTexture)


def semantic_tree(image: UInt8, tree: MergeTree) -> MergeTree:
    """A merge tree of color, texture and `SemanticNetwork`: a person is one node where color parts shirt and face.

    Args:
        image: H x W x 3 uint8 RGB.
        tree: its merge tree, of this size or another; the new one has the same leaves, and is this one for images
            too small to see anything in.
    """
    if min(image.shape[:2]) < SMALLEST:
        return tree
    (h, w), joined = tree.grid, tree.cost > FLAT * tree.cost.max(initial=0)
    parts = min(REGIONS, 1 + int(joined.sum()))
    regions = np.unique(tree.cut(parts), return_inverse=True)[1].ravel()
    seen = cv2.resize(network()(image), (w, h), interpolation=cv2.INTER_LINEAR).reshape(h * w, -1)
    order, count = np.argsort(regions, kind="stable"), np.bincount(regions)
    means = np.add.reduceat(seen[order], np.cumsum(count) - count)
    means /= np.maximum(np.linalg.norm(means, axis=-1, keepdims=True), np.float32(1e-6))
    colors = near()(image)
    if colors.shape[:2] != tree.grid:
        colors = cv2.resize(colors, (w, h), interpolation=cv2.INTER_LINEAR).reshape(h, w, -1)
    return build_tree(np.concatenate([colors, means[regions].reshape(h, w, -1)], axis=-1), tree.image_size)
