"""The network of a `grain` model, computed by torch."""

import torch
from torch import Tensor

from clickgrain.models.grain import GrainModel
from clickgrain.types import Float


class TorchGrain:
    """A `GrainNetwork` (`clickgrain.models.grain_engine`).

    Args:
        model: moved to the device, in eval mode.
        device: torch device.
    """

    def __init__(self, model: GrainModel, device: str = "cpu") -> None:
        self.model = model.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.device, self.config = device, model.config

    @torch.inference_mode()
    def encode(self, pixels: Float) -> tuple[Tensor, ...]:
        """Features of 1 x 3 x H x W RGB in 0..255."""
        return self.model.encode(torch.from_numpy(pixels).to(self.device))

    @torch.inference_mode()
    def decode(self, features: tuple[Tensor, ...], maps: Float) -> tuple[Float, Float]:
        """M x h x w logits and M expected IoUs for M x C x h x w click maps."""
        repeated = tuple(feature.expand(len(maps), -1, -1, -1) for feature in features)
        decoded = self.model.decode(repeated, torch.from_numpy(maps).to(self.device))
        return decoded.logits[:, 0].float().cpu().numpy(), decoded.score.float().cpu().numpy()
