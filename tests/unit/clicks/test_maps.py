from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.color import rgb2lab

from clickgrain.clicks.config import FIRST, MAP_NAMES, MapSpec
from clickgrain.clicks.leaf_maps import Leaves, leaf_closeness
from clickgrain.clicks.maps import COLOR_RANGE, ClickMaps, MapContext, click_maps, leaf_colors
from clickgrain.errors import ConfigError
from clickgrain.tree import build_tree, edge_tree
from clickgrain.types import Prompt, Scribble

HEIGHT, WIDTH = 48, 64
LEAF = 4


def photo(seed, size=(HEIGHT, WIDTH)):
    """Blobs of colour with noise."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)).resize(
        size[::-1], Image.Resampling.NEAREST
    )
    return np.clip(np.asarray(coarse) + rng.normal(0, 6, (*size, 3)), 0, 255).astype(np.uint8)


def tree_of(image):
    grid = (image.shape[0] // LEAF, image.shape[1] // LEAF)
    colors = np.asarray(Image.fromarray(image).resize(grid[::-1], Image.Resampling.BOX), np.float32)
    return build_tree(colors / 50, image.shape[:2])


def pixels(*images):
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()


def context_of(spec, *images, **settings):
    leaves = [leaves_of(image)._replace(**settings) for image in images]
    return MapContext.of(pixels(*images), spec, leaves)


def leaves_of(image):
    tree = tree_of(image)
    lab = leaf_colors(image, tree)
    return Leaves(tree, lab, edge_tree(image, tree.grid), vectors_of(lab))


def vectors_of(lab):
    """h x w x 3 vectors of length 1, by hue."""
    centred = lab - [50, 0, 0]
    return (centred / np.maximum(np.linalg.norm(centred, axis=-1, keepdims=True), 1e-6)).astype(np.float32)


def prompt(positives=(), negatives=(), **rest):
    points = np.array([*positives, *negatives], np.float32).reshape(-1, 2)
    labels = np.array([1] * len(positives) + [0] * len(negatives), np.uint8)
    return Prompt(points, labels, **rest)


def one(name, asked, stride=1, seed=0, previous=None, radius=5.0):
    """h x w numpy: one map of one prompt on a photo."""
    spec = MapSpec((name,), stride, radius)
    return click_maps(spec, context_of(spec, photo(seed)), [asked], previous)[0, 0].numpy()


def centres(stride):
    """x and y of the centres of map pixels, in working pixels."""
    y, x = np.mgrid[: HEIGHT // stride, : WIDTH // stride]
    return x * stride + (stride - 1) / 2, y * stride + (stride - 1) / 2


PROMPTS = [
    prompt([(10, 12)]),
    prompt([(10.5, 12.25), (40, 30), (60, 3)], [(20, 40), (3, 3)], level=0.5),
    prompt([], [(30, 20)]),
    prompt(box=(10.0, 8.0, 40.5, 33.0)),
    prompt([(20, 20)], box=(5.0, 8.0, 60.0, 44.0), level=0.0),
    prompt([(30, 30)], scribbles=(Scribble([[5, 5], [40, 9]], 0), Scribble([[32, 40], [50, 41]], 1))),
]


class TestGrowingPrompts:
    def test_clicks_one_by_one_give_the_maps_of_all_at_once(self):
        """Prompts of different lengths, some of which stop growing; every map, bit by bit."""
        spec, rng = MapSpec(MAP_NAMES, 2), np.random.default_rng(0)
        context = context_of(spec, photo(0), photo(1))
        index, asked = [0, 1, 1, 0, 1, 0], list(PROMPTS)
        maps, rows = ClickMaps(spec, context, index), list(range(len(asked)))
        for turn in range(4):
            previous = torch.rand(
                len(rows), 1, HEIGHT // 2, WIDTH // 2, generator=torch.Generator().manual_seed(turn)
            )
            previous = None if turn == 0 else previous.round() if turn < 3 else previous
            maps.draw(rows, [asked[row] for row in rows], previous)
            once = click_maps(spec, context, [asked[row] for row in rows], previous, [index[row] for row in rows])
            assert torch.equal(maps.of(rows), once)
            rows = rows if turn == 0 else rows[1:]
            for row in rows:
                point = rng.uniform((0, 0), (WIDTH - 1, HEIGHT - 1)).astype(np.float32)[None]
                points = np.concatenate([asked[row].points, point])
                asked[row] = replace(asked[row], points=points, labels=np.append(asked[row].labels, row % 2))

    def test_what_was_handed_out_stays_as_it_is(self):
        spec = MapSpec(MAP_NAMES, 2)
        maps = ClickMaps(spec, context_of(spec, photo(0)), [0])
        maps.draw([0], [PROMPTS[0]])
        first = maps.of([0])
        kept = first.clone()
        maps.draw([0], [PROMPTS[1]], torch.ones(1, 1, 4, 4))
        assert torch.equal(first, kept)
        assert not torch.equal(first, maps.of([0]))


class TestNumpy:
    @pytest.mark.parametrize("stride", [1, 2])
    def test_numpy_draws_what_torch_draws(self, stride):
        """One image, as clicks are answered; `cv2.resize` may round the previous mask another way."""
        spec, index = MapSpec(MAP_NAMES, stride), [0] * len(PROMPTS)
        context = context_of(spec, photo(0))
        plain = MapContext.of(pixels(photo(0)).numpy(), spec, context.leaves)
        generator = torch.Generator().manual_seed(0)
        same = torch.rand(len(PROMPTS), 1, HEIGHT // stride, WIDTH // stride, generator=generator)
        smooth = torch.nn.functional.interpolate(same[..., :3, :4], (24, 32), mode="bilinear")
        assert np.abs(plain.lab - context.lab.numpy()).max() < 1e-3
        bins = torch.from_numpy(plain.bins)
        assert (bins != context.bins).float().mean() < 0.01  # colors on the border of two bins
        context = replace(context, lab=torch.from_numpy(plain.lab), bins=bins)
        for previous in (None, same, smooth):
            found = click_maps(spec, plain, PROMPTS, None if previous is None else previous.numpy(), index)
            assert found.dtype == np.float32
            wanted = click_maps(spec, context, PROMPTS, previous, index).numpy()
            assert np.abs(found - wanted).max() < (1e-4 if previous is not smooth else 0.05)

    def test_no_prompts_at_all(self):
        """As in a training step where no prompt of a turn has clicks left."""
        spec, seen = MapSpec(MAP_NAMES, 2), context_of(MapSpec(MAP_NAMES, 2), photo(0))
        plain = replace(seen, lab=seen.lab.numpy(), bins=seen.bins.numpy())
        for context in (seen, plain):
            assert tuple(click_maps(spec, context, []).shape) == (0, len(MAP_NAMES), HEIGHT // 2, WIDTH // 2)


class TestDisks:
    @settings(max_examples=40, deadline=None)
    @given(
        points=st.lists(st.tuples(st.floats(0, WIDTH - 1), st.floats(0, HEIGHT - 1)), min_size=1, max_size=6),
        stride=st.sampled_from([1, 2]),
        radius=st.sampled_from([2.0, 5.0, 7.5]),
    )
    def test_equal_the_analytic_distance(self, points, stride, radius):
        x, y = centres(stride)
        distance = np.min([np.hypot(x - px, y - py) for px, py in points], axis=0) / stride
        for name, asked in (("disk+", prompt(points)), ("disk-", prompt([], points))):
            found = one(name, asked, stride, radius=radius)
            assert found == pytest.approx(np.clip(radius / stride + 0.5 - distance, 0, 1), abs=1e-4)

    def test_have_the_area_of_circles_wherever_they_lie(self):
        for stride in (1, 2):
            for point in ((30, 20), (30.5, 20.5), (30.3, 20.8)):
                area = one("disk+", prompt([point]), stride).sum() * stride**2
                assert area == pytest.approx(np.pi * 25, rel=0.03)

    def test_signs_stay_apart(self):
        asked = prompt([(10, 10)], [(50, 40)])
        positive, negative = one("disk+", asked), one("disk-", asked)
        assert positive[10, 10] == negative[40, 50] == 1
        assert positive[40, 50] == negative[10, 10] == 0


class TestColor:
    @pytest.mark.parametrize("stride", [1, 2])
    @pytest.mark.parametrize("points", [[(30, 20)], [(0, 0), (63, 47), (12.4, 30.7)]])
    def test_equals_numpy(self, stride, points):
        image = photo(3)
        small = image.reshape(HEIGHT // stride, stride, WIDTH // stride, stride, 3).mean((1, 3))
        lab = rgb2lab(small / 255)
        colors = []
        for x, y in points:
            column, row = (int(np.rint((v + 0.5) / stride - 0.5)) for v in (x, y))
            colors.append(lab[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2].mean((0, 1)))
        distance = np.min([np.linalg.norm(lab - c, axis=2) for c in colors], axis=0)
        found = one("color+", prompt(points), stride, seed=3)
        assert found == pytest.approx(np.exp(-distance / COLOR_RANGE), abs=2e-3)

    def test_of_negative_clicks_ignores_positive_ones(self):
        alone = one("color-", prompt([], [(20, 20)]))
        assert np.array_equal(alone, one("color-", prompt([(40, 40)], [(20, 20)])))


class TestTreeMaps:
    @pytest.mark.parametrize("kind", ["level", "geodesic", "edge"])
    def test_show_every_leaf_at_its_centre(self, kind):
        points = np.array([[9, 9], [50, 30]], np.float32)
        close = leaf_closeness(leaves_of(photo(5)), points, kind)
        assert one(f"{kind}+", prompt(points), stride=LEAF, seed=5) == pytest.approx(close, abs=1e-6)

    def test_of_the_edge_tree_need_it(self):
        spec = MapSpec(("edge+",))
        with pytest.raises(ConfigError, match="need the images' edge trees"):
            click_maps(spec, context_of(spec, photo(0), edges=None), [prompt([(6, 6)])])

    @pytest.mark.parametrize("name", ["semantic+", "semantic-", "alike"])
    def test_of_semantic_vectors_need_them(self, name):
        spec = MapSpec((name,))
        with pytest.raises(ConfigError, match="need the images' semantic vectors"):
            click_maps(spec, context_of(spec, photo(0), vectors=None), [prompt([(6, 6)])])

    def test_alike_tells_the_previous_mask_from_the_rest(self):
        """Two fields of the left half resemble each other; the mask covers one of them."""
        spec, image = MapSpec(("alike",)), photo(0)
        context = context_of(spec, image)
        vectors = np.zeros((*context.leaves[0].tree.grid, 2), np.float32)
        vectors[..., 0], vectors[:, :8] = 1, [0, 1]
        context = replace(context, leaves=[context.leaves[0]._replace(vectors=vectors)])
        before = torch.zeros(1, 1, HEIGHT, WIDTH)
        before[..., 24:, : WIDTH // 2] = 1
        (found,) = click_maps(spec, context, [prompt([(6, 6)])], before)[0].numpy()
        assert found[:, : WIDTH // 2 - LEAF].min() > 0.9
        assert found[:, WIDTH // 2 + LEAF :].max() < 0.1
        assert not click_maps(spec, context, [prompt([(6, 6)])]).any()

    def test_are_higher_in_the_clicked_blob(self):
        found = one("level+", prompt([(6, 6)]), seed=7)
        same = np.zeros((HEIGHT, WIDTH), bool)
        same[2:10, 2:10] = True  # blobs are 12 pixels high and about as wide
        assert found[same].min() > found[:, 40:].max()

    def test_leaf_colors_are_means_of_lab(self):
        image = photo(1)
        flat = np.repeat(np.repeat(image[::LEAF, ::LEAF], LEAF, 0), LEAF, 1)
        assert leaf_colors(flat, tree_of(flat)) == pytest.approx(rgb2lab(image[::LEAF, ::LEAF]), abs=0.4)

    def test_posterior_alone_equals_posterior_among_all(self):
        alone = MapSpec(("posterior",), 2)
        every = MapSpec(MAP_NAMES, 2)
        previous = torch.rand(len(PROMPTS), 1, 24, 32, generator=torch.Generator().manual_seed(0))
        index = [0] * len(PROMPTS)
        image = photo(2)
        found = click_maps(alone, context_of(alone, image), PROMPTS, previous, index)[:, 0]
        among = click_maps(every, context_of(every, image), PROMPTS, previous, index)
        assert found.numpy() == pytest.approx(among[:, MAP_NAMES.index("posterior")].numpy(), abs=1e-6)


class TestBoxLevelAndPrevious:
    @pytest.mark.parametrize(("stride", "area"), [(1, 31 * 25), (2, 16 * 13)])
    def test_box_is_one_inside_and_minus_one_outside(self, stride, area):
        found = one("box", prompt(box=(10.0, 8.0, 40.5, 33.0)), stride)
        assert (found == 1).sum() == area  # pixels that the box touches
        assert set(np.unique(found)) == {-1, 1}
        assert found[8 // stride, 10 // stride] == 1

    def test_box_is_zero_without_one(self):
        assert not one("box", prompt([(3, 3)])).any()

    def test_level_and_whether_one_is_wanted(self):
        for level, shown, wanted in ((None, 0, 0), (0.0, 0, 1), (0.7, 0.7, 1)):
            asked = prompt([(3, 3)], level=level)
            assert np.unique(one("level", asked)) == pytest.approx([shown])
            assert np.unique(one("level?", asked)) == pytest.approx([wanted])

    def test_previous_is_zero_when_there_is_none(self):
        assert not one("previous", prompt([(3, 3)])).any()

    @pytest.mark.parametrize("size", [(HEIGHT // 2, WIDTH // 2), (HEIGHT, WIDTH), (96, 128), (30, 50)])
    def test_previous_of_any_resolution_is_resized_as_pillow_does(self, size):
        before = np.random.default_rng(0).random(size, dtype=np.float32)
        image = Image.fromarray(before).resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.BILINEAR)
        found = one("previous", prompt([(3, 3)]), 2, previous=torch.from_numpy(before)[None, None])
        assert found == pytest.approx(np.asarray(image), abs=1e-4)


class TestBatches:
    @pytest.mark.parametrize("stride", [1, 2])
    def test_prompts_of_different_lengths_do_not_leak(self, stride):
        spec = MapSpec(MAP_NAMES, stride)
        images = [photo(seed) for seed in range(len(PROMPTS))]
        previous = torch.rand(len(PROMPTS), 1, 24, 32, generator=torch.Generator().manual_seed(0))
        together = click_maps(spec, context_of(spec, *images), PROMPTS, previous)
        assert together.shape == (len(PROMPTS), len(MAP_NAMES), HEIGHT // stride, WIDTH // stride)
        for i, asked in enumerate(PROMPTS):
            alone = click_maps(spec, context_of(spec, images[i]), [asked], previous[i : i + 1])[0]
            assert together[i].numpy() == pytest.approx(alone.numpy(), abs=1e-6)

    def test_index_equals_separate_canvases(self):
        spec, images = MapSpec(MAP_NAMES, 2), [photo(0), photo(1)]
        index = [1, 0, 1, 1, 0, 0]
        found = click_maps(spec, context_of(spec, *images), PROMPTS, index=index)
        wanted = click_maps(spec, context_of(spec, *(images[i] for i in index)), PROMPTS)
        assert torch.equal(found, wanted)

    def test_scribbles_are_rows_of_clicks(self):
        spec = MapSpec(MAP_NAMES, 2)
        stroke, beside = Scribble([[5, 5], [40, 9], [41, 30]], 1), Scribble([[50, 5], [60, 40]], 0)
        drawn = prompt([(30, 40)], [(10, 40)], scribbles=(stroke, beside))
        clicked = prompt([(30, 40), *stroke.resampled(spec.radius)], [(10, 40), *beside.resampled(spec.radius)])
        context = context_of(spec, photo(0))
        assert torch.equal(click_maps(spec, context, [drawn]), click_maps(spec, context, [clicked]))

    def test_channels_follow_the_names(self):
        backwards = MAP_NAMES[::-1]
        context = context_of(MapSpec(MAP_NAMES, 2), photo(0))
        forth = click_maps(MapSpec(MAP_NAMES, 2), context, [PROMPTS[1]])
        assert torch.equal(click_maps(MapSpec(backwards, 2), context, [PROMPTS[1]]), forth.flip(1))

    def test_spec_without_a_tree_needs_none(self):
        names = tuple(n for n in MAP_NAMES if not MapSpec((n,)).uses_tree)
        spec = MapSpec(names, 2)
        found = click_maps(spec, MapContext.of(pixels(photo(0)), spec), [PROMPTS[1]])
        among = click_maps(MapSpec(MAP_NAMES, 2), context_of(spec, photo(0)), [PROMPTS[1]])
        assert torch.equal(found, among[:, [MAP_NAMES.index(n) for n in names]])


class TestEdges:
    @pytest.mark.parametrize("stride", [1, 2])
    def test_maps_stay_in_their_ranges(self, stride):
        spec = MapSpec(MAP_NAMES, stride)
        previous = torch.rand(len(PROMPTS), 1, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0)).round()
        maps = click_maps(spec, context_of(spec, photo(0)), PROMPTS, previous, [0] * len(PROMPTS))
        assert maps.dtype == torch.float32
        assert maps.isfinite().all()
        box = maps[:, MAP_NAMES.index("box")]
        assert box.min() == -1
        maps[:, MAP_NAMES.index("box")] = box.clamp(0)
        assert maps.min() >= 0
        assert maps.max() <= 1

    @pytest.mark.parametrize("stride", [1, 2])
    def test_points_on_the_border(self, stride):
        spec = MapSpec(MAP_NAMES, stride)
        corners = [(0, 0), (WIDTH - 1, 0), (0, HEIGHT - 1), (WIDTH - 1, HEIGHT - 1), (WIDTH - 0.01, HEIGHT - 0.01)]
        context = context_of(spec, photo(0))
        maps = click_maps(spec, context, [prompt([c]) for c in corners], index=[0] * 5)
        assert maps.isfinite().all()
        for map_, (x, y) in zip(maps, corners):
            for name in ("disk+", "level+", "geodesic+"):
                at = map_[MAP_NAMES.index(name), int(y) // stride, int(x) // stride]
                assert at == pytest.approx(1, abs=1e-6)

    def test_two_hundred_clicks(self):
        spec = MapSpec(MAP_NAMES, 2)
        points = np.random.default_rng(0).uniform(0, (WIDTH - 1, HEIGHT - 1), (200, 2)).astype(np.float32)
        context, half = context_of(spec, photo(0)), [prompt(points[:100]), prompt(points[100:])]
        every = click_maps(spec, context, [prompt(points)])[0]
        parts = click_maps(spec, context, half, index=[0, 0])
        assert every.isfinite().all()
        for name in ("disk+", "color+"):  # the nearest click decides
            channel = MAP_NAMES.index(name)
            assert torch.equal(every[channel], parts[:, channel].amax(0))
            assert every[channel].max() > 0.9

    def test_a_prompt_without_clicks_has_empty_click_maps(self):
        spec = MapSpec(MAP_NAMES, 2)
        maps = click_maps(spec, context_of(spec, photo(0)), [prompt(level=0.5)])[0]
        for name in MAP_NAMES:
            if name.endswith(("+", "-")):
                assert not maps[MAP_NAMES.index(name)].any()

    def test_repeats_exactly_with_deterministic_algorithms(self):
        spec, index = MapSpec(MAP_NAMES, 2), [0] * len(PROMPTS)
        context = context_of(spec, photo(0))
        before = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(True)
        try:
            first, *others = (click_maps(spec, context, PROMPTS, index=index) for _ in range(4))
        finally:
            torch.use_deterministic_algorithms(before)
        assert all(torch.equal(first, other) for other in others)

    def test_a_semantic_tree_votes_on_what_a_click_means(self):
        spec, image = MapSpec(("centre", "correction+", "level+"), 2), photo(0)
        alone, tree = (
            context_of(spec, image),
            build_tree(np.random.default_rng(3).normal(size=(12, 16, 3)), (48, 64)),
        )
        semantic = build_tree(
            np.random.default_rng(3).normal(size=(*alone.leaves[0].tree.grid, 3)), tree.image_size
        )
        more = context_of(spec, image, semantic=semantic)
        before, after = (click_maps(spec, context, [prompt([(30, 20)])])[0] for context in (alone, more))
        assert not torch.equal(before[0], after[0])
        assert torch.equal(before[2], after[2])

    def test_carry_no_gradients(self):
        spec = MapSpec(MAP_NAMES, 2)
        previous = torch.full((1, 1, 24, 32), 0.7, requires_grad=True)
        images = pixels(photo(0)).requires_grad_()
        context = MapContext.of(images, spec, [leaves_of(photo(0))])
        assert not click_maps(spec, context, [PROMPTS[1]], previous).requires_grad

    def test_are_the_same_under_autocast(self):
        spec, index = MapSpec(MAP_NAMES, 2), [0] * len(PROMPTS)
        previous = torch.rand(len(PROMPTS), 1, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
        plain = click_maps(spec, context_of(spec, photo(0)), PROMPTS, previous, index)
        with torch.autocast("cpu", torch.bfloat16):
            cast = click_maps(spec, context_of(spec, photo(0)), PROMPTS, previous, index)
        assert cast.dtype == torch.float32
        assert torch.equal(plain, cast)


class TestCrops:
    """Training sees augmented crops with maps from the whole image's tree."""

    def whole_and_crop(self, spec, to_image, crop, points, inverse):
        """Maps of the image, and of a working image that sees it through `to_image`."""
        image = photo(4)
        context = context_of(spec, image)
        seen = replace(context_of(spec, crop), leaves=context.leaves, to_image=[to_image[:2]])
        moved = [tuple((inverse @ [*p, 1])[:2]) for p in points]
        return click_maps(spec, context, [prompt(points)])[0], click_maps(spec, seen, [prompt(moved)])[0]

    @pytest.mark.parametrize("stride", [1, 2])
    def test_a_plain_crop_shows_the_crop_of_the_maps(self, stride):
        spec = MapSpec(("disk+", "level+", "color+", "geodesic+", "edge+"), stride)
        to_image = np.array([[1, 0, 12], [0, 1, 8], [0, 0, 1]], np.float64)
        crop, points = photo(4)[8:40, 12:60], [(20, 20), (41.5, 30.25)]
        whole, found = self.whole_and_crop(spec, to_image, crop, points, np.linalg.inv(to_image))
        wanted = whole[:, 8 // stride : 40 // stride, 12 // stride : 60 // stride]
        assert found.numpy() == pytest.approx(wanted.numpy(), abs=0.02)

    @pytest.mark.parametrize("stride", [1, 2])
    def test_a_flip_shows_the_flipped_maps(self, stride):
        spec = MapSpec(MAP_NAMES, stride)
        to_image = np.array([[-1, 0, WIDTH - 1], [0, 1, 0], [0, 0, 1]], np.float64)
        crop = np.ascontiguousarray(photo(4)[:, ::-1])
        whole, found = self.whole_and_crop(spec, to_image, crop, [(20, 20), (41, 30)], np.linalg.inv(to_image))
        assert found.flip(2).numpy() == pytest.approx(whole.numpy(), abs=0.02)

    def test_a_quarter_turn_shows_the_turned_maps(self):
        spec = MapSpec(MAP_NAMES, 2)
        to_image = np.array([[0, -1, WIDTH - 1], [1, 0, 0], [0, 0, 1]], np.float64)
        crop = np.ascontiguousarray(np.rot90(photo(4)))
        whole, found = self.whole_and_crop(spec, to_image, crop, [(20, 20), (41, 30)], np.linalg.inv(to_image))
        assert torch.rot90(found, -1, (1, 2)).numpy() == pytest.approx(whole.numpy(), abs=0.02)

    def test_an_enlarged_image_shows_the_same_maps(self):
        """Half-pixel centres: the mean of each 2 x 2 block lies on the pixel it came from."""
        spec = MapSpec(("level+", "geodesic+"), 1)
        to_image = np.array([[0.5, 0, -0.25], [0, 0.5, -0.25], [0, 0, 1]], np.float64)
        crop = np.repeat(np.repeat(photo(4), 2, 0), 2, 1)
        whole, found = self.whole_and_crop(spec, to_image, crop, [(20, 20)], np.linalg.inv(to_image))
        means = torch.nn.functional.avg_pool2d(found, 2)
        assert means[:, 2:-2, 2:-2].numpy() == pytest.approx(whole[:, 2:-2, 2:-2].numpy(), abs=0.04)

    def test_without_a_matrix_the_working_image_is_the_trees_scaled(self):
        fine, half = (MapSpec(("level+", "geodesic+"), stride) for stride in (1, 2))
        image = photo(6)
        double = np.repeat(np.repeat(image, 2, 0), 2, 1)
        leaves = [leaves_of(image)]
        small, large = (MapContext.of(pixels(i), s, leaves) for i, s in ((image, fine), (double, half)))
        found, wanted = (
            click_maps(half, large, [prompt([(40.5, 40.5)])]),
            click_maps(fine, small, [prompt([(20, 20)])]),
        )
        assert found.numpy() == pytest.approx(wanted.numpy(), abs=0.02)


@pytest.mark.parametrize(
    ("asked", "previous", "first"),
    [
        (prompt([(10, 12)]), None, 1.0),
        (prompt([(10, 12)]), 0.0, 1.0),
        (prompt([(10, 12)]), 0.6, 0.0),
        (prompt([(10, 12), (20, 20)]), None, 0.0),
        (prompt([], [(10, 12)]), None, 0.0),
        (prompt([(10, 12)], level=0.4), None, 0.0),
        (prompt([(10, 12)], box=(5.0, 5.0, 30.0, 30.0)), None, 0.0),
        (prompt([(10, 12)], scribbles=(Scribble([[5, 5], [40, 9]], 1),)), None, 0.0),
    ],
)
def test_a_first_click_is_one_positive_click_and_nothing_else(asked, previous, first):
    before = None if previous is None else torch.full((1, 1, HEIGHT, WIDTH), previous)
    assert (one(FIRST, asked, previous=before) == first).all()
