import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from clickgrain.errors import ConfigError, FeatureError, ImageError
from clickgrain.features import FeatureExtractor, HuggingFaceExtractor
from clickgrain.features.checkpoint import FAMILIES, IMAGENET_MEAN, IMAGENET_STD
from clickgrain.types import UInt8


def photo(height: int, width: int, seed: int = 0) -> UInt8:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def normalised(image: UInt8) -> torch.Tensor:
    pixels = (image / 255.0 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
    return torch.tensor(pixels, dtype=torch.float32).permute(2, 0, 1)[None]


def direct(kind: str, model: Any, image: UInt8, *, states: bool = False) -> Any:
    """The published forward pass of the model itself."""
    options: dict[str, Any] = {"output_hidden_states": states}
    if kind.startswith("vit"):
        options["interpolate_pos_encoding"] = True
    if kind == "vit_mae":
        model = model.vit
        patches = image.shape[0] * image.shape[1] // 64
        options["noise"] = torch.arange(patches)[None].float()  # in order: nothing is shuffled
    with torch.no_grad():
        return model(normalised(image), **options)


@pytest.mark.parametrize("kind", FAMILIES)
def test_features_are_the_patch_tokens_of_the_model_itself(tiny, kind):
    folder, model = tiny(kind)
    image = photo(48, 40)  # a multiple of the patch, so not resized; not the model's own 32 x 32
    extract = HuggingFaceExtractor(folder)
    features = extract(image)
    expected = direct(kind, model, image).last_hidden_state[0]
    assert isinstance(extract, FeatureExtractor)
    assert features.shape == (6, 5, extract.dim)
    assert features.dtype == np.float32
    assert len(expected) - 30 == {"dinov2_with_registers": 4, "dinov3_vit": 4}.get(kind, 1)
    np.testing.assert_allclose(features.reshape(30, -1), expected[-30:], atol=1e-5)


@pytest.mark.parametrize("kind", FAMILIES)
def test_layers_are_averaged_after_the_final_norm(tiny, kind):
    folder, model = tiny(kind)
    image = photo(32, 32)
    encoder = model.vit if kind == "vit_mae" else model
    norm = encoder.norm if kind == "dinov3_vit" else encoder.layernorm
    states = direct(kind, model, image, states=True).hidden_states
    expected = (norm(states[1]) + norm(states[2])) / 2
    for layers in ((0, 1), (-1, -2)):
        features = HuggingFaceExtractor(folder, layers=layers)(image)
        np.testing.assert_allclose(features.reshape(16, -1), expected[0, -16:], atol=1e-5)
    first = HuggingFaceExtractor(folder, layers=(0,))(image)
    np.testing.assert_allclose(first.reshape(16, -1), norm(states[1])[0, -16:], atol=1e-5)


@pytest.mark.parametrize("patch", [8, 14, 16])
def test_the_published_size_rule_holds_for_every_patch_size(tiny, patch):
    folder, _ = tiny("dinov2", patch_size=patch, image_size=4 * patch)
    extract = HuggingFaceExtractor(folder)
    assert extract.patch_size == patch
    assert extract.grid((375, 500)) == (47, 63)
    assert extract(photo(17, 30)).shape == (3, 4, 16)


def test_images_are_resized_bicubically_to_whole_patches(tiny):
    folder, _ = tiny("vit", patch_size=14, image_size=56)
    smooth = np.asarray(Image.fromarray(photo(5, 7)).resize((45, 38), Image.Resampling.BICUBIC))
    for scale, (height, width) in ((1.0, (5 * 14, 6 * 14)), (0.25, (2 * 14, 2 * 14))):
        extract = HuggingFaceExtractor(folder, scale=scale)
        pixels = extract._pixels(smooth, extract.grid(smooth.shape[:2]))
        resized = np.asarray(Image.fromarray(smooth).resize((width, height), Image.Resampling.BICUBIC))
        assert pixels.shape == (3, height, width)
        step = 1.5 / 255 / min(IMAGENET_STD)  # Pillow rounds to whole grey levels, after each of its two passes
        np.testing.assert_allclose(pixels, normalised(resized)[0], atol=step)


@pytest.fixture(scope="module")
def extractor(tmp_path_factory: pytest.TempPathFactory) -> HuggingFaceExtractor:
    import transformers

    config = transformers.ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, image_size=16, patch_size=8
    )
    folder = tmp_path_factory.mktemp("vit")
    transformers.ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    return HuggingFaceExtractor(folder, max_patches=100)


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_the_grid_is_capped_in_proportion(extractor, height, width):
    full = (math.ceil(height / 8), math.ceil(width / 8))
    h, w = extractor.grid((height, width))
    if full[0] * full[1] <= 100:
        assert (h, w) == full
    else:
        assert 1 <= h * w <= 100
        assert (h + 1) * (w + 1) > 100 * 0.9  # no smaller than needed
        assert h <= full[0]
        assert w <= full[1]


def test_scale_does_not_add_a_patch_by_rounding_error(tiny):
    folder, _ = tiny()
    assert HuggingFaceExtractor(folder, scale=0.1).grid((240, 80)) == (3, 1)
    assert HuggingFaceExtractor(folder, scale=2).grid((16, 17)) == (4, 5)


def test_a_batch_gives_what_single_calls_give_in_order(tiny):
    folder, _ = tiny("dinov3_vit")
    extract = HuggingFaceExtractor(folder, batch_size=2)
    sizes = [(24, 32), (16, 16), (24, 32), (23, 31), (24, 32)]
    images = [photo(*size, seed=i) for i, size in enumerate(sizes)]
    passes: list[int] = []
    extract._model.register_forward_pre_hook(lambda _, args: passes.append(len(args[0])))
    together = extract.batch(images)
    assert sorted(passes) == [1, 2, 2]  # four images share the 3 x 4 grid; one has its own
    for image, features in zip(images, together):
        np.testing.assert_allclose(features, extract(image), atol=1e-5)
    assert extract.batch([]) == []


def test_half_precision_stays_close(tiny):
    folder, _ = tiny("dinov2")
    image = photo(32, 32)
    exact = HuggingFaceExtractor(folder)(image)
    half = HuggingFaceExtractor(folder, dtype="bfloat16")(image)
    assert half.dtype == np.float32
    assert 0 < np.abs(half - exact).max() < 0.1 * np.abs(exact).max()


def test_the_mean_and_std_of_the_folder_are_used(tiny):
    folder, model = tiny()
    (folder / "preprocessor_config.json").write_text(
        '{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}'
    )
    image = photo(32, 32)
    pixels = torch.tensor(image / 127.5 - 1, dtype=torch.float32).permute(2, 0, 1)[None]
    expected = model(pixels).last_hidden_state[0, 1:]
    np.testing.assert_allclose(HuggingFaceExtractor(folder)(image).reshape(16, -1), expected, atol=1e-5)


def test_the_name_tells_weights_and_settings_apart(tiny):
    folder, _ = tiny()
    other, _ = tiny(seed=1)
    other = other.rename(folder.parent / "other").rename(other)
    name = HuggingFaceExtractor(folder).name
    variants = [
        HuggingFaceExtractor(other).name,
        HuggingFaceExtractor(folder, layers=(0,)).name,
        HuggingFaceExtractor(folder, scale=2).name,
        HuggingFaceExtractor(folder, max_patches=64).name,
        HuggingFaceExtractor(folder, dtype="bfloat16").name,
        HuggingFaceExtractor(folder, remove_position=1).name,
    ]
    assert name == HuggingFaceExtractor(str(folder), layers=(1,), batch_size=1).name
    assert len({name, *variants}) == 7
    assert str(folder.parent) not in name


def test_positional_bias_is_removed(tiny):
    folder, model = tiny()
    y, x = torch.meshgrid(torch.linspace(-1, 1, 4), torch.linspace(-1, 1, 4), indexing="ij")
    model.embeddings.position_embeddings[0, 1:] = 30 * torch.stack([x, y], -1).reshape(16, 2) @ torch.randn(2, 16)
    model.save_pretrained(folder)

    def share(features: np.ndarray) -> float:
        """Of the variance, what the mean over images explains."""
        centred = features - features.mean((0, 1, 2))
        return float(np.square(centred.mean(0)).mean() / np.square(centred).mean())

    images = [photo(32, 32, seed) for seed in range(8)]
    plain = np.stack(HuggingFaceExtractor(folder).batch(images))
    cleaned = np.stack(HuggingFaceExtractor(folder, remove_position=4).batch(images))
    assert share(plain) > 0.9
    assert share(cleaned) < share(plain) / 2
    assert np.linalg.matrix_rank(cleaned.reshape(-1, 16), tol=1e-3) <= 12


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40))
def test_every_size_gives_finite_features(extractor, height, width):
    features = extractor(photo(height, width))
    assert features.shape == (math.ceil(height / 8), math.ceil(width / 8), 8)
    assert np.isfinite(features).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": (2,)}, "layers.*from -2 to 1"),
        ({"layers": ()}, "layers"),
        ({"scale": 0}, "scale 0"),
        ({"scale": math.nan}, "scale nan"),
        ({"max_patches": 0}, "max_patches 0"),
        ({"batch_size": 0}, "batch_size 0"),
        ({"remove_position": -1}, "remove_position -1"),
        ({"remove_position": 16}, "remove_position 16.*15 directions"),
        ({"device": "nowhere"}, "device 'nowhere'.*use auto, cpu"),
        ({"dtype": "int8"}, "dtype 'int8'.*float32"),
    ],
)
def test_settings_out_of_range_are_named(tiny, arguments, message):
    folder, _ = tiny()
    with pytest.raises(ConfigError if "device" in arguments else FeatureError, match=message):
        HuggingFaceExtractor(folder, **arguments)


def test_overflow_is_an_error_not_a_feature(tiny):
    folder, model = tiny()
    model.layernorm.weight.fill_(math.inf)
    model.save_pretrained(folder)
    with pytest.raises(FeatureError, match=r"infinite or NaN.*weights are damaged") as error:
        HuggingFaceExtractor(folder)(photo(16, 16))
    assert str(folder) in str(error.value)


def test_other_arrays_are_refused(tiny):
    folder, _ = tiny()
    extract = HuggingFaceExtractor(folder)
    for wrong in (photo(8, 8) / 255, photo(8, 8)[..., 0], photo(8, 8)[..., :2], photo(8, 8)[:0]):
        with pytest.raises(ImageError, match="uint8"):
            extract(wrong)


def test_read_only_and_strided_images_work(tiny):
    folder, _ = tiny()
    extract = HuggingFaceExtractor(folder)
    image = photo(16, 16)
    turned = image[::-1, ::-1]
    turned.flags.writeable = False
    np.testing.assert_array_equal(extract(turned), extract(turned.copy()))


def test_folder_may_be_relative(tiny, monkeypatch: pytest.MonkeyPatch):
    folder, _ = tiny()
    monkeypatch.chdir(folder.parent)
    assert HuggingFaceExtractor(folder.name).name == HuggingFaceExtractor(Path(folder)).name
