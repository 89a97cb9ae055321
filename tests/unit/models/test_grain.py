import json
from dataclasses import replace

import pytest
import torch

from clickgrain.clicks.config import MAP_NAMES
from clickgrain.errors import ConfigError
from clickgrain.features.config import EncoderConfig
from clickgrain.models.config import GrainConfig
from clickgrain.models.grain import MAP_WEIGHTS, PRIOR, PRIOR_BIAS, GrainModel

TINY = GrainConfig(EncoderConfig((4, 6, 8, 10, 12), (1, 1, 1, 1, 1)), (4, 6, 8, 10), long_side=64)
CHANNELS = len(MAP_NAMES)


def randomised(model):
    """Weights that leave nothing at its quiet start."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(0.2 * torch.randn(p.shape, generator=generator))
    return model.eval()


def inputs(b=2, height=64, width=96, seed=0, channels=CHANNELS):
    generator = torch.Generator().manual_seed(seed)
    images = 255 * torch.rand(b, 3, height, width, generator=generator)
    return images, torch.rand(b, channels, height // 2, width // 2, generator=generator)


@pytest.fixture(scope="module")
def model():
    return randomised(GrainModel(TINY))


def test_shapes(model):
    images, maps = inputs()
    encoded = model.encode(images)
    assert [tuple(f.shape) for f in encoded] == [
        (2, 4, 32, 48), (2, 6, 16, 24), (2, 8, 8, 12), (2, 10, 4, 6)
    ]  # fmt: skip
    decoded = model.decode(encoded, maps)
    assert decoded.logits.shape == (2, 1, 32, 48)
    assert decoded.score.shape == (2,)
    assert ((decoded.score > 0) & (decoded.score < 1)).all()


def test_features_of_one_image_serve_many_prompts(model):
    images, _ = inputs(b=1)
    _, maps = inputs(b=3, seed=1)
    encoded = model.encode(images)
    together = model.decode(tuple(f.expand(3, -1, -1, -1) for f in encoded), maps)
    for i in range(3):
        alone = model.decode(encoded, maps[i : i + 1])
        torch.testing.assert_close(together.logits[i : i + 1], alone.logits, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(together.score[i : i + 1], alone.score, rtol=1e-4, atol=1e-4)


def test_every_map_and_every_feature_counts(model):
    images, maps = inputs(b=1)
    encoded = tuple(f.detach().requires_grad_() for f in model.encode(images))
    maps.requires_grad_()
    model.decode(encoded, maps).logits.square().sum().backward()
    assert (maps.grad.abs().sum((0, 2, 3)) > 0).all()
    assert all((f.grad.abs().sum((0, 2, 3)) > 0).any() for f in encoded)


def test_a_fresh_model_answers_by_the_rule_on_its_maps_and_learns_at_once():
    torch.manual_seed(0)
    model = GrainModel(TINY)
    images, maps = inputs()
    decoded = model(images, maps)
    rule = PRIOR_BIAS + sum(PRIOR.get(name, 0.0) * maps[:, i] for i, name in enumerate(TINY.maps))
    constant = model.decoder.head.bias.detach()
    torch.testing.assert_close(decoded.logits[:, 0], rule + constant, rtol=1e-4, atol=1e-4)
    (decoded.logits * maps[:, :1]).sum().backward()
    assert model.decoder.head.weight.grad.abs().sum() > 0
    assert model.decoder.shortcut.weight.grad.abs().sum() > 0


def test_the_score_does_not_pull_at_the_mask(model):
    images, maps = inputs()
    model.zero_grad()
    model(images, maps).score.sum().backward()
    assert model.decoder.head.weight.grad is None
    assert model.decoder.shortcut.weight.grad is None
    assert model.decoder.score[0].weight.grad.abs().sum() > 0
    model.zero_grad()


def test_clicks_are_learned():
    """A small model overfits a disk around its click within a few steps."""
    torch.manual_seed(0)
    model = GrainModel(TINY)
    images, _ = inputs(b=1)
    y, x = torch.meshgrid(torch.arange(32), torch.arange(48), indexing="ij")
    maps = torch.zeros(1, len(MAP_NAMES), 32, 48)
    maps[0, 1] = ((y - 10) ** 2 + (x - 30) ** 2 <= 9).float()
    target = ((y - 10) ** 2 + (x - 30) ** 2 <= 36).float()[None, None]
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(40):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(images, maps).logits, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = model(images, maps).logits > 0
    assert (found & (target > 0)).sum() / (found | (target > 0)).sum() > 0.8


def test_maps_may_be_chosen():
    config = GrainConfig(TINY.encoder, TINY.decoder_widths, maps=("disk+", "disk-", "level+"), long_side=64)
    model = randomised(GrainModel(config))
    assert model.map_spec.names == ("disk+", "disk-", "level+")
    images, maps = inputs(channels=3)
    assert model(images, maps).logits.shape == (2, 1, 32, 48)


class TestTwoDecoders:
    """The second one answers first clicks."""

    NAMES = (*MAP_NAMES[:4], "semantic+")

    @pytest.fixture
    def two(self):
        return randomised(GrainModel(replace(TINY, maps=MAP_NAMES[:4], first_maps=self.NAMES)))

    def test_each_answers_its_prompts(self, two):
        images, maps = inputs(b=1, channels=6)
        maps = torch.cat([maps, *(torch.rand(1, 6, 32, 48, generator=torch.Generator().manual_seed(1)),) * 3])
        maps[:, 5], maps[1:3, 5] = 0, 1
        encoded = tuple(f.expand(4, -1, -1, -1) for f in two.encode(images))
        found = two.decode(encoded, maps)
        for i, decoder, columns in ((0, two.decoder, 4), (1, two.first, 5), (2, two.first, 5), (3, two.decoder, 4)):
            wanted = decoder(tuple(f[:1] for f in encoded), maps[i : i + 1, :columns])
            torch.testing.assert_close(found.logits[i : i + 1], wanted.logits, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(found.score[i : i + 1], wanted.score, rtol=1e-4, atol=1e-4)

    def test_one_that_is_new_answers_as_the_other_did(self):
        plain = randomised(GrainModel(replace(TINY, maps=MAP_NAMES[:4])))
        two = plain.with_first(self.NAMES).eval()
        images, maps = inputs(channels=6)
        maps[:, 5] = torch.tensor([0.0, 1.0]).view(2, 1, 1)
        found, wanted = two(images, maps), plain(images, maps[:, :4])
        torch.testing.assert_close(found.logits, wanted.logits, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(found.score, wanted.score, rtol=1e-4, atol=1e-4)

    def test_new_maps_leave_both_as_they_are(self, two):
        wider = two.with_maps((*MAP_NAMES[:4], "ball", "semantic+")).eval()
        images, maps = inputs(channels=6)
        maps[:, 5] = torch.tensor([0.0, 1.0]).view(2, 1, 1)
        seen = torch.cat([maps[:, :4], torch.rand(2, 1, 32, 48), maps[:, 4:]], 1)
        torch.testing.assert_close(wider(images, seen).logits, two(images, maps).logits, rtol=1e-4, atol=1e-4)

    def test_config_survives_json_and_older_ones_have_one_decoder(self, two):
        assert GrainConfig.from_json(json.loads(json.dumps(two.config.to_json()))) == two.config
        assert "first_maps" not in TINY.to_json()


def test_config_survives_json():
    config = GrainConfig(TINY.encoder, (3, 4, 5, 6), ("disk+", "posterior"), 3.5, 128, "facebook/dino-vits8")
    assert GrainConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    assert GrainConfig.from_json({**config.to_json(), "format": 1, "clickgrain": "9"}) == config
    assert config.to_json()["kind"] == "grain"


@pytest.mark.parametrize("key", ["encoder", "maps", "long_side", "tree", "decoder_widths", "radius"])
def test_a_config_that_lacks_a_key_is_refused(key):
    values = {k: v for k, v in TINY.to_json().items() if k != key}
    with pytest.raises(ConfigError, match=key):
        GrainConfig.from_json(values)


@pytest.mark.parametrize(
    "change", [{"depth": 3}, {"encoder": {"widths": [1] * 5, "depth": 1}}, {"encoder": {}}, {"encoder": None}]
)
def test_a_config_with_other_keys_is_refused(change):
    with pytest.raises(ConfigError, match="does not fit this version"):
        GrainConfig.from_json({**TINY.to_json(), **change})


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"decoder_widths": (4, 4, 4)}, "--decoder-widths"),
        ({"decoder_widths": (4, 4, 4, 0)}, "--decoder-widths"),
        ({"long_side": 32}, "--long-side 32"),
        ({"maps": ("disk+", "disk+")}, "repeated"),
        ({"maps": ("disc",)}, "disc"),
        ({"maps": ()}, "--maps"),
        ({"radius": 0.0}, "radius 0"),
    ],
)
def test_contradictory_settings_are_refused(settings, names):
    with pytest.raises(ConfigError, match=names):
        GrainConfig(**settings)


def test_the_small_model_is_much_smaller():
    def count(config):
        return sum(p.numel() for p in GrainModel(config).parameters())

    assert 5e5 < count(GrainConfig()) < 4e6
    assert count(GrainConfig.small()) < count(GrainConfig()) / 3


class TestWithMaps:
    OLD = tuple(name for name in MAP_NAMES if name not in ("edge+", "disk-"))

    @pytest.fixture
    def old(self):
        return randomised(GrainModel(replace(TINY, maps=self.OLD)))

    def test_it_answers_the_same_whatever_the_new_maps_show(self, old):
        wider = old.with_maps(MAP_NAMES).eval()
        images, maps = inputs()
        seen = maps[:, [MAP_NAMES.index(name) for name in self.OLD]]
        before, after = old.decode(old.encode(images), seen), wider.decode(wider.encode(images), maps)
        torch.testing.assert_close(after.logits, before.logits, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(after.score, before.score, rtol=1e-4, atol=1e-4)
        assert wider.config == replace(TINY, maps=MAP_NAMES)

    def test_it_can_learn_to_use_them(self, old):
        wider = old.with_maps(MAP_NAMES)
        images, maps = inputs()
        wider.decode(wider.encode(images), maps).logits.square().mean().backward()
        for key in MAP_WEIGHTS:
            weight = dict(wider.named_parameters())[key]
            assert weight.grad[:, MAP_NAMES.index("edge+")].abs().max() > 0

    def test_those_are_all_weights_that_depend_on_maps(self, old):
        wider = old.with_maps(MAP_NAMES).state_dict()
        changed = {key for key, value in old.state_dict().items() if wider[key].shape != value.shape}
        assert changed == set(MAP_WEIGHTS)

    def test_the_old_model_stays_as_it_is(self, old):
        before = {key: value.clone() for key, value in old.state_dict().items()}
        with torch.no_grad():
            for p in old.with_maps(MAP_NAMES).parameters():
                p.zero_()
        assert all(torch.equal(value, before[key]) for key, value in old.state_dict().items())

    def test_no_map_can_be_taken_away(self, old):
        with pytest.raises(ConfigError, match="unlearn its click maps; add previous"):
            old.with_maps(self.OLD[1:])

    def test_unknown_names(self, old):
        with pytest.raises(ConfigError, match="unknown"):
            old.with_maps((*self.OLD, "edge*"))
