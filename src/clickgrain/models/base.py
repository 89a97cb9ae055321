"""What a click model is: `ClickModel`, and what it answers: `Decoded`.

A click model is split where a click arrives: `encode` sees the image alone and can be cached; `decode` sees
what `encode` gave and the click maps. Training, the segmenter and the exporter know models only through this.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from clickgrain.clicks.config import MapSpec


class Decoded(NamedTuple):
    """What a click model says about a batch of prompts.

    Attributes:
        logits: B x 1 x H' x W' float; sigmoid gives the probability of *object*. H' x W' may be smaller than
            the image.
        score: B float in 0..1, the IoU that the model expects of `logits > 0`.
    """

    logits: Tensor
    score: Tensor


class ClickModel(nn.Module, ABC):
    """A network that answers clicks.

    Attributes:
        config: what the model was built from, a dataclass of `models.config`; `config.kind` names the family.
        map_spec: the click maps that `decode` wants, in channel order.
        obeys: whether its engine pushes masks over clicks that they disobey (`clickgrain.models.engine.obey`).
    """

    config: Any  # each model narrows it to its own dataclass
    map_spec: MapSpec
    obeys: ClassVar[bool] = False

    @abstractmethod
    def encode(self, images: Tensor) -> tuple[Tensor, ...]:
        """Everything that depends on the image alone.

        Args:
            images: B x 3 x H x W float32 RGB in 0..255.

        Returns:
            Tensors with the batch in front, so that a caller may keep, index and repeat them per image.
        """

    @abstractmethod
    def decode(self, encoded: tuple[Tensor, ...], maps: Tensor) -> Decoded:
        """Answer one prompt per image.

        Args:
            encoded: what `encode` gave for B images.
            maps: B x C x h x w float32 click maps, as `map_spec` describes them.
        """

    def forward(self, images: Tensor, maps: Tensor) -> Decoded:
        """`decode(encode(images), maps)`; the entry that distributed training and compilers hook into."""
        return self.decode(self.encode(images), maps)
