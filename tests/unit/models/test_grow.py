"""A grown network answers as the small one did, and can become better than it."""

from dataclasses import replace

import pytest
import torch

from clickgrain.errors import ConfigError
from clickgrain.features.encoder_config import EncoderConfig
from clickgrain.models.grain import GrainModel
from clickgrain.models.grow import grown
from tests.unit.models.test_grain import TINY, inputs, randomised

LARGE = replace(TINY, encoder=EncoderConfig((8, 12, 16, 30, 24), (1, 2, 1, 3, 1)), decoder_widths=(4, 12, 16, 30))


@pytest.fixture(scope="module")
def small():
    return randomised(GrainModel(TINY))


@pytest.fixture(scope="module")
def large(small):
    return grown(small, LARGE).eval()


@pytest.mark.parametrize(
    "sizes",
    [
        LARGE,
        replace(TINY, decoder_widths=(8, 12, 16, 20)),
        replace(TINY, encoder=EncoderConfig((8, 12, 16, 20, 24), (1, 1, 1, 1, 1))),
        replace(TINY, encoder=EncoderConfig(TINY.encoder.widths, (2, 3, 2, 2, 4))),
        TINY,
    ],
    ids=["all", "decoder", "encoder", "deeper", "the same"],
)
def test_it_answers_the_same(small, sizes):
    larger = grown(small, sizes).eval()
    images, maps = inputs()
    before, after = small.decode(small.encode(images), maps), larger.decode(larger.encode(images), maps)
    scale = before.logits.abs().max()
    torch.testing.assert_close(after.logits / scale, before.logits / scale, rtol=0, atol=1e-5)
    torch.testing.assert_close(after.score, before.score, rtol=1e-4, atol=1e-4)
    assert larger.config == sizes
    assert [f.shape[1] for f in larger.encode(images)] == list(sizes.decoder_widths)


def test_copies_of_a_channel_drift_apart(small):
    larger = grown(small, LARGE)
    images, maps = inputs()
    larger.decode(larger.encode(images), maps).logits.square().mean().backward()
    weights = [p for name, p in larger.named_parameters() if name.endswith("conv1.weight") and "stages.2" in name]
    assert weights
    for weight in weights:
        one, two = weight.grad.chunk(2)
        assert (one - two).abs().max() > 0.01 * one.abs().max()


def test_new_blocks_learn(small):
    larger = grown(small, LARGE)
    images, maps = inputs()
    larger.decode(larger.encode(images), maps).logits.square().mean().backward()
    new = [p for name, p in larger.named_parameters() if name.startswith("encoder.stages.1.1.conv2")]
    assert [p.abs().max() for p in new] == [0, 0]
    assert all(p.grad.abs().max() > 0 for p in new)


def test_seeds_differ_and_repeat_and_leave_torchs_own_alone(small):
    torch.manual_seed(3)
    one, again, other = (grown(small, LARGE, seed).state_dict() for seed in (0, 0, 1))
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(1))
    assert all(torch.equal(one[key], again[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)


def test_maps_and_sizes_of_images_stay(small):
    asked = replace(LARGE, maps=("disk+",), long_side=96, radius=9.0)
    assert grown(small, asked).config == LARGE


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (replace(TINY, decoder_widths=(4, 6, 8, 15)), "decoder widths .* whole multiples"),
        (replace(TINY, encoder=EncoderConfig((4, 6, 8, 10, 6), (1, 1, 1, 1, 1))), "encoder widths"),
    ],
)
def test_sizes_that_it_cannot_grow_to(small, sizes, message):
    with pytest.raises(ConfigError, match=message):
        grown(small, sizes)


def test_blocks_are_not_taken_away(small, large):
    with pytest.raises(ConfigError, match="cannot shrink"):
        grown(large, replace(LARGE, encoder=EncoderConfig(LARGE.encoder.widths, (1, 1, 1, 1, 1))))
