"""build_tree against higra, scikit-learn, scipy and a slow implementation of the definition."""

import cv2
import higra
import numpy as np
import pytest
from scipy.cluster.hierarchy import linkage as scipy_linkage
from skimage import data
from sklearn.cluster import ward_tree
from sklearn.feature_extraction.image import grid_to_graph

from clickgrain.errors import TreeError
from clickgrain.features import load_extractor
from clickgrain.tree import build_tree


def noise(h, w, d, seed=0):
    return np.random.default_rng(seed).normal(size=(h, w, d)).astype(np.float32)


def smooth(h, w, d, seed=0):
    field = noise(h, w, d, seed)
    return cv2.GaussianBlur(field, (0, 0), 1.5).reshape(h, w, d) + 0.05 * field


def real():
    return load_extractor("color-texture", long_side=96)(np.ascontiguousarray(data.chelsea()))


def node_sets(children, n):
    """Every inner node as the frozenset of its leaves."""
    sets = [frozenset([leaf]) for leaf in range(n)]
    for a, b in children:
        sets.append(sets[a] | sets[b])
    return set(sets[n:])


FIELDS = {"noise": noise(9, 11, 5), "smooth": smooth(16, 13, 8), "real": real(), "row": noise(1, 17, 3)}


def higra_children(tree, n):
    children = [[] for _ in range(2 * n - 1)]
    for node, parent in enumerate(tree.parents()[:-1]):
        children[parent].append(node)
    return children[n:]


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("connectivity", [4, 8])
def test_same_nodes_and_costs_as_higra(name, connectivity):
    features = FIELDS[name]
    h, w, d = features.shape
    adjacency = higra.get_4_adjacency_graph if connectivity == 4 else higra.get_8_adjacency_graph
    tree, altitude = higra.binary_partition_tree_ward_linkage(
        adjacency((h, w)), features.reshape(-1, d).astype(np.float64), altitude_correction="none"
    )
    ours = build_tree(features, connectivity=connectivity)
    assert node_sets(ours.children, h * w) == node_sets(higra_children(tree, h * w), h * w)
    np.testing.assert_allclose(np.sort(ours.cost), np.sort(altitude[h * w :]), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", FIELDS)
def test_same_nodes_and_costs_as_scikit_learn(name):
    features = FIELDS[name]
    h, w, d = features.shape
    children, _, _, _, distances = ward_tree(
        features.reshape(-1, d).astype(np.float64), connectivity=grid_to_graph(h, w), return_distance=True
    )
    ours = build_tree(features)
    assert node_sets(ours.children, h * w) == node_sets(children, h * w)
    np.testing.assert_allclose(np.sort(ours.cost), np.sort(distances**2 / 2), rtol=1e-5, atol=1e-7)


def neighbours(h, w, connectivity):
    pairs = set()
    for y in range(h):
        for x in range(w):
            steps = [(0, 1), (1, 0)] + ([(1, 1), (1, -1)] if connectivity == 8 else [])
            for dy, dx in steps:
                if y + dy < h and 0 <= x + dx < w:
                    pairs.add((y * w + x, (y + dy) * w + x + dx))
    return pairs


def slow_merges(features, connectivity, linkage):
    """Greedy merging straight from the definition, in float64; ties by (cost, smaller id, larger id)."""
    h, w, d = features.shape
    vectors = features.reshape(-1, d).astype(np.float64)
    if linkage == "cosine":
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    members = {i: [i] for i in range(h * w)}
    adjacent = neighbours(h, w, connectivity)

    def cost(a, b):
        x, y = vectors[members[a]], vectors[members[b]]
        if linkage == "ward":
            return len(x) * len(y) / (len(x) + len(y)) * np.sum((x.mean(0) - y.mean(0)) ** 2)
        if linkage == "average":
            return np.mean(np.sum((x[:, None] - y[None]) ** 2, axis=-1))
        return np.mean(1 - x @ y.T)

    merges, prices = [], []
    for new in range(h * w, 2 * h * w - 1):
        price, a, b = min((round(cost(a, b), 9), a, b) for a, b in adjacent)
        merges.append((a, b))
        prices.append(price)
        members[new] = members.pop(a) + members.pop(b)
        renamed = {tuple(sorted(new if node in (a, b) else node for node in pair)) for pair in adjacent}
        adjacent = {pair for pair in renamed if pair[0] != pair[1]}
    return np.array(merges), np.array(prices)


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("linkage", ["ward", "average", "cosine"])
def test_linkages_follow_their_definition(connectivity, linkage):
    features = smooth(5, 6, 4, seed=3)
    merges, prices = slow_merges(features, connectivity, linkage)
    ours = build_tree(features, connectivity=connectivity, linkage=linkage)
    assert node_sets(ours.children, 30) == node_sets(merges, 30)
    np.testing.assert_allclose(ours.cost, prices, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("connectivity", [4, 8])
def test_ties_go_to_the_smaller_then_the_larger_id(connectivity):
    # Halves and wholes are exact in float32, so that ties are ties.
    features = np.random.default_rng(1).integers(0, 2, (4, 5, 1)).astype(np.float32)
    merges, prices = slow_merges(features, connectivity, "ward")
    ours = build_tree(features, connectivity=connectivity)
    zero = prices == 0
    np.testing.assert_array_equal(ours.children[zero], merges[zero])


def test_constant_features_cost_nothing():
    tree = build_tree(np.full((7, 5, 3), 2.5, np.float32))
    assert tree.n_leaves == 35
    assert not tree.cost.any()


@pytest.mark.parametrize("linkage", ["ward", "average", "cosine"])
def test_without_connectivity_as_scipy(linkage):
    features = noise(5, 6, 4, seed=7)
    vectors = features.reshape(30, 4).astype(np.float64)
    method, metric = ("ward", "euclidean") if linkage == "ward" else ("average", "sqeuclidean")
    metric = "cosine" if linkage == "cosine" else metric
    table = scipy_linkage(vectors, method, metric)
    ours = build_tree(features, connectivity=0, linkage=linkage)
    assert node_sets(ours.children, 30) == node_sets(table[:, :2].astype(int), 30)
    expected = table[:, 2] ** 2 / 2 if linkage == "ward" else table[:, 2]
    np.testing.assert_allclose(np.sort(ours.cost), np.sort(expected), rtol=1e-4, atol=1e-6)


def test_a_region_with_many_neighbours():
    # A flat background around hundreds of islands of their own colours: its list of neighbours outgrows the room
    # that is set aside at first.
    features = np.zeros((60, 60, 1), np.float32)
    islands = np.random.default_rng(0).permutation(900) + 10
    features[1::2, 1::2, 0] = islands.reshape(30, 30) * 10.0
    tree = build_tree(features)
    background = tree.parent[: tree.n_leaves][tree.leaf_at(0, 0)]
    assert background >= tree.n_leaves
    flat = [node for node in range(tree.n_nodes) if tree.area[node] == 60 * 60 - 900]
    assert len(flat) == 1
    assert not tree.mask(flat[0])[1::2, 1::2].any()


def test_the_same_input_gives_the_same_tree_and_is_not_changed():
    features = smooth(12, 10, 6)
    before = features.copy()
    first, second = build_tree(features), build_tree(features.astype(np.float64))
    np.testing.assert_array_equal(features, before)
    np.testing.assert_array_equal(first.children, second.children)


def test_one_patch_is_leaf_and_root():
    tree = build_tree(np.ones((1, 1, 3)), image_size=(8, 8))
    assert (tree.n_nodes, tree.root, tree.level[0]) == (1, 0, 1)
    assert tree.mask(0).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused_with_its_place(bad):
    features = noise(4, 5, 3)
    features[2, 3, 1] = bad
    with pytest.raises(TreeError, match="row 2, column 3"):
        build_tree(features)


@pytest.mark.parametrize("shape", [(4, 5), (4, 0, 3), (2, 3, 4, 5)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(TreeError, match="h x w x d"):
        build_tree(np.zeros(shape, np.float32))


def test_unknown_settings_are_refused():
    with pytest.raises(TreeError, match="connectivity"):
        build_tree(noise(2, 2, 1), connectivity=6)
    with pytest.raises(TreeError, match="linkage"):
        build_tree(noise(2, 2, 1), linkage="single")
