"""The pool of edges, compiled with numba: every region owns a run of it."""

from typing import Any

import numpy as np

from clickgrain.tree.heap import compiled

EDGE = np.dtype([("cost", "f8"), ("node", "i4"), ("slot", "i4")])
LONG = 64
"""Edges of one region beyond which insertion is no longer the quickest sort."""


@compiled
def _insert(pool: Any, first: int, end: int, gap: int) -> None:
    """Sort every gap-th edge by (cost, id), by insertion."""
    for i in range(first + gap, end):
        cost, node, slot = pool[i].cost, pool[i].node, pool[i].slot
        j = i - gap
        while j >= first and (pool[j].cost > cost or (pool[j].cost == cost and pool[j].node > node)):
            pool[j + gap].cost, pool[j + gap].node, pool[j + gap].slot = pool[j].cost, pool[j].node, pool[j].slot
            j -= gap
        pool[j + gap].cost, pool[j + gap].node, pool[j + gap].slot = cost, node, slot


@compiled
def sort(pool: Any, first: int, end: int) -> None:
    """By (cost, id): Shell sort for hubs, plain insertion on the usual short runs."""
    if end - first > LONG:
        gap = (end - first) // 3
        while gap > 1:
            _insert(pool, first, end, gap)
            gap = (gap + 1) // 3
    _insert(pool, first, end, 1)


@compiled
def grown(pool: Any, used: int, wanted: int) -> Any:
    """The pool itself, or a larger one if `wanted` edges do not fit."""
    if wanted <= pool.shape[0]:
        return pool
    bigger = np.empty(2 * wanted, pool.dtype)
    bigger[:used] = pool[:used]
    return bigger
