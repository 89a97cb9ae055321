"""Walks over all nodes of a tree, compiled with numba."""

from typing import Any

import numpy as np

from clickgrain.tree.kernel import compiled


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
def describe(children: Any) -> Any:
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
