"""Semantic vectors on the leaves of a merge tree, and the semantic tree: both from `SemanticNetwork`."""

from functools import lru_cache

import cv2
import numpy as np

from clickgrain.features import ColorTexture, SemanticNetwork
from clickgrain.tree.build import build_tree
from clickgrain.tree.merge_tree import MergeTree
from clickgrain.types import Float, UInt8

REGIONS = 40
"""The network has cells of 16 pixels; means of its vectors over so many regions of the merge tree have edges."""
COARSE, FINE = 20, 150  # regions, likewise, of the vectors that clicks are compared with
SMALLEST = 96  # pixels of an image's short side below which the network, which sees 320, has nothing to add
FLAT = 1e-3  # cost of a merge, over that of the last, below which it joined two parts of one color

network = lru_cache(1)(SemanticNetwork)
near = lru_cache(1)(ColorTexture)


def semantic_cells(image: UInt8) -> Float | None:
    """h x w x d float32 unit vectors of an H x W x 3 uint8 RGB image, one a cell; None for too small an image."""
    return None if min(image.shape[:2]) < SMALLEST else network()(image)


def semantic_vectors(cells: Float | None, tree: MergeTree) -> Float:
    """Vectors whose cosine says how much alike two leaves are: those of the cells, and their means over regions.

    The cosine is the mean of three: of the cells themselves, of large regions and of small ones. Returns h x w x 3d
    float32 on the leaves, of length 1; zeros (nothing is alike) for an image without cells.
    """
    if cells is None:
        return np.zeros((*tree.grid, 3), np.float32)
    seen = _on_leaves(cells, tree)
    parts = [_unit(seen), _unit(_means(seen, tree, COARSE)), _unit(_means(seen, tree, FINE))]
    return np.concatenate(parts, axis=-1) / np.float32(np.sqrt(3))


def semantic_tree(image: UInt8, tree: MergeTree, cells: Float | None) -> MergeTree:
    """A merge tree of color, texture and `SemanticNetwork`: a person is one node where color parts shirt and face.

    The H x W x 3 uint8 RGB image may have another size than its merge tree `tree`. The new one has the same leaves;
    for an image without cells it is `tree` itself.
    """
    if cells is None:
        return tree
    h, w = tree.grid
    colors = near()(image)
    if colors.shape[:2] != tree.grid:
        colors = cv2.resize(colors, (w, h), interpolation=cv2.INTER_LINEAR).reshape(h, w, -1)
    means = _unit(_means(_on_leaves(cells, tree), tree, REGIONS))
    return build_tree(np.concatenate([colors, means], axis=-1), tree.image_size)


def _on_leaves(cells: Float, tree: MergeTree) -> Float:
    h, w = tree.grid
    return np.asarray(cv2.resize(cells, (w, h), interpolation=cv2.INTER_LINEAR), np.float32).reshape(h, w, -1)


def _means(seen: Float, tree: MergeTree, parts: int) -> Float:
    """h x w x d: means over a cut of the tree; flat parts of an image stay whole."""
    parts = min(parts, 1 + int((tree.cost > FLAT * tree.cost.max(initial=0)).sum()))
    regions = np.unique(tree.cut(parts), return_inverse=True)[1].ravel()
    order, count = np.argsort(regions, kind="stable"), np.bincount(regions)
    flat = seen.reshape(len(regions), -1)
    return np.asarray(np.add.reduceat(flat[order], np.cumsum(count) - count)[regions].reshape(seen.shape))


def _unit(vectors: Float) -> Float:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32(1e-6))
