from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickgrain.clicks.centre import Evidence, centre_map, nested_regions
from clickgrain.features import ColorTexture
from clickgrain.models import tree_mode
from clickgrain.models.tree_mode import TreeEngine
from clickgrain.types import Prompt, Scribble

SIDE = 8
"""Pixels of a patch."""


class Given:
    """An extractor that returns the features it was given."""

    name, patch_size, dim = "given", SIDE, 3

    def __init__(self, features):
        self.features = features.astype(np.float32)

    def __call__(self, image):
        return self.features

    def batch(self, images):
        return [self(image) for image in images]


def engine_and_image(grid, seed=0):
    rng = np.random.default_rng(seed)
    engine = TreeEngine(Given(rng.normal(size=(*grid, 3))))
    image = np.repeat(np.repeat(rng.integers(0, 256, (*grid, 3), np.uint8), SIDE, 0), SIDE, 1)
    return engine, engine.encode(image)


def centre(leaf, grid):
    return (leaf % grid[1] * SIDE + SIDE // 2, leaf // grid[1] * SIDE + SIDE // 2)


def ask(engine, encoded, inside=(), outside=(), **rest):
    grid = encoded.tree.grid
    points = [centre(leaf, grid) for leaf in (*inside, *outside)]
    prompt = Prompt.of(points, [1] * len(inside) + [0] * len(outside), size=encoded.image.shape[:2], **rest)
    return engine.answer(encoded, prompt, None)


def leaves_of(mask, encoded):
    """The leaves that a mask holds, its edges not snapped to those of the image."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree_mode, "snap", lambda leaves, _: np.kron(leaves, np.ones((SIDE, SIDE), np.float32)))
        binary = mask.binary
    return set(np.flatnonzero(binary[SIDE // 2 :: SIDE, SIDE // 2 :: SIDE]).tolist())


def regions(tree):
    """For every node its leaves as a set, from the children alone."""
    sets = [{leaf} for leaf in range(tree.n_leaves)]
    for a, b in tree.children.tolist():
        sets.append(sets[a] | sets[b])
    return sets


def expected(tree, inside, outside, level):
    """The documented rule by brute force over sets of leaves."""
    sets, inside, outside = regions(tree), set(inside), set(outside)
    free = [i for i, s in enumerate(sets) if not s & outside]
    if len(inside) > 1:
        holding = [i for i in free if inside <= sets[i]]
        if holding:
            smallest = min(holding, key=lambda i: len(sets[i]))
            up_to = [i for i in holding if level is not None and tree.level[i] <= level]
            return sets[max([smallest, *up_to], key=lambda i: len(sets[i]))]
        return set().union(*(max((sets[i] for i in free if leaf in sets[i]), key=len) for leaf in inside))
    (leaf,) = inside
    return max((sets[i] for i in free if leaf in sets[i] and (i == leaf or tree.level[i] <= level)), key=len)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_the_node_is_the_one_that_the_rule_names(data):
    grid = data.draw(st.sampled_from([(5, 6), (1, 9), (7, 3)]))
    engine, encoded = engine_and_image(grid, data.draw(st.integers(0, 20)))
    n = grid[0] * grid[1]
    chosen = data.draw(st.lists(st.integers(0, n - 1), unique=True, min_size=1, max_size=5))
    split = data.draw(st.integers(1, len(chosen)))
    inside, outside = chosen[:split], chosen[split:]
    level = data.draw(st.floats(0, 1))
    wanted = expected(encoded.tree, inside, outside, level)
    assert leaves_of(ask(engine, encoded, inside, outside, level=level), encoded) == wanted


def test_one_click_gives_the_node_at_the_level():
    engine, encoded = engine_and_image((6, 7))
    x, y = centre(17, (6, 7))
    for level in (0.0, 0.3, 0.7, 1.0):
        mask, node = ask(engine, encoded, [17], level=level), encoded.tree.node_at(x, y, level)
        assert leaves_of(mask, encoded) == set(encoded.tree.leaves(node).tolist())
        assert mask.level == encoded.tree.level[node]


def test_clicks_in_one_patch_count_once():
    engine, encoded = engine_and_image((6, 7))
    once = ask(engine, encoded, [17])
    again = engine.answer(encoded, Prompt.of([[25, 17], [30, 22]], [1, 1], size=(48, 56)), once)
    assert len(set(encoded.tree.leaves_at([[25, 17], [30, 22]]).tolist()) | {17}) == 1
    assert leaves_of(again, encoded) == leaves_of(once, encoded)


def test_a_single_click_has_readings_at_other_levels():
    engine, encoded = engine_and_image((8, 8))
    mask = ask(engine, encoded, [27])
    sets = [leaves_of(mask, encoded), *(leaves_of(other, encoded) for other in mask.alternatives)]
    assert len(sets) > 2
    assert len({frozenset(s) for s in sets}) == len(sets)
    assert all(27 in s for s in sets)
    scores = [other.score for other in mask.alternatives]
    assert scores == sorted(scores, reverse=True)
    assert all(other.alternatives == [] for other in mask.alternatives)
    assert ask(engine, encoded, [27, 3]).alternatives == []


def test_a_box_asks_for_the_node_that_fits_it_best():
    engine, encoded = engine_and_image((5, 6), seed=3)
    sets = regions(encoded.tree)
    inner = min((s for s in sets if 4 <= len(s) <= 9), key=len)
    rows, columns = zip(*(divmod(leaf, 6) for leaf in inner))
    box = [min(columns) * SIDE, min(rows) * SIDE, (max(columns) + 1) * SIDE, (max(rows) + 1) * SIDE]
    boxed = {r * 6 + c for r in range(min(rows), max(rows) + 1) for c in range(min(columns), max(columns) + 1)}
    found = leaves_of(ask(engine, encoded, box=box), encoded)
    assert len(found & boxed) / len(found | boxed) == max(len(s & boxed) / len(s | boxed) for s in sets)
    barred = next(iter(found))
    without = leaves_of(ask(engine, encoded, outside=[barred], box=box), encoded)
    assert len(without & boxed) / len(without | boxed) == max(
        len(s & boxed) / len(s | boxed) for s in sets if barred not in s
    )


def test_a_box_between_patches_is_weighed_by_area():
    engine, encoded = engine_and_image((5, 6), seed=1)
    box = np.array([9.5, 3.0, 30.25, 21.0])
    fine = np.zeros((160, 192), bool)  # quarters of pixels
    fine[12:84, 38:121] = True
    ious = []
    for leaves in regions(encoded.tree):
        grid = np.isin(np.arange(30), list(leaves)).reshape(5, 6)
        region = np.kron(grid, np.ones((32, 32), bool))
        ious.append((region & fine).sum() / (region | fine).sum())
    best = regions(encoded.tree)[int(np.argmax(ious))]
    assert leaves_of(ask(engine, encoded, box=box), encoded) == best


def test_scribbles_count_as_clicks():
    engine, encoded = engine_and_image((5, 6), seed=2)
    ends = np.array([centre(6, (5, 6)), centre(9, (5, 6))], np.float32)  # along one row: leaves 6, 7, 8, 9
    stroke = ask(engine, encoded, scribbles=[Scribble(ends)], level=0.2)
    assert leaves_of(stroke, encoded) == expected(encoded.tree, [6, 7, 8, 9], [], 0.2)
    assert leaves_of(ask(engine, encoded, scribbles=[Scribble(ends)]), encoded) >= {6, 7, 8, 9}
    erased = ask(engine, encoded, [20], scribbles=[Scribble(ends, 0)], level=0.6)
    assert leaves_of(erased, encoded) == expected(encoded.tree, [20], [6, 7, 8, 9], 0.6)


def test_only_negative_clicks_give_an_empty_mask():
    engine, encoded = engine_and_image((4, 4))
    mask = ask(engine, encoded, outside=[5])
    assert not mask.binary.any()
    assert mask.score == 0


def test_opposite_clicks_in_one_patch_are_both_obeyed():
    engine, encoded = engine_and_image((4, 4))
    mask = engine.answer(encoded, Prompt.of([[9, 9], [14, 14]], [1, 0], size=(32, 32)), None)
    assert mask.binary[9, 9]
    assert not mask.binary[14, 14]


def test_the_mask_follows_the_edges_of_the_image():
    image = np.full((60, 90, 3), 30, np.uint8)
    image[13:47, 21:66] = (200, 80, 40)
    features = ColorTexture(patch_size=4)
    engine = TreeEngine(features)
    mask = engine.answer(engine.encode(image), Prompt.of([[40, 30]], [1], size=(60, 90), level=0.9), None)
    truth = image[..., 0] == 200
    assert (mask.binary & truth).sum() / (mask.binary | truth).sum() > 0.95


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (30, 1), (2, 2)])
def test_tiny_images(size):
    engine = TreeEngine(ColorTexture())
    encoded = engine.encode(np.zeros((*size, 3), np.uint8))
    assert engine.answer(encoded, Prompt.of([[0, 0]], [1], size=size), None).binary[0, 0]
    assert engine.answer(encoded, Prompt.of([[0, 0]], [0], size=size, box=[0, 0, 1, 1]), None).binary.sum() == 0


class TestClicksWithoutALevel:
    @settings(max_examples=60, deadline=None)
    @given(st.data())
    def test_every_click_is_obeyed(self, data):
        grid = data.draw(st.sampled_from([(5, 6), (1, 9), (7, 3)]))
        engine, encoded = engine_and_image(grid, data.draw(st.integers(0, 20)))
        n = grid[0] * grid[1]
        chosen = data.draw(st.lists(st.integers(0, n - 1), unique=True, min_size=1, max_size=6))
        split = data.draw(st.integers(1, len(chosen)))
        found = leaves_of(ask(engine, encoded, chosen[:split], chosen[split:]), encoded)
        assert found >= set(chosen[:split])
        assert not found & set(chosen[split:])

    def test_the_first_click_takes_the_weighted_median_of_its_regions(self):
        engine, encoded = engine_and_image((9, 11), seed=3)
        tree, leaf = encoded.tree, 49
        nested = nested_regions([tree, encoded.edges, encoded.semantic], encoded.vectors, leaf)
        votes = centre_map(nested, Evidence(divmod(leaf, 11), np.ones((9, 11), bool)), encoded.strength)
        found = leaves_of(ask(engine, encoded, [leaf]), encoded)
        assert found == set(np.flatnonzero(votes > 0.5).tolist())

    def test_with_one_tree_the_first_click_takes_a_node(self):
        engine, encoded = engine_and_image((9, 11), seed=3)
        alone = replace(encoded, edges=None, semantic=None, vectors=None)
        found = leaves_of(ask(engine, alone, [49]), alone)
        assert any(found == leaves for leaves in regions(encoded.tree))

    def test_a_click_in_the_middle_of_a_square_takes_the_square(self):
        features = np.random.default_rng(0).normal(size=(16, 16, 3)) * 0.05
        features[4:11, 5:12] += 3
        engine = TreeEngine(Given(features))
        encoded = engine.encode(np.zeros((16 * SIDE, 16 * SIDE, 3), np.uint8))
        encoded = replace(encoded, edges=None, semantic=None, vectors=None)
        square = {row * 16 + column for row in range(4, 11) for column in range(5, 12)}
        assert leaves_of(ask(engine, encoded, [7 * 16 + 8]), encoded) == square
        assert leaves_of(ask(engine, encoded, [7 * 16 + 8], [1 * 16 + 1]), encoded) == square

    def test_a_box_is_corrected_by_clicks(self):
        engine, encoded = engine_and_image((6, 7), seed=1)
        box = (1 * SIDE, 1 * SIDE, 4 * SIDE, 4 * SIDE)
        alone = leaves_of(ask(engine, encoded, box=box), encoded)
        outside = next(leaf for leaf in range(42) if leaf not in alone)
        assert leaves_of(ask(engine, encoded, [outside], box=box), encoded) >= alone | {outside}
