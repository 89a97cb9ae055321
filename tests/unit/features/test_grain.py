import numpy as np
import pytest
import torch

from clickgrain.errors import ConfigError, ImageError, WeightsError
from clickgrain.features import FeatureExtractor, load_extractor
from clickgrain.features.config import EncoderConfig
from clickgrain.features.grain import ChannelNorm, GrainEncoder, GrainExtractor, ResidualBlock
from clickgrain.models.config import GrainConfig, PaperConfig
from clickgrain.models.grain import GrainModel
from clickgrain.models.paper import PaperModel
from clickgrain.weights import save_model

CONFIG = EncoderConfig((4, 6, 8, 10, 12), (1, 1, 1, 1, 1))


def randomised(network):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in network.parameters():
            p.copy_(0.2 * torch.randn(p.shape, generator=generator))
    return network


@pytest.fixture(scope="module")
def encoder():
    return randomised(GrainEncoder(CONFIG)).eval()


@pytest.fixture(scope="module")
def extract(encoder):
    return GrainExtractor(encoder, long_side=64)


def photo(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_five_maps_at_five_strides(encoder):
    maps = encoder(torch.rand(2, 3, 64, 96) * 255)
    assert [tuple(m.shape) for m in maps] == [
        (2, 4, 32, 48), (2, 6, 16, 24), (2, 8, 8, 12), (2, 10, 4, 6), (2, 12, 2, 3)
    ]  # fmt: skip


def test_fine_maps_know_their_context(encoder):
    """A pixel far outside the reach of the finest convolutions moves the finest map, through the coarse ones."""
    images = torch.full((1, 3, 64, 64), 100.0, requires_grad=True)
    encoder(images)[0][0, :, 2, 2].sum().backward()
    assert images.grad[0, :, 40:, 40:].abs().max() > 0


def test_channel_norm_against_its_formula():
    norm = randomised(ChannelNorm(5))
    x = torch.randn(2, 5, 3, 4, dtype=torch.float64).float()
    mean, variance = x.mean(1, keepdim=True), x.var(1, keepdim=True, unbiased=False)
    expected = (x - mean) / (variance + 1e-5).sqrt() * norm.weight[:, None, None] + norm.bias[:, None, None]
    torch.testing.assert_close(norm(x), expected)
    last = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(norm(last), expected)


def test_a_fresh_block_passes_its_input_through():
    x = torch.randn(1, 6, 8, 8)
    block = ResidualBlock(6)
    with torch.no_grad():
        block.conv2.bias.zero_()
    torch.testing.assert_close(block(x), x)


@pytest.mark.parametrize(
    ("size", "grid"), [((64, 64), (8, 8)), ((100, 200), (4, 8)), ((1, 1), (8, 8)), ((7, 500), (4, 8))]
)
def test_features_have_unit_mean_square_on_a_grid_of_stride_8(extract, size, grid):
    features = extract(photo(*size))
    assert features.shape == (*grid, 8)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    np.testing.assert_allclose(features.mean(-1), 0, atol=1e-5)
    np.testing.assert_allclose((features**2).mean(-1), 1, atol=0.02)


def test_a_batch_gives_what_single_images_give_in_their_order(extract):
    images = [photo(64, 64, 0), photo(50, 100, 1), photo(64, 64, 2), photo(30, 20, 3), photo(100, 200, 4)]
    for together, image in zip(extract.batch(images), images, strict=True):
        np.testing.assert_allclose(together, extract(image), atol=1e-4)
    assert extract.batch([]) == []


def test_features_follow_the_image(extract):
    image = photo(64, 64)
    changed = image.copy()
    changed[:8, :8] = 255 - changed[:8, :8]
    difference = np.abs(extract(image) - extract(changed)).sum(-1)
    assert difference[:3, :3].mean() > 3 * difference[5:, 5:].mean()


def test_frozen_and_mirrored_arrays_are_taken(extract):
    image = photo(64, 64)
    frozen = image.copy()
    frozen.setflags(write=False)
    for array in (frozen, image[:, ::-1].copy()[:, ::-1]):
        np.testing.assert_array_equal(extract(array), extract(image))


def test_what_is_no_image_is_refused(extract):
    with pytest.raises(ImageError, match="float"):
        extract(np.zeros((8, 8, 3)))


@pytest.fixture
def saved(tmp_path):
    config = GrainConfig(CONFIG, (4, 6, 8, 10), long_side=64)
    model = randomised(GrainModel(config)).eval()
    save_model(tmp_path / "model", config=config.to_json(), tensors=model.state_dict())
    return model, tmp_path / "model"


def test_the_encoder_of_a_trained_model_is_loaded(saved):
    model, folder = saved
    extract = load_extractor(folder)
    assert isinstance(extract, GrainExtractor)
    assert isinstance(extract, FeatureExtractor)
    assert (extract.patch_size, extract.dim, extract.long_side) == (8, 8, 64)
    image = photo(64, 96)
    direct = GrainExtractor(model.encoder, long_side=64)
    np.testing.assert_array_equal(extract(image), direct(image))


def test_the_name_tells_weights_and_size_apart(saved, tmp_path):
    model, folder = saved
    name = GrainExtractor.load(folder).name
    assert name == GrainExtractor.load(folder).name
    config = GrainConfig(CONFIG, (4, 6, 8, 10), long_side=128)
    save_model(tmp_path / "larger", config=config.to_json(), tensors=model.state_dict())
    tensors = {k: v + (k.startswith("decoder.")) for k, v in model.state_dict().items()}
    save_model(tmp_path / "decoder", config=model.config.to_json(), tensors=tensors)
    tensors = {k: v + (k.startswith("encoder.")) for k, v in model.state_dict().items()}
    save_model(tmp_path / "encoder", config=model.config.to_json(), tensors=tensors)
    others = [GrainExtractor.load(tmp_path / other).name for other in ("larger", "decoder", "encoder")]
    assert others[1] == name
    assert len({name, *others}) == 3


def test_models_of_another_kind_or_version_are_refused(saved, tmp_path):
    model, _ = saved
    tiny = PaperConfig(image_size=32, patch_size=8, dim=24, depth=1, heads=2, head_channels=8)
    save_model(tmp_path / "paper", config=tiny.to_json(), tensors=PaperModel(tiny).state_dict())
    with pytest.raises(WeightsError, match=r"paper \(kind 'paper'\) holds no grain encoder"):
        GrainExtractor.load(tmp_path / "paper")
    values = model.config.to_json()
    for name, change in {
        "unknown": {"encoder": {**values["encoder"], "heads": 3}},
        "short": {"encoder": {"widths": [4], "depths": [1]}},
        "none": {"encoder": None},
    }.items():
        save_model(tmp_path / name, config={**values, **change}, tensors=model.state_dict())
        with pytest.raises(WeightsError, match=name):
            GrainExtractor.load(tmp_path / name)
    fewer = {k: v for k, v in model.state_dict().items() if k != "encoder.downs.0.bias"}
    save_model(tmp_path / "fewer", config=values, tensors=fewer)
    with pytest.raises(WeightsError, match=r"downs\.0\.bias"):
        GrainExtractor.load(tmp_path / "fewer")


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"widths": (4, 4, 4)}, "--encoder.widths"),
        ({"widths": ()}, "--encoder.widths"),
        ({"depths": (1, 1, 1, 1, 0)}, "--encoder.depths"),
        ({"depths": (1, 1, 1, 1, 1, 1)}, "--encoder.depths"),
    ],
)
def test_contradictory_sizes_are_refused(settings, names):
    with pytest.raises(ConfigError, match=names):
        EncoderConfig(**settings)


def test_lists_become_tuples():
    assert EncoderConfig([4, 6, 8, 10, 12], [1] * 5) == CONFIG
    assert hash(EncoderConfig([4, 6, 8, 10, 12], [1] * 5)) == hash(CONFIG)
