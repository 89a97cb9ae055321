import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, chisquare

from clickgrain.errors import ConfigError
from clickgrain.proposals.config import AREA, LEVEL, PAPER, Sampler
from clickgrain.proposals.sampling import sample_proposal, sample_proposals

# Depths 1..9 for decay 0.9, as the method page gives them.
PUBLISHED = [0.100, 0.171, 0.198, 0.183, 0.143, 0.097, 0.057, 0.030, 0.014]


def scalar_proposal(tree, rng, decay, min_area):
    """The sampler word for word, one walker at a time."""
    largest = None
    for _ in range(100):
        node, p = tree.root, 1.0
        while node >= tree.n_leaves and rng.random() <= p:
            node = int(tree.children[node - tree.n_leaves][int(rng.random() < 0.5)])
            p *= decay
        if tree.area[node] > min_area * tree.n_leaves:
            return node
        if largest is None or tree.area[node] > tree.area[largest]:
            largest = node
    return largest


def depth_of(tree, nodes):
    depth = np.zeros(tree.n_nodes, np.int64)
    for node in range(tree.root - 1, -1, -1):
        depth[node] = depth[tree.parent[node]] + 1
    return depth[nodes]


def stop_depths(decay, depths):
    """Probability that the published walk stops at depth 0, 1, ... of an endless tree."""
    on = decay ** np.arange(depths, dtype=np.float64)
    return np.concatenate([[1.0], np.cumprod(on)[:-1]]) * (1.0 - on)


def chi2_p(observed, expected):
    return chisquare(observed, expected).pvalue


def test_the_depths_are_the_published_ones():
    share = stop_depths(0.9, 60)
    np.testing.assert_allclose(share[1:10], PUBLISHED, atol=6e-4)
    assert share[0] == 0
    assert share.sum() == pytest.approx(1)


def test_walks_stop_by_the_stop_depths(make_balanced_tree, rng):
    tree, n = make_balanced_tree(12), 100_000
    nodes = sample_proposals(tree, rng, n, min_area=0.0)
    seen = np.bincount(depth_of(tree, nodes), minlength=13)
    expected = stop_depths(0.9, 12)
    expected = np.append(expected, 1 - expected.sum()) * n  # what is left ends in the leaves
    assert seen[0] == 0
    assert chi2_p(seen[1:], expected[1:]) > 0.01


def test_both_children_are_as_likely(make_balanced_tree, rng):
    tree = make_balanced_tree(3)
    nodes = sample_proposals(tree, rng, 40_000, min_area=0.0)
    for level in range(4):
        at_level = np.bincount(nodes, minlength=tree.n_nodes)[depth_of(tree, np.arange(tree.n_nodes)) == level]
        assert at_level.sum() == 0 or chi2_p(at_level, None) > 0.01


def test_agrees_with_the_scalar_law(make_random_tree):
    tree = make_random_tree(6, 7, seed=3)
    oracle_rng = np.random.default_rng(1)
    oracle = [scalar_proposal(tree, oracle_rng, 0.9, 0.1) for _ in range(20_000)]
    ours = sample_proposals(tree, np.random.default_rng(2), 20_000, min_area=0.1)
    counts = np.array([np.bincount(x, minlength=tree.n_nodes) for x in (oracle, ours)])
    counts = counts[:, counts.sum(0) >= 10]
    assert chi2_contingency(counts).pvalue > 0.01


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    h=st.integers(1, 9),
    w=st.integers(1, 9),
    sampler=st.sampled_from([PAPER, AREA, LEVEL]),
)
def test_every_law_obeys_its_area_range(make_random_tree, seed, h, w, sampler):
    tree = make_random_tree(h, w, seed)
    nodes = sample_proposals(tree, np.random.default_rng(seed), 50, sampler)
    area = tree.area / tree.n_leaves
    inside = (area > sampler.min_area) & (area <= sampler.max_area)
    if sampler is PAPER:  # draws the root too; 100 rejections in a row are next to impossible
        assert inside[nodes].all() or not inside[:-1].any() or inside[nodes].mean() > 0.9
    else:
        assert inside[nodes].all() == bool(inside[: max(1, tree.root)].any())
    assert nodes.shape == (50,)
    assert sampler is PAPER or tree.n_nodes == 1 or (nodes != tree.root).all()


def test_the_largest_rejected_region_is_the_last_resort(make_balanced_tree, rng):
    tree = make_balanced_tree(4)
    sampler = Sampler(min_area=0.6)  # no node below the root is that large
    nodes = sample_proposals(tree, rng, 200, sampler)
    assert (tree.area[nodes] == 8).all()


def test_area_law_balances_log_area(make_random_tree, rng):
    tree = make_random_tree(50, 50, seed=5)
    nodes = sample_proposals(tree, rng, 20_000, sampler=AREA)
    log_area = np.log(tree.area[nodes])
    seen, _ = np.histogram(log_area, bins=4)
    assert seen.min() > 0.8 * 5_000  # a uniform draw of nodes would put about 4 % into the upper half
    assert tree.area[nodes].min() <= 0.004 * tree.n_leaves


def test_level_law_balances_level(make_random_tree, rng):
    tree = make_random_tree(50, 50, seed=5)
    sampler = Sampler("level", min_area=0.0, max_area=0.9)
    seen, _ = np.histogram(tree.level[sample_proposals(tree, rng, 16_000, sampler=sampler)], bins=4)
    assert seen.min() > 0.8 * 4_000


@pytest.mark.parametrize("sampler", [PAPER, AREA, LEVEL])
def test_the_seed_decides(make_random_tree, sampler):
    tree = make_random_tree(12, 13, seed=1)
    first, again, other = (sample_proposals(tree, np.random.default_rng(s), 64, sampler=sampler) for s in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_one_proposal_is_the_first_of_many(make_random_tree):
    tree = make_random_tree(12, 13, seed=1)
    one = sample_proposal(tree, np.random.default_rng(3), min_area=0.1)
    assert one == sample_proposals(tree, np.random.default_rng(3), 1, min_area=0.1)[0]


def test_a_tree_of_one_leaf(make_random_tree, rng):
    tree = make_random_tree(1, 1, seed=0)
    for sampler in (PAPER, AREA, LEVEL):
        assert sample_proposals(tree, rng, 3, sampler=sampler).tolist() == [0, 0, 0]


def test_nothing_and_nonsense(make_random_tree, rng):
    tree = make_random_tree(2, 2, seed=0)
    assert sample_proposals(tree, rng, 0).shape == (0,)
    with pytest.raises(ConfigError, match="-1 proposals"):
        sample_proposals(tree, rng, -1)
