"""What a feature extractor is, and extractors by name."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from clickgrain.errors import FeatureError
from clickgrain.features.checkpoint import read_config
from clickgrain.types import Float, UInt8
from clickgrain.weights import load_model


@runtime_checkable
class FeatureExtractor(Protocol):
    """Turns an image into one vector per patch."""

    name: str  # identifies extractor and settings; part of every cache key
    patch_size: int  # side of a patch in pixels *of the resized image* that the extractor looks at
    dim: int  # length d of a vector

    def __call__(self, image: UInt8) -> Float:
        """Features of one H x W x 3 uint8 RGB image: h x w x d float32."""

    def batch(self, images: Sequence[UInt8]) -> list[Float]:
        """Features of several images, of any sizes, in their order."""


def load_extractor(name: str | Path = "default", *, device: str = "cpu", **settings: Any) -> FeatureExtractor:
    """A feature extractor by name, with `settings` of its class: see `ColorTexture` and `HuggingFaceExtractor`.

    `name` is "color-texture" (no weights, always on the CPU), "default" (what the model in the package grows its
    trees on; its own encoder where its config says so), or the folder or Hugging Face id of a trained grain model
    or of a vision transformer such as "facebook/dino-vits8". `device` is where torch runs, such as "cpu" or "cuda".

    Raises WeightsError: weights that cannot be found, read or matched; the message names extractors that need none.
    FeatureError: an unsupported model, or settings that the extractor does not take.
    """
    if str(name) == "color-texture":
        from clickgrain.features.color_texture import ColorTexture

        return _build(ColorTexture, settings)
    if str(name) == "default" and (named := default_extractor()) != "default":
        return load_extractor(named, device=device, **settings)
    if str(name) == "default" or read_config(name).get("kind") == "grain":
        from clickgrain.features.grain import GrainExtractor

        return _build(GrainExtractor.load, settings, name, device=device)
    from clickgrain.features.huggingface import HuggingFaceExtractor

    return _build(HuggingFaceExtractor, settings, name, device=device)


def default_extractor() -> str:
    """The name behind "default": the extractor that the model in the package was trained with.

    A trained model must keep this name, not "default", which another version may give another meaning.
    """
    return str(load_model("default")[0].get("tree", "default"))


def _build(
    make: Callable[..., FeatureExtractor], settings: dict[str, Any], *arguments: Any, **fixed: Any
) -> FeatureExtractor:
    allowed = [key for key in inspect.signature(make).parameters if key not in ("source", "device")]
    unknown = [key for key in settings if key not in allowed]
    if unknown:
        takes = ", ".join(allowed) or "none"
        raise FeatureError(f"{make.__qualname__} has no setting {unknown[0]!r}; it takes {takes}")
    return make(*arguments, **fixed, **settings)
