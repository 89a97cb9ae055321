"""Targets from edge and semantic trees: of photos only, as often as asked for, and none where none is asked for."""

from copy import copy

import cv2
import numpy as np
import pytest

from clickgrain.cut import cut_region
from clickgrain.errors import ConfigError
from clickgrain.training import image_set as module
from clickgrain.training import samples
from clickgrain.training.config import DataArgs, load_recipe
from clickgrain.training.regions import TreeRegions
from clickgrain.training.samples import Pools, draw_sample, make_batch

PHOTOS = [0, 1, 2, 3]


@pytest.fixture
def edge_settings(settings):
    def make(edges, **data):
        return settings({"edges": edges, "composites": 0.0, "masks_per_image": 1} | data)

    return make


@pytest.fixture
def batch_of(edge_settings):
    def make(image_set, edges, pictures=PHOTOS, count=40, **data):
        args = edge_settings(edges, **data)
        return make_batch(image_set, pictures, args.data, args.clicks, seed=0, step=0, count=count)

    return make


@pytest.fixture
def made(monkeypatch):
    """Grids and image sizes of the edge trees that are made."""
    real, calls = module.edge_tree, []

    def noted(image, grid, image_size=None):
        calls.append((image.shape[:2], grid))
        return real(image, grid, image_size)

    monkeypatch.setattr(module, "edge_tree", noted)
    return calls


def distance(sample, image_set, tree):
    """Mean difference of the target from the nearest of the tree's outlined nodes, seen through the crop."""
    (target,), image = sample.targets, image_set.image(sample.image)
    differences, flags = [], cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    for node in range(tree.n_leaves, tree.n_nodes):
        outlined = cut_region(tree.mask(node).astype(np.float32), image).astype(np.float32)
        how = {"flags": flags, "borderMode": cv2.BORDER_REPLICATE}
        seen = cv2.warpAffine(outlined, sample.to_image, target.mask.shape, **how) * sample.valid
        differences.append(np.abs(seen - target.mask).mean())
    return min(differences)


class TestImageSet:
    def test_trees_are_made_when_asked_for_and_kept(self, fresh, made):
        assert made == []
        tree = fresh.edge_tree(2)
        assert made == [(fresh.size(2), fresh.tree(2).grid)]
        assert fresh.edge_tree(2) is tree
        assert (tree.grid, tree.image_size) == (fresh.tree(2).grid, fresh.tree(2).image_size)
        assert not np.array_equal(tree.children, fresh.tree(2).children)

    def test_composites_have_one_too(self, mixed):
        tree = mixed.edge_tree(mixed.photos)
        assert tree.grid == mixed.tree(mixed.photos).grid


class TestSamples:
    @pytest.mark.parametrize("shares", [(0.0, 0.0), (1.0, 0.0), (0.3, 1.0)])
    def test_a_target_is_a_node_of_the_tree_asked_for(self, image_set, edge_settings, shares):
        edges, semantic = shares
        args = edge_settings(edges, semantic=semantic)
        tree_of = image_set.semantic_tree if semantic else image_set.edge_tree if edges else image_set.tree
        for seed in range(4):
            sample = draw_sample(
                image_set, Pools(list(PHOTOS), [], [], []), args.data, args.clicks, np.random.default_rng(seed)
            )
            assert distance(sample, image_set, tree_of(sample.image)) == 0
            assert sample.targets[0].level is not None

    @pytest.fixture
    def asked(self, monkeypatch):
        """Whether the edge tree was meant, each time that somebody asked for a source of targets."""
        asked, real = [], module.ImageSet.source
        monkeypatch.setattr(
            module.ImageSet, "source", lambda self, i, kind: asked.append(kind == "edges") or real(self, i, kind)
        )
        return asked

    def test_the_share_is_the_share(self, image_set, batch_of, asked):
        batch_of(image_set, 0.3, count=200)
        assert 0.2 < np.mean(asked) < 0.4

    def test_none_is_asked_without(self, image_set, asked, batch_of):
        batch_of(image_set, 0.0)
        assert asked
        assert not any(asked)

    def test_click_maps_see_all_trees(self, image_set, batch_of):
        batch = batch_of(image_set, 0.0, count=4)
        for i, seen in zip(batch.images, batch.shown, strict=True):
            trees = [seen.leaves.tree, seen.leaves.edges, seen.leaves.semantic]
            for tree, wanted in zip(
                trees, (image_set.tree, image_set.edge_tree, image_set.semantic_tree), strict=True
            ):
                assert tree is wanted(i)

    def test_composites_have_none(self, mixed, asked, batch_of):
        batch_of(mixed, 1.0, range(7), composites=1.0, masks_per_image=2)
        assert asked
        assert not any(asked)

    def test_exact_regions_are_not_cut(self, image_set, batch_of, monkeypatch):
        cut = []
        monkeypatch.setattr(samples, "cut_region", lambda *given: cut.append(given) or cut_region(*given))
        source = copy(image_set)
        for exact in (True, False):
            regions = [TreeRegions(image_set.tree(i)) for i in PHOTOS]
            for one in regions:
                one.exact = exact
            source.regions = regions.__getitem__
            batch_of(source, 1.0)
            assert bool(cut) != exact


@pytest.mark.parametrize("name", ["edges", "semantic", "hidden"])
class TestSettings:
    @pytest.mark.parametrize("share", [-0.1, 1.5])
    def test_a_share_is_a_share(self, name, share):
        with pytest.raises(ConfigError, match=f"--data.{name} {share} is outside"):
            DataArgs(**{name: share})

    def test_recipes(self, name):
        shares = [
            getattr(load_recipe(recipe, "cpu").args.data, name) for recipe in ("grain", "grain-small", "paper")
        ]
        wanted = {"edges": [0.3, 0.3, 0.0], "semantic": [0.6, 0.6, 0.0], "hidden": [0.35, 0.35, 0.0]}
        assert shares == wanted[name]
