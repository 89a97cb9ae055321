import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickgrain.clicks.centre import (
    CENTRE_MAPS,
    MAX_AREA,
    MIN_AREA,
    Crop,
    Evidence,
    _outlines,
    ball_ranks,
    centre_map,
    centre_maps,
    nested_regions,
    path_ranks,
    weighed,
)
from clickgrain.clicks.leaf_maps import Leaves
from clickgrain.tree import build_tree
from clickgrain.types import Prompt, Scribble

IDENTITY = np.array([[1.0, 0, 0], [0, 1.0, 0]])


def tree_of(seed, h=7, w=9, d=3):
    return build_tree(np.random.default_rng(seed).random((h, w, d), dtype=np.float32))


def rings(h, w, row, column):
    """Ranks of nested squares around a cell."""
    y, x = np.mgrid[:h, :w]
    return np.maximum(abs(y - row), abs(x - column)).astype(np.int16)


def everywhere(ranks, click, **more):
    return Evidence(click, np.ones(ranks.shape, bool), **more)


class TestPathRanks:
    @settings(max_examples=25, deadline=None)
    @given(st.integers(0, 10**6), st.integers(1, 8), st.integers(1, 8))
    def test_a_leaf_has_the_rank_of_the_first_ancestor_that_holds_it(self, seed, h, w):
        tree = tree_of(seed, h, w)
        leaf = seed % tree.n_leaves
        path = tree.ancestors(leaf)
        holds = np.stack([tree.mask(node) for node in path])
        assert (path_ranks(tree, leaf) == holds.argmax(0)).all()


class TestBallRanks:
    def test_balls_grow_with_the_length(self):
        length = np.random.default_rng(0).random((20, 30)).astype(np.float32)
        ranks = ball_ranks(length)
        order = np.argsort(length.ravel())
        assert (np.diff(ranks.ravel()[order]) >= 0).all()

    def test_balls_hold_geometrically_growing_shares(self):
        length = np.arange(10_000, dtype=np.float32).reshape(100, 100)
        shares = np.cumsum(np.bincount(ball_ranks(length).ravel()))[:-1] / length.size
        assert shares[0] == pytest.approx(MIN_AREA, rel=0.06)
        assert shares[-1] == pytest.approx(MAX_AREA, rel=0.01)
        assert np.allclose(shares[1:] / shares[:-1], (MAX_AREA / MIN_AREA) ** (1 / 23), rtol=0.06)

    def test_one_cell_and_equal_lengths(self):
        assert ball_ranks(np.zeros((1, 1), np.float32)).tolist() == [[0]]
        assert len(np.unique(ball_ranks(np.zeros((5, 5), np.float32)))) == 1


class TestCentreMap:
    def test_the_region_whose_middle_is_clicked_wins(self):
        """A square and a half of it: a click in the square's middle lies at the rim of the half."""
        ranks = np.full((40, 40), 2, np.int16)
        ranks[10:30, 10:30] = 1
        ranks[10:30, 10:21] = 0
        square = centre_map([ranks], everywhere(ranks, (20, 20)))
        half = centre_map([ranks], everywhere(ranks, (20, 15)))
        assert square[20, 28] > 0.9
        assert half[20, 28] < 0.5 < half[20, 12]

    def test_votes_fall_from_region_to_region(self):
        ranks = rings(41, 41, 20, 20)
        found = centre_map([ranks], everywhere(ranks, (20, 20)))
        assert found[20, 20] == pytest.approx(1)
        by_ring = [found[ranks == rank] for rank in range(21)]
        assert all(np.ptp(ring) == 0 for ring in by_ring)
        assert (np.diff([ring[0] for ring in by_ring]) <= 0).all()
        assert found[0, 0] == 0  # the whole crop is never meant

    def test_hierarchies_vote_together(self):
        """The click lies in the middle of the one's regions and at the rim of the other's: the first decides."""
        fits, misfits = rings(41, 41, 20, 20), np.where(np.arange(41)[None] >= 20, 0, 1) + np.zeros((41, 1))
        both = centre_map([fits, misfits.astype(np.int16)], everywhere(fits, (20, 20)))
        alone = centre_map([fits], everywhere(fits, (20, 20)))
        assert np.abs(both - alone).max() < 0.1
        twice = centre_map([fits, fits], everywhere(fits, (20, 20)))
        np.testing.assert_allclose(twice, alone, atol=1e-6)

    def test_other_clicks_change_the_odds(self):
        ranks = rings(41, 41, 20, 20)
        plain = centre_map([ranks], everywhere(ranks, (20, 20)))
        less = centre_map([ranks], everywhere(ranks, (20, 20), negatives=((20, 30),)))
        more = centre_map([ranks], everywhere(ranks, (20, 20), positives=((20, 20), (20, 30))))
        assert less[20, 32] < plain[20, 32] < more[20, 32]

    def test_an_outlined_region_wins_over_its_neighbors(self):
        ranks, strength = rings(41, 41, 20, 20), np.full((41, 41), 0.2, np.float32)
        strength[(ranks == 9) | (ranks == 10)] = 5  # on both sides of the outline of rank 9
        found = centre_map([ranks], everywhere(ranks, (20, 20)), strength)
        by_rank = np.array([found[ranks == rank][0] for rank in range(21)])
        assert np.argmin(np.diff(by_rank)) == 9
        assert by_rank[9] > 2 * by_rank[11]

    def test_where_no_edge_is_outlines_tell_nothing(self):
        ranks = rings(41, 41, 20, 20)
        weights = [
            weighed([ranks], (20, 20), np.ones((41, 41), bool), np.full((41, 41), strength, np.float32))[0][1]
            for strength in (0.0, 1e-9)
        ]
        np.testing.assert_allclose(*weights)
        assert weights[0].sum() > 0

    @pytest.mark.parametrize("seed", range(4))
    def test_outlines_by_masks(self, seed):
        """The same from the mask of every region, pair by pair; the image's border counts as no edge."""
        rng = np.random.default_rng(seed)
        h, w = 6, 8
        ranks, strength = rng.integers(0, 7, (h, w)).astype(np.int16), rng.random((h, w)).astype(np.float32)
        border = np.ones((h, w), bool)
        border[1:-1, 1:-1] = False
        for rank, found in enumerate(_outlines(ranks, strength)):
            mask = ranks <= rank
            pairs = [
                (strength[y, x] + strength[v, u]) / 2
                for y in range(h)
                for x in range(w)
                for v, u in ((y, x + 1), (y + 1, x))
                if v < h and u < w and mask[y, x] != mask[v, u]
            ]
            wanted = sum(pairs) / max(len(pairs) + np.count_nonzero(border & mask), 1)
            assert found == pytest.approx(wanted, abs=1e-6)

    def test_a_correction_stays_where_something_can_be_corrected(self):
        ranks, free = rings(41, 41, 20, 30), np.zeros((41, 41), bool)
        free[:, 25:] = True
        found = centre_map([ranks], Evidence((20, 30), free))
        assert (found[~free] == 0).all()
        assert found[20, 30] > 0

    def test_the_click_itself_counts_even_where_nothing_is_free(self):
        ranks = rings(9, 9, 4, 4)
        found = centre_map([ranks], Evidence((4, 4), np.zeros((9, 9), bool)))
        assert np.flatnonzero(found).tolist() == [4 * 9 + 4]

    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 12), st.booleans())
    def test_it_is_a_probability_for_any_regions(self, seed, h, w, some):
        rng = np.random.default_rng(seed)
        ranks = rng.integers(0, 6, (h, w)).astype(np.int16)
        free = rng.random((h, w)) < 0.5 if some else np.ones((h, w), bool)
        click = (int(rng.integers(h)), int(rng.integers(w)))
        found = centre_map([ranks], Evidence(click, free, (click,), (click,)))
        assert found.shape == (h, w)
        assert np.isfinite(found).all()
        assert 0 <= found.min() <= found.max() <= 1 + 1e-6


class TestCentreMaps:
    def asked(self, points, labels, scribbles=()):
        return Prompt(np.array(points, np.float32).reshape(-1, 2), np.array(labels, np.uint8), None, scribbles)

    def maps(self, prompt, previous=None, names=CENTRE_MAPS):
        tree = tree_of(3, 16, 16)
        crop = Crop(IDENTITY, (16, 16), 1)
        before = np.zeros((16, 16), bool) if previous is None else previous
        lab = np.random.default_rng(1).random((16, 16, 3), dtype=np.float32) * 50
        made = centre_maps(names, crop, prompt, before, Leaves(tree, lab), IDENTITY)
        return dict(zip(names, made))

    def test_a_lone_click_has_no_correction(self):
        found = self.maps(self.asked([(5, 6)], [1]))
        assert found["centre"].any()
        assert found["ball"].any()
        assert not found["correction+"].any()
        assert not found["correction-"].any()

    def test_the_last_clicks_label_chooses_the_correction(self):
        previous = np.zeros((16, 16), bool)
        previous[4:12, 4:12] = True
        for label, name, other in ((1, "correction+", "correction-"), (0, "correction-", "correction+")):
            point = (13, 13) if label else (8, 8)
            found = self.maps(self.asked([(6, 6), point], [1, label]), previous)
            assert found[name].any()
            assert not found[other].any()
            assert not (found[name] > 0)[previous == bool(label)].any()

    def test_several_positives_at_once_say_nothing_of_middles(self):
        stroke = Scribble([[2, 2], [9, 9]], 1)
        for asked in (
            self.asked([(5, 6), (9, 9)], [1, 1]),
            self.asked([(5, 6)], [1], (stroke,)),
            self.asked([], [], (stroke,)),
            self.asked([(3, 3)], [0]),
        ):
            assert not any(one.any() for one in self.maps(asked).values())

    def test_names_choose_and_order(self):
        asked = self.asked([(5, 6)], [1])
        assert list(self.maps(asked, names=("ball",))) == ["ball"]
        assert (self.maps(asked, names=("ball", "centre"))["centre"] == self.maps(asked)["centre"]).all()


class TestView:
    def test_points_fall_into_cells(self):
        crop = Crop(IDENTITY, (6, 8), 4)
        assert crop.cell(np.array([0.0, 0.0], np.float32)) == (0, 0)
        assert crop.cell(np.array([3.0, 4.0], np.float32)) == (1, 0)
        assert crop.cell(np.array([99.0, -5.0], np.float32)) == (0, 7)

    def test_cells_beside_the_picture_lie_in_no_region(self):
        moved = np.array([[1.0, 0, -3], [0, 1.0, 0]])
        seen = Crop(moved, (4, 6), 4).ranks(np.arange(12, dtype=np.int16).reshape(4, 3))
        assert (seen[:, :3] == 12).all()
        assert seen[:, 3:].tolist() == np.arange(12).reshape(4, 3).tolist()


class TestNestedRegions:
    def test_vectors_add_regions_by_cosine_and_distance(self):
        """Two stripes resemble the clicked one; the nearer of them joins first, the rest last."""
        trees = [tree_of(0, 10, 20), tree_of(1, 10, 20)]
        vectors = np.zeros((10, 20, 2), np.float32)
        vectors[..., 0] = 1
        for first in (0, 8, 16):
            vectors[:, first : first + 2] = [0, 1]
        *of_trees, alike = nested_regions(trees, vectors, 5 * 20)
        assert all((ranks == path_ranks(tree, 100)).all() for tree, ranks in zip(trees, of_trees, strict=True))
        own, near, far, other = alike[5, 1], alike[5, 8], alike[5, 16], alike[5, 3]
        assert alike[5, 0] == 0
        assert own < near < far < other

    def test_without_vectors_there_are_the_trees_alone(self):
        trees = [tree_of(0), tree_of(1)]
        assert len(nested_regions(trees, None, 3)) == len(nested_regions(trees, np.zeros((7, 9, 3)), 3)) == 2
