import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_flow

from clickgrain.cut.flow import COLUMN, ROW, min_cut


def grid_graph(rng, height, width, share):
    """A grid of which a share of the pixels are nodes, with random capacities."""
    free = rng.random((height, width)) < share
    free[0, 0] = True
    node = np.full((height, width), -1, np.int32)
    node[free] = np.arange(free.sum())
    neighbor, capacity = np.full((free.sum(), 8), -1, np.int32), np.zeros((free.sum(), 8), np.int32)
    for y, x in np.argwhere(free):
        for d in range(8):
            row, column = y + ROW[d], x + COLUMN[d]
            if 0 <= row < height and 0 <= column < width and free[row, column]:
                neighbor[node[y, x], d] = node[row, column]
                capacity[node[y, x], d] = rng.integers(0, 50)
    return neighbor, capacity, rng.integers(-100, 100, free.sum()).astype(np.int32)


def energy(neighbor, capacity, terminal, source):
    """What a cut costs."""
    cost = np.maximum(-terminal, 0)[source].sum() + np.maximum(terminal, 0)[~source].sum()
    for d in range(8):
        there = np.flatnonzero(neighbor[:, d] >= 0)
        cost += (capacity[there, d] * (source[there] & ~source[neighbor[there, d]])).sum()
    return int(cost)


def largest_flow(neighbor, capacity, terminal):
    n = len(terminal)
    tail, d = np.nonzero((neighbor >= 0) & (capacity > 0))
    pulled, pushed = np.flatnonzero(terminal > 0), np.flatnonzero(terminal < 0)
    rows = np.concatenate([tail, np.full(len(pulled), n), pushed])
    columns = np.concatenate([neighbor[tail, d], pulled, np.full(len(pushed), n + 1)])
    values = np.concatenate([capacity[tail, d], terminal[pulled], -terminal[pushed]])
    graph = csr_matrix((values.astype(np.int32), (rows, columns)), shape=(n + 2, n + 2))
    return maximum_flow(graph, n, n + 1).flow_value


@pytest.mark.parametrize("seed", range(60))
def test_the_cut_costs_what_the_largest_flow_carries(seed):
    rng = np.random.default_rng(seed)
    for _ in range(5):
        height, width = rng.integers(1, 14, 2)
        graph = grid_graph(rng, height, width, rng.uniform(0.3, 1))
        source = min_cut(*(array.copy() for array in graph))
        assert energy(*graph, source) == largest_flow(*graph)


def test_a_large_grid_too():
    graph = grid_graph(np.random.default_rng(0), 90, 110, 0.9)
    source = min_cut(*(array.copy() for array in graph))
    assert energy(*graph, source) == largest_flow(*graph)


def test_nodes_that_nothing_pulls_stay_with_the_sink():
    neighbor, capacity = np.full((3, 8), -1, np.int32), np.zeros((3, 8), np.int32)
    assert min_cut(neighbor, capacity, np.array([5, 0, -5], np.int32)).tolist() == [True, False, False]


def test_no_nodes_at_all():
    empty = np.zeros((0, 8), np.int32)
    assert min_cut(empty, empty.copy(), np.zeros(0, np.int32)).shape == (0,)
