"""From a config to a model, from a folder to a model, from a model to an engine."""

import json

import pytest
import torch

from clickgrain.clicks.config import MapSpec
from clickgrain.errors import ClickgrainError, ConfigError, WeightsError
from clickgrain.features.config import EncoderConfig
from clickgrain.models.base import ClickModel
from clickgrain.models.config import GrainConfig, PaperConfig
from clickgrain.models.grain import GrainModel
from clickgrain.models.grain_engine import GrainEngine
from clickgrain.models.paper import PaperModel
from clickgrain.models.paper_engine import PaperEngine
from clickgrain.models.registry import build_model, engine_for, load_click_model
from clickgrain.weights import save_model

GRAIN = GrainConfig(EncoderConfig((4, 4, 6, 8, 8), (1, 1, 1, 1, 1)), (4, 4, 6, 8), long_side=64)
PAPER = PaperConfig("ti", image_size=64, dim=24, depth=2, heads=2, head_channels=8)
KINDS = [(GRAIN, GrainModel, GrainEngine), (PAPER, PaperModel, PaperEngine)]


@pytest.mark.parametrize(("config", "model", "engine"), KINDS, ids=["grain", "paper"])
class TestKinds:
    def test_a_config_builds_its_model(self, config, model, engine):
        for values in (config.to_json(), json.loads(json.dumps(config.to_json()))):
            built = build_model(values)
            assert type(built) is model
            assert built.config == config

    def test_what_was_saved_is_loaded(self, config, model, engine, tmp_path):
        first = build_model(config.to_json())
        save_model(tmp_path, config=config.to_json(), tensors=first.state_dict())
        again = load_click_model(tmp_path)
        assert again.config == config
        assert all(torch.equal(value, again.state_dict()[name]) for name, value in first.state_dict().items())

    def test_its_engine(self, config, model, engine):
        assert type(engine_for(build_model(config.to_json()))) is engine

    def test_unknown_settings_are_refused(self, config, model, engine):
        with pytest.raises(ConfigError, match="colour"):
            build_model({**config.to_json(), "colour": 3})

    def test_weights_of_other_sizes_are_refused_with_their_folder(self, config, model, engine, tmp_path):
        tensors = build_model(config.to_json()).state_dict()
        name = next(iter(tensors))
        save_model(tmp_path / "bad", config=config.to_json(), tensors={**tensors, name: torch.zeros(3)})
        with pytest.raises(WeightsError, match=f"bad: .*{name}"):
            load_click_model(tmp_path / "bad")


@pytest.mark.parametrize("config", [{"kind": "extractor"}, {"kind": None}, {}])
def test_other_kinds_are_refused(config):
    with pytest.raises(WeightsError, match="this version knows 'grain' and 'paper'"):
        build_model(config)


def test_a_folder_with_another_config_is_named(tmp_path):
    config = {key: value for key, value in GRAIN.to_json().items() if key != "radius"}
    save_model(tmp_path / "old", config=config, tensors={})
    with pytest.raises(WeightsError, match=r"old: .*radius is missing"):
        load_click_model(tmp_path / "old")


def test_no_such_model_says_what_to_do(tmp_path):
    with pytest.raises(ClickgrainError, match="nowhere"):
        load_click_model(tmp_path / "nowhere")


def test_the_extractor_of_an_engine_may_be_replaced():
    model = build_model({**GRAIN.to_json(), "tree": "no/such-extractor"})
    assert engine_for(model, extractor="color-texture").extractor.name.startswith("color-texture")


def test_a_model_of_ones_own_has_no_engine():
    class Own(ClickModel):
        map_spec = MapSpec(("disk+",))

        def encode(self, images):
            return (images,)

        def decode(self, encoded, maps):
            raise NotImplementedError

    with pytest.raises(WeightsError, match="no engine answers clicks with a Own"):
        engine_for(Own())


def test_a_paper_config_that_lacks_a_key_is_refused():
    from clickgrain.models.config import PaperConfig

    values = PaperConfig(size="ti").to_json()
    assert PaperConfig.from_json(values) == PaperConfig(size="ti")
    del values["radius"]
    with pytest.raises(ConfigError, match="radius is missing"):
        PaperConfig.from_json(values)
