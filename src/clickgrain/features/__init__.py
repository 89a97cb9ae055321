"""Features: one vector per patch of an image, from colour and texture or from self-supervised networks."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from clickgrain.features.registry import load_extractor as load_extractor

# Resolved on first use (PEP 562): torch, OpenCV and even numpy take longer to load than the command line may take.
_LAZY = {
    "ColorTexture": "color_texture",
    "FeatureExtractor": "base",
    "HuggingFaceExtractor": "huggingface",
    "position_directions": "position",
    "project_out": "position",
}
__all__ = [
    "ColorTexture",
    "FeatureExtractor",
    "HuggingFaceExtractor",
    "load_extractor",
    "position_directions",
    "project_out",
]

if TYPE_CHECKING:
    from clickgrain.features.base import FeatureExtractor as FeatureExtractor
    from clickgrain.features.color_texture import ColorTexture as ColorTexture
    from clickgrain.features.huggingface import HuggingFaceExtractor as HuggingFaceExtractor
    from clickgrain.features.position import position_directions as position_directions
    from clickgrain.features.position import project_out as project_out


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'clickgrain.features' has no attribute {name!r}")
    return getattr(import_module(f"clickgrain.features.{_LAZY[name]}"), name)


def __dir__() -> list[str]:
    return __all__
