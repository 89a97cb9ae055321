"""MergeTree: every answer against the plain definition, on random trees."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickgrain.errors import TreeError
from clickgrain.tree import MergeTree, build_tree


@st.composite
def trees(draw):
    h, w = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    nodes, children = list(range(h * w)), []
    while len(nodes) > 1:
        a, b = sorted(rng.choice(len(nodes), 2, replace=False))
        children.append((nodes[a], nodes[b]))
        nodes = [n for i, n in enumerate(nodes) if i not in (a, b)] + [h * w + len(children) - 1]
    size = (draw(st.integers(h, 40)), draw(st.integers(w, 40)))
    return MergeTree(np.array(children).reshape(-1, 2), rng.random(h * w - 1), (h, w), size)


def leaves_of(tree, node):
    if node < tree.n_leaves:
        return {node}
    a, b = tree.children[node - tree.n_leaves]
    return leaves_of(tree, a) | leaves_of(tree, b)


@given(trees())
@settings(deadline=None, max_examples=60)
def test_every_node_is_one_slice_of_the_leaf_order(tree):
    for node in range(tree.n_nodes):
        expected = leaves_of(tree, node)
        assert set(tree.leaves(node).tolist()) == expected
        assert set(np.flatnonzero(tree.mask(node)).tolist()) == expected
        assert tree.area[node] == len(expected)


@given(trees(), st.data())
@settings(deadline=None, max_examples=60)
def test_paths_ancestors_and_siblings(tree, data):
    height, width = tree.image_size
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    path = tree.path(x, y).tolist()
    leaf = tree.leaf_at(x, y)
    assert leaf == int((y + 0.5) * tree.grid[0] / height) * tree.grid[1] + int((x + 0.5) * tree.grid[1] / width)
    assert path == sorted(node for node in range(tree.n_nodes) if leaf in leaves_of(tree, node))
    for node in path[:-1]:
        assert leaves_of(tree, node) | leaves_of(tree, tree.siblings(node)) == leaves_of(tree, tree.parent[node])
    level = data.draw(st.floats(0, 1))
    allowed = [node for node in path if tree.level[node] <= np.float32(level)]
    assert tree.node_at(x, y, level) == (allowed[-1] if allowed else path[-1])


@given(trees(), st.data())
@settings(deadline=None, max_examples=60)
def test_level_map_is_the_level_of_the_lowest_common_ancestor(tree, data):
    height, width = tree.image_size
    point = st.tuples(st.integers(0, width - 1), st.integers(0, height - 1))
    points = data.draw(st.lists(point, max_size=3))
    expected = np.ones(tree.n_leaves, np.float32)
    for leaf in range(tree.n_leaves):
        joins = [tree.level[tree.lca(leaf, tree.leaf_at(*p))] for p in points]
        expected[leaf] = min(joins, default=1.0)
    np.testing.assert_array_equal(tree.level_map(points).ravel(), expected)


@given(trees(), st.data())
@settings(deadline=None, max_examples=60)
def test_lowest_common_ancestor(tree, data):
    nodes = st.integers(0, tree.root)
    a, b = data.draw(nodes), data.draw(nodes)
    both = leaves_of(tree, a) | leaves_of(tree, b)
    holding = [node for node in range(tree.n_nodes) if both <= leaves_of(tree, node)]
    assert tree.lca(a, b) == min(holding, key=lambda node: (tree.area[node], node))


@given(trees(), st.data())
@settings(deadline=None, max_examples=60)
def test_a_cut_is_the_partition_after_n_minus_k_merges(tree, data):
    k = data.draw(st.integers(1, tree.n_leaves))
    regions = {frozenset([leaf]) for leaf in range(tree.n_leaves)}
    for i in range(tree.n_leaves - k):
        a, b = (frozenset(leaves_of(tree, child)) for child in tree.children[i])
        regions = (regions - {a, b}) | {a | b}
    labels = tree.cut(k).ravel()
    assert {frozenset(np.flatnonzero(labels == label).tolist()) for label in range(k)} == regions
    first = [int(np.flatnonzero(labels == label)[0]) for label in range(k)]
    assert first == sorted(first)  # numbered in raster order


def test_levels_follow_the_rank_of_the_merge():
    tree = build_tree(np.random.default_rng(0).normal(size=(4, 5, 2)))
    n = 20
    left = n - 1 - np.arange(n - 1)
    np.testing.assert_allclose(tree.level[n:], 1 - np.log(left) / np.log(n), rtol=1e-6)
    assert not tree.level[:n].any()
    assert tree.level[tree.root] == 1
    assert (tree.level[tree.parent[:-1]] > tree.level[:-1]).all()


def test_children_that_form_no_tree_are_refused():
    good = build_tree(np.random.default_rng(0).normal(size=(2, 3, 2)))
    twice = good.children.copy()
    twice[1] = twice[0]
    with pytest.raises(TreeError, match="merged once"):
        MergeTree(twice, good.cost, (2, 3))
    with pytest.raises(TreeError, match="needs 5 merges"):
        MergeTree(good.children[:-1], good.cost, (2, 3))


def test_questions_beyond_the_tree_are_refused():
    tree = build_tree(np.random.default_rng(0).normal(size=(3, 3, 2)), image_size=(30, 40))
    with pytest.raises(TreeError, match="no sibling"):
        tree.siblings(tree.root)
    with pytest.raises(TreeError, match=r"0\.\.16"):
        tree.mask(17)
    with pytest.raises(TreeError, match=r"1\.\.9"):
        tree.cut(10)
    with pytest.raises(TreeError, match="40 x 30"):
        tree.node_at(40, 0, 0.5)
    with pytest.raises(TreeError, match="40 x 30"):
        tree.upsample(0, np.zeros((40, 30, 3), np.uint8))


def test_upsampling_follows_the_edge_of_the_image():
    # The true edge lies at column 21, inside a patch of 8 pixels.
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, 21:] = 220
    features = image.reshape(8, 8, 8, 8, 3).mean((1, 3))
    tree = build_tree(features, image_size=(64, 64))
    right = max(tree.children[-1], key=lambda node: features[tree.mask(node)].mean())
    soft = tree.upsample(int(right), image)
    assert soft.dtype == np.float32
    assert 0 <= soft.min() <= soft.max() <= 1
    wanted = np.zeros((64, 64), bool)
    wanted[:, 21:] = True
    blocks = np.kron(tree.mask(int(right)), np.ones((8, 8), bool))
    assert ((soft > 0.5) != wanted).mean() < 0.5 * (blocks != wanted).mean()
