"""From a config to a model, and from a model to the engine that answers clicks with it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clickgrain.errors import ConfigError, WeightsError
from clickgrain.features import load_extractor
from clickgrain.models.base import ClickModel
from clickgrain.models.config import GrainConfig, PaperConfig
from clickgrain.models.grain import GrainModel, TorchGrain
from clickgrain.models.grain_engine import GrainEngine
from clickgrain.models.paper import PaperModel, TorchPaper
from clickgrain.models.paper_engine import PaperEngine
from clickgrain.types import Engine
from clickgrain.weights import load_model, load_state


def build_model(config: Mapping[str, Any] | GrainConfig | PaperConfig) -> ClickModel:
    """A model with fresh weights, of a config or a config.json; WeightsError for an unknown kind."""
    if isinstance(config, Mapping):
        kinds: dict[Any, type[GrainConfig | PaperConfig]] = {"grain": GrainConfig, "paper": PaperConfig}
        if (kind := config.get("kind")) not in kinds:
            raise WeightsError(f"the config names a model of kind {kind!r}; this version knows 'grain' and 'paper'")
        config = kinds[kind].from_json(dict(config))
    return GrainModel(config) if isinstance(config, GrainConfig) else PaperModel(config)


def load_click_model(source: str | Path, *, revision: str | None = None, strict: bool = True) -> ClickModel:
    """The trained model in a folder, on Hugging Face, or "default"; see `ClickModel.from_pretrained`."""
    config, tensors = load_model(source, revision=revision)
    try:
        if strict:
            return load_state(lambda: build_model(config), tensors)
        model = build_model(config)
        known = model.state_dict()
        fitting = {k: v for k, v in tensors.items() if k in known and known[k].shape == v.shape}
        return load_state(lambda: model, {**known, **fitting})
    except (ConfigError, WeightsError) as error:  # neither knows where it was read from
        raise WeightsError(f"{source}: {error}") from error


def engine_for(model: ClickModel, *, device: str = "cpu", extractor: str | None = None) -> Engine:
    """What answers clicks with a model; `extractor` overrides whose features make its merge trees."""
    if isinstance(model, GrainModel):
        return GrainEngine(TorchGrain(model, device), load_extractor(extractor or model.config.tree, device=device))
    if isinstance(model, PaperModel):
        return PaperEngine(TorchPaper(model, device))
    raise WeightsError(f"no engine answers clicks with a {type(model).__name__}; train a grain or a paper model")
