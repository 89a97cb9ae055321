import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from clickgrain.clicks.maps import ClickMaps
from clickgrain.errors import PromptError
from clickgrain.features import ColorTexture
from clickgrain.features.config import EncoderConfig
from clickgrain.images import fit_size
from clickgrain.models.config import GrainConfig
from clickgrain.models.grain import GrainModel, TorchGrain
from clickgrain.models.grain_engine import OTHER_LEVELS, GrainEngine, _voted
from clickgrain.types import Mask, Prompt, Scribble

TINY = GrainConfig(EncoderConfig((4, 6, 8, 10, 12), (1, 1, 1, 1, 1)), (4, 6, 8, 10), long_side=64)
SIZE = (50, 70)


def random_model(config=TINY):
    model = GrainModel(config)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(0.3 * torch.randn(p.shape, generator=generator))
    return model


def echo_model(name, config=TINY):
    """A model whose logits follow one of its maps alone: 20 x map - 10."""
    model = GrainModel(config)
    with torch.no_grad():
        model.decoder.shortcut.weight.zero_()
        model.decoder.shortcut.weight[0, config.maps.index(name)] = 20
        model.decoder.shortcut.bias.fill_(-10)
        model.decoder.head.bias.zero_()
    return model


@pytest.fixture(scope="module")
def engine():
    return GrainEngine(TorchGrain(random_model()), ColorTexture())


def photo(seed=0, size=SIZE):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (7, 9, 3), np.uint8)
    rows, columns = np.arange(size[0]) * 7 // size[0], np.arange(size[1]) * 9 // size[1]
    return coarse[rows][:, columns]


def ask(engine, encoded, points, previous=None, labels=None, **rest):
    size = encoded.image.shape[:2]
    prompt = Prompt.of(points, [1] * len(points) if labels is None else labels, size=size, **rest)
    return engine.answer(encoded, prompt, previous)


def test_calls_at_the_same_time_take_a_core_each():
    before = torch.get_num_threads()
    torch.set_num_threads(2)  # this process may have one core
    try:
        network, together, seen = TorchGrain(random_model()), threading.Barrier(2), []
        real, pixels = network.model.encode, np.zeros((1, 3, 64, 64), np.float32)

        def encode(given):
            together.wait(20)
            seen.append(torch.get_num_threads())
            together.wait(20)
            return real(given)

        network.model.encode = encode
        with ThreadPoolExecutor(2) as pool:
            one, other = pool.map(network.encode, [pixels, pixels])
        assert seen == [1, 1]
        assert torch.get_num_threads() == 2
        network.model.encode = real
        for a, b, c in zip(one, other, network.encode(pixels)):
            assert torch.equal(a, b)
            torch.testing.assert_close(a, c)
    finally:
        torch.set_num_threads(before)


def test_an_answer_has_the_images_size_and_is_the_same_every_time(engine):
    encoded = engine.encode(photo())
    first, again = ask(engine, encoded, [[20, 30]]), ask(engine, encoded, [[20, 30]])
    assert first.probability.shape == SIZE
    assert first.probability.dtype == np.float32
    np.testing.assert_array_equal(first.probability, again.probability)
    assert first.score == again.score
    assert 0 <= first.score <= 1
    assert first.probability.std() > 0.01
    assert first.roi is None


def thing():
    """A square on even ground, which stands out."""
    image = np.full((*SIZE, 3), 90, np.uint8)
    image[14:40, 8:36] = (200, 120, 60)
    return image


class TestVotes:
    """First answers blended with the vote of the regions around the click: in part where the network is unsure."""

    @staticmethod
    def mask(expected, image=None, **prompt):
        """The answer of a network that says "object" everywhere and expects this IoU."""
        config = replace(TINY, first_maps=TINY.maps)
        model = echo_model("disk+", config)
        with torch.no_grad():
            model.first.load_state_dict(model.decoder.state_dict())
            model.first.shortcut.weight.zero_()
            model.first.shortcut.bias.fill_(np.log(3.0))  # 3/4 in every pixel
            model.first.score[2].weight.zero_()
            model.first.score[2].bias.fill_(np.log(expected / (1 - expected)))
        engine = GrainEngine(TorchGrain(model), ColorTexture())
        return ask(engine, engine.encode(thing() if image is None else image), [[20, 30]], **prompt).probability

    def test_alone_where_no_large_region_stands_out(self):
        patches = photo()  # many small ones
        sure = self.mask(0.95, patches)
        np.testing.assert_array_equal(sure, self.mask(0.05, patches))
        assert sure[30, 20] > 0.9
        assert sure[-2, -2] < 0.1

    def test_what_is_smaller_than_all_regions_that_vote_is_the_networks(self):
        logits = np.full((2, 40, 40), -3, np.float32)
        logits[0, 20, 20:24], logits[1, 20, 20:30] = 3, 3  # 0.25 and 0.63 % of the image
        votes, unsure = np.full((2, 9, 11), 0.9, np.float32), np.full(2, 0.2, np.float32)
        tiny, small = _voted(logits, unsure, votes, contrast=0.0)
        np.testing.assert_array_equal(tiny, logits[0])
        np.testing.assert_allclose(small, np.log(9), rtol=1e-5)

    def test_none_where_it_is_sure(self):
        np.testing.assert_allclose(self.mask(0.61), 0.75, atol=1e-3)

    def test_the_less_sure_the_more_they_weigh(self):
        sure, half, least = self.mask(0.61), self.mask(0.5), self.mask(0.2)
        shift = [float((sure - other)[-2, -2]) for other in (half, least)]
        assert shift == pytest.approx([0.2 * 0.75, 0.7 * 0.75], abs=0.03)  # away from the click the vote is 0
        assert half[30, 20] > half[-2, -2] + 0.05  # for what lies around the click

    def test_a_wanted_level_is_the_other_decoders(self):
        probability = self.mask(0.2, photo(), level=0.5)  # which shows the click's disk
        assert probability[30, 20] > 0.9
        assert probability[-2, -2] < 0.1


@pytest.mark.parametrize("size", [(90, 120), (200, 64), (33, 61)])
def test_a_disk_comes_back_centred_on_its_click(size):
    engine = GrainEngine(TorchGrain(echo_model("disk+", replace(TINY, radius=14.0))), ColorTexture())
    encoded = engine.encode(np.full((*size, 3), 90, np.uint8))
    # 14 pixels of the working image, whose sides are rounded to multiples of 32
    work = fit_size(size, 64, 32)
    scale = np.array([size[1] / work[1], size[0] / work[0]])
    for share in ((0.5, 0.5), (0.45, 0.55)):
        x, y = round(share[0] * size[1]), round(share[1] * size[0])
        weight = ask(engine, encoded, [[x, y]]).binary.astype(float)
        assert abs((weight.sum(0) * np.arange(size[1])).sum() / weight.sum() - x) <= max(1, scale[0])
        assert abs((weight.sum(1) * np.arange(size[0])).sum() / weight.sum() - y) <= max(1, scale[1])
        assert weight.sum() == pytest.approx(np.pi * 14**2 * scale.prod(), rel=0.3)


def test_clicks_are_obeyed(engine):
    encoded = engine.encode(photo())
    points, labels = [[5, 5], [60, 40], [30, 20], [33, 20]], [1, 0, 1, 0]
    mask = ask(engine, encoded, points, labels=labels)
    assert [bool(mask.binary[y, x]) for x, y in points] == [bool(label) for label in labels]


def test_a_previous_mask_is_seen_as_mask_and_as_array(engine):
    encoded = engine.encode(photo())
    first = ask(engine, encoded, [[60, 45]])
    points = [[20, 30]]
    alone = ask(engine, encoded, points)
    went_on = ask(engine, encoded, points, first)
    as_array = ask(engine, encoded, points, Mask(first.probability))
    assert np.abs(went_on.probability - alone.probability).max() > 1e-4
    np.testing.assert_array_equal(as_array.probability, went_on.probability)


def test_the_previous_mask_stays_where_it_is():
    engine = GrainEngine(TorchGrain(echo_model("previous")), ColorTexture())
    image = np.full((96, 128, 3), 90, np.uint8)
    before = np.zeros((96, 128), np.float32)
    before[20:60, 30:90] = 1
    image[20:60, 30:90] = 200
    encoded = engine.encode(image)
    mask = ask(engine, encoded, [[60, 40]], Mask(before))
    again = ask(engine, encoded, [[60, 40]], mask)
    for found in (mask, again):
        assert (found.binary & (before > 0)).sum() / (found.binary | (before > 0)).sum() > 0.9


def test_a_previous_mask_of_another_image_is_refused(engine):
    encoded = engine.encode(photo())
    with pytest.raises(PromptError, match="previous mask is 70 x 50, the image 50 x 70"):
        ask(engine, encoded, [[1, 1]], Mask(np.zeros((70, 50), np.float32)))
    portrait = engine.encode(photo(size=(70, 50)))
    with pytest.raises(PromptError, match="previous mask is 70 x 50"):
        ask(engine, encoded, [[1, 1]], ask(engine, portrait, [[1, 1]]))
    # the same working size is no excuse
    larger = engine.encode(photo(size=(100, 140)))
    with pytest.raises(PromptError, match="previous mask is 100 x 140"):
        ask(engine, encoded, [[1, 1]], ask(engine, larger, [[1, 1]]))


def test_alternatives_are_the_answers_at_other_levels(engine):
    encoded = engine.encode(photo())
    first = ask(engine, encoded, [[20, 30]])
    mask = ask(engine, encoded, [[20, 30], [40, 30]], first)
    by_level = {level: ask(engine, encoded, [[20, 30], [40, 30]], first, level=level) for level in OTHER_LEVELS}
    assert sorted(a.level for a in mask.alternatives) == sorted(OTHER_LEVELS)
    assert [a.score for a in mask.alternatives] == sorted((a.score for a in mask.alternatives), reverse=True)
    for other in mask.alternatives:
        np.testing.assert_allclose(other.probability, by_level[other.level].probability, atol=1e-3)
        assert other.alternatives == []
    assert by_level[OTHER_LEVELS[0]].alternatives == []


def test_alternatives_keep_no_previous_mask_alive(engine):
    encoded = engine.encode(photo())
    first = ask(engine, encoded, [[20, 30]])
    gone = weakref.ref(first)
    second = ask(engine, encoded, [[20, 30], [40, 30]], first)
    del first
    assert gone() is None
    assert len(second.alternatives) == 3


def test_level_box_and_scribbles_change_the_answer(engine):
    encoded = engine.encode(photo())
    plain = ask(engine, encoded, [[20, 30]]).probability
    stroke = Scribble(np.array([[40, 10], [60, 40]], np.float32), 0)
    for rest in ({"level": 0.2}, {"box": [5, 5, 50, 45]}, {"scribbles": [stroke]}):
        assert np.abs(ask(engine, encoded, [[20, 30]], **rest).probability - plain).max() > 1e-4
    assert ask(engine, encoded, [[20, 30]], level=0.2).level == 0.2
    assert ask(engine, encoded, [], box=[5, 5, 50, 45]).probability.shape == SIZE
    assert ask(engine, encoded, [], scribbles=[stroke]).probability.shape == SIZE


def test_nothing_is_left_behind_between_calls_and_threads(engine):
    encoded = [engine.encode(photo(seed)) for seed in (0, 1)]

    def session(i):
        mask = None
        for n in range(1, 4):
            points = [[10 + 15 * k, 40 - 12 * k] for k in range(n)]
            mask = ask(engine, encoded[i % 2], points, mask)
        return mask.probability, [a.probability for a in mask.alternatives]

    alone = [session(i) for i in range(2)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(session, range(8)))
    for i, (probability, others) in enumerate(together):
        np.testing.assert_array_equal(probability, alone[i % 2][0])
        np.testing.assert_array_equal(np.stack(others), np.stack(alone[i % 2][1]))
    assert np.abs(alone[0][0] - alone[1][0]).max() > 1e-3


@pytest.mark.parametrize("box", [None, [5, 5, 50, 45]])
def test_clicks_that_come_one_by_one_are_answered_as_all_at_once(engine, box):
    encoded, points, labels = engine.encode(photo()), [[20, 30], [45, 12], [30, 40], [60, 20]], [1, 0, 1, 0]
    mask = None
    for end in (1, 2, 3, 4, 2, 3):  # four clicks, two of them undone, and one of them again
        previous = mask if end > 1 else None
        mask = ask(engine, encoded, points[:end], previous, labels[:end], box=box)
        fresh = ask(engine, replace(encoded, drawn=[]), points[:end], previous, labels[:end], box=box)
        np.testing.assert_array_equal(mask.probability, fresh.probability)
    other = ask(engine, encoded, [[45, 12], *points[1:]], mask, labels)
    assert np.abs(other.probability - ask(engine, encoded, points, mask, labels).probability).max() > 1e-3


def test_what_earlier_clicks_drew_is_not_drawn_again(engine, monkeypatch):
    drawn, real = [], ClickMaps._add_clicks

    def add_clicks(maps, sign, rows, added):
        drawn.extend(len(points) for points in added)
        real(maps, sign, rows, added)

    monkeypatch.setattr(ClickMaps, "_add_clicks", add_clicks)
    encoded, mask = engine.encode(photo()), None
    for end in (1, 2, 3):
        mask = ask(engine, encoded, [[20, 30], [45, 12], [30, 40]][:end], mask)
    assert drawn == [1, 1, 1]


def test_rendering_needs_no_inference_mode_and_keeps_no_graph(engine):
    mask = ask(engine, engine.encode(photo()), [[20, 30]])
    with torch.enable_grad():
        assert mask.probability.shape == SIZE
        assert mask.alternatives[0].probability.shape == SIZE


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (3, 200)])
def test_images_of_odd_sizes(engine, size):
    encoded = engine.encode(photo(size=size))
    mask = ask(engine, encoded, [[0, 0]])
    again = ask(engine, encoded, [[0, 0]], Mask(mask.probability))
    assert again.probability.shape == size
    assert again.binary[0, 0]


def test_frozen_and_mirrored_arrays_are_taken(engine):
    image = photo(size=(64, 64))  # just the working size: nothing copies it on the way
    before = np.random.default_rng(0).random((64, 64), np.float32)
    plain = ask(engine, engine.encode(image), [[20, 30]], Mask(before.copy()))
    frozen, mirrored = image.copy(), image[:, ::-1].copy()[:, ::-1]
    frozen.setflags(write=False)
    before.setflags(write=False)
    for array in (frozen, mirrored):
        mask = ask(engine, engine.encode(array), [[20, 30]], Mask(before))
        np.testing.assert_array_equal(mask.probability, plain.probability)


def test_maps_without_a_tree_work_too():
    config = GrainConfig(TINY.encoder, TINY.decoder_widths, ("previous", "disk+", "disk-"), long_side=64)
    engine = GrainEngine(TorchGrain(random_model(config)), ColorTexture())
    assert ask(engine, engine.encode(photo()), [[20, 30]]).probability.shape == SIZE
