"""Greedy merging on a pixel-grid graph, compiled with numba.

Every region keeps its edges to *older* regions sorted by cost, and the heap holds one entry per region: its
cheapest such edge. An edge whose older end has been merged away is skipped when it surfaces (its cost is then a
lower bound of what is left), so a merge costs O(degree * d) for the distances and O(log n) for the heap.
"""

from collections.abc import Callable
from typing import Any, cast

import numba
import numpy as np
import numpy.typing as npt

# Sums may be reordered, so that LLVM uses vector registers; infinities and NaN keep their meaning.
_njit = numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"}, boundscheck=False)


@_njit
def _distance(means: Any, a: int, b: int) -> float:
    x, y = means[a], means[b]
    total = np.float32(0.0)
    for i in range(x.shape[0]):
        step = x[i] - y[i]
        total += step * step
    return np.float64(total)


@_njit
def _absorb(means: Any, a: int, b: int, size_a: float, size_b: float) -> None:
    """Row a becomes the mean of both regions."""
    x, y = means[a], means[b]
    share = np.float32(size_b / (size_a + size_b))
    for i in range(x.shape[0]):
        x[i] += share * (y[i] - x[i])


@_njit
def _find(rep: Any, node: int) -> int:
    while rep[node] != node:
        rep[node] = rep[rep[node]]
        node = rep[node]
    return node


@_njit
def _less(cost: Any, old: Any, new: Any, i: int, c: float, o: int, n: int) -> bool:
    """Whether heap entry i comes before (c, o, n): by cost, then smaller id, then larger id."""
    if cost[i] != c:
        return bool(cost[i] < c)
    if old[i] != o:
        return bool(old[i] < o)
    return bool(new[i] < n)


@_njit
def _push(cost: Any, old: Any, new: Any, size: int, c: float, o: int, n: int) -> int:
    i = size
    while i > 0:
        up = (i - 1) >> 1
        if _less(cost, old, new, up, c, o, n):
            break
        cost[i], old[i], new[i] = cost[up], old[up], new[up]
        i = up
    cost[i], old[i], new[i] = c, o, n
    return size + 1


@_njit
def _replace_top(cost: Any, old: Any, new: Any, size: int, c: float, o: int, n: int) -> None:
    i = 0
    while True:
        down = 2 * i + 1
        if down >= size:
            break
        right = down + 1
        if right < size and _less(cost, old, new, right, cost[down], old[down], new[down]):
            down = right
        if not _less(cost, old, new, down, c, o, n):
            break
        cost[i], old[i], new[i] = cost[down], old[down], new[down]
        i = down
    cost[i], old[i], new[i] = c, o, n


@_njit
def _insert(ids: Any, costs: Any, first: int, end: int, node: int, cost: float) -> None:
    """Insertion into the sorted run first..end (end excluded before, included after)."""
    i = end
    while i > first and (costs[i - 1] > cost or (costs[i - 1] == cost and ids[i - 1] > node)):
        costs[i], ids[i] = costs[i - 1], ids[i - 1]
        i -= 1
    costs[i], ids[i] = cost, node


@_njit
def _grown(array: Any, size: int) -> Any:
    bigger = np.empty(size, array.dtype)
    bigger[: array.shape[0]] = array
    return bigger


@_njit
def _leaf_edges(
    ids: Any, costs: Any, start: Any, older: Any, total: Any, means: Any, h: int, w: int, eight: bool
) -> int:
    """Neighbours of every leaf: first those with smaller ids, sorted by squared distance, then the others."""
    top = 0
    for y in range(h):
        for x in range(w):
            node = y * w + x
            start[node] = top
            for dy, dx in ((0, -1), (-1, 0), (-1, -1), (-1, 1)):
                if (dy and dx and not eight) or y + dy < 0 or x + dx < 0 or x + dx >= w:
                    continue
                other = (y + dy) * w + x + dx
                _insert(ids, costs, start[node], top, other, _distance(means, node, other))
                top += 1
            older[node] = top - start[node]
            for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
                if (dy and dx and not eight) or y + dy >= h or x + dx < 0 or x + dx >= w:
                    continue
                ids[top], costs[top] = (y + dy) * w + x + dx, np.inf
                top += 1
            total[node] = top - start[node]
    return top


@_njit
def _pair_cost(square: float, size_a: float, size_b: float, sse_a: float, sse_b: float, ward: bool) -> float:
    if ward:
        return size_a * size_b / (size_a + size_b) * square
    return square + sse_a / size_a + sse_b / size_b


@_njit
def _merge(means: Any, h: int, w: int, eight: bool, ward: bool) -> Any:
    n = h * w
    nodes = 2 * n - 1
    capacity = (20 if eight else 14) * n
    ids, costs = np.empty(capacity, np.int32), np.empty(capacity, np.float64)
    start, older, total = np.empty(nodes, np.int64), np.empty(nodes, np.int32), np.empty(nodes, np.int32)
    used = _leaf_edges(ids, costs, start, older, total, means, h, w, eight)
    rep, row, mark = np.arange(nodes), np.arange(nodes), np.full(nodes, -1, np.int64)
    size, sse, seen = np.ones(nodes), np.zeros(nodes), np.zeros(nodes, np.int32)
    heap_cost, heap_old, heap_new = np.empty(n), np.empty(n, np.int32), np.empty(n, np.int32)
    entries = 0
    for leaf in range(n):
        for i in range(start[leaf], start[leaf] + older[leaf]):
            costs[i] = _pair_cost(costs[i], 1.0, 1.0, 0.0, 0.0, ward)
        if older[leaf]:
            first = start[leaf]
            entries = _push(heap_cost, heap_old, heap_new, entries, costs[first], ids[first], leaf)
    children, cost = np.empty((n - 1, 2), np.int32), np.empty(n - 1, np.float64)
    merges = 0
    while merges < n - 1:
        c, a, b = heap_cost[0], heap_old[0], heap_new[0]
        if rep[b] != b or rep[a] != a:
            # The entry is stale: go to the next living older neighbour of b, or drop the entry.
            found = False
            if rep[b] == b:
                seen[b] += 1
                while seen[b] < older[b]:
                    i = start[b] + seen[b]
                    if rep[ids[i]] == ids[i]:
                        _replace_top(heap_cost, heap_old, heap_new, entries, costs[i], ids[i], b)
                        found = True
                        break
                    seen[b] += 1
            if not found:
                entries -= 1
                _replace_top(
                    heap_cost,
                    heap_old,
                    heap_new,
                    entries,
                    heap_cost[entries],
                    heap_old[entries],
                    heap_new[entries],
                )
            continue
        new = n + merges
        children[merges, 0], children[merges, 1], cost[merges] = a, b, c
        square = _distance(means, row[a], row[b])
        sse[new] = sse[a] + sse[b] + size[a] * size[b] / (size[a] + size[b]) * square
        _absorb(means, row[a], row[b], size[a], size[b])
        row[new], size[new] = row[a], size[a] + size[b]
        rep[a], rep[b] = new, new
        if used + total[a] + total[b] > ids.shape[0]:
            bigger = 2 * ids.shape[0] + total[a] + total[b]
            ids, costs = _grown(ids, bigger), _grown(costs, bigger)
        start[new], mark[new] = used, new
        end = used
        for side in (a, b):
            for i in range(start[side], start[side] + total[side]):
                other = _find(rep, ids[i])
                if mark[other] == new:
                    continue
                mark[other] = new
                square = _distance(means, row[new], row[other])
                price = _pair_cost(square, size[new], size[other], sse[new], sse[other], ward)
                _insert(ids, costs, used, end, other, price)
                end += 1
        older[new] = total[new] = end - used
        if end > used:
            _replace_top(heap_cost, heap_old, heap_new, entries, costs[used], ids[used], new)
        used = end
        merges += 1
    return children, cost


@_njit
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


@_njit
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


def merge(
    features: npt.NDArray[np.float32], *, connectivity: int, ward: bool
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
    """Children (n-1) x 2 and costs (n-1) of greedy merging of an h x w x d grid; features must be finite."""
    h, w, d = features.shape
    means = np.array(features.reshape(h * w, d), np.float32, order="C")
    return cast(
        tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]],
        cast(Callable[..., Any], _merge)(means, h, w, connectivity == 8, ward),
    )
