import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from clickgrain.errors import ConfigError, WeightsError
from clickgrain.features.config import EncoderConfig
from clickgrain.models.config import GrainConfig
from clickgrain.models.grain import GrainModel
from clickgrain.segmenter import Segmenter
from clickgrain.weights import load_model, save_model

SPEC = importlib.util.spec_from_file_location(
    "ship_default", Path(__file__).parents[2] / "tools" / "ship_default.py"
)
tool = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tool)


@pytest.fixture
def run(tmp_path):
    torch.manual_seed(0)
    model = GrainModel(GrainConfig(EncoderConfig((4, 4, 8, 8, 8), (1, 1, 1, 1, 1)), (4, 4, 8, 8), long_side=64))
    save_model(tmp_path / "run", config=model.config.to_json(), tensors=model.state_dict())
    return tmp_path / "run"


def test_a_shipped_model_is_half_the_size_and_answers(run, tmp_path):
    size = tool.ship(run, tmp_path / "default", long_side=96)
    assert size < 0.7 * (run / "model.safetensors").stat().st_size
    config, tensors = load_model(tmp_path / "default")
    assert config["long_side"] == 96
    before = load_model(run)[1]
    assert all(np.allclose(tensors[name], before[name], rtol=1e-3, atol=1e-6) for name in before)
    segmenter = Segmenter.load(tmp_path / "default")
    segmenter.set_image(np.random.default_rng(0).integers(0, 255, (60, 90, 3), np.uint8))
    assert segmenter.predict([[40, 30]], [1]).probability.shape == (60, 90)


def test_too_large_a_model_is_refused(run, tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "LIMIT", 1000)
    with pytest.raises(ConfigError, match="fp16 weights; at most"):
        tool.ship(run, tmp_path / "default")
    assert not (tmp_path / "default").exists()


def test_weights_that_do_not_fit_are_refused(run, tmp_path):
    config, tensors = load_model(run)
    tensors.pop(next(iter(tensors)))
    save_model(run, config=config, tensors=tensors)
    with pytest.raises(WeightsError):
        tool.ship(run, tmp_path / "default")
