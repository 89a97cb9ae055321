import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra

from clickgrain.clicks.leaf_maps import (
    GEODESIC_RANGE,
    STEP_FLOOR,
    STEP_LIMIT,
    STEP_UNIT,
    Leaves,
    geodesic,
    leaf_closeness,
    map_to_leaf,
    warp,
)
from clickgrain.tree import MergeTree, build_tree

GRIDS = st.tuples(st.integers(1, 12), st.integers(1, 12))


def lab_field(seed, grid, spread=20.0):
    return np.random.default_rng(seed).normal(50, spread, (*grid, 3)).astype(np.float32)


def unit_field(seed, grid):
    """h x w x 4 random vectors of length 1."""
    vectors = np.random.default_rng(seed).normal(size=(*grid, 4)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def tree_of(seed, grid, image_size=None):
    if grid == (1, 1):
        return MergeTree(np.zeros((0, 2)), np.zeros(0), grid, image_size)
    features = np.random.default_rng(seed).normal(size=(*grid, 4)).astype(np.float32)
    return build_tree(features, image_size or grid)


def oracle_geodesic(lab, leaves):
    """Dijkstra over the 4-connected grid, in float64."""
    h, w = lab.shape[:2]
    number = np.arange(h * w).reshape(h, w)
    pairs = np.concatenate(
        [
            np.stack([number[:, :-1].ravel(), number[:, 1:].ravel()]),
            np.stack([number[:-1].ravel(), number[1:].ravel()]),
        ],
        axis=1,
    )
    colors = lab.reshape(-1, 3).astype(np.float64)
    square = ((colors[pairs[0]] - colors[pairs[1]]) ** 2).sum(1)
    cost = np.minimum(square / STEP_UNIT**2, STEP_LIMIT) + STEP_FLOOR
    graph = coo_matrix((cost, pairs), (h * w, h * w)).tocsr()
    return dijkstra(graph, directed=False, indices=leaves, min_only=True).reshape(h, w)


class TestGeodesic:
    @settings(max_examples=80, deadline=None)
    @given(
        seed=st.integers(0, 2**32 - 1), grid=GRIDS, spread=st.sampled_from([0.0, 1.0, 8.0, 40.0]), data=st.data()
    )
    def test_equals_dijkstra(self, seed, grid, spread, data):
        lab = lab_field(seed, grid, spread)
        leaf = st.integers(0, grid[0] * grid[1] - 1)
        leaves = np.array(data.draw(st.lists(leaf, min_size=1, max_size=5)))
        assert geodesic(lab, leaves) == pytest.approx(oracle_geodesic(lab, leaves), rel=1e-4)

    def test_follows_a_winding_corridor(self):
        """A spiral needs many sweeps."""
        wall = np.zeros((13, 13), bool)
        wall[1::4, :-1] = True
        wall[3::4, 1:] = True
        lab = np.where(wall[..., None], 100, 0).astype(np.float32) * np.ones(3, np.float32)
        found = geodesic(lab, np.array([0]))
        assert found == pytest.approx(oracle_geodesic(lab, [0]), rel=1e-4)
        assert found[12, 12] == pytest.approx((7 * 12 + 12) * STEP_FLOOR, rel=1e-4)  # never through a wall

    def test_is_infinite_without_a_source(self):
        assert np.isposinf(geodesic(lab_field(0, (3, 4)), np.zeros(0, np.int64))).all()

    def test_of_one_leaf_is_zero(self):
        assert geodesic(lab_field(0, (1, 1)), np.array([0])).tolist() == [[0]]

    def test_one_row_adds_its_steps(self):
        lab = np.array([[[0, 0, 0], [10, 0, 0], [10, 5, 0], [99, 0, 0]]], np.float32)
        assert geodesic(lab, np.array([0]))[0] == pytest.approx([0, 1.1, 1.45, 5.55], abs=1e-5)

    def test_leaves_its_input_alone(self):
        lab = lab_field(0, (4, 4))
        before = lab.copy()
        geodesic(lab, np.array([3]))
        assert np.array_equal(lab, before)


class TestLeafCloseness:
    @settings(max_examples=30, deadline=None)
    @given(seed=st.integers(0, 2**32 - 1), grid=GRIDS, n=st.integers(1, 4))
    def test_level_is_that_of_the_lowest_common_ancestor(self, seed, grid, n):
        tree = tree_of(seed, grid, (grid[0] * 5, grid[1] * 3))
        points = np.random.default_rng(seed).uniform(0, (grid[1] * 3 - 1, grid[0] * 5 - 1), (n, 2))
        other, lab = tree_of(seed + 1, grid, tree.image_size), lab_field(seed, grid)
        close = leaf_closeness(Leaves(tree, lab, other), points.astype(np.float32), "level")
        np.testing.assert_array_equal(
            leaf_closeness(Leaves(other, lab, tree), points.astype(np.float32), "edge"), close
        )
        clicked = [tree.leaf_at(*point) for point in points]
        level = [
            min(tree.level[np.intersect1d(tree.ancestors(leaf), tree.ancestors(other))[0]] for other in clicked)
            for leaf in range(tree.n_leaves)
        ]
        assert close.ravel() == pytest.approx(1 - np.array(level), abs=1e-6)

    def test_semantic_is_the_cosine_to_the_most_similar_click_but_never_negative(self):
        vectors = unit_field(3, (6, 5))
        leaves = Leaves(tree_of(1, (6, 5), (60, 50)), lab_field(1, (6, 5)), vectors=vectors)
        close = leaf_closeness(leaves, np.array([[2, 3], [44, 55]], np.float32), "semantic")
        for row, column in ((0, 3), (4, 2)):
            cosines = [float(np.dot(vectors[row, column], vectors[cell])) for cell in ((0, 0), (5, 4))]
            assert close[row, column] == pytest.approx(max(0, *cosines), abs=1e-6)
        assert (close == 0).any()

    def test_geodesic_falls_exponentially(self):
        tree, lab = tree_of(1, (6, 5), (60, 50)), lab_field(1, (6, 5))
        points = np.array([[2, 3], [44, 55]], np.float32)
        close = leaf_closeness(Leaves(tree, lab), points, "geodesic")
        assert close == pytest.approx(np.exp(-oracle_geodesic(lab, [0, 29]) / GEODESIC_RANGE), rel=1e-3)

    @pytest.mark.parametrize("kind", ["level", "geodesic", "edge", "semantic"])
    def test_is_one_at_the_clicks_and_zero_without(self, kind):
        leaves = Leaves(tree_of(2, (6, 5)), lab_field(2, (6, 5)), tree_of(4, (6, 5)), unit_field(2, (6, 5)))
        close = leaf_closeness(leaves, np.array([[2, 3]], np.float32), kind)
        assert close[3, 2] == pytest.approx(1, abs=1e-6)
        assert close.min() >= 0
        assert not leaf_closeness(leaves, np.zeros((0, 2), np.float32), kind).any()

    @pytest.mark.parametrize("kind", ["level", "geodesic", "edge", "semantic"])
    def test_many_points_in_one_leaf_are_one(self, kind):
        other = tree_of(5, (6, 5), (60, 50))
        leaves = Leaves(tree_of(3, (6, 5), (60, 50)), lab_field(3, (6, 5)), other, unit_field(3, (6, 5)))
        once = leaf_closeness(leaves, np.array([[12, 13]], np.float32), kind)
        often = leaf_closeness(leaves, np.array([[12, 13], [17, 18], [12, 13]], np.float32), kind)
        np.testing.assert_allclose(once, often, atol=1e-6)


class TestMapToLeaf:
    @settings(max_examples=150, deadline=None)
    @given(
        grid=GRIDS,
        size=st.tuples(st.integers(12, 90), st.integers(12, 90)),
        stride=st.sampled_from([1, 2, 4, 8]),
        angle=st.floats(0, 6.3),
        scale=st.floats(0.3, 3.0),
        flip=st.booleans(),
        shift=st.tuples(st.floats(-40, 40), st.floats(-40, 40)),
        seed=st.integers(0, 1000),
    )
    def test_agrees_with_leaf_at(self, grid, size, stride, angle, scale, flip, shift, seed):
        """The leaf that a map pixel shows is the leaf under the image point that its centre comes from."""
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        mirror = -1 if flip else 1
        to_image = np.array(
            [[mirror * cos, -sin, size[1] / 2 + shift[0]], [mirror * sin, cos, size[0] / 2 + shift[1]]]
        )
        matrix, tree = map_to_leaf(grid, size, to_image, stride), tree_of(0, grid, size)
        for x, y in np.random.default_rng(seed).integers(-20, 20, (20, 2)):
            work = np.array([x, y]) * stride + (stride - 1) / 2  # middle of the working pixels under the map pixel
            point = to_image @ [*work, 1]
            leaf = matrix @ [x, y, 1]
            inside = (point >= 0).all() and point[0] <= size[1] - 1 and point[1] <= size[0] - 1
            on_a_border = (np.abs(leaf - np.floor(leaf) - 0.5) < 1e-6).any()
            if inside and not on_a_border:
                column, row = np.floor(leaf + 0.5)
                assert tree.leaf_at(*point) == row * grid[1] + column

    def test_plain_patches_meet_at_their_centres(self):
        matrix = map_to_leaf((4, 6), (32, 48), np.eye(3)[:2], stride=2)
        assert matrix @ [1.5, 1.5, 1] == pytest.approx([0, 0])  # 4 x 4 map pixels of 2 px, 8 px patches
        assert matrix @ [5.5, 1.5, 1] == pytest.approx([1, 0])


class TestWarp:
    def test_identity_returns_the_values(self):
        values = lab_field(0, (7, 9))
        assert np.array_equal(warp(values, np.eye(3)[:2], (7, 9)), values)

    def test_whole_steps_move_and_repeat_the_border(self):
        values = np.arange(12, dtype=np.float32).reshape(3, 4)
        moved = warp(values, np.array([[1, 0, 2], [0, 1, -1]], np.float64), (3, 4))
        assert moved.tolist() == [[2, 3, 3, 3], [2, 3, 3, 3], [6, 7, 7, 7]]

    @settings(max_examples=40, deadline=None)
    @given(seed=st.integers(0, 2**32 - 1), size=st.tuples(st.integers(1, 30), st.integers(1, 30)))
    def test_interpolates_bilinearly(self, seed, size):
        """OpenCV rounds coordinates to 1/32 pixel."""
        rng = np.random.default_rng(seed)
        values = rng.random((6, 8, 2)).astype(np.float32)
        matrix = np.concatenate([rng.normal(0, 0.5, (2, 2)), rng.uniform(0, 6, (2, 1))], axis=1)
        y, x = np.mgrid[: size[0], : size[1]]
        at = np.tensordot(matrix, np.stack([x, y, np.ones_like(x)]), 1)[::-1]
        wanted = [map_coordinates(values[..., c], at, order=1, mode="nearest") for c in range(2)]
        found = warp(values, matrix, size)
        assert found.shape == (*size, 2)
        assert found.dtype == np.float32
        assert found == pytest.approx(np.stack(wanted, -1), abs=0.05)
