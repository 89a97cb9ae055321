"""The page's own tree, masks and outlines against the Python ones."""

import base64
from itertools import pairwise

import cv2
import numpy as np
import pytest

from clickgrain.annotate.masks import encode
from clickgrain.scene import SceneMaker
from clickgrain.segmenter import Segmenter
from clickgrain.tree.leaf_map import cut_nodes, node_mask, node_over

H, W = 48, 72
LOAD = """(text) => import("/page/core/tree.js").then((module) => {
    window.tree = module.decodeTree(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer);
})"""


@pytest.fixture(scope="module")
def scene():
    """A small image of blobs with its tree and leaf map."""
    rng = np.random.default_rng(3)
    image = cv2.resize(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8), (W, H), interpolation=cv2.INTER_CUBIC)
    return SceneMaker(Segmenter.load("tree"), "test").make(image)


@pytest.fixture(scope="module")
def core(bare, scene):
    """A page that holds the scene's hover record, decoded."""
    bare.evaluate(LOAD, base64.b64encode(scene.hover).decode())
    return bare


def area(scene, node):
    return int(node_mask(scene.tree, scene.leaves, int(node), (H, W)).sum())


def test_the_region_under_every_pixel_and_level(core, scene):
    rng = np.random.default_rng(0)
    points = [(int(x), int(y)) for x, y in zip(rng.integers(0, W, 60), rng.integers(0, H, 60))]
    levels = [float(np.float32(level)) for level in rng.uniform(0, 1, 60)]
    found = core.evaluate(
        "([points, levels]) => points.map(([x, y], i) => tree.nodeAt(tree.leafAt(x, y), levels[i]))",
        [points, levels],
    )
    assert found == [node_over(scene.tree, scene.leaves, point, level) for point, level in zip(points, levels)]


def test_the_pixels_of_every_node(core, scene):
    nodes = [*range(0, 2 * scene.tree.n_leaves - 1, 7), scene.tree.root]
    found = core.evaluate(
        "(nodes) => nodes.map((node) => { const { box, bits } = tree.mask(node); return [box, [...bits]]; })", nodes
    )
    for node, (box, bits) in zip(nodes, found):
        mask = np.zeros((H, W), bool)
        part = np.array(bits, bool).reshape(box["height"], box["width"])
        mask[box["y"] : box["y"] + box["height"], box["x"] : box["x"] + box["width"]] = part
        np.testing.assert_array_equal(mask, node_mask(scene.tree, scene.leaves, node, (H, W)))


def test_the_partition_at_a_level(core, scene):
    for level in (0.0, 0.3, 0.6, 0.9, 1.0):
        found = core.evaluate("(level) => import('/page/core/partition.js').then((m) => m.cut(tree, level))", level)
        held = [node for node in cut_nodes(scene.tree, level) if area(scene, node)]
        assert found == held
        numbers = core.evaluate(
            "([level]) => import('/page/core/partition.js').then((m) => [...m.regions(tree, m.cut(tree, level))])",
            [level],
        )
        assert sorted(set(numbers)) == list(range(len(held)))


def test_a_walk_goes_up_to_the_scene_and_down_to_the_leaf(core, scene):
    sizes = core.evaluate("""(() => {
        const leaf = tree.leafAt(30, 20), sizes = [];
        let node = leaf;
        while (sizes.at(-1) !== tree.pixels[tree.root]) {
            sizes.push(tree.pixels[node]);
            node = tree.step(leaf, node, 1);
        }
        while (node !== leaf) node = tree.step(leaf, node, -1);
        return sizes;
    })()""")
    assert sizes[-1] == W * H
    assert all(b >= 1.3 * a for a, b in pairwise(sizes[1:-1]))


def test_masks_and_outlines(core):
    rng = np.random.default_rng(1)
    for density in (0.0, 0.05, 0.5, 1.0):
        mask = rng.random((H, W)) < density
        mask[:, :3] = False
        coded = encode(mask)
        box, bits, held = core.evaluate(
            """async (text) => {
                const { decode, fromBase64 } = await import("/page/core/mask.js");
                const { pathOf } = await import("/page/canvas/hover.js");
                const { box, bits } = decode(fromBase64(text)), path = pathOf({ bits, box });
                const context = new OffscreenCanvas(1, 1).getContext("2d");
                const held = [...bits].map((_, i) => context.isPointInPath(
                    path, box.x + (i % box.width) + 0.5, box.y + Math.floor(i / box.width) + 0.5));
                return [box, [...bits], held];
            }""",
            coded.text,
        )
        whole = np.zeros_like(mask)
        part = np.array(bits, bool).reshape(box["height"], box["width"])
        whole[box["y"] : box["y"] + box["height"], box["x"] : box["x"] + box["width"]] = part
        np.testing.assert_array_equal(whole, mask)
        assert held == [bool(bit) for bit in bits]  # smooth, and around exactly these pixels


def test_what_is_no_record_is_refused(core):
    for module, name in (("tree", "decodeTree"), ("mask", "decode")):
        said = core.evaluate(
            """([module, name]) => import(`/page/core/${module}.js`).then((m) => {
                try { m[name](new ArrayBuffer(64)); } catch (error) { return error.message; }
            })""",
            [module, name],
        )
        assert "this is no" in said
