"""`MergeTree` against sets of leaves."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickgrain.errors import ImageError, TreeError
from clickgrain.tree import MergeTree, build_tree, snap

GRIDS = st.tuples(st.integers(1, 5), st.integers(1, 6))
SEEDS = st.integers(0, 2**32 - 1)


class Naive:
    """A tree as sets of leaves, and the definitions of everything that is asked of it."""

    def __init__(self, children, n):
        self.n, self.sets = n, [frozenset([leaf]) for leaf in range(n)]
        for a, b in children:
            self.sets.append(self.sets[a] | self.sets[b])

    def level(self, node):
        if node < self.n and self.n > 1:
            return 0.0
        remaining = 2 * self.n - 1 - node  # regions left after the merge that makes `node`
        return 1.0 if self.n == 1 else 1 - np.log(remaining) / np.log(self.n)

    def path(self, node):
        return [i for i in range(node, len(self.sets)) if self.sets[node] <= self.sets[i]]

    def lca(self, a, b):
        return min(i for i, leaves in enumerate(self.sets) if self.sets[a] | self.sets[b] <= leaves)

    def cut(self, k):
        """Labels by raster order of the k regions that exist before the last k-1 merges."""
        made = self.sets[: 2 * self.n - k]
        tops = {leaf: max(made, key=lambda region: (leaf in region) * len(region)) for leaf in range(self.n)}
        names = {}
        return [names.setdefault(tops[leaf], len(names)) for leaf in range(self.n)]


@pytest.fixture(scope="session")
def make(random_children):
    def make(grid, seed, image_size=None):
        n = grid[0] * grid[1]
        children = random_children(n, seed)
        cost = np.random.default_rng(seed).random(n - 1)
        return MergeTree(children, cost, grid, image_size), Naive(children, n)

    return make


class TestNodes:
    @settings(max_examples=40, deadline=None)
    @given(GRIDS, SEEDS)
    def test_areas_masks_and_leaves(self, make, grid, seed):
        tree, naive = make(grid, seed)
        assert (tree.n_leaves, tree.n_nodes, tree.root) == (naive.n, len(naive.sets), len(naive.sets) - 1)
        assert [tree.area.dtype, tree.order.dtype, tree.start.dtype, tree.parent.dtype] == [np.int32] * 4
        for node, leaves in enumerate(naive.sets):
            assert tree.area[node] == len(leaves)
            assert set(tree.leaves(node).tolist()) == leaves
            mask = tree.mask(node)
            assert mask.shape == grid
            assert mask.dtype == bool
            assert set(np.flatnonzero(mask).tolist()) == leaves
            run = tree.order[tree.start[node] : tree.start[node] + tree.area[node]]
            assert set(run.tolist()) == leaves

    @settings(max_examples=40, deadline=None)
    @given(GRIDS, SEEDS)
    def test_levels(self, make, grid, seed):
        """1 - ln k / ln n for the merge that leaves k regions of n leaves."""
        tree, naive = make(grid, seed)
        assert tree.level.dtype == np.float32
        expected = [naive.level(node) for node in range(tree.n_nodes)]
        np.testing.assert_allclose(tree.level, expected, atol=1e-7)
        assert tree.level[tree.root] == 1
        assert (np.diff(tree.level[tree.n_leaves - 1 :]) > 0).all()

    @settings(max_examples=40, deadline=None)
    @given(GRIDS, SEEDS)
    def test_parents_siblings_and_ancestors(self, make, grid, seed):
        tree, naive = make(grid, seed)
        for node in range(tree.n_nodes):
            assert tree.ancestors(node).tolist() == naive.path(node)
            if node == tree.root:
                assert tree.parent[node] == -1
                continue
            up = tree.parent[node]
            assert naive.sets[tree.siblings(node)] == naive.sets[up] - naive.sets[node]

    def test_the_root_has_no_sibling(self, make):
        tree, _ = make((2, 3), 0)
        with pytest.raises(TreeError, match="node 10 is the root"):
            tree.siblings(10)

    @pytest.mark.parametrize("node", [-1, 11, 10**9])
    @pytest.mark.parametrize("ask", ["mask", "leaves", "siblings", "ancestors"])
    def test_nodes_that_do_not_exist(self, make, ask, node):
        tree, _ = make((2, 3), 0)
        with pytest.raises(TreeError, match=rf"node {node} does not exist.*0\.\.10"):
            getattr(tree, ask)(node)

    def test_half_a_node_does_not_exist(self, make):
        with pytest.raises(TreeError, match=r"node 1\.5 does not exist"):
            make((2, 3), 0)[0].mask(1.5)


class TestCuts:
    @settings(max_examples=40, deadline=None)
    @given(GRIDS, SEEDS, st.data())
    def test_k_regions_numbered_in_raster_order(self, make, grid, seed, data):
        tree, naive = make(grid, seed)
        k = data.draw(st.integers(1, tree.n_leaves))
        labels = tree.cut(k)
        assert labels.shape == grid
        assert labels.dtype == np.int32
        assert labels.ravel().tolist() == naive.cut(k)
        assert labels.max() == k - 1

    @pytest.mark.parametrize("k", [0, -3, 7])
    def test_impossible_cuts(self, make, k):
        with pytest.raises(TreeError, match=rf"{k} regions.*6 leaves.*1\.\.6"):
            make((2, 3), 0)[0].cut(k)


class TestPoints:
    @settings(max_examples=40, deadline=None)
    @given(GRIDS, st.tuples(st.integers(1, 40), st.integers(1, 40)), SEEDS, st.data())
    def test_leaf_under_a_pixel(self, make, grid, image_size, seed, data):
        tree, _ = make(grid, seed, image_size)
        (h, w), (height, width) = grid, image_size
        x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
        # the leaf whose square holds the pixel's centre
        row, column = ((2 * y + 1) * h) // (2 * height), ((2 * x + 1) * w) // (2 * width)
        assert tree.leaf_at(x, y) == row * w + column
        assert tree.path(x, y).tolist() == tree.ancestors(row * w + column).tolist()
        assert tree.leaves_at([[x, y], [0, 0]]).tolist() == [row * w + column, tree.leaf_at(0, 0)]

    def test_fractions_up_to_the_far_edge(self, make):
        tree, _ = make((3, 4), 0, (30, 40))
        assert tree.leaf_at(39.99, 29.99) == 11
        assert tree.leaf_at(9.4, 9.4) == 0
        assert tree.leaf_at(9.6, 9.4) == 1

    @pytest.mark.parametrize("point", [(-0.1, 3), (40, 3), (3, -1), (3, 30), (np.nan, 3), (3, np.inf)])
    def test_points_outside(self, make, point):
        tree, _ = make((3, 4), 0, (30, 40))
        for ask in (
            lambda: tree.leaf_at(*point),
            lambda: tree.path(*point),
            lambda: tree.node_at(*point, 0.5),
            lambda: tree.level_map([(1, 1), point]),
        ):
            with pytest.raises(TreeError, match=r"point \(.*outside the image of 40 x 30 pixels \(x, y\)"):
                ask()

    @settings(max_examples=40, deadline=None)
    @given(GRIDS, SEEDS, st.floats(0, 1), st.data())
    def test_largest_node_up_to_a_level(self, make, grid, seed, level, data):
        tree, naive = make(grid, seed)
        leaf = data.draw(st.integers(0, tree.n_leaves - 1))
        below = [node for node in naive.path(leaf) if tree.level[node] <= np.float32(level)]
        expected = below[-1] if below else leaf
        assert tree.node_at(leaf % grid[1], leaf // grid[1], level) == expected
        assert tree.node_at(leaf % grid[1], leaf // grid[1], 1.0) == tree.root

    @pytest.mark.parametrize("level", [-0.1, 1.1, np.nan])
    def test_levels_outside(self, make, level):
        with pytest.raises(TreeError, match=rf"level {level} .*0 .* 1"):
            make((2, 3), 0)[0].node_at(0, 0, level)

    @settings(max_examples=40, deadline=None)
    @given(GRIDS, SEEDS, st.data())
    def test_level_map_is_the_distance_to_the_nearest_point(self, make, grid, seed, data):
        tree, naive = make(grid, seed)
        leaves = data.draw(st.lists(st.integers(0, tree.n_leaves - 1), min_size=1, max_size=4))
        points = [(leaf % grid[1], leaf // grid[1]) for leaf in leaves]
        joined = tree.level_map(points)
        assert joined.dtype == np.float32
        expected = [min(naive.level(naive.lca(leaf, other)) for other in leaves) for leaf in range(naive.n)]
        np.testing.assert_allclose(joined.ravel(), expected, atol=1e-7)

    def test_level_map_of_no_points_is_one(self, make):
        np.testing.assert_array_equal(make((2, 3), 0)[0].level_map([]), np.ones((2, 3)))


class TestRefused:
    """Arrays that are no merge tree."""

    @pytest.mark.parametrize(
        "children",
        [
            [[0, 1], [0, 2], [4, 3]],  # a leaf twice
            [[0, 1], [5, 2], [4, 3]],  # a node before it is made
            [[0, 4], [1, 2], [5, 3]],  # a node of itself
            [[0, 1], [2, -3], [4, 5]],
            [[0, 1], [2, 3], [4, 6]],
            [[0, 0], [1, 1], [2, 3]],
        ],
    )
    def test_children(self, children):
        with pytest.raises(TreeError, match="do not form a merge tree"):
            MergeTree(children, np.zeros(3), (2, 2))

    @pytest.mark.parametrize("merges", [0, 2, 4])
    def test_number_of_merges(self, merges):
        with pytest.raises(TreeError, match=rf"2 x 2 grid needs 3 merges.*\({merges}, 2\)"):
            MergeTree(np.zeros((merges, 2)), np.zeros(merges), (2, 2))

    def test_number_of_costs_and_odd_shapes(self):
        children = [[0, 1], [2, 3], [4, 5]]
        with pytest.raises(TreeError, match=r"costs of shape \(2,\)"):
            MergeTree(children, np.zeros(2), (2, 2))
        with pytest.raises(TreeError, match=r"children of shape \(5,\)"):
            MergeTree([0, 1, 2, 3, 4], np.zeros(3), (2, 2))
        with pytest.raises(TreeError, match=r"children of shape \(2, 3\)"):
            MergeTree(np.arange(6).reshape(2, 3), np.zeros(3), (2, 2))

    @pytest.mark.parametrize("grid", [(0, 3), (-2, -2)])
    def test_grids(self, grid):
        with pytest.raises(TreeError, match=rf"{grid[0]} x {grid[1]}"):
            MergeTree(np.zeros((3, 2)), np.zeros(3), grid)

    @pytest.mark.parametrize("size", [(0, 10), (10, -1)])
    def test_image_sizes(self, size):
        with pytest.raises(TreeError, match=rf"{size[1]} x {size[0]} pixels"):
            MergeTree([[0, 1]], [0.0], (1, 2), size)


def test_arrays_are_of_the_promised_types():
    tree = MergeTree([(0, 1), (2, 3), (4, 5)], [1, 2, 3], (2, 2), (np.int64(20), np.int64(30)))
    assert tree.children.dtype == np.int32
    assert tree.cost.dtype == np.float32
    assert tree.image_size == (20, 30)
    assert repr(tree) == "MergeTree(2 x 2 leaves, image 30 x 20)"


class TestUpsample:
    """Patches of 8 pixels; the edges of the picture run through the middle of patches."""

    @pytest.fixture
    def picture(self):
        def draw(inside):
            y, x = np.mgrid[:64, :80]
            truth = inside(x, y)
            noise = np.random.default_rng(0).normal(0, 3, (64, 80, 3))
            image = np.where(truth[..., None], (200, 120, 60), (60, 90, 160)) + noise
            image = image.clip(0, 255).astype(np.uint8)
            patches = image.reshape(8, 8, 10, 8, 3).mean((1, 3)).astype(np.float32)
            return image, truth, build_tree(patches, (64, 80))

        return draw

    @pytest.mark.parametrize(
        "inside",
        [
            lambda x, y: x < 27,
            lambda x, y: y >= 37,
            lambda x, y: x + y < 60,
            lambda x, y: np.hypot(x - 42, y - 30) < 21,
        ],
        ids=["left", "bottom", "corner", "disk"],
    )
    def test_edges_are_those_of_the_image(self, picture, inside):
        image, truth, tree = picture(inside)
        overlap = [
            (tree.mask(node) & truth[4::8, 4::8]).sum() / (tree.mask(node) | truth[4::8, 4::8]).sum()
            for node in range(tree.n_nodes)
        ]
        node = int(np.argmax(overlap))
        fine = tree.upsample(node, image)
        plain = cv2.resize(tree.mask(node).astype(np.float32), (80, 64), interpolation=cv2.INTER_LINEAR)
        assert fine.shape == (64, 80)
        assert fine.dtype == np.float32
        assert fine.min() >= 0
        assert fine.max() <= 1
        assert np.abs(fine - truth).mean() < 0.6 * np.abs(plain - truth).mean()
        assert ((fine > 0.5) != truth).sum() < 0.6 * ((plain > 0.5) != truth).sum()

    def test_without_edges_the_border_is_smooth(self, picture):
        _, _, tree = picture(lambda x, y: x < 40)
        left = tree.node_at(3, 3, float(np.nextafter(np.float32(1), np.float32(0))))
        assert tree.mask(left).sum() == 40
        soft = tree.upsample(left, np.full((64, 80, 3), 128, np.uint8))
        assert ((soft > 0.1) & (soft < 0.9)).mean() > 0.05
        assert (np.diff(soft, axis=1) <= 1e-4).all()
        assert np.abs(np.diff(soft, axis=1)).max() < 0.2  # no staircase

    def test_root_is_one_everywhere(self, picture):
        image, _, tree = picture(lambda x, y: x < 27)
        np.testing.assert_allclose(tree.upsample(tree.root, image), 1, atol=1e-3)

    def test_one_leaf_per_pixel_needs_no_upsampling(self):
        values = np.array([[0, 1, 0.5]], np.float32)
        np.testing.assert_array_equal(snap(values, np.zeros((1, 3, 3), np.uint8)), values)

    def test_another_image(self, picture):
        image, _, tree = picture(lambda x, y: x < 27)
        with pytest.raises(TreeError, match=r"image is 64 x 80 pixels .* image of\s80 x 64; pass the image"):
            tree.upsample(0, image.transpose(1, 0, 2))
        with pytest.raises(TreeError, match="does not exist"):
            tree.upsample(tree.n_nodes, image)
        with pytest.raises(ImageError, match="uint8"):
            tree.upsample(0, image / 255)
