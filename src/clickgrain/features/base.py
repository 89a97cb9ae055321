"""What a feature extractor is."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from clickgrain.types import Float, UInt8


@runtime_checkable
class FeatureExtractor(Protocol):
    """Turns an image into one vector per patch.

    Attributes:
        name: identifies extractor and settings; part of every cache key.
        patch_size: side of a patch in pixels *of the resized image* that the extractor looks at.
        dim: length d of a vector.
    """

    name: str
    patch_size: int
    dim: int

    def __call__(self, image: UInt8) -> Float:
        """Features of one H x W x 3 uint8 RGB image: h x w x d float32."""
        ...

    def batch(self, images: Sequence[UInt8]) -> list[Float]:
        """Features of several images, of any sizes, in their order."""
        ...
