import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from clickgrain.features.color_texture import ColorTexture
from clickgrain.tree import build_tree
from clickgrain.tree.leaf_map import cut_nodes, leaf_map, node_mask, node_over, partition, split_in_two, to_size


def test_every_pixel_gets_a_leaf_next_to_it(scene):
    image, tree, leaves = scene.image, scene.tree, scene.leaves
    assert leaves.shape == image.shape[:2]
    y, x = np.mgrid[: leaves.shape[0], : leaves.shape[1]]
    own = np.stack([(y + 0.5) * tree.grid[0] // leaves.shape[0], (x + 0.5) * tree.grid[1] // leaves.shape[1]])
    chosen = np.stack(np.divmod(leaves, tree.grid[1]))
    assert np.abs(own - chosen).max() <= 1


def test_regions_follow_edges_better_than_the_grid_does(scene, red, iou):
    image, tree, leaves = scene.image, scene.tree, scene.leaves
    node = max(tree.path(20, 20), key=lambda v: iou(node_mask(tree, leaves, int(v), image.shape[:2]), red))
    snapped = node_mask(tree, leaves, int(node), image.shape[:2])
    blocks = to_size(tree.mask(int(node)), image.shape[:2])
    assert iou(snapped, red) > 0.95 > iou(blocks, red)


def test_large_images_get_a_reduced_map():
    image = np.zeros((40, 2000, 3), np.uint8)
    tree = build_tree(ColorTexture()(image), image.shape[:2])
    assert max(leaf_map(tree, image).shape) == 1280


@settings(deadline=None, max_examples=50)
@given(x=st.integers(0, 63), y=st.integers(0, 47), level=st.floats(0, 1))
def test_the_node_over_a_point_holds_it_and_is_the_largest_at_its_level(scene, x, y, level):
    image, tree, leaves = scene.image, scene.tree, scene.leaves
    node = node_over(tree, leaves, (x, y), level)
    assert node_mask(tree, leaves, node, image.shape[:2])[y, x]
    assert tree.level[node] <= np.float32(level)
    assert node == tree.root or tree.level[tree.parent[node]] > np.float32(level)


@settings(deadline=None, max_examples=50)
@given(level=st.floats(0, 1))
def test_a_cut_covers_every_leaf_once(scene, level):
    tree = scene.tree
    leaves = np.concatenate([tree.leaves(int(node)) for node in cut_nodes(tree, level)])
    assert sorted(leaves.tolist()) == list(range(tree.n_leaves))


@settings(deadline=None, max_examples=50)
@given(level=st.floats(0.2, 1), seed=st.integers(0, 5))
def test_a_partition_accounts_for_every_free_pixel_once(scene, level, seed):
    image, tree, leaves = scene.image, scene.tree, scene.leaves
    free = np.random.default_rng(seed).random(image.shape[:2]) > 0.3 * seed / 5
    free[: 4 * seed] = False
    regions, numbers = partition(tree, leaves, level, free)
    assert ((regions > 0) == free).all()
    assert sorted(numbers) == sorted(set(regions[free].tolist()))
    areas = [(regions == number).sum() for number in numbers]
    assert areas == sorted(areas, reverse=True)


def test_a_partition_of_nothing_is_empty(scene):
    image, tree, leaves = scene.image, scene.tree, scene.leaves
    assert partition(tree, leaves, 0.5, np.zeros(image.shape[:2], bool))[1] == []


def test_a_split_is_exact_and_finds_the_two_things(scene, red, iou):
    image, tree, leaves = scene.image, scene.tree, scene.leaves
    box = np.zeros(image.shape[:2], bool)
    box[30:44, 40:58] = True
    larger, smaller = split_in_two(tree, leaves, box | red)
    assert not (larger & smaller).any()
    assert ((larger | smaller) == (box | red)).all()
    assert larger.sum() >= smaller.sum() > 0
    assert max(iou(larger, red), iou(smaller, red)) > 0.8


def test_a_pixel_cannot_be_split(scene):
    image, tree, leaves = scene.image, scene.tree, scene.leaves
    mask = np.zeros(image.shape[:2], bool)
    mask[5, 5] = True
    assert split_in_two(tree, leaves, mask) is None
