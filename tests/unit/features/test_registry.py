import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickgrain.errors import FeatureError, ImageError, WeightsError
from clickgrain.features import ColorTexture, FeatureExtractor, HuggingFaceExtractor, load_extractor
from clickgrain.types import UInt8

WEIGHTLESS = ["color-texture"]


def photo(height: int, width: int, seed: int = 0) -> UInt8:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", WEIGHTLESS)
class TestProtocol:
    """What any extractor promises."""

    @settings(max_examples=25, deadline=None)
    @given(height=st.integers(1, 70), width=st.integers(1, 70))
    def test_every_size_gives_a_grid_of_finite_vectors(self, name, height, width):
        extract = load_extractor(name)
        features = extract(photo(height, width))
        assert features.ndim == 3
        assert features.shape[2] == extract.dim
        assert min(features.shape[:2]) >= 1
        assert features.dtype == np.float32
        assert np.isfinite(features).all()
        # patches are as wide as they are high, as far as whole patches allow
        assert (
            math.isclose(features.shape[0] / height, features.shape[1] / width, rel_tol=0.5)
            or min(height, width) < 16
        )

    def test_it_is_an_extractor_that_repeats_itself(self, name):
        extract = load_extractor(name)
        assert isinstance(extract, FeatureExtractor)
        assert extract.name
        assert extract.patch_size >= 1
        image = photo(48, 64)
        before = image.copy()
        np.testing.assert_array_equal(extract(image), load_extractor(name)(image))
        np.testing.assert_array_equal(image, before)

    def test_a_batch_is_the_single_calls_in_order(self, name):
        extract = load_extractor(name)
        images = [photo(32, 48, 1), photo(40, 24, 2), photo(32, 48, 3)]
        for image, features in zip(images, extract.batch(images), strict=True):
            np.testing.assert_allclose(features, extract(image), atol=1e-6)
        assert extract.batch([]) == []

    def test_other_arrays_are_refused(self, name):
        extract = load_extractor(name)
        for wrong in (photo(8, 8) / 255, photo(8, 8)[..., 0], photo(8, 8)[..., :2], photo(8, 8)[:0]):
            with pytest.raises(ImageError, match="uint8"):
                extract(wrong)
            with pytest.raises(ImageError, match="uint8"):
                extract.batch([photo(8, 8), wrong])


def test_color_texture_takes_its_settings():
    extract = load_extractor("color-texture", patch_size=8, device="cuda")  # always runs on the CPU
    assert isinstance(extract, ColorTexture)
    assert extract.patch_size == 8


def test_a_folder_of_a_vision_transformer_gives_its_features(tiny):
    folder, _ = tiny("dinov2")
    extract = load_extractor(folder, layers=(0, 1))
    assert isinstance(extract, HuggingFaceExtractor)
    image = photo(24, 32)
    np.testing.assert_array_equal(extract(image), HuggingFaceExtractor(str(folder), layers=(0, 1))(image))


def test_settings_that_an_extractor_lacks_are_named(tiny):
    folder, _ = tiny()
    with pytest.raises(FeatureError, match=r"'layer'; it takes .*layers"):
        load_extractor(folder, layer=3)
    with pytest.raises(FeatureError, match=r"'layers'; it takes .*patch_size"):
        load_extractor("color-texture", layers=(1,))


def test_default_without_weights_names_what_works(tmp_path, monkeypatch):
    from clickgrain import weights

    monkeypatch.setattr(weights, "__file__", str(tmp_path / "weights.py"))  # a package without data
    with pytest.raises(WeightsError, match=r"tree.*color-texture"):
        load_extractor()


def test_what_is_neither_a_name_nor_a_model_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="holds no config"):
        load_extractor(tmp_path)
    with pytest.raises(WeightsError, match="is not a folder"):
        load_extractor(tmp_path / "missing")


@pytest.fixture
def grain(tmp_path):
    """A folder with a random grain encoder as `train` leaves it, and the encoder itself."""
    from dataclasses import asdict

    import torch

    from clickgrain.features.config import EncoderConfig
    from clickgrain.features.grain import GrainEncoder
    from clickgrain.weights import save_model

    torch.manual_seed(0)
    config = EncoderConfig(widths=(4, 4, 8, 8, 8), depths=(1, 1, 1, 1, 1))
    encoder = GrainEncoder(config)
    tensors = {f"encoder.{key}": value for key, value in encoder.state_dict().items()}
    save_model(
        tmp_path / "grain", config={"kind": "grain", "encoder": asdict(config), "long_side": 64}, tensors=tensors
    )
    return tmp_path / "grain", encoder


def test_a_folder_of_our_own_model_gives_its_encoder(grain):
    from clickgrain.features.grain import GrainExtractor

    folder, encoder = grain
    extract = load_extractor(folder)
    assert isinstance(extract, GrainExtractor)
    image = photo(32, 64)
    expected = GrainExtractor(encoder, long_side=64)(image)
    np.testing.assert_array_equal(extract(image), expected)


def test_importing_features_loads_no_framework():
    code = (
        "import sys, clickgrain.features as f; dir(f); f.load_extractor;"
        "print([m for m in ('torch', 'transformers', 'huggingface_hub', 'cv2', 'numba') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there():
    from clickgrain import features

    assert sorted(features.__all__) == features.__all__
    for name in features.__all__:
        assert getattr(features, name).__module__.startswith("clickgrain.features")
    with pytest.raises(AttributeError, match=r"attribute '?nothing"):
        _ = features.nothing


def test_a_name_that_can_be_no_model_is_refused_without_asking_the_hub(monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_: pytest.fail("asked the hub"))
    with pytest.raises(WeightsError, match="OWNER/NAME"):
        load_extractor("colour-texture")
