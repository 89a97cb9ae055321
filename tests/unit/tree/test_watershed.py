"""`edge_tree` against higra's watershed hierarchy by area, and against what a watershed is for."""

import cv2
import higra
import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from clickgrain.errors import ImageError, TreeError
from clickgrain.tree import MergeTree, edge_tree
from clickgrain.tree.watershed import area_watershed, edge_strength

PHOTOS = {"chelsea": skimage.data.chelsea, "coffee": skimage.data.coffee, "rocket": skimage.data.rocket}
strengths = hnp.array_shapes(min_dims=2, max_dims=2, max_side=9).flatmap(
    lambda shape: hnp.arrays(np.float32, shape, elements=st.integers(0, 6))
)


def saliency_by_higra(strength):
    """For every edge, in higra's order, the area at which its two leaves come together."""
    graph = higra.get_4_adjacency_graph(strength.shape)
    weights = higra.weight_graph(graph, strength.astype(np.float64), higra.WeightFunction.mean)
    return graph, higra.saliency(*higra.watershed_hierarchy_by_area(graph, weights))


def saliency_of(tree, graph):
    parents = np.append(tree.parent[:-1], tree.root).astype(np.int64)
    theirs = higra.Tree(parents)
    higra.CptHierarchy.link(theirs, graph)
    return higra.saliency(theirs, np.concatenate([np.zeros(tree.n_leaves), tree.cost]))


def tree_of(strength):
    return MergeTree(*area_watershed(strength), strength.shape)


def squares(n, size=96):
    """n x n squares of one colour, parted by lines of another."""
    image = np.full((size, size, 3), 120, np.uint8)
    for at in range(0, size + 1, size // n):
        image[max(at - 1, 0) : at + 1] = image[:, max(at - 1, 0) : at + 1] = (30, 30, 30)
    return image


class TestOracle:
    """One saliency map is one family of partitions: equal maps are equal partitions at every area."""

    @pytest.mark.parametrize(("h", "w"), [(17, 23), (2, 40), (1, 30), (30, 1), (2, 2)])
    @pytest.mark.parametrize("seed", range(4))
    def test_noise(self, h, w, seed):
        strength = np.random.default_rng(seed).random((h, w)).astype(np.float32)
        graph, expected = saliency_by_higra(strength)
        np.testing.assert_array_equal(saliency_of(tree_of(strength), graph), expected)

    @pytest.mark.parametrize("sigma", [1, 3])
    def test_smooth(self, field, sigma):
        strength = cv2.GaussianBlur(field(40, 31, 1)[..., 0], (0, 0), sigma)
        graph, expected = saliency_by_higra(strength)
        assert expected.max() > 20
        np.testing.assert_array_equal(saliency_of(tree_of(strength), graph), expected)

    @pytest.mark.parametrize("name", PHOTOS)
    def test_photos(self, name):
        image = PHOTOS[name]()
        graph, expected = saliency_by_higra(edge_strength(image, (48, 64)))
        tree = edge_tree(image, (48, 64))
        np.testing.assert_array_equal(saliency_of(tree, graph), expected)
        assert tree.image_size == image.shape[:2]

    @settings(max_examples=60, deadline=None)
    @given(strengths)
    def test_plateaus(self, strength):
        """Few values, many ties: edges of equal weight are taken in the same order."""
        if strength.size > 1:
            graph, expected = saliency_by_higra(strength)
            np.testing.assert_array_equal(saliency_of(tree_of(strength), graph), expected)


class TestTree:
    @settings(max_examples=60, deadline=None)
    @given(
        hnp.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12), st.just(3))),
        st.integers(1, 9),
        st.integers(1, 9),
    )
    def test_any_image_gives_a_tree(self, image, h, w):
        tree = edge_tree(image, (h, w))
        assert (tree.grid, tree.image_size) == ((h, w), image.shape[:2])
        assert tree.area[tree.root] == h * w
        assert (np.diff(tree.cost) >= 0).all()
        assert (np.diff(tree.children, axis=1) > 0).all()
        assert (np.diff(tree.level) >= 0).all()
        for k in {1, (h * w + 1) // 2, h * w}:
            assert len(np.unique(tree.cut(k))) == k

    @settings(max_examples=40, deadline=None)
    @given(strengths)
    def test_every_node_is_connected(self, strength):
        tree = tree_of(strength)
        for node in range(tree.n_nodes):
            assert cv2.connectedComponents(tree.mask(node).astype(np.uint8), connectivity=4)[0] == 2

    @settings(max_examples=40, deadline=None)
    @given(strengths)
    def test_costs_are_at_most_the_smaller_half(self, strength):
        """A basin is part of a side of the merge; it need not be all of it."""
        tree = tree_of(strength)
        assert (2 * tree.cost <= tree.area[tree.n_leaves :]).all()

    def test_a_single_leaf(self):
        tree = edge_tree(PHOTOS["coffee"](), (1, 1))
        assert (tree.n_nodes, tree.level.tolist()) == (1, [1.0])

    @pytest.mark.parametrize("shape", [(1, 40), (40, 1), (1, 1), (24, 30)])
    def test_one_colour(self, shape):
        """Nothing to tell leaves apart: one basin, and everything merges at 0."""
        tree = edge_tree(np.full((*shape, 3), 77, np.uint8), (5, 6))
        np.testing.assert_array_equal(tree.cost, 0)

    def test_repeats_itself_and_leaves_its_input_alone(self):
        image = PHOTOS["chelsea"]()
        before = image.copy()
        one, two = edge_tree(image, (30, 40)), edge_tree(image, (30, 40))
        np.testing.assert_array_equal(one.children, two.children)
        np.testing.assert_array_equal(image, before)

    def test_image_size_of_a_picture_shown_smaller(self):
        image = squares(3)
        tree = edge_tree(cv2.resize(image, (48, 48), interpolation=cv2.INTER_AREA), (24, 24), (96, 96))
        assert tree.image_size == (96, 96)
        assert tree.upsample(tree.root, image).min() > 0.99


class TestWhatItFinds:
    @pytest.mark.parametrize(("n", "grid"), [(2, (24, 24)), (3, (24, 24)), (3, (48, 48)), (3, (20, 33))])
    def test_regions_of_one_colour_parted_by_lines(self, n, grid):
        """Feature means cannot tell them apart; each is a node, up to the leaves on the lines."""
        tree = edge_tree(squares(n), grid)
        labels = tree.cut(n * n)
        h, w = grid
        middles = {
            int(labels[round((i + 0.5) * h / n), round((j + 0.5) * w / n)]) for i in range(n) for j in range(n)
        }
        assert len(middles) == n * n
        assert np.bincount(labels.ravel()).min() > 0.7 * h * w / n**2

    def test_small_basins_go_first_whatever_their_contrast(self):
        strength = np.full((9, 20), 1.0, np.float32)
        strength[:, 9] = 2.0  # a faint line through the whole
        strength[2:7, 2:7] = 9.0  # a strong ring around a small basin
        strength[3:6, 3:6] = 1.0
        tree = tree_of(strength)
        left, right = tree.children[-1]
        halves = sorted([tree.mask(left)[:, :9].mean(), tree.mask(right)[:, :9].mean()])
        assert halves == [0, 1]

    def test_the_size_of_the_picture_hardly_matters(self):
        image = PHOTOS["rocket"]()
        small = cv2.resize(image, (320, 214), interpolation=cv2.INTER_AREA)
        one, two = (edge_tree(picture, (43, 64)).cut(12).ravel() for picture in (image, small))
        table = np.zeros((12, 12))
        np.add.at(table, (one, two), 1)
        assert table.max(0).sum() / table.sum() > 0.8


class TestMistakes:
    @pytest.mark.parametrize("grid", [(0, 5), (5, 0), (-1, 3)])
    def test_an_empty_grid(self, grid):
        with pytest.raises(TreeError, match=f"grid of {grid[0]} x {grid[1]} leaves is empty; give"):
            edge_tree(squares(2), grid)

    @pytest.mark.parametrize(
        "image", [np.zeros((4, 5), np.uint8), np.zeros((4, 5, 3), np.float32), np.zeros((0, 5, 3), np.uint8)]
    )
    def test_no_image(self, image):
        with pytest.raises(ImageError):
            edge_tree(image, (2, 2))
