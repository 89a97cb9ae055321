"""Greedy merging on a grid graph, compiled with numba.

A region lives in the slot of one of its leaves: a row of `means` and a record in `regions`. It keeps its edges to
*older* regions (smaller ids) sorted by cost, and the heap holds one entry per region: its cheapest such edge. An
edge whose older end has been merged away is skipped when it surfaces (its cost is then a lower bound of what is
left), so a merge costs O(degree * d) for the distances and O(log n) for the heap.

The heap is four-way: fewer levels, and the costs of four children lie side by side. Its entries are ordered by
(cost, older id, newer id). Costs after the last entry are infinite, so that the cheapest of four children is found
without branches, which would be mispredicted. All of it stands in one file because numba's cache watches a
function's own file alone.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types
from numba.extending import intrinsic

from clickgrain.jit import njit

_READ, _KEEP, _DATA = (ir.Constant(ir.IntType(32), value) for value in (0, 3, 1))


@intrinsic
def prefetch(context: Any, array: Any, index: Any) -> tuple[Any, Callable[..., Any]]:
    """Ask for the cache line at `array[index]` (along the first axis); any index is safe, nothing is read.

    On a large grid nearly every region touched is a cache miss, and these can overlap. Without the hints a merge
    takes 1.05 to 1.1 times as long at 56 x 56 x 768, 1.15 to 1.2 times at 112 x 112 x 384, 1.4 at 512 x 512 x 64.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        view = context.make_array(signature.args[0])(context, builder, args[0])
        word, pointer = ir.IntType(64), ir.IntType(8).as_pointer()
        stride = builder.extract_value(view.strides, 0)
        offset = builder.mul(context.cast(builder, args[1], signature.args[1], types.int64), stride)
        address = builder.inttoptr(builder.add(builder.ptrtoint(view.data, word), offset), pointer)
        signs = ir.FunctionType(ir.VoidType(), [pointer, *([ir.IntType(32)] * 3)])
        hint = builder.module.declare_intrinsic("llvm.prefetch", (pointer,), signs)
        builder.call(hint, [address, _READ, _KEEP, _DATA])
        return context.get_dummy_value()

    return types.void(array, index), codegen


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
def _put(costs: Any, entries: Any, i: int, cost: float, entry: Any) -> None:
    costs[i] = cost
    place = entries[i]
    place.older, place.newer, place.older_slot, place.newer_slot = entry


@compiled
def _fields(entry: Any) -> Any:
    return entry.older, entry.newer, entry.older_slot, entry.newer_slot


@compiled
def replace(costs: Any, entries: Any, size: int, i: int, cost: float, entry: Any) -> None:
    """Put another, no smaller entry (a tuple) in the place of entry `i` and restore the order below it."""
    while 4 * i + 1 < size:
        first = 4 * i + 1
        prefetch(costs, 4 * first + 1)
        prefetch(costs, 4 * first + 9)
        down = _cheapest(costs, entries, size, first)
        if not _before(costs, entries, down, cost, entry[0], entry[1]):
            break
        _put(costs, entries, i, costs[down], _fields(entries[down]))
        i = down
    _put(costs, entries, i, cost, entry)


@compiled
def pop(costs: Any, entries: Any, size: int) -> int:
    """Drop the top; returns the new size."""
    size -= 1
    cost, costs[size] = costs[size], np.inf
    replace(costs, entries, size, 0, cost, _fields(entries[size]))
    return size


@compiled
def order(costs: Any, entries: Any, size: int) -> None:
    """Make a heap of the first `size` entries, in any order."""
    for i in range((size - 2) // 4, -1, -1):
        replace(costs, entries, size, i, costs[i], _fields(entries[i]))


EDGE = np.dtype([("cost", "f8"), ("node", "i4"), ("slot", "i4")])
LONG = 64  # edges of one region beyond which insertion is no longer the quickest sort


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


REGION = np.dtype(
    [
        ("size", "f8"),  # leaves
        ("spread", "f8"),  # sum of squared distances to the mean
        ("first", "i8"),  # where its edges start in the pool
        ("up", "i4"),  # the slot that took this one over; itself while alive
        ("node", "i4"),  # id in the tree, -1 once taken over
        ("mark", "i4"),  # the last merge that saw this region as a neighbor
        ("seen", "i4"),  # edges to older regions that are used up
        ("older", "i4"),  # edges to older regions, sorted
        ("total", "i4"),  # all its edges
    ],
    align=True,
)
FEW = 32  # up to this many channels the means are kept in float64: few channels do not average rounding errors out


@compiled
def _square(means: Any, a: int, b: int) -> float:
    x, y = means[a], means[b]
    total = means.dtype.type(0)
    for i in range(x.shape[0]):
        step = x[i] - y[i]
        total += step * step
    return np.float64(total)


@compiled
def _squares(means: Any, a: int, b: int, c: int, d: int) -> Any:
    """From a to b, to c and to d: three streams at once hide the time that memory takes (5 to 10 % of a merge)."""
    w, x, y, z = means[a], means[b], means[c], means[d]
    to_b, to_c, to_d = means.dtype.type(0), means.dtype.type(0), means.dtype.type(0)
    for i in range(w.shape[0]):
        one, two, three = w[i] - x[i], w[i] - y[i], w[i] - z[i]
        to_b += one * one
        to_c += two * two
        to_d += three * three
    return np.float64(to_b), np.float64(to_c), np.float64(to_d)


@compiled
def _absorb(means: Any, a: int, b: int, share: float) -> None:
    """Row a becomes the mean of both regions; `share` is what b has of their leaves."""
    x, y, part = means[a], means[b], means.dtype.type(share)
    for i in range(x.shape[0]):
        x[i] += part * (y[i] - x[i])


@compiled
def _price(square: float, size: float, spread: float, other: float, other_spread: float, ward: bool) -> float:
    if ward:
        return size * other / (size + other) * square
    return square + spread / size + other_spread / other


@compiled
def _leaf(regions: Any, pool: Any, means: Any, w: int, leaf: int, first: int, eight: bool, ward: bool) -> int:
    """Set up one leaf and its edges, those to older leaves sorted and in front; returns the end of its edges."""
    region, y, x, h = regions[leaf], leaf // w, leaf % w, means.shape[0] // w
    region.size, region.spread, region.first, region.seen = 1.0, 0.0, first, 0
    region.up, region.node, region.mark = leaf, leaf, -1
    end = first
    for dy, dx in ((0, -1), (-1, 0), (-1, -1), (-1, 1)):
        if (eight or not (dy and dx)) and y + dy >= 0 and 0 <= x + dx < w:
            edge, other = pool[end], leaf + dy * w + dx
            edge.cost = _price(_square(means, leaf, other), 1.0, 0.0, 1.0, 0.0, ward)
            edge.node = edge.slot = other
            end += 1
    sort(pool, first, end)
    region.older = end - first
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        if (eight or not (dy and dx)) and y + dy < h and 0 <= x + dx < w:
            pool[end].slot = leaf + dy * w + dx
            end += 1
    region.total = end - first
    return end


@compiled
def _leaves(regions: Any, pool: Any, means: Any, costs: Any, entries: Any, w: int, eight: bool, ward: bool) -> Any:
    """All leaves with their edges, and the heap; returns (edges in the pool, entries in the heap)."""
    used = size = 0
    for leaf in range(means.shape[0]):
        first = used
        used = _leaf(regions, pool, means, w, leaf, first, eight, ward)
        if regions[leaf].older:
            edge = pool[first]
            _put(costs, entries, size, edge.cost, (edge.node, leaf, edge.slot, leaf))
            size += 1
    order(costs, entries, size)
    return used, size


@compiled
def _refresh(regions: Any, pool: Any, costs: Any, entries: Any, size: int) -> int:
    """Deal with a stale top: the region's next edge to a living one, or no entry; returns the heap's size."""
    node, slot = entries[0].newer, entries[0].newer_slot
    region = regions[slot]
    if region.node == node:
        for i in range(region.seen + 1, region.older):
            edge = pool[region.first + i]
            if regions[edge.slot].node == edge.node:
                region.seen = i
                replace(costs, entries, size, 0, edge.cost, (edge.node, node, edge.slot, slot))
                return size
        region.seen = region.older
    return int(pop(costs, entries, size))


@compiled
def _find(regions: Any, slot: int) -> int:
    """The slot that holds what was once in `slot`, halving the path on the way."""
    while regions[slot].up != slot:
        regions[slot].up = regions[regions[slot].up].up
        slot = regions[slot].up
    return slot


@compiled
def _look_ahead(regions: Any, pool: Any, entries: Any) -> None:
    """Fetch the regions and best edges of the next tops of the heap, which are among the children of this one."""
    for i in range(1, 5):
        prefetch(regions, entries[i].older_slot)
        prefetch(regions, entries[i].newer_slot)
    for i in range(1, 5):
        region = regions[entries[i].newer_slot]
        prefetch(pool, region.first + region.seen)


@compiled
def _hint(regions: Any, means: Any, pool: Any, entries: Any, a: int, b: int) -> None:
    """Fetch the neighbors of two regions that are to be joined, and the means of the likely next ones."""
    one, two = regions[a], regions[b]
    for i in range(one.first, one.first + one.total):
        prefetch(regions, pool[i].slot)
    for i in range(two.first, two.first + two.total):
        prefetch(regions, pool[i].slot)
    for i in range(1, 5):
        prefetch(means, entries[i].older_slot)
        prefetch(means, entries[i].newer_slot)


@compiled
def _neighbors(regions: Any, means: Any, pool: Any, side: int, node: int, end: int) -> int:
    """Append the living neighbors of a former region, each once, from `end` on; returns the new end."""
    region = regions[side]
    for i in range(region.first, region.first + region.total):
        slot = _find(regions, pool[i].slot)
        if regions[slot].mark != node:
            regions[slot].mark = node
            pool[end].slot = slot
            prefetch(means, slot)
            end += 1
    return end


@compiled
def _reprice(regions: Any, means: Any, pool: Any, slot: int, end: int, ward: bool) -> None:
    """Cost of every edge of a new region; distances apart from the rest, so that their cache misses overlap."""
    region = regions[slot]
    for i in range(region.first, end, 3):
        j, k = min(i + 1, end - 1), min(i + 2, end - 1)
        pool[i].cost, pool[j].cost, pool[k].cost = _squares(means, slot, pool[i].slot, pool[j].slot, pool[k].slot)
    for i in range(region.first, end):
        edge, other = pool[i], regions[pool[i].slot]
        edge.node = other.node
        edge.cost = _price(edge.cost, region.size, region.spread, other.size, other.spread, ward)
    sort(pool, region.first, end)


@compiled
def _join(regions: Any, means: Any, a: int, b: int, node: int, ward: bool) -> None:
    """Slot a becomes the union of both regions."""
    one, two = regions[a], regions[b]
    both = one.size + two.size
    if not ward:
        one.spread += two.spread + one.size * two.size / both * _square(means, a, b)
    _absorb(means, a, b, two.size / both)
    one.size, one.node, one.mark = both, node, node
    two.node, two.up = -1, a


@compiled
def _merge(means: Any, w: int, eight: bool, ward: bool, regions: Any, pool: Any, costs: Any, entries: Any) -> Any:
    n = means.shape[0]
    children, cost = np.empty((n - 1, 2), np.int32), np.empty(n - 1, np.float64)
    used, size = _leaves(regions, pool, means, costs, entries, w, eight, ward)
    node = n
    while node < 2 * n - 1:
        older, newer = entries[0].older, entries[0].newer
        a, b = entries[0].older_slot, entries[0].newer_slot
        one, two = regions[a], regions[b]
        _look_ahead(regions, pool, entries)
        if one.node != older or two.node != newer:
            size = _refresh(regions, pool, costs, entries, size)
            continue
        children[node - n, 0], children[node - n, 1], cost[node - n] = older, newer, costs[0]
        _hint(regions, means, pool, entries, a, b)
        _join(regions, means, a, b, node, ward)
        pool = grown(pool, used, used + one.total + two.total)
        end = _neighbors(regions, means, pool, a, node, used)
        end = _neighbors(regions, means, pool, b, node, end)
        one.first, one.seen, one.older, one.total = used, 0, end - used, end - used
        _reprice(regions, means, pool, a, end, ward)
        if end > used:
            best = pool[used]
            replace(costs, entries, size, 0, best.cost, (best.node, node, best.slot, a))
        used = end
        node += 1
    return children, cost


def merge(
    features: npt.NDArray[np.floating], *, connectivity: int, ward: bool, scale: float = 1.0
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
    """Children (n-1) x 2 and costs (n-1) of greedily merging an h x w x d grid of finite features times `scale`."""
    h, w, d = features.shape
    means = np.empty((h * w, d), np.float64 if d <= FEW else np.float32)
    np.multiply(features.reshape(h * w, d), features.dtype.type(scale), out=means, casting="same_kind")
    pool = np.empty((20 if connectivity == 8 else 14) * h * w, EDGE)
    return _merge(means, w, connectivity == 8, ward, np.empty(h * w, REGION), pool, *new_heap(h * w))
