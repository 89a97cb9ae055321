"""A four-way min-heap of merges, compiled with numba: fewer levels, and a level's four costs lie side by side.

Entries are ordered by (cost, older id, newer id). Costs beyond the last entry are infinite, so that the cheapest of
four children is found without branches, which would be mispredicted.

numba's cache watches a function's own file alone: after a change here, in `edges` or `prefetch`, touch `kernel`.
"""

from typing import Any

import numpy as np

from clickgrain.jit import njit
from clickgrain.tree.prefetch import prefetch

compiled = njit(nogil=True, forceinline=True, fastmath={"reassoc", "contract", "nsz"}, boundscheck=False)
"""Sums may be reordered, so that LLVM uses vector registers; infinities and NaN keep their meaning."""

ENTRY = np.dtype([("older", "i4"), ("newer", "i4"), ("older_slot", "i4"), ("newer_slot", "i4")])
PADDING = 4


def new_heap(capacity: int) -> tuple[Any, Any]:
    """Costs and entries of an empty heap."""
    return np.full(capacity + PADDING, np.inf), np.zeros(capacity + PADDING, ENTRY)


@compiled
def _before(costs: Any, entries: Any, i: int, cost: float, older: int, newer: int) -> bool:
    if costs[i] != cost:
        return bool(costs[i] < cost)
    if entries[i].older != older:
        return bool(entries[i].older < older)
    return bool(entries[i].newer < newer)


@compiled
def _cheapest(costs: Any, entries: Any, size: int, first: int) -> int:
    """The least of the four children from `first` on; at least one of them exists."""
    c0, c1, c2, c3 = costs[first], costs[first + 1], costs[first + 2], costs[first + 3]
    left, right = first + (c1 < c0), first + 2 + (c3 < c2)
    cl, cr = min(c0, c1), min(c2, c3)
    if c0 != c1 and c2 != c3 and cl != cr:
        return right if cr < cl else left
    best = first
    for i in range(first + 1, min(first + 4, size)):
        if _before(costs, entries, i, costs[best], entries[best].older, entries[best].newer):
            best = i
    return best


@compiled
def _put(
    costs: Any, entries: Any, i: int, cost: float, older: int, newer: int, older_slot: int, newer_slot: int
) -> None:
    costs[i] = cost
    entry = entries[i]
    entry.older, entry.newer = older, newer
    entry.older_slot, entry.newer_slot = older_slot, newer_slot


@compiled
def replace(
    costs: Any,
    entries: Any,
    size: int,
    i: int,
    cost: float,
    older: int,
    newer: int,
    older_slot: int,
    newer_slot: int,
) -> None:
    """Put another, no smaller entry in the place of entry `i` and restore the order below it."""
    while 4 * i + 1 < size:
        first = 4 * i + 1
        prefetch(costs, 4 * first + 1)
        prefetch(costs, 4 * first + 9)
        down = _cheapest(costs, entries, size, first)
        if not _before(costs, entries, down, cost, older, newer):
            break
        move = entries[down]
        _put(costs, entries, i, costs[down], move.older, move.newer, move.older_slot, move.newer_slot)
        i = down
    _put(costs, entries, i, cost, older, newer, older_slot, newer_slot)


@compiled
def pop(costs: Any, entries: Any, size: int) -> int:
    """Drop the top; returns the new size."""
    size -= 1
    cost, last = costs[size], entries[size]
    costs[size] = np.inf
    replace(costs, entries, size, 0, cost, last.older, last.newer, last.older_slot, last.newer_slot)
    return size


@compiled
def order(costs: Any, entries: Any, size: int) -> None:
    """Make a heap of the first `size` entries, in any order."""
    for i in range((size - 2) // 4, -1, -1):
        entry = entries[i]
        replace(costs, entries, size, i, costs[i], entry.older, entry.newer, entry.older_slot, entry.newer_slot)
