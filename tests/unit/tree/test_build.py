"""`build_tree` against higra, scikit-learn, SciPy, and a slow greedy merge over all adjacent pairs."""

from fractions import Fraction
from itertools import combinations

import higra
import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.cluster.hierarchy import linkage as scipy_linkage
from scipy.spatial.distance import cdist
from sklearn.cluster import ward_tree
from sklearn.feature_extraction.image import grid_to_graph

from clickgrain.errors import TreeError
from clickgrain.features import ColorTexture
from clickgrain.tree import build_tree, kernel

PHOTOS = {"chelsea": skimage.data.chelsea, "coffee": skimage.data.coffee, "rocket": skimage.data.rocket}


def same_nodes(ours, theirs, rtol=1e-5):
    assert ours.keys() == theirs.keys()
    nodes = list(theirs)
    np.testing.assert_allclose([ours[k] for k in nodes], [theirs[k] for k in nodes], rtol=rtol)


def by_higra(features, connectivity):
    h, w, d = features.shape
    graph = (higra.get_8_adjacency_graph if connectivity == 8 else higra.get_4_adjacency_graph)((h, w))
    vectors = features.reshape(h * w, d).astype(np.float64)
    tree, altitudes = higra.binary_partition_tree_ward_linkage(graph, vectors, altitude_correction="none")
    parents = tree.parents()
    inner = range(h * w, 2 * h * w - 1)
    return [np.flatnonzero(parents[:-1] == node) for node in inner], altitudes[h * w :]


def by_sklearn(features):
    h, w, d = features.shape
    vectors = features.reshape(h * w, d).astype(np.float64)
    children, _, _, _, distance = ward_tree(vectors, connectivity=grid_to_graph(h, w), return_distance=True)
    return children, distance**2 / 2


def neighbours(h, w, connectivity):
    """Pairs of adjacent leaves, the smaller first."""
    steps = [(0, 1), (1, 0)] if connectivity == 4 else [(0, 1), (1, 0), (1, 1), (1, -1)]
    for y in range(h):
        for x in range(w):
            for dy, dx in steps:
                if y + dy < h and 0 <= x + dx < w:
                    yield y * w + x, (y + dy) * w + x + dx


def touching(regions, links):
    """Pairs of regions, {id: leaves}, that share a link between leaves; all pairs if there are no links."""
    if links is None:
        return set(combinations(sorted(regions), 2))
    owner = {leaf: node for node, leaves in regions.items() for leaf in leaves}
    pairs = {tuple(sorted((owner[a], owner[b]))) for a, b in links}
    return {(a, b) for a, b in pairs if a != b}


def slow_tree(features, connectivity, price):
    """Greedy merging from the definition: (children, costs) with ties to the smaller, then the larger id."""
    h, w, d = features.shape
    vectors = features.reshape(h * w, d).astype(np.float64)
    links = list(neighbours(h, w, connectivity)) if connectivity else None
    regions = {leaf: [leaf] for leaf in range(h * w)}
    children, costs = [], []
    for node in range(h * w, 2 * h * w - 1):
        cost, a, b = min(
            (price(vectors[regions[a]], vectors[regions[b]]), a, b) for a, b in touching(regions, links)
        )
        regions[node] = regions.pop(a) + regions.pop(b)
        children.append((a, b))
        costs.append(cost)
    return children, costs


def ward(one, two):
    both = np.concatenate([one, two])
    return sum(s * ((x - x.mean(0)) ** 2).sum() for s, x in ((1, both), (-1, one), (-1, two)))


def average(one, two):
    return cdist(one, two, "sqeuclidean").mean()


def cosine(one, two):
    return cdist(one, two, "cosine").mean()


PRICES = {"ward": ward, "average": average, "cosine": cosine}


class TestOracles:
    """The same regions at the same costs as independent implementations."""

    @pytest.mark.parametrize("connectivity", [4, 8])
    @pytest.mark.parametrize("d", [1, 8, 40])
    @pytest.mark.parametrize(("kind", "h", "w"), [("noise", 19, 23), ("smooth", 19, 23), ("smooth", 1, 50)])
    def test_higra(self, kind, h, w, d, connectivity, field, node_costs):
        features = field(h, w, d) if kind == "smooth" else np.random.default_rng(d).normal(size=(h, w, d))
        features = features.astype(np.float32)
        tree = build_tree(features, connectivity=connectivity)
        same_nodes(node_costs(tree.children, tree.cost), node_costs(*by_higra(features, connectivity)))

    @pytest.mark.parametrize("d", [3, 40])
    @pytest.mark.parametrize("kind", ["noise", "smooth"])
    def test_scikit_learn(self, kind, d, field, node_costs):
        h, w = 21, 17
        features = field(h, w, d) if kind == "smooth" else np.random.default_rng(d).normal(size=(h, w, d))
        features = features.astype(np.float32)
        tree = build_tree(features)
        same_nodes(node_costs(tree.children, tree.cost), node_costs(*by_sklearn(features)))

    @pytest.mark.parametrize("name", PHOTOS)
    def test_photos(self, name, node_costs):
        features = ColorTexture(long_side=192)(PHOTOS[name]())
        ours = node_costs(*(lambda tree: (tree.children, tree.cost))(build_tree(features)))
        same_nodes(ours, node_costs(*by_higra(features, 4)))
        same_nodes(ours, node_costs(*by_sklearn(features)))

    def test_costs_hold_on_a_large_smooth_grid_far_from_zero(self, field, node_costs):
        """Rounding errors of means must not add up, for few channels (float64 means) and for many."""
        for d in (3, 48):
            features = field(48, 64, d, noise=0.02) + np.float32(3)
            tree = build_tree(features)
            same_nodes(node_costs(tree.children, tree.cost), node_costs(*by_higra(features, 4)))

    @pytest.mark.parametrize("linkage", PRICES)
    @pytest.mark.parametrize("connectivity", [0, 4, 8])
    @pytest.mark.parametrize("d", [2, 40])
    def test_every_linkage_from_its_definition(self, linkage, connectivity, d, node_costs):
        for seed, (h, w) in enumerate([(5, 6), (1, 14), (9, 3)]):
            features = np.random.default_rng(seed).normal(0.5, 1, (h, w, d)).astype(np.float32)
            tree = build_tree(features, connectivity=connectivity, linkage=linkage)
            children, costs = slow_tree(features, connectivity, PRICES[linkage])
            np.testing.assert_array_equal(np.sort(tree.children, 1), children)
            np.testing.assert_allclose(tree.cost, costs, rtol=1e-5)

    def test_without_connectivity_as_scipy(self, field, node_costs):
        features = field(12, 13, 6)
        vectors = features.reshape(-1, 6).astype(np.float64)
        for ours, theirs, metric in (("average", "average", "sqeuclidean"), ("cosine", "average", "cosine")):
            tree = build_tree(features, connectivity=0, linkage=ours)
            table = scipy_linkage(cdist(vectors, vectors, metric)[np.triu_indices(156, 1)], theirs)
            same_nodes(node_costs(tree.children, tree.cost), node_costs(table[:, :2].astype(int), table[:, 2]))


class TestTies:
    """Equal costs: nothing cheaper is passed over, and ids decide."""

    @staticmethod
    def exact_costs(features, tree, connectivity):
        """For every merge (all adjacent (cost, smaller id, larger id), the chosen one), in rational arithmetic."""
        h, w, d = features.shape
        links = list(neighbours(h, w, connectivity))
        regions = {leaf: [leaf] for leaf in range(h * w)}
        total = dict(enumerate(features.reshape(h * w, d).astype(int).tolist()))

        def cost(a, b):
            size_a, size_b = len(regions[a]), len(regions[b])
            square = sum((size_b * x - size_a * y) ** 2 for x, y in zip(total[a], total[b], strict=True))
            return Fraction(square, size_a * size_b * (size_a + size_b))

        for node, pair in enumerate(tree.children.tolist(), h * w):
            a, b = sorted(pair)
            yield [(cost(a, b), a, b) for a, b in touching(regions, links)], (cost(a, b), a, b)
            regions[node] = regions.pop(a) + regions.pop(b)
            total[node] = [x + y for x, y in zip(total.pop(a), total.pop(b), strict=True)]

    @settings(max_examples=40, deadline=None)
    @given(
        hnp.arrays(np.int8, st.tuples(st.integers(1, 5), st.integers(2, 5), st.integers(1, 3))),
        st.sampled_from([4, 8]),
    )
    def test_integer_features_never_pass_over_a_cheaper_pair(self, features, connectivity):
        features = (features % 3).astype(np.float32)
        tree = build_tree(features, connectivity=connectivity)
        for i, (pairs, chosen) in enumerate(self.exact_costs(features, tree, connectivity)):
            assert chosen[0] <= min(pairs)[0] * (1 + Fraction(1, 10**9))
            if chosen[0] == 0:  # sums are exact then, and so is the tie
                assert chosen == min(pairs)
            assert tree.cost[i] == pytest.approx(float(chosen[0]), rel=1e-6)

    @settings(max_examples=25, deadline=None)
    @given(st.integers(1, 7), st.integers(2, 7), st.sampled_from([4, 8]), st.sampled_from([1, 40]))
    def test_constant_features_merge_by_id(self, h, w, connectivity, d):
        features = np.full((h, w, d), 0.3, np.float32)
        tree = build_tree(features, connectivity=connectivity)
        children, _ = slow_tree(features, connectivity, lambda one, two: 0)
        np.testing.assert_array_equal(tree.children, children)
        np.testing.assert_array_equal(tree.cost, 0)

    def test_equal_costs_above_zero_merge_by_id(self):
        features = np.array([0, 1, 9, 8, 20, 21, 40, 41], np.float32).reshape(1, 8, 1)
        pairs = build_tree(features).children[:4]
        np.testing.assert_array_equal(pairs, [[0, 1], [2, 3], [4, 5], [6, 7]])
        square = np.array([[[0], [1]], [[1], [2]]], np.float32)  # all four edges cost the same
        np.testing.assert_array_equal(build_tree(square).children[0], [0, 1])


class TestUnusualInput:
    @pytest.mark.parametrize("shape", [(1, 1, 3), (1, 2, 1), (2, 1, 5), (1, 9, 2), (9, 1, 2), (2, 2, 1)])
    @pytest.mark.parametrize("connectivity", [0, 4, 8])
    @pytest.mark.parametrize("linkage", PRICES)
    def test_small_grids(self, shape, connectivity, linkage):
        features = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        tree = build_tree(features, connectivity=connectivity, linkage=linkage)
        assert tree.grid == shape[:2]
        assert tree.area[tree.root] == shape[0] * shape[1]
        assert tree.mask(tree.root).all()

    @pytest.mark.parametrize("linkage", PRICES)
    @pytest.mark.parametrize("connectivity", [0, 4])
    def test_zero_features(self, linkage, connectivity):
        tree = build_tree(np.zeros((3, 4, 2), np.float32), connectivity=connectivity, linkage=linkage)
        np.testing.assert_array_equal(tree.cost, 0)

    def test_a_zero_vector_is_half_way_to_all_in_cosine(self):
        tree = build_tree(np.array([[[0.0, 0.0], [0.0, 3.0]]]), linkage="cosine")
        assert tree.cost.tolist() == [0.5]

    @pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_not_finite(self, wrong, dtype):
        features = np.zeros((4, 5, 3), dtype)
        features[2, 3, 1] = wrong
        with pytest.raises(TreeError, match=r"NaN or infinity.* row 2, column 3.*extractor"):
            build_tree(features)

    @pytest.mark.parametrize("shape", [(4,), (4, 5), (1, 4, 5, 3), (0, 5, 3), (4, 0, 3), (4, 5, 0)])
    def test_wrong_shape(self, shape):
        with pytest.raises(TreeError, match=r"shape \(.*give h x w x d"):
            build_tree(np.zeros(shape, np.float32))

    @pytest.mark.parametrize("array", [np.zeros((2, 2, 1), complex), np.zeros((2, 2, 1), bool), [[["a"]]]])
    def test_wrong_type(self, array):
        with pytest.raises(TreeError, match="real numbers"):
            build_tree(array)

    def test_wrong_settings(self):
        features = np.zeros((2, 2, 1), np.float32)
        with pytest.raises(TreeError, match=r"connectivity 6 .*give 0, 4 or 8"):
            build_tree(features, connectivity=6)
        with pytest.raises(TreeError, match=r"'single': .*ward, average or cosine"):
            build_tree(features, linkage="single")

    def test_too_many_for_all_pairs(self):
        with pytest.raises(TreeError, match="20100 patches are over 20000; use 4 or 8"):
            build_tree(np.zeros((150, 134, 1), np.float32), connectivity=0)

    @pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int32, np.uint8])
    @pytest.mark.parametrize("d", [3, 40])
    def test_other_number_types_give_the_tree_of_float32(self, dtype, d):
        features = np.random.default_rng(3).integers(0, 200, (9, 8, d)).astype(dtype)
        tree, expected = build_tree(features), build_tree(features.astype(np.float32))
        np.testing.assert_array_equal(tree.children, expected.children)
        np.testing.assert_array_equal(tree.cost, expected.cost)

    @pytest.mark.parametrize("d", [4, 40])
    @pytest.mark.parametrize("linkage", PRICES)
    @pytest.mark.parametrize("exponent", [-140, -100, -60, 40, 50])
    def test_size_does_not_matter(self, d, linkage, exponent, field):
        """Squares of 1e-20 and 1e20 are beyond float32; the tree must be that of the same features near 1."""
        features = field(10, 11, d)
        tree, expected = (
            build_tree(features * np.float32(2.0**exponent), linkage=linkage),
            build_tree(features, linkage=linkage),
        )
        if exponent > -130:  # below, float32 itself has few digits
            np.testing.assert_array_equal(tree.children, expected.children)
            factor = 1 if linkage == "cosine" else 4.0**exponent
            np.testing.assert_allclose(tree.cost, expected.cost * factor, rtol=1e-6, atol=1e-44)
        else:
            assert (tree.area[tree.root - 3 :] < 110).any()

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_costs_beyond_float32_are_refused(self, dtype, field):
        features = field(5, 5, 40).astype(dtype) * dtype(1e30)
        with pytest.raises(TreeError, match=r"as large as .*e\+3\d .*scale them down"):
            build_tree(features)
        assert build_tree(features, linkage="cosine").cost.max() <= 2
        if dtype == np.float64:
            with pytest.raises(TreeError, match="scale them down"):
                build_tree(features * 1e200)
            assert np.isfinite(build_tree(features * 1e-290).cost).all()

    def test_views_and_orders_of_memory(self, field):
        features = field(8, 9, 6)
        expected = build_tree(features).children
        np.testing.assert_array_equal(build_tree(np.asfortranarray(features)).children, expected)
        np.testing.assert_array_equal(build_tree(np.repeat(features, 2, axis=1)[:, ::2]).children, expected)

    @pytest.mark.parametrize("linkage", PRICES)
    @pytest.mark.parametrize("connectivity", [0, 4, 8])
    def test_repeats_itself_and_leaves_its_input_alone(self, linkage, connectivity, field):
        features = field(9, 7, 40)
        before = features.copy()
        features.flags.writeable = False
        one, two = (build_tree(features, connectivity=connectivity, linkage=linkage) for _ in range(2))
        np.testing.assert_array_equal(one.children, two.children)
        np.testing.assert_array_equal(one.cost, two.cost)
        np.testing.assert_array_equal(features, before)


def test_image_size_is_the_grid_unless_given():
    features = np.zeros((3, 4, 1), np.float32)
    assert build_tree(features).image_size == (3, 4)
    assert build_tree(features, (30, 41)).image_size == (30, 41)


def test_more_channels_than_float64_means_take():
    """The tests above cover both sides of the switch only as long as it lies between their sizes."""
    assert 8 <= kernel.FEW < 40
