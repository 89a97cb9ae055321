"""Minimum cut of an 8-connected grid, where only some pixels are free.

Source: Boykov and Kolmogorov, "An Experimental Comparison of Min-Cut/Max-Flow Algorithms for Energy Minimization in
Vision" (TPAMI 2004): two search trees grow from the terminals, meet, and are repaired after every augmentation.
"""

from typing import Any

import numpy as np

from clickgrain.jit import njit

compiled = njit(nogil=True)

# Neighbor d of a node lies at (ROW[d], COLUMN[d]); the arc back has number 7 - d.
ROW = np.array([-1, -1, -1, 0, 0, 1, 1, 1])
COLUMN = np.array([-1, 0, 1, -1, 1, -1, 0, 1])
NONE, TERMINAL, ORPHAN = -1, 8, 9  # besides 0..7, what may stand in `parent`


@compiled
def min_cut(neighbor: Any, capacity: Any, terminal: Any) -> Any:
    """N bool: the smallest source side of all minimum cuts of a graph whose nodes have up to eight neighbors.

    Neighbors are N x 8 int32, the node in direction d, or -1; if j = neighbor[i, d], then i = neighbor[j, 7 - d].
    Capacities are N x 8 int32, 0 or more, of the arcs to them, and N int32 from the source (positive) or to the
    sink (negative) of `terminal`. Residual capacities are left in both.
    """
    n = len(terminal)
    parent = np.full(n, NONE, np.int8)
    in_sink = np.zeros(n, np.bool_)
    stamp, distance = np.zeros(n, np.int32), np.zeros(n, np.int32)
    # The active nodes form a linked list: -1 is "not in it", a node that points to itself is the last.
    following = np.full(n, -1, np.int32)
    orphans = np.empty(4 * n + 16, np.int32)
    ends = np.full(2, -1, np.int32)  # the first and the last of them
    for i in range(n):
        if terminal[i] != 0:
            parent[i], distance[i], in_sink[i] = TERMINAL, 1, terminal[i] < 0
            _append(following, ends, i)
    time, current = 0, -1
    while True:
        if current >= 0:  # it was active when its tree met the other one: continue with it
            following[current] = -1
        while ends[0] >= 0 and (current < 0 or parent[current] == NONE):
            current = ends[0]
            ends[0] = -1 if following[current] == current else following[current]
            if ends[0] < 0:
                ends[1] = -1
            following[current] = -1
        if current < 0 or parent[current] == NONE:
            break
        i = current
        meeting, direction = -1, 0
        for d in range(8):
            j = neighbor[i, d]
            if j < 0 or (capacity[j, 7 - d] if in_sink[i] else capacity[i, d]) == 0:
                continue
            if parent[j] == NONE:
                in_sink[j], parent[j] = in_sink[i], 7 - d
                stamp[j], distance[j] = stamp[i], distance[i] + 1
                _append(following, ends, j)
            elif in_sink[j] != in_sink[i]:
                meeting, direction = i, d
                if in_sink[i]:  # the path goes from the source's tree to the sink's
                    meeting, direction = j, 7 - d
                break
            elif stamp[j] <= stamp[i] and distance[j] > distance[i]:
                parent[j] = 7 - d
                stamp[j], distance[j] = stamp[i], distance[i] + 1
        time += 1
        if meeting < 0:
            current = -1
            continue
        following[i] = i
        count = _augment(neighbor, capacity, terminal, parent, meeting, direction, orphans)
        head = 0
        while head < count:
            node = orphans[head]
            head += 1
            if head > 2 * n:  # room at the end of the queue
                orphans[: count - head] = orphans[head:count].copy()
                count -= head
                head = 0
            if _adopt(neighbor, capacity, parent, in_sink, stamp, distance, time, node):
                continue
            for d in range(8):  # no parent: its neighbors may grow into it, its children are orphans
                j = neighbor[node, d]
                if j < 0 or parent[j] == NONE or in_sink[j] != in_sink[node]:
                    continue
                if (capacity[node, d] if in_sink[node] else capacity[j, 7 - d]) > 0:
                    _append(following, ends, j)
                if parent[j] == 7 - d:
                    parent[j] = ORPHAN
                    orphans[count] = j
                    count += 1
    source = np.zeros(n, np.bool_)
    for i in range(n):
        source[i] = parent[i] != NONE and not in_sink[i]
    return source


@compiled
def _append(following: Any, ends: Any, node: int) -> None:
    """Put a node at the end of the active ones, unless it is among them."""
    if following[node] < 0:
        following[node] = node
        if ends[1] < 0:
            ends[0] = node
        else:
            following[ends[1]] = node
        ends[1] = node


@compiled
def _augment(
    neighbor: Any, capacity: Any, terminal: Any, parent: Any, tail: int, direction: int, orphans: Any
) -> int:
    """Push what the path through an arc between the trees carries; the number of orphans that it makes."""
    tip = neighbor[tail, direction]
    flow = capacity[tail, direction]
    for in_sink in range(2):
        node = tip if in_sink else tail
        while parent[node] != TERMINAL:
            d = parent[node]
            above = neighbor[node, d]
            flow = min(flow, capacity[node, d] if in_sink else capacity[above, 7 - d])
            node = above
        flow = min(flow, abs(terminal[node]))

    count = 0
    capacity[tail, direction] -= flow
    capacity[tip, 7 - direction] += flow
    for in_sink in range(2):
        node = tip if in_sink else tail
        while parent[node] != TERMINAL:
            d = parent[node]
            above = neighbor[node, d]
            first, out = (node, d) if in_sink else (above, 7 - d)  # the arc of the path
            capacity[first, out] -= flow
            capacity[neighbor[first, out], 7 - out] += flow
            if capacity[first, out] == 0:
                parent[node] = ORPHAN
                orphans[count] = node
                count += 1
            node = above
        terminal[node] += flow if in_sink else -flow
        if terminal[node] == 0:
            parent[node] = ORPHAN
            orphans[count] = node
            count += 1
    return count


@compiled
def _adopt(
    neighbor: Any, capacity: Any, parent: Any, in_sink: Any, stamp: Any, distance: Any, time: int, node: int
) -> bool:
    """Give an orphan the parent that is nearest to its terminal; without any it becomes free (False)."""
    best, nearest = NONE, np.int32(2147483647)
    for d in range(8):
        j = neighbor[node, d]
        if j < 0 or parent[j] == NONE or in_sink[j] != in_sink[node]:
            continue
        if (capacity[node, d] if in_sink[node] else capacity[j, 7 - d]) == 0:
            continue
        steps, k = np.int32(0), j
        while True:  # follow j to its terminal, or to a node that was followed in this round
            if stamp[k] == time:
                steps += distance[k]
                break
            above = parent[k]
            steps += 1
            if above == TERMINAL:
                stamp[k], distance[k] = time, 1
                break
            if above == ORPHAN:
                steps = np.int32(2147483647)
                break
            k = neighbor[k, above]
        if steps == 2147483647:
            continue
        if steps < nearest:
            best, nearest = d, steps
        k = j
        while stamp[k] != time:
            stamp[k], distance[k] = time, steps
            steps -= 1
            k = neighbor[k, parent[k]]
    parent[node] = best
    if best == NONE:
        return False
    stamp[node], distance[node] = time, nearest + 1
    return True
