"""`MergeTree`: regions of an image at every granularity."""

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from clickgrain.errors import TreeError
from clickgrain.images import guided_upsample
from clickgrain.tree.kernel import compiled
from clickgrain.types import Bool, Float, Size, UInt8

Int32 = npt.NDArray[np.int32]


class MergeTree:
    """A binary merge tree over an h x w grid of leaves (patches) that covers an image evenly.

    Leaves are nodes 0..n-1 in raster order, merge i makes node n+i, the last node is the root (the image).

    Args:
        children: (n-1) x 2 int32, the two nodes that merge i joins.
        cost: (n-1) float32, the price of merge i. Not monotone under a connectivity constraint.
        grid: (h, w), leaves down and across; n = h * w.
        image_size: (H, W) pixels of the image; the grid's own size when not given.

    Raises:
        TreeError: if the children do not form one binary tree over the grid.
    """

    def __init__(
        self, children: npt.ArrayLike, cost: npt.ArrayLike, grid: Size, image_size: Size | None = None
    ) -> None:
        self.children: Int32 = np.asarray(children, np.int32, order="C")
        self.cost: Float = np.asarray(cost, np.float32, order="C")
        self.grid = (int(grid[0]), int(grid[1]))
        self.image_size = (int(image_size[0]), int(image_size[1])) if image_size is not None else self.grid
        self.n_leaves = self.grid[0] * self.grid[1]
        self.n_nodes = 2 * self.n_leaves - 1
        self.root = self.n_nodes - 1
        self._check()
        area, parent, order, start = node_arrays(self.children)
        self.area: Int32 = area
        """(2n-1) int32: leaves below each node."""
        self.parent: Int32 = parent
        """(2n-1) int32: the node that each node was merged into, -1 at the root."""
        self.order: Int32 = order
        """(n) int32: leaves in an order in which every node is one slice."""
        self.start: Int32 = start
        """(2n-1) int32: node's leaves are order[start[node] : start[node] + area[node]]."""

    def _check(self) -> None:
        n = self.n_leaves
        if min(self.grid) < 1 or min(self.image_size) < 1:
            raise TreeError(
                f"a grid of {self.grid[0]} x {self.grid[1]} leaves over {self.image_size[1]} x {self.image_size[0]}"
                " pixels is empty; give (h, w) and (H, W) of at least 1"
            )
        if self.children.shape != (n - 1, 2) or self.cost.shape != (n - 1,):
            raise TreeError(
                f"a {self.grid[0]} x {self.grid[1]} grid needs {n - 1} merges and costs, got children of shape"
                f" {self.children.shape} and costs of shape {self.cost.shape}"
            )
        if not is_tree(self.children):
            raise TreeError("the children do not form a merge tree: every node but the root must be merged once")

    @cached_property
    def level(self) -> Float:
        """(2n-1) float32: 0 at leaves, 1 - ln k / ln n for the node whose merge leaves k regions, 1 at the root."""
        n = self.n_leaves
        if n == 1:
            return np.ones(1, np.float32)
        remaining = np.arange(n - 1, 0, -1)
        return np.concatenate([np.zeros(n), 1 - np.log(remaining) / np.log(n)]).astype(np.float32)

    def leaves(self, node: int) -> Int32:
        """Leaves below a node, int32, in the tree's order."""
        node = self._node(node)
        return self.order[self.start[node] : self.start[node] + self.area[node]]

    def mask(self, node: int) -> Bool:
        """h x w bool: the leaves of a node."""
        mask = np.zeros(self.n_leaves, bool)
        mask[self.leaves(node)] = True
        return mask.reshape(self.grid)

    def sums(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """(2n-1) or (2n-1) x d: for every node the sum over its leaves of n values or vectors, in raster order."""
        none = np.zeros((1, *values.shape[1:]), np.int64)
        running = np.concatenate([none, np.cumsum(values[self.order], axis=0)])
        return np.asarray(running[self.start + self.area] - running[self.start])

    def leaf_at(self, x: float, y: float) -> int:
        """The leaf under image pixel (x, y): column floor((x + 0.5) w / W), row floor((y + 0.5) h / H)."""
        return int(self.leaves_at([[x, y]])[0])

    def node_at(self, x: float, y: float, level: float) -> int:
        """The largest node over image pixel (x, y) whose level is at most `level`, which is in 0..1."""
        if not 0 <= level <= 1:
            raise TreeError(
                f"level {level} is outside 0..1; give 0 for the finest part up to 1 for the whole image"
            )
        path = self.path(x, y)
        return int(path[np.searchsorted(self.level[path], np.float32(level), side="right") - 1])

    def path(self, x: float, y: float) -> Int32:
        """Nodes over image pixel (x, y), from its leaf to the root."""
        return self.ancestors(self.leaf_at(x, y))

    def ancestors(self, node: int) -> Int32:
        """The node itself, its parent, and so on to the root."""
        path = [self._node(node)]
        while (up := self.parent[path[-1]]) >= 0:
            path.append(int(up))
        return np.array(path, np.int32)

    def siblings(self, node: int) -> int:
        """The node that `node` is merged with.

        Raises TreeError: for the root, which has none.
        """
        up = self.parent[self._node(node)]
        if up < 0:
            raise TreeError(f"node {node} is the root and has no sibling")
        a, b = self.children[up - self.n_leaves]
        return int(b if a == node else a)

    def cut(self, k: int) -> Int32:
        """h x w int32 labels 0..k-1 of the partition into k regions, numbered in raster order.

        Raises TreeError: if k is not in 1..n.
        """
        n = self.n_leaves
        if not 1 <= k <= n:
            raise TreeError(f"a cut into {k} regions is impossible: the tree has {n} leaves; give 1..{n}")
        alive = np.arange(self.n_nodes) < 2 * n - k  # nodes that exist once k regions are left
        tops = np.flatnonzero(alive & np.append(~alive[self.parent[:-1]], True))
        labels = np.empty(n, np.int32)
        for node in tops:
            labels[self.leaves(int(node))] = node
        _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
        rank = np.argsort(np.argsort(first))
        return rank[inverse].reshape(self.grid).astype(np.int32)

    def level_map(self, points: npt.ArrayLike) -> Float:
        """For every leaf the level at which it joins the nearest of the points: the ultrametric distance to them.

        Args:
            points: N x 2 (x, y) image pixels; with N = 0 every leaf is at level 1.

        Returns:
            h x w float32: 0 at the points' own leaves, at most 1.
        """
        array = np.asarray(points, np.float64).reshape(-1, 2)
        if len(array) == 0:
            return np.ones(self.grid, np.float32)
        joined: Float = join_level(self.parent, self.level, self.leaves_at(array))
        return joined.reshape(self.grid)

    def upsample(self, node: int, image: UInt8) -> Float:
        """H x W float32 in 0..1: the node at image resolution, anti-aliased and snapped to the image's edges.

        Args:
            node: any node.
            image: H x W x 3 uint8 RGB of `image_size`.
        """
        if image.shape[:2] != self.image_size:
            raise TreeError(
                f"the image is {image.shape[1]} x {image.shape[0]} pixels but the tree is of an image of"
                f" {self.image_size[1]} x {self.image_size[0]}; pass the image that the tree was built from"
            )
        return snap(self.mask(node).astype(np.float32), image)

    def leaves_at(self, points: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Leaves under N x 2 (x, y) image pixels.

        Raises TreeError: for a point outside the image.
        """
        xy = np.asarray(points, np.float64).reshape(-1, 2)
        (h, w), (height, width) = self.grid, self.image_size
        outside = (xy < 0).any(1) | (xy[:, 0] >= width) | (xy[:, 1] >= height) | ~np.isfinite(xy).all(1)
        if outside.any():
            x, y = xy[outside][0]
            raise TreeError(f"point ({x:g}, {y:g}) is outside the image of {width} x {height} pixels (x, y)")
        column = np.minimum((xy[:, 0] + 0.5) * w / width, w - 1).astype(np.int64)
        row = np.minimum((xy[:, 1] + 0.5) * h / height, h - 1).astype(np.int64)
        return row * w + column

    def _node(self, node: int) -> int:
        if not 0 <= node < self.n_nodes or node != int(node):
            raise TreeError(f"node {node} does not exist; this tree has nodes 0..{self.root}")
        return int(node)

    def __repr__(self) -> str:
        return (
            f"MergeTree({self.grid[0]} x {self.grid[1]} leaves, image {self.image_size[1]} x {self.image_size[0]})"
        )


def snap(leaf_values: Float, image: UInt8) -> Float:
    """H x W float32 in 0..1: values on the leaf grid brought to the image's edges by a guided filter."""
    h, w = leaf_values.shape
    height, width = image.shape[:2]
    return guided_upsample(leaf_values, image, radius=2, eps=1e-3) if (h, w) != (height, width) else leaf_values


@compiled
def is_tree(children: Any) -> bool:
    """Whether every node but the last is merged exactly once, after it was made."""
    n = children.shape[0] + 1
    merged = np.zeros(2 * n - 1, np.bool_)
    for i in range(n - 1):
        for j in range(2):
            node = children[i, j]
            if node < 0 or node >= n + i or merged[node]:
                return False
            merged[node] = True
    return True


@compiled
def node_arrays(children: Any) -> Any:
    """Area, parent, leaf order and first place in it, of every node.

    A child's leaves lie inside its parent's run, the first child's before the second's, so that every node is
    one slice of the order.
    """
    n = children.shape[0] + 1
    nodes = 2 * n - 1
    area, parent = np.ones(nodes, np.int32), np.full(nodes, -1, np.int32)
    start, order = np.zeros(nodes, np.int32), np.empty(n, np.int32)
    for i in range(n - 1):
        a, b = children[i, 0], children[i, 1]
        area[n + i] = area[a] + area[b]
        parent[a] = parent[b] = n + i
    for i in range(n - 2, -1, -1):
        a, b = children[i, 0], children[i, 1]
        start[a] = start[n + i]
        start[b] = start[n + i] + area[a]
    for leaf in range(n):
        order[start[leaf]] = leaf
    return area, parent, order, start


@compiled
def join_level(parent: Any, level: Any, sources: Any) -> Any:
    """For every leaf the level of its lowest common ancestor with the nearest of the source leaves."""
    nodes = parent.shape[0]
    value = np.full(nodes, np.float32(-1.0), np.float32)
    for leaf in sources:
        node = leaf
        while node >= 0 and value[node] < 0:
            value[node] = level[node]
            node = parent[node]
    for node in range(nodes - 1, -1, -1):
        if value[node] < 0:
            value[node] = value[parent[node]]
    return value[: (nodes + 1) // 2]
