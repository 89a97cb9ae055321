"""Other sources of pseudo masks: real regions, of the areas that the sampler allows, and training runs on them."""

from copy import copy

import numpy as np
import pytest
from scipy.ndimage import label

from clickgrain.proposals.config import Sampler
from clickgrain.proposals.pipeline import propose
from clickgrain.proposals.store import ProposalStore
from clickgrain.training.prepare import load_image_set
from clickgrain.training.regions import TreeRegions
from clickgrain.training.samples import make_batch
from clickgrain.tree import build_tree
from studies.sources import CUT, BoxRegions, FlatRegions, regions_from, regions_in

SAMPLER = Sampler("area", min_area=0.02, max_area=0.6)
SOURCES = ("felzenszwalb", "slic", "boxes", "cut")


@pytest.fixture(scope="module")
def draws(mixed):
    """Source -> regions drawn from the first photo."""
    found = {}
    for name in SOURCES:
        source = regions_from(name)(mixed)(0)
        found[name] = (source, source.draw(np.random.default_rng(0), 40, SAMPLER))
    return found


@pytest.mark.parametrize("name", SOURCES)
def test_regions_have_the_areas_that_the_law_allows(draws, name, mixed):
    source, drawn = draws[name]
    assert len(drawn) == 40
    for region in drawn:
        assert region.mask.shape == source.grid
        assert 0.015 < region.mask.mean() <= 0.62
        assert set(np.unique(region.mask)) == {0.0, 1.0}
        np.testing.assert_array_equal(region.cells, np.flatnonzero(region.mask))
        assert region.sibling is None
        assert region.level is None
    assert len({region.mask.tobytes() for region in drawn}) > 3
    assert source.image_size == mixed.size(0)


@pytest.mark.parametrize("name", ["felzenszwalb", "slic"])
def test_they_follow_the_picture(draws, name, mixed):
    """Colours vary less within the regions than within boxes of the same sampler."""

    def spread(regions):
        image = mixed.image(0).astype(float)
        return np.median([image[region.mask > 0].std(0).mean() for region in regions])

    assert spread(draws[name][1]) < 0.7 * spread(draws["boxes"][1])


def test_boxes_are_boxes(draws):
    for region in draws["boxes"][1]:
        y, x = np.nonzero(region.mask)
        assert region.mask.sum() == (np.ptp(y) + 1) * (np.ptp(x) + 1)


def test_boxes_are_spread_evenly_over_log_area():
    drawn = BoxRegions((120, 160)).draw(np.random.default_rng(0), 600, SAMPLER)
    middle = np.sqrt(SAMPLER.min_area * SAMPLER.max_area)
    assert 0.4 < np.mean([region.mask.mean() < middle for region in drawn]) < 0.6


def test_a_cut_is_one_partition_of_the_tree(draws, mixed):
    source, drawn = draws["cut"]
    np.testing.assert_array_equal(source.partitions[0], mixed.tree(0).cut(CUT))
    assert all(label(region.mask)[1] == 1 for region in drawn)


def test_without_a_region_of_a_useful_area_nothing_is_drawn():
    flat = FlatRegions((np.zeros((8, 8), np.int32),), (8, 8))
    assert flat.draw(np.random.default_rng(0), 3, SAMPLER) == []


@pytest.mark.parametrize("name", [*SOURCES, "composites"])
def test_composites_give_their_exact_mask_alone(mixed, name):
    source = regions_from(name)(mixed)(mixed.photos)
    assert source.draw(np.random.default_rng(0), 4, SAMPLER) == []


@pytest.mark.parametrize("name", [*SOURCES, "composites"])
def test_batches_are_made_of_them(mixed, settings, name):
    args = settings({"composites": 1.0 if name == "composites" else 0.0})
    image_set = copy(mixed)
    image_set.regions = regions_from(name)(mixed)
    pictures = range(7) if name == "composites" else range(4)
    batch = make_batch(image_set, list(pictures), args.data, args.clicks, seed=0, step=0, count=6)
    assert batch.masks.shape == (12, 1, 64, 64)
    assert [seen.leaves.tree.grid for seen in batch.shown] == [mixed.tree(i).grid for i in batch.images]
    assert all(mask.max() > 0.9 for mask in batch.masks)


def test_trees_of_another_store(photos, tmp_path, extractor):
    for connectivity in (4, 8):
        propose(
            photos, tmp_path / f"{connectivity}", extractor=extractor, connectivity=connectivity, progress=False
        )
    image_set = load_image_set(photos, ProposalStore(tmp_path / "4"), side=96)
    source = regions_in(ProposalStore(tmp_path / "8"))(image_set)(2)
    assert isinstance(source, TreeRegions)
    expected = build_tree(extractor(image_set.image(2)), image_set.size(2), connectivity=8)
    np.testing.assert_array_equal(source.tree.children, expected.children)
    assert not np.array_equal(source.tree.children, image_set.tree(2).children)
