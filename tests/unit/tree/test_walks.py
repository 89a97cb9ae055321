import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from clickgrain.tree.merge_tree import is_tree, join_level, node_arrays


def leaf_sets(children):
    n = len(children) + 1
    sets = [{leaf} for leaf in range(n)]
    for a, b in children:
        sets.append(sets[a] | sets[b])
    return sets


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_every_node_is_one_slice_of_the_order(random_children, n, seed):
    children = random_children(n, seed)
    area, parent, order, start = node_arrays(children)
    sets = leaf_sets(children)
    assert parent[-1] == -1
    for node, leaves in enumerate(sets):
        assert area[node] == len(leaves)
        assert set(order[start[node] : start[node] + area[node]].tolist()) == leaves
    for i, pair in enumerate(children):
        assert (parent[pair] == n + i).all()
        assert start[pair[0]] < start[pair[1]]  # the first child's leaves come first


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 30), st.integers(0, 2**32 - 1), st.data())
def test_levels_of_joining_the_nearest_source(random_children, n, seed, data):
    children = random_children(n, seed)
    _, parent, _, _ = node_arrays(children)
    level = np.linspace(0, 1, 2 * n - 1).astype(np.float32)
    sources = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=5))
    sets = leaf_sets(children)
    expected = [
        min(level[i] for i, leaves in enumerate(sets) if leaf in leaves and leaves & set(sources))
        for leaf in range(n)
    ]
    np.testing.assert_array_equal(join_level(parent, level, np.array(sources)), np.float32(expected))


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 12), st.integers(0, 2**32 - 1), st.data())
def test_is_tree_knows_one_changed_child(random_children, n, seed, data):
    children = random_children(n, seed)
    assert is_tree(children)
    i, j = data.draw(st.integers(0, n - 2)), data.draw(st.integers(0, 1))
    other = data.draw(st.integers(-1, 2 * n).filter(lambda node: node != children[i, j]))
    children[i, j] = other  # now a node is missing, and another twice, too early, or none at all
    assert not is_tree(children)
