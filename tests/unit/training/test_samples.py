"""Samples: functions of seed, step and number, with targets, clicks, trees and pixels that agree."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from clickgrain.clicks.config import ClickSimulation
from clickgrain.clicks.leaf_maps import map_to_leaf, warp
from clickgrain.errors import TrainingError
from clickgrain.models.grain import GrainModel
from clickgrain.proposals.config import Sampler
from clickgrain.training.config import DataArgs
from clickgrain.training.image_set import Entry, ImageSet
from clickgrain.training.regions import level_of
from clickgrain.training.samples import MAX_SHARE, MIN_PIXELS, Pools, draw_sample, make_batch, whole_look
from clickgrain.training.step import ClickStep
from clickgrain.tree import MergeTree

EVERYTHING = replace(ClickSimulation.grain(), share_box=0.5, share_scribble=0.5, share_level=0.5)


def same(one, two):
    """Whether two batches hold the same numbers."""
    return (
        one.images == two.images
        and all(map(np.array_equal, one.to_tree, two.to_tree))
        and torch.equal(one.matrices, two.matrices)
        and torch.equal(one.masks, two.masks)
        and torch.equal(one.valid, two.valid)
        and one.rounds == two.rounds
        and all(map(same_prompt, one.prompts, two.prompts))
    )


def same_prompt(one, two):
    strokes = [[s.points.tolist() for s in p.scribbles] for p in (one, two)]
    return (
        np.array_equal(one.points, two.points)
        and np.array_equal(one.labels, two.labels)
        and strokes[0] == strokes[1]
        and (one.box, one.level) == (two.box, two.level)
    )


@pytest.fixture(scope="module")
def batch_of(mixed, settings):
    def make(step=0, first=0, count=6, seed=0, clicks=EVERYTHING, pictures=range(7), **data):
        args = settings(data).data
        return make_batch(mixed, list(pictures), args, clicks, seed=seed, step=step, first=first, count=count)

    return make


@pytest.fixture(scope="module")
def batches(batch_of):
    """Some thirty samples of all kinds."""
    return [batch_of(step, rotate=0.5) for step in range(5)]


def samples_of(batch):
    """(crop, its prompts and masks) of a batch."""
    for number, crop in enumerate(batch.index):
        yield crop, batch.prompts[number], batch.masks[number, 0].numpy()


class TestFunctionsOfSeedStepAndNumber:
    def test_alone_or_among_others(self, batch_of):
        whole = batch_of(step=3)
        for i in range(6):
            alone = batch_of(step=3, first=i, count=1)
            assert alone.images == whole.images[i : i + 1]
            assert torch.equal(alone.masks, whole.masks[2 * i : 2 * i + 2])
            assert all(map(same_prompt, alone.prompts, whole.prompts[2 * i : 2 * i + 2]))
            assert alone.rounds == whole.rounds[2 * i : 2 * i + 2]

    def test_in_any_order_and_by_any_number_of_threads(self, batch_of):
        steps = [4, 0, 2, 1, 3, 0]
        with ThreadPoolExecutor(4) as pool:
            threaded = list(pool.map(batch_of, steps))
        assert all(same(batch, batch_of(step)) for step, batch in zip(steps, threaded))

    def test_they_differ_between_steps_numbers_and_seeds(self, batch_of):
        batches = [batch_of(0), batch_of(1), batch_of(0, first=6), batch_of(0, seed=1)]
        assert len({batch.matrices.numpy().tobytes() for batch in batches}) == 4
        assert len(np.unique(batches[0].matrices.numpy().reshape(6, -1), axis=0)) == 6

    def test_numpys_own_state_is_not_used(self, batch_of):
        np.random.seed(0)
        one = batch_of(2)
        np.random.seed(1)
        torch.manual_seed(5)
        assert same(one, batch_of(2))


class TestTargets:
    def test_shapes(self, batches):
        for batch in batches:
            assert batch.masks.shape == (12, 1, 64, 64)
            assert batch.valid.shape == (6, 1, 64, 64)
            assert batch.index == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
            assert batch.masks.dtype == batch.valid.dtype == torch.float32
            assert len(batch.prompts) == 12
            assert all(seen.leaves.tree.grid == seen.leaves.lab.shape[:2] for seen in batch.shown)

    def test_they_are_of_a_useful_size_and_on_the_picture(self, batches):
        for batch in batches:
            for crop, _, mask in samples_of(batch):
                valid = batch.valid[crop, 0].numpy() > 0
                area = np.count_nonzero(mask > 0.5)
                assert MIN_PIXELS <= area <= MAX_SHARE * valid.sum()
                assert mask.min() >= 0
                assert mask.max() <= 1
                assert not mask[~valid].any()

    def test_valid_is_where_the_matrix_meets_the_picture(self, batch_of, mixed):
        batch = batch_of(0, window=(1.5, 2.0), rotate=1.0, count=4)
        for crop, picture in enumerate(batch.images):
            height, width = mixed.size(picture)
            y, x = np.mgrid[:64, :64]
            seen = batch.matrices[crop].numpy() @ np.stack([x.ravel(), y.ravel(), np.ones(64 * 64)])
            inside = (np.abs(seen[0] - (width - 1) / 2) < width / 2) & (
                np.abs(seen[1] - (height - 1) / 2) < height / 2
            )
            assert 0 < inside.sum() < 64 * 64
            np.testing.assert_array_equal(batch.valid[crop, 0].numpy().ravel() > 0, inside)

    def test_a_window_inside_the_picture_shows_the_picture_alone(self, batch_of):
        assert batch_of(0, window=(0.3, 0.7), rotate=0.0).valid.min() == 1

    @pytest.mark.parametrize(("share", "kind"), [(0.0, [False]), (1.0, [True]), (0.5, [False, True])])
    def test_share_of_composites(self, batch_of, share, kind):
        pictures = [p for step in range(4) for p in batch_of(step, composites=share).images]
        assert sorted({p >= 4 for p in pictures}) == kind

    @pytest.mark.parametrize(("pictures", "share"), [([1, 3], 0.9), ([5, 6], 0.1), ([2, 4], 0.5)])
    def test_only_the_given_pictures_are_seen(self, batch_of, pictures, share):
        seen = {p for step in range(4) for p in batch_of(step, pictures=pictures, composites=share).images}
        assert seen == set(pictures)

    def test_the_first_target_of_a_composite_is_its_exact_mask(self, batch_of, mixed):
        batch = batch_of(0, composites=1.0, rotate=0.0, window=(0.9, 1.05))
        for crop, picture in enumerate(batch.images):
            whole = np.repeat(mixed.mask(picture)[..., None] * 255, 3, axis=2).round().astype(np.uint8)
            shown = ImageSet(96)
            shown.add(Entry(whole, mixed.tree(picture)), "mask")
            seen = shown.crops([0], batch.matrices[crop : crop + 1], 64)[0, 0] / 255
            inner = batch.valid[crop, 0] > 0
            difference = (seen - batch.masks[2 * crop, 0])[inner].abs()
            assert difference.mean() < 0.01
            assert batch.prompts[2 * crop].level is None

    @pytest.mark.parametrize("count", [1, 3])
    def test_masks_per_image(self, batch_of, count):
        batch = batch_of(0, count=2, masks_per_image=count)
        assert batch.masks.shape[0] == len(batch.prompts) == 2 * count
        assert batch.index == [0] * count + [1] * count


class TestOrientation:
    def orientations(self, batches):
        """(quarter turns, mirrored) of every crop."""
        linear = np.concatenate([batch.matrices.numpy()[:, :, :2] for batch in batches])
        mirrored = np.linalg.det(linear) < 0
        down = np.degrees(np.arctan2(linear[:, 0, 1], linear[:, 1, 1]))  # where the crop's y axis points
        return set(zip((np.rint(down / 90) % 4).astype(int).tolist(), mirrored.tolist())), down

    def test_crops_stand_upright(self, batch_of):
        found, down = self.orientations([batch_of(step, rotate=0.5) for step in range(5)])
        assert found == {(0, False), (0, True)}
        assert np.abs(down).max() <= 15

    def test_any_orientation_has_all_eight(self, batch_of):
        found, _ = self.orientations([batch_of(step, any_orientation=True, rotate=0.0) for step in range(12)])
        assert found == {(turn, mirrored) for turn in range(4) for mirrored in (False, True)}

    def test_it_shows_the_same_kind_of_crops(self, batch_of):
        batch = batch_of(0, any_orientation=True, window=(0.3, 0.7), rotate=0.0, count=8)
        assert batch.valid.min() == 1


class TestCloseViews:
    def close(self, batch_of, share=1.0, window=(0.2, 0.3)):
        return batch_of(0, count=8, whole_looks=share, window=window, composites=0.3)

    def test_they_begin_with_the_mask_of_a_whole_look_and_a_correction_of_it(self, batch_of):
        batch = self.close(batch_of)
        assert batch.before.shape == batch.masks.shape
        assert batch.before.min() >= 0
        assert batch.before.max() <= 1
        better = 0
        for (crop, prompt, mask), before in zip(samples_of(batch), batch.before[:, 0].numpy()):
            assert (prompt.box, prompt.scribbles, prompt.level) == (None, (), None)
            x, y = prompt.points[-1].astype(int)
            assert (mask[y, x] > 0.5) == bool(prompt.labels[-1]) != (before[y, x] > 0.5)
            both, either = (mask > 0.5) & (before > 0.5), (mask > 0.5) | (before > 0.5)
            better += both.sum() > 0.5 * either.sum()
            assert not before[batch.valid[crop, 0].numpy() == 0].any()
        assert better >= 12

    @pytest.mark.parametrize(("share", "window"), [(0.0, (0.2, 0.3)), (1.0, (0.46, 1.0))])
    def test_others_begin_without(self, batch_of, share, window):
        assert self.close(batch_of, share, window).before is None

    def test_a_share_of_them(self, batch_of):
        given = self.close(batch_of, share=0.5).before.amax((1, 2, 3)) > 0.5
        assert 0 < int(given.sum()) < len(given)

    def test_the_first_answer_sees_it(self, batch_of, settings, tiny_config, mixed):
        batch, args = self.close(batch_of, share=0.5), settings()
        seen = []

        class Watched(GrainModel):
            def decode(self, encoded, maps):
                seen.append(maps)
                return super().decode(encoded, maps)

        step = ClickStep(Watched(tiny_config), replace(args, supervise="last"))
        step(mixed.crops(batch.images, batch.matrices, 64), replace(batch, rounds=[0] * len(batch.prompts)))
        shown = torch.nn.functional.interpolate(batch.before, (32, 32), mode="area")
        assert torch.equal(seen[0][:, tiny_config.maps.index("previous")], shown[:, 0])


class TestWholeLooks:
    target = np.zeros((64, 64), np.float32)
    target[16:48, 16:48] = 1

    def looks(self, part, other=None, count=60):
        return [whole_look(self.target, part, other, np.random.default_rng(seed)) for seed in range(count)]

    def ious(self, looks):
        shown = [look > 0.5 for look in looks]
        return [(s & (self.target > 0.5)).sum() / (s | (self.target > 0.5)).sum() for s in shown]

    def test_the_closer_the_view_the_worse_they_fit(self):
        far, near = np.mean(self.ious(self.looks(0.45))), np.mean(self.ious(self.looks(0.1)))
        assert 0.5 < near < far - 0.03
        assert far < 0.97

    def test_they_are_coarse_and_soft(self):
        for look in self.looks(0.2, count=5):
            assert look.shape == (64, 64)
            assert look.dtype == np.float32
            assert np.abs(np.diff(look, axis=0)).max() < 0.5  # no edge as sharp as the target's

    def test_another_region_is_missing_or_too_much(self):
        part, beside = np.zeros_like(self.target), np.zeros_like(self.target)
        part[16:48, 16:26] = 1
        beside[16:48, 50:60] = 1
        for other, spoilt in (
            (part, lambda look: look[20:44, 18:24].mean() < 0.4),
            (beside, lambda look: look[20:44, 52:58].mean() > 0.6),
        ):
            share = np.mean([spoilt(look) for look in self.looks(0.4, other)])
            assert 0.3 < share < 0.7
            assert np.mean([spoilt(look) for look in self.looks(0.4)]) < 0.1

    def test_a_large_other_region_changes_nothing(self):
        for one, other in zip(self.looks(0.3, np.ones_like(self.target)), self.looks(0.3, self.target)):
            np.testing.assert_array_equal(one, other)


class TestPrompts:
    def test_positives_lie_in_the_mask_negatives_beside_it(self, batches, batch_of):
        seen = {0: 0, 1: 0}
        for batch in [*batches, batch_of(5, clicks=ClickSimulation.paper())]:
            for crop, prompt, mask in samples_of(batch):
                x, y = prompt.points.T.astype(int)
                np.testing.assert_array_equal(mask[y, x] > 0.5, prompt.labels == 1)
                assert (batch.valid[crop, 0].numpy()[y, x] > 0).all()
                for label in (0, 1):
                    seen[label] += int((prompt.labels == label).sum())
        assert min(seen.values()) > 20

    def test_boxes_and_strokes(self, batches):
        boxes = strokes = 0
        for batch in batches:
            for _, prompt, mask in samples_of(batch):
                for stroke in prompt.scribbles:
                    x, y = stroke.points.T.astype(int)
                    assert (mask[y, x] > 0.5).all()
                    strokes += 1
                if prompt.box is not None:
                    x1, y1, x2, y2 = prompt.box
                    assert 0 <= x1 < x2 <= 64
                    assert 0 <= y1 < y2 <= 64
                    rows, columns = np.nonzero(mask > 0.5)
                    slack = 0.1 * np.array([np.ptp(columns) + 1, np.ptp(rows) + 1])
                    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
                    assert (np.abs(np.subtract(prompt.box, found)) <= np.tile(slack, 2) + 1e-4).all()
                    boxes += 1
        assert min(boxes, strokes) > 5

    def test_every_prompt_says_something(self, batches):
        for batch in batches:
            assert all(len(p.points) or p.box or p.scribbles for p in batch.prompts)

    def test_levels_are_those_of_nodes(self, batches):
        told = 0
        for batch in batches:
            for crop, prompt, _ in samples_of(batch):
                if prompt.level is not None:
                    told += 1
                    assert np.isclose(batch.shown[crop].leaves.tree.level, prompt.level).any()
        assert told > 5

    def test_levels_are_on_one_scale(self, make_image_set, drawn):
        """Regions of a size have the levels of merge tree nodes of that size, whichever tree they come from."""
        image = cv2.resize(np.concatenate([drawn(seed) for seed in range(4)], 1), (384, 256))
        image_set = make_image_set([np.random.default_rng(0).normal(image, 12).clip(0, 255).astype(np.uint8)], 384)
        sampler, low, high = Sampler("area", min_area=0.004, max_area=0.01), 0.004, 0.01
        levels = {}
        for kind in ("features", "edges", "hidden"):
            found = image_set.source(0, kind).draw(np.random.default_rng(0), 300, sampler)
            sized = [region for region in found if low <= region.mask.mean() <= high]
            assert len(sized) > 10
            levels[kind] = np.median([region.level for region in sized])
        assert levels["edges"] == pytest.approx(levels["features"], abs=0.05)
        assert levels["hidden"] == pytest.approx(levels["features"], abs=0.05)

    def test_a_size_has_the_median_level_of_nodes_of_that_size(self, make_image_set, drawn):
        tree = make_image_set([drawn(0)]).tree(0)
        shares = np.geomspace(1 / tree.n_leaves, 1, 12)
        levels = [level_of(float(share), tree) for share in shares]
        assert 0 < levels[0] < 0.3
        assert (np.diff(levels) > -0.05).all()
        pairs = tree.level[tree.n_leaves :][tree.area[tree.n_leaves :] == 2]
        assert level_of(2 / tree.n_leaves, tree) == pytest.approx(float(np.median(pairs)))
        assert level_of(1.0, MergeTree(np.zeros((0, 2)), np.zeros(0), (1, 1))) == 1

    def test_the_published_simulation_gives_clicks_alone(self, batch_of):
        batch = batch_of(0, clicks=ClickSimulation.paper())
        assert all(len(p.points) and p.box is None and not p.scribbles and p.level is None for p in batch.prompts)
        assert len(batch.rounds) == len(batch.prompts)
        assert set(batch.rounds) <= {0, 1, 2, 3}
        assert len(set(batch.rounds)) > 1


class TestTreeAndPixelsAgree:
    def test_the_level_map_of_a_click_is_zero_where_the_click_is(self, batches):
        """From crop to tree and back: the leaf of a click covers the click."""
        checked = 0
        for batch in batches:
            for crop, prompt, _ in samples_of(batch):
                tree, matrix = batch.shown[crop].leaves.tree, batch.to_tree[crop]
                to_leaf = map_to_leaf(tree.grid, tree.image_size, matrix, 1)
                for point in prompt.points:
                    there = (matrix[:, :2] @ point + matrix[:, 2]).clip(0, np.array(tree.image_size)[::-1] - 1)
                    levels = tree.level_map(there[None].astype(np.float32))
                    column, row = np.rint(to_leaf[:, :2] @ point + to_leaf[:, 2]).astype(int)
                    row, column = min(max(row, 0), tree.grid[0] - 1), min(max(column, 0), tree.grid[1] - 1)
                    near = levels[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
                    assert near.min() == 0
                    at_edge = np.abs((to_leaf[:, :2] @ point + to_leaf[:, 2] + 0.5) % 1 - 0.5).min() < 0.01
                    assert at_edge or levels[row, column] == 0
                    checked += 1
        assert checked > 50

    def test_the_tree_lies_on_the_picture(self, batches, mixed):
        """Mean colours of the leaves, seen through `to_tree`, are the crop's own colours, blurred."""
        for batch in batches[:2]:
            crops = mixed.crops(batch.images, batch.matrices, 64).numpy()
            for crop in range(6):
                tree, picture = batch.shown[crop].leaves.tree, mixed.image(batch.images[crop])
                matrix = map_to_leaf(tree.grid, tree.image_size, batch.to_tree[crop], 1)
                h, w = tree.grid
                means = picture[: h * 4, : w * 4].reshape(h, 4, w, 4, 3).mean((1, 3)).astype(np.float32)
                seen = warp(means, matrix, (64, 64)).transpose(2, 0, 1)
                valid = batch.valid[crop, 0].numpy() > 0
                off = np.abs(seen - crops[crop])[:, valid].mean()
                flipped = np.abs(seen[..., ::-1] - crops[crop])[:, valid].mean()
                assert off < 14
                assert off < 0.6 * flipped

    def test_pictures_smaller_than_their_trees(self, make_image_set, drawn, settings):
        """An image set keeps photos shrunk; its trees were made at full size."""
        full = make_image_set([drawn(0, 96, 96)], 96)
        halved = np.ascontiguousarray(full.image(0).reshape(48, 2, 48, 2, 3).mean((1, 3)).astype(np.uint8))
        small = make_image_set([halved], 48)
        small.tree = full.tree
        batch = make_batch(small, [0], settings().data, EVERYTHING, seed=0, step=0, count=3)
        for crop in range(3):
            to_image, to_tree = batch.matrices[crop].numpy(), batch.to_tree[crop]
            for corner in ([0, 0, 1], [63, 0, 1], [10, 50, 1]):
                np.testing.assert_allclose(to_tree @ corner, 2 * (to_image @ corner) + 0.5)


class TestNothingToLearnFrom:
    def test_photos_without_parts(self, make_image_set, settings):
        """A photo of a single patch has no region but itself."""
        speck = make_image_set([np.zeros((4, 4, 3), np.uint8)], 64)
        with pytest.raises(TrainingError, match=r"no target of a useful size in 30 crops; .*--data\.sampler"):
            draw_sample(speck, Pools([0], [], [], []), settings().data, EVERYTHING, np.random.default_rng(0))

    def test_specks_among_photos_are_passed_over(self, make_image_set, drawn, settings):
        image_set = make_image_set([np.zeros((4, 4, 3), np.uint8), drawn(0), np.zeros((1, 1, 3), np.uint8)], 96)
        batch = make_batch(image_set, [0, 1, 2], settings().data, EVERYTHING, seed=0, step=0, count=6)
        assert set(batch.images) == {1}

    def test_no_images(self, image_set, settings):
        with pytest.raises(TrainingError, match="no images"):
            make_batch(image_set, [], settings().data, EVERYTHING, seed=0, step=0, count=1)

    def test_blank_photos_still_have_regions(self, make_image_set, settings):
        blank = make_image_set([np.full((64, 64, 3), 128, np.uint8)], 64)
        batch = make_batch(blank, [0], DataArgs(crop=64, photo_side=64), EVERYTHING, seed=0, step=0, count=2)
        assert batch.masks.amax((1, 2, 3)).min() > 0.5
