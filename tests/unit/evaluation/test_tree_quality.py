import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from clickgrain.errors import ConfigError, DataError, FeatureError
from clickgrain.evaluation import Benchmark, TreeQuality, evaluate_trees, tree_table
from clickgrain.evaluation.tree_quality import leaf_counts, node_ious, region_ious
from clickgrain.tree import MergeTree


def random_tree(rng, grid, image_size):
    """Any binary tree over the grid: nodes joined at random."""
    n = grid[0] * grid[1]
    alive, children = list(range(n)), []
    for merge in range(n - 1):
        a, b = (alive.pop(rng.integers(len(alive))) for _ in range(2))
        children.append((a, b))
        alive.append(n + merge)
    return MergeTree(np.array(children, np.int32).reshape(-1, 2), np.zeros(n - 1), grid, image_size)


def at_image_size(mask, size):
    """Nearest neighbour, by the tree's own rule for the leaf under a pixel centre."""
    (h, w), (height, width) = mask.shape, size
    rows = [int((y + 0.5) * h / height) for y in range(height)]
    columns = [int((x + 0.5) * w / width) for x in range(width)]
    return mask[np.ix_(rows, columns)]


def brute_force(region, target):
    valid = target != 128
    region, object_ = region & valid, target == 255
    return (region & object_).sum() / (region | object_).sum()


def random_target(rng, size):
    target = rng.choice(np.array([0, 128, 255], np.uint8), size, p=[0.5, 0.2, 0.3])
    target[rng.integers(size[0]), rng.integers(size[1])] = 255
    return target


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    grid=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    size=st.tuples(st.integers(1, 24), st.integers(1, 24)),
)
def test_ious_of_nodes_and_cuts_equal_brute_force_over_masks(seed, grid, size):
    rng = np.random.default_rng(seed)
    tree, target = random_tree(rng, grid, size), random_target(rng, size)
    object_, valid = leaf_counts(target, grid)
    expected = [brute_force(at_image_size(tree.mask(node), size), target) for node in range(tree.n_nodes)]
    assert node_ious(tree, object_, valid) == pytest.approx(expected, abs=1e-12)
    labels = tree.cut(rng.integers(1, tree.n_leaves + 1))
    expected = [brute_force(at_image_size(labels == k, size), target) for k in range(labels.max() + 1)]
    assert region_ious(labels, object_, valid) == pytest.approx(expected, abs=1e-12)


def test_leaf_counts_follow_the_trees_own_leaf_under_a_pixel():
    tree = random_tree(np.random.default_rng(0), (3, 4), (10, 7))
    for x, y in ((0, 0), (6, 9), (3, 5), (1, 3), (5, 6)):
        target = np.zeros((10, 7), np.uint8)
        target[y, x] = 255
        assert leaf_counts(target, (3, 4))[0].argmax() == tree.leaf_at(x, y)


def stripes(image):
    """A tree over 1 x 4 leaves: ((0 1) (2 3))."""
    return MergeTree([[0, 1], [2, 3], [4, 5]], [0, 0, 1], (1, 4), image.shape[:2])


IMAGE = np.zeros((10, 40, 3), np.uint8)


def bar(*columns, rows=10):
    mask = np.zeros((10, 40), np.uint8)
    mask[:rows, slice(*columns)] = 255
    return mask


def quality(*masks, **kwargs):
    return evaluate_trees(stripes, Benchmark.of([(IMAGE, mask) for mask in masks], "drawn"), **kwargs)


class TestFigures:
    """By hand: leaves of 10 x 10 px; targets of 200, 100 (rows 0-4 of two leaves) and 10 px."""

    masks = (bar(0, 20), bar(20, 40, rows=5), bar(0, 1))

    def test_best_nodes_recall_and_classes(self):
        found = quality(*self.masks, cuts=(1, 2, 4))
        assert [row.best_iou for row in found.rows] == [1.0, 0.5, 0.1]
        assert [row.size for row in found.rows] == ["large", "large", "small"]
        every, large, medium, small = map(found.summary, (None, "large", "medium", "small"))
        assert large["best IoU"] == 0.75
        assert (every["recall@0.5"], every["recall@0.7"], small["recall@0.5"]) == (2 / 3, 1 / 3, 0)
        assert medium["best IoU"] is None
        assert (large["targets"], medium["targets"]) == (2, 0)
        assert found.rows[0].best_level == pytest.approx(1 - np.log(3) / np.log(4))

    def test_average_recall_of_cuts(self):
        found = quality(*self.masks, cuts=(1, 2, 4, 300))
        assert [row.cut_ious for row in found.rows] == [
            (0.5, 1.0, 0.5, 0.5),
            (0.25, 0.5, pytest.approx(1 / 3), pytest.approx(1 / 3)),
            (0.025, 0.05, 0.1, 0.1),
        ]
        assert found.summary()["AR@2"] == pytest.approx((10 + 1 + 0) / 30)
        assert found.summary()["AR@1"] == pytest.approx(1 / 30)

    def test_ignored_pixels_count_nowhere(self):
        mask = bar(0, 20, rows=5)
        mask[5:] = 128
        assert quality(mask).rows[0].best_iou == 1

    def test_json_and_table(self):
        found = quality(*self.masks)
        assert TreeQuality.from_json(found.to_json()) == found
        assert json.loads(found.to_json())["summary"]["recall@0.5"] == pytest.approx(2 / 3)
        console = Console(width=140)
        with console.capture() as capture:
            console.print(tree_table(found))
        assert "medium" in capture.get()
        assert "75.0" in capture.get()

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 1}', '{"version": 99}'])
    def test_foreign_json_is_refused(self, text):
        with pytest.raises(DataError, match="evaluate again"):
            TreeQuality.from_json(text)


class MeanColour:
    """Means over cells of 8 px: an extractor."""

    name, patch_size, dim = "mean-colour", 8, 3

    def __call__(self, image):
        height, width = (side // 8 for side in image.shape[:2])
        return image.reshape(height, 8, width, 8, 3).mean((1, 3)).astype(np.float32)

    def batch(self, images):
        return [self(image) for image in images]


class TestRuns:
    def test_an_extractor_is_merged_by_build_tree(self):
        image = np.zeros((32, 48, 3), np.uint8)
        image[8:24, 16:40] = 200
        benchmark = Benchmark.of([(image, image[..., 0] > 0)], "drawn")
        found = evaluate_trees(MeanColour(), benchmark)
        assert found.name == "mean-colour"
        assert found.summary()["best IoU"] == 1
        assert found.rows[0].seconds > 0

    def test_bad_masks_and_failing_trees_are_listed(self):
        def build(image):
            if image[0, 0, 0]:
                raise FeatureError("NaN in\nfeatures")
            return stripes(image)

        seen = []
        pairs = [(IMAGE, bar(0, 9)), (IMAGE + np.uint8(1), bar(0, 9)), (IMAGE, bar(0, 0))]
        found = evaluate_trees(build, Benchmark.of(pairs), progress=lambda *args: seen.append(args))
        assert len(found.rows) == 1
        assert found.skipped[0].startswith("target 2: mask 2: no object pixel")
        assert found.skipped[1] == "target 1: no tree, FeatureError: NaN in features"
        assert seen == [(2, 3), (3, 3)]
        assert found.name == "build"

    def test_nothing_usable_is_an_error(self):
        with pytest.raises(DataError, match="no usable target\n- target 0"):
            quality(bar(0, 0))

    def test_a_cut_into_nothing_is_refused(self):
        with pytest.raises(ConfigError, match="--cuts"):
            quality(bar(0, 9), cuts=(0,))
