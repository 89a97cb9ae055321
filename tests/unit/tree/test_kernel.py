from concurrent.futures import ThreadPoolExecutor

import higra
import numpy as np
import pytest

from clickgrain.tree import build_tree, kernel
from clickgrain.tree.merge_tree import is_tree, node_arrays


def islands(side, d):
    """A noisy background with single patches, far from it and from each other, at every other row and column."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(side, side, d)).astype(np.float32)
    holes = features[1:-1:2, 1:-1:2]
    holes += 1e3 * (1 + rng.permutation(holes.shape[0] ** 2)).reshape(*holes.shape[:2], 1)
    return features


def edges_written(children, side):
    """Edges that the kernel appends to its pool while it merges: the neighbours of every new region."""
    links = {leaf: set() for leaf in range(side * side)}
    for leaf in links:
        if (leaf + 1) % side:
            links[leaf].add(leaf + 1)
            links[leaf + 1].add(leaf)
        if leaf + side < side * side:
            links[leaf].add(leaf + side)
            links[leaf + side].add(leaf)
    written = sum(len(others) for others in links.values())
    for node, (a, b) in enumerate(children.tolist(), side * side):
        links[node] = (links.pop(a) | links.pop(b)) - {a, b}
        for other in links[node]:
            links[other] -= {a, b}
            links[other].add(node)
        written += len(links[node])
    return written


@pytest.mark.parametrize("d", [2, 40])
def test_a_hub_among_hundreds_of_islands_outgrows_the_pool(d, node_costs):
    """The pool of edges must grow, and long runs of edges be sorted by the quicker sort: same tree as higra."""
    side = 41
    features = islands(side, d)
    children, cost = kernel.merge(features, connectivity=4, ward=True)
    assert edges_written(children, side) > 14 * side * side
    vectors = features.reshape(-1, d).astype(np.float64)
    graph = higra.get_4_adjacency_graph((side, side))
    tree, altitudes = higra.binary_partition_tree_ward_linkage(graph, vectors, altitude_correction="none")
    inner = [np.flatnonzero(tree.parents()[:-1] == node) for node in range(side**2, 2 * side**2 - 1)]
    ours, theirs = node_costs(children, cost), node_costs(inner, altitudes[side**2 :])
    assert ours.keys() == theirs.keys()
    np.testing.assert_allclose([ours[k] for k in theirs], list(theirs.values()), rtol=1e-5)


def test_a_large_grid():
    features = np.random.default_rng(0).normal(size=(512, 512, 2)).astype(np.float32)
    tree = build_tree(features)
    assert is_tree(tree.children)
    assert tree.area[tree.root] == 512 * 512
    total = ((features - features.mean((0, 1), dtype=np.float64)) ** 2).sum(dtype=np.float64)
    assert tree.cost.sum(dtype=np.float64) == pytest.approx(total, rel=1e-5)  # Ward: growths add up to the whole


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("ward", [True, False])
def test_regions_are_connected_and_ids_in_order(connectivity, ward, field):
    h, w = 14, 11
    children, _ = kernel.merge(field(h, w, 3), connectivity=connectivity, ward=ward)
    assert (children[:, 0] < children[:, 1]).all()
    area, _, order, start = node_arrays(children)
    for node in range(h * w, len(area)):
        leaves = order[start[node] : start[node] + area[node]]
        mask = np.zeros((h, w), bool)
        mask.flat[leaves] = True
        assert connected(mask, connectivity)


def connected(mask, connectivity):
    from scipy.ndimage import label

    return label(mask, np.ones((3, 3)) if connectivity == 8 else None)[1] == 1


def test_threads_do_not_disturb_each_other(field):
    """The kernel runs without the GIL."""
    grids = [field(20, 20, d, seed) for seed in range(4) for d in (4, 40)]

    def merged(features):
        return kernel.merge(features, connectivity=4, ward=True)[0]

    with ThreadPoolExecutor(4) as pool:
        for features, children in zip(grids, pool.map(merged, grids), strict=True):
            np.testing.assert_array_equal(children, merged(features))


def test_features_are_scaled_by_a_power_of_two_exactly(field):
    features = field(9, 9, 4)
    children, cost = kernel.merge(features, connectivity=4, ward=True)
    scaled, scaled_cost = kernel.merge(features, connectivity=4, ward=True, scale=0.25)
    np.testing.assert_array_equal(children, scaled)
    np.testing.assert_array_equal(cost / 16, scaled_cost)
