"""Extractors by name."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clickgrain.errors import FeatureError

if TYPE_CHECKING:
    from clickgrain.features.base import FeatureExtractor


def load_extractor(name: str | Path = "default", *, device: str = "cpu", **settings: Any) -> "FeatureExtractor":
    """A feature extractor by name.

    Args:
        name: "color-texture" (no weights), "default" (what the model in the package grows its trees on; its own
            encoder where its config says so), a folder or id of a trained grain model, or a folder or id of a
            Hugging Face vision transformer such as "facebook/dino-vits8".
        device: where torch runs, such as "cpu" or "cuda"; "color-texture" always runs on the CPU.
        settings: further arguments of the extractor's class: see `ColorTexture` and `HuggingFaceExtractor`.

    Raises:
        WeightsError: weights that cannot be found, read or matched; the message names extractors that need none.
        FeatureError: an unsupported model, or settings that the extractor does not take.
    """
    if str(name) == "color-texture":
        from clickgrain.features.color_texture import ColorTexture

        return _build(ColorTexture, settings)
    if str(name) == "default" and (named := default_extractor()) != "default":
        return load_extractor(named, device=device, **settings)
    if _is_grain(name):
        from clickgrain.features.grain import GrainExtractor

        return _build(GrainExtractor.load, settings, name, device=device)
    from clickgrain.features.huggingface import HuggingFaceExtractor

    return _build(HuggingFaceExtractor, settings, name, device=device)


def default_extractor() -> str:
    """The name behind "default": the extractor that the model in the package was trained with.

    A trained model must keep this name, not "default", which another version may give another meaning.

    Raises:
        WeightsError: when no model ships, or its config cannot be read; the message names what works.
    """
    from clickgrain.weights import load_model

    return str(load_model("default")[0].get("tree", "default"))


def _is_grain(name: str | Path) -> bool:
    """Whether `name` is a model of our own, told from the `kind` in its config.json."""
    if str(name) == "default":
        return True
    from clickgrain.features.checkpoint import read_config

    return read_config(name).get("kind") == "grain"


def _build(make: Callable[..., Any], settings: dict[str, Any], *arguments: Any, **fixed: Any) -> "FeatureExtractor":
    allowed = [key for key in inspect.signature(make).parameters if key not in ("source", "device")]
    unknown = [key for key in settings if key not in allowed]
    if unknown:
        raise FeatureError(
            f"{make.__qualname__} has no setting {unknown[0]!r}; it takes {', '.join(allowed) or 'none'}"
        )
    extractor: FeatureExtractor = make(*arguments, **fixed, **settings)
    return extractor
