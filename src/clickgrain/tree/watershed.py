"""`edge_tree`: regions between an image's edges, from its gradient instead of features.

Where features are alike on both sides of an edge (cells on ground of their own color), such regions follow it.
"""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from clickgrain.errors import TreeError
from clickgrain.images import check_image, resize_long_side, to_lab
from clickgrain.tree.kernel import compiled
from clickgrain.tree.merge_tree import Int32, MergeTree, node_arrays
from clickgrain.types import Float, Size, UInt8

LONG_SIDE = 384
SIGMA = 2.0  # of the smoothing before the gradient, in pixels of an image of `LONG_SIDE`


def edge_tree(image: UInt8, grid: Size, image_size: Size | None = None) -> MergeTree:
    """Hierarchical watershed by area of an image's gradient (Cousty & Najman, ISMM 2011), as a merge tree.

    The minimum spanning tree of the leaves' 4-neighbor graph is merged by weight. An edge of it joins two basins;
    the smaller one's area becomes its new weight, and the tree is merged again: small basins go first, whatever
    their contrast (by Kruskal's algorithm: Najman, Cousty & Perret, ISMM 2013). A leaf alone is no basin and costs
    0; equal areas merge in the order of the gradient. Costs, in leaves, do not decrease.

    The image is H x W x 3 uint8 RGB, the grid (h, w) leaves that cover it; `image_size` is that of the tree's image
    where `image` shows it at another size. Raises ImageError: for another image. TreeError: for an empty grid.
    """
    check_image(image)
    if min(grid) < 1:
        raise TreeError(f"a grid of {grid[0]} x {grid[1]} leaves is empty; give (h, w) of at least 1")
    children, cost = area_watershed(edge_strength(image, grid))
    return MergeTree(children, cost, grid, image_size or (image.shape[0], image.shape[1]))


def area_watershed(strength: npt.NDArray[np.floating]) -> tuple[Int32, Int32]:
    """Children (n-1) x 2 and costs (n-1) of the watershed hierarchy by area of an h x w grid of edge strengths.

    An edge between 4-neighbors weighs the mean of both; equal weights keep the raster order of the edges.
    """
    h, w = strength.shape
    leaf = np.arange(h * w, dtype=np.int32).reshape(h, w)
    one, two = np.stack([leaf, leaf], -1), np.stack([leaf + 1, leaf + w], -1)  # to the right, then below
    inside = np.ones((h, w, 2), bool)
    inside[:, -1, 0] = inside[-1, :, 1] = False
    one, two = one[inside].astype(np.int32), two[inside].astype(np.int32)
    flat = strength.astype(np.float64).ravel()
    weight = (flat[one] + flat[two]) / 2
    children, used = _kruskal(one, two, np.argsort(weight, kind="stable"), len(flat))
    area, parent, _, _ = node_arrays(children)
    smaller = _smaller_basin(children, weight[used], area, parent)
    order = np.argsort(smaller, kind="stable")
    children, _ = _kruskal(one, two, used[order], len(flat))
    return children, smaller[order]


def edge_strength(image: UInt8, grid: Size) -> Float:
    """h x w float32: length of the smoothed Lab gradient of an H x W x 3 uint8 image, its mean over every leaf."""
    small = resize_long_side(image, LONG_SIDE) if max(image.shape[:2]) > LONG_SIDE else image
    lab = cv2.GaussianBlur(to_lab(small), (0, 0), SIGMA * max(small.shape[:2]) / LONG_SIDE)
    squares = cv2.Sobel(lab, cv2.CV_32F, 1, 0) ** 2 + cv2.Sobel(lab, cv2.CV_32F, 0, 1) ** 2
    length = np.sqrt(cv2.transform(squares, np.ones((1, 3), np.float32)))
    return np.asarray(cv2.resize(length, (grid[1], grid[0]), interpolation=cv2.INTER_AREA), np.float32)


@compiled
def _find(up: Any, leaf: int) -> int:
    """The leaf that stands for the region of a leaf, halving the path on the way."""
    while up[leaf] != leaf:
        up[leaf] = up[up[leaf]]
        leaf = up[leaf]
    return leaf


@compiled
def _kruskal(one: Any, two: Any, order: Any, n: int) -> Any:
    """Merge along edges in an order: the children of every merge, smaller id first, and the edge that made it."""
    up, node = np.arange(n, dtype=np.int32), np.arange(n, dtype=np.int32)
    children, used = np.empty((n - 1, 2), np.int32), np.empty(n - 1, np.int64)
    made = 0
    for edge in order:
        a, b = _find(up, one[edge]), _find(up, two[edge])
        if a != b:
            children[made, 0], children[made, 1] = min(node[a], node[b]), max(node[a], node[b])
            used[made] = edge
            up[b] = a
            node[a] = n + made
            made += 1
            if made == n - 1:
                break
    return children, used


@compiled
def _smaller_basin(children: Any, altitude: Any, area: Any, parent: Any) -> Any:
    """For every merge the area of the smaller of the two basins that meet in it, 0 where one side holds none.

    A node as high as its parent is part of a plateau, not a basin: the largest basin below it stands for it.
    """
    n = children.shape[0] + 1
    basin, smaller = np.zeros(2 * n - 1, np.int32), np.empty(n - 1, np.int32)
    for i in range(n - 1):
        one, two, up = basin[children[i, 0]], basin[children[i, 1]], parent[n + i]
        smaller[i] = min(one, two)
        basin[n + i] = max(one, two) if up >= 0 and altitude[up - n] == altitude[i] else area[n + i]
    return smaller
