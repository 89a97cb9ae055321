"""Hidden regions: no nodes of the trees that click maps are made of, and the better outlined ones first."""

import cv2
import numpy as np
import pytest

from clickgrain.proposals.config import Sampler
from clickgrain.proposals.sampling import sample_proposals
from clickgrain.training import image_set as module
from clickgrain.training import regions as hidden
from clickgrain.training.regions import CANDIDATES, FINENESS, HiddenRegions, TreeRegions, hidden_regions, outlined
from clickgrain.training.samples import Pools, draw_sample, make_batch

SAMPLER = Sampler("area", min_area=0.02, max_area=0.6)


def iou(one, two):
    return (one & two).sum() / (one | two).sum()


@pytest.fixture
def rng():
    return np.random.default_rng(0)


class TestOutlined:
    @pytest.fixture
    def strength(self):
        """Edges along the outline of a square, 3 cells wide."""
        field = np.zeros((40, 60), np.float32)
        field[9:31, 19:41] = 8.0
        field[12:28, 22:38] = 0.0
        return field

    @staticmethod
    def box(top, bottom, left, right):
        mask = np.zeros((40, 60), np.float32)
        mask[top:bottom, left:right] = 1
        return mask

    def test_a_region_between_edges_beats_one_across_nothing(self, strength):
        assert outlined(self.box(10, 30, 20, 40), strength) > 3
        assert outlined(self.box(14, 26, 24, 36), strength) == 0

    def test_a_gap_of_more_than_a_quarter_counts(self, strength):
        assert outlined(self.box(10, 30, 20, 30), strength) == 0  # its right side runs through the square

    def test_the_border_of_the_picture_is_no_outline(self, strength):
        everything = np.ones((40, 60), np.float32)
        assert outlined(everything, strength) == 0
        strength[:] = 0
        strength[:, 29:31] = 5
        assert outlined(self.box(0, 40, 0, 30), strength) > 3

    def test_a_picture_without_edges(self):
        assert outlined(self.box(10, 30, 20, 40), np.zeros((40, 60), np.float32)) == 0

    def test_it_does_not_depend_on_the_contrast_of_the_picture(self, strength):
        mask = self.box(10, 30, 20, 40)
        assert outlined(mask, strength * 7) == pytest.approx(outlined(mask, strength), rel=1e-5)


class TestRegions:
    def test_leaves_are_finer_and_cover_the_same_picture(self, image_set, rng):
        tree = image_set.tree(0)
        found = hidden_regions(image_set.image(0), tree, rng)
        assert found.grid == (FINENESS * tree.grid[0], FINENESS * tree.grid[1])
        assert found.image_size == tree.image_size
        assert found.strength.shape == found.grid

    def test_leaves_are_never_smaller_than_pixels(self, drawn, make_image_set, rng):
        tiny = make_image_set([drawn(0, 24, 24)])
        assert max(hidden_regions(tiny.image(0), tiny.tree(0), rng).grid) <= 24

    def test_they_are_no_nodes_of_the_trees_that_maps_show(self, drawn, make_image_set):
        """Were all of them among those nodes, every best IoU would be 1."""
        photos = make_image_set([drawn(seed, 144, 192) for seed in range(6)], side=192)
        best = []
        for i in range(photos.photos):
            fine = photos.hidden(i)
            size = fine.grid[::-1]
            seen = [
                np.kron(tree.mask(node), np.ones((FINENESS, FINENESS), bool))[: size[1], : size[0]]
                for tree in (photos.tree(i), photos.edge_tree(i))
                for node in range(tree.n_leaves, tree.n_nodes)
                if tree.area[node] > 4
            ]
            for region in fine.draw(np.random.default_rng(i), 4, SAMPLER):
                best.append(max(iou(region.mask > 0.5, node) for node in seen))
        assert 0.4 < np.median(best) < 0.97

    def test_drawn_ones_are_better_outlined_than_any_nodes(self, image_set):
        gains = []
        for i in range(image_set.photos):
            found = image_set.hidden(i)
            plain = TreeRegions(found.tree)
            mean = [
                np.mean(
                    [outlined(r.mask, found.strength) for r in source.draw(np.random.default_rng(7), 12, SAMPLER)]
                )
                for source in (found, plain)
            ]
            gains.append(mean[0] / mean[1])
        assert min(gains) > 1.1

    def test_best_first_out_of_several(self, image_set, rng, monkeypatch):
        monkeypatch.setattr(hidden, "FAINT", 0.0)
        found = image_set.hidden(1)
        nodes = set(sample_proposals(found.tree, np.random.default_rng(0), 3 * CANDIDATES, SAMPLER).tolist())
        scores = [outlined(region.mask, found.strength) for region in found.draw(rng, 3, SAMPLER)]
        known = [outlined(found.tree.mask(node).astype(np.float32), found.strength) for node in nodes]
        assert scores == sorted(known, reverse=True)[:3]

    def test_none_is_drawn_twice(self, image_set, rng):
        drawn = [region.mask.tobytes() for region in image_set.hidden(0).draw(rng, 30, SAMPLER)]
        assert len(drawn) == len(set(drawn)) > 3

    def test_they_find_the_ellipse(self, make_image_set):
        """On ground of one kind the best outlined region is the thing."""
        image = np.clip(np.random.default_rng(0).normal(90, 6, (96, 96, 1)), 0, 255).astype(np.uint8)
        image = np.ascontiguousarray(image.repeat(3, 2))
        thing = np.zeros((96, 96), np.uint8)
        cv2.ellipse(thing, (50, 44), (26, 18), 20, 0, 360, 1, -1)
        image[thing > 0] = (200, 120, 60)
        found = make_image_set([image]).hidden(0)
        first = found.draw(np.random.default_rng(1), 40, SAMPLER)[0].mask > 0.5
        wanted = cv2.resize(thing.astype(np.float32), found.grid[::-1], interpolation=cv2.INTER_AREA) > 0.5
        assert iou(first, wanted) > 0.8


class TestManySmallThings:
    """Disks on textured ground, under a hundredth of the picture each."""

    @pytest.fixture
    def disks(self):
        rng = np.random.default_rng(5)
        labels = np.zeros((128, 128), np.uint8)
        for k, (y, x) in enumerate(((y, x) for y in range(16, 128, 24) for x in range(16, 128, 24)), 1):
            cv2.circle(labels, (x, y), 6, k, -1)
        texture = cv2.GaussianBlur(rng.normal(0, 40, (128, 128)).astype(np.float32), (0, 0), 1.5)
        image = np.clip(120 + texture + 60 * (labels > 0), 0, 255).astype(np.uint8)
        return np.ascontiguousarray(image[..., None].repeat(3, 2)), labels

    @staticmethod
    def hits(regions, labels):
        things = [labels == k for k in range(1, int(labels.max()) + 1)]
        sized = [cv2.resize(r.mask, labels.shape[::-1], interpolation=cv2.INTER_LINEAR) > 0.5 for r in regions]
        return np.mean([max(iou(mask, thing) for thing in things) > 0.5 for mask in sized])

    def test_they_are_found_although_the_law_asks_for_large_regions(self, disks, make_image_set, monkeypatch):
        image, labels = disks
        found = make_image_set([image], side=128).hidden(0)
        large = Sampler()
        patient = [found.draw(np.random.default_rng(i), 2, large) for i in range(10)]
        monkeypatch.setattr(hidden, "FAINT", 0.0)
        hasty = [found.draw(np.random.default_rng(i), 2, large) for i in range(10)]
        assert np.mean([self.hits(regions, labels) for regions in hasty]) == 0
        assert np.mean([self.hits(regions, labels) for regions in patient]) > 0.5

    def test_where_something_stands_out_nobody_looks_further(self, make_image_set, monkeypatch):
        image = np.full((96, 96, 3), 90, np.uint8)
        image[20:70, 30:80] = (200, 120, 60)
        found = make_image_set([image]).hidden(0)
        monkeypatch.setattr(hidden, "MANY", 0)  # would find nothing
        assert found.draw(np.random.default_rng(0), 40, SAMPLER)

    def test_all_targets_are_hidden_regions_there(self, disks, make_image_set, settings, monkeypatch):
        large = np.random.default_rng(0).normal(90, 2, (128, 128, 3)).clip(0, 255).astype(np.uint8)
        large[20:80, 30:90] += 80
        large[90:120, 10:60] += 40
        photos, asked, real = make_image_set([disks[0], large], side=128), [], module.ImageSet.source
        monkeypatch.setattr(
            module.ImageSet, "source", lambda self, i, kind: asked.append((i, kind)) or real(self, i, kind)
        )
        assert (photos.is_flat(0), photos.is_flat(1)) == (True, False)
        args = settings({"hidden": 1e-6, "composites": 0.0})
        make_batch(photos, [0, 1], args.data, args.clicks, seed=0, step=0, count=20)
        assert {kind for i, kind in asked if i == 0} == {"hidden"}
        assert {kind for i, kind in asked if i == 1} == {"features"}

    def test_the_law_stays_where_it_asks_for_small_regions(self, disks, make_image_set):
        found = make_image_set([disks[0]], side=128).hidden(0)
        narrow = Sampler("area", min_area=0.004, max_area=0.02)
        areas = [r.mask.mean() for i in range(5) for r in found.draw(np.random.default_rng(i), 3, narrow)]
        assert 0.004 < min(areas) <= max(areas) <= 0.02


class TestImageSet:
    def test_found_when_asked_for_and_kept(self, fresh, monkeypatch):
        calls, real = [], module.hidden_regions
        monkeypatch.setattr(module, "hidden_regions", lambda *given: calls.append(given[0].shape) or real(*given))
        assert calls == []
        assert fresh.hidden(2) is fresh.hidden(2)
        assert calls == [fresh.image(2).shape]

    def test_a_function_of_the_picture_and_its_number(self, image_set, fresh):
        one, two = (each.hidden(3) for each in (image_set, fresh))
        np.testing.assert_array_equal(one.tree.children, two.tree.children)

    def test_other_sources_stay_as_they_are(self, fresh):
        other = TreeRegions(fresh.tree(0))
        fresh.regions = lambda i: other
        assert fresh.source(0, "hidden") is other


class TestSamples:
    @pytest.fixture
    def asked(self, monkeypatch):
        asked, real = [], module.ImageSet.source
        monkeypatch.setattr(
            module.ImageSet, "source", lambda self, i, kind: asked.append(kind) or real(self, i, kind)
        )
        return asked

    @pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
    def test_the_share_is_the_share(self, mixed, settings, asked, share):
        args = settings({"hidden": share, "edges": 0.5})
        make_batch(mixed, range(7), args.data, args.clicks, seed=0, step=0, count=150)
        assert abs(np.mean([kind == "hidden" for kind in asked]) - share) < 0.1

    def test_targets_are_these_regions(self, image_set, settings, monkeypatch):
        drawn = []
        real = HiddenRegions.draw

        def noted(self, *given):
            drawn.append(real(self, *given))
            return drawn[-1]

        monkeypatch.setattr(HiddenRegions, "draw", noted)
        args = settings({"hidden": 1.0, "composites": 0.0, "masks_per_image": 1, "rotate": 0.0})
        pools = Pools([0, 1, 2, 3], [], [], [])
        sample = draw_sample(image_set, pools, args.data, args.clicks, np.random.default_rng(0))
        (target,) = sample.targets
        assert drawn
        assert target.level in [region.level for region in drawn[-1]]
