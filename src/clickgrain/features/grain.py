"""The grain encoder: a small convolutional network whose features serve the click model and trees alike."""

from collections.abc import Sequence
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from clickgrain.errors import ConfigError, WeightsError
from clickgrain.features.config import EncoderConfig, differences
from clickgrain.images import check_image, fit_size, resize
from clickgrain.types import Float, UInt8
from clickgrain.weights import hash_tensors, load_model, load_state


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each pixel: independent of batch and size, the same in training and use."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """B x C x h x w to the same."""
        last = x.permute(0, 2, 3, 1)  # a view without copying where x is channels-last
        return functional.layer_norm(last, last.shape[-1:], self.weight, self.bias).permute(0, 3, 1, 2)


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(norm(x)))), the last convolution starting at zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """B x C x h x w to the same."""
        hidden: Tensor = self.conv2(functional.relu_(self.conv1(self.norm(x))))
        return x + hidden


def stage(channels: int, depth: int) -> nn.Sequential:
    """`depth` residual blocks."""
    return nn.Sequential(*(ResidualBlock(channels) for _ in range(depth)))


class GrainEncoder(nn.Module):
    """Image to feature maps at strides 2, 4, 8, 16, 32, refined top-down so that fine maps know their context."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        inner = (3, *config.widths[:-1])
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in zip(inner, config.widths))
        self.stages = nn.ModuleList(stage(w, d) for w, d in zip(config.widths, config.depths))
        self.laterals = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in zip(config.widths[:-1], config.widths[1:]))

    def forward(self, images: Tensor) -> list[Tensor]:
        """B x 3 x H x W float32 in 0..255, H and W multiples of 32, to five maps, finest first."""
        x = (images - 127.5) / 64
        maps: list[Tensor] = []
        for down, blocks in zip(self.downs, self.stages):
            x = blocks(down(x))
            maps.append(x)
        for i in range(len(maps) - 2, -1, -1):
            maps[i] = maps[i] + functional.interpolate(self.laterals[i](maps[i + 1]), scale_factor=2.0)
        return maps


class GrainExtractor:
    """The encoder of a trained `grain` model as a feature extractor, at stride 8."""

    patch_size = 8

    def __init__(self, encoder: GrainEncoder, *, long_side: int, device: str = "cpu", name: str = "grain") -> None:
        self.encoder = encoder.eval().to(device).requires_grad_(False)
        self.long_side, self.device, self.name = long_side, device, name
        self.dim = encoder.config.widths[2]

    @classmethod
    def load(cls, source: str | Path, *, device: str = "cpu") -> "GrainExtractor":
        """Encoder of the grain checkpoint in a folder, on the hub, or "default"; WeightsError without one."""
        config, tensors = load_model(source)
        own = {key[8:]: value for key, value in tensors.items() if key.startswith("encoder.")}
        long_side: Any = config.get("long_side")
        problems = differences(EncoderConfig, config.get("encoder"), "encoder.")
        if not isinstance(long_side, int) or not 64 <= long_side <= 8192:
            problems.append(f"long_side is {shortened(long_side)}, not 64 to 8192")
        try:
            if problems:
                raise WeightsError(", ".join(problems))
            sizes = EncoderConfig(**config["encoder"])
            encoder = load_state(lambda: GrainEncoder(sizes), own)
        except (ConfigError, WeightsError) as error:
            raise WeightsError(
                f"{source} (kind {config['kind']!r}) holds no grain encoder that fits this version: {error};"
                " name a trained grain model, or save it again with this version"
            ) from error
        name = f"grain-{hash_tensors(own)[:12]}-{long_side}"
        return cls(encoder, long_side=long_side, device=device, name=name)

    def __call__(self, image: UInt8) -> Float:
        """Features of one H x W x 3 uint8 RGB image: h x w x d float32 of unit mean square."""
        return self.batch([image])[0]

    def batch(self, images: Sequence[UInt8]) -> list[Float]:
        """Features of several images, in one pass where their working sizes agree, else in a pass each."""
        sizes = [fit_size(check_image(image).shape[:2], self.long_side, 32) for image in images]
        results: dict[int, Float] = {}
        for size in sorted(set(sizes)):
            chosen = [i for i, own in enumerate(sizes) if own == size]
            results.update(zip(chosen, self._forward(np.stack([resize(images[i], size) for i in chosen]))))
        return [results[i] for i in range(len(images))]

    @torch.inference_mode()
    def _forward(self, images: UInt8) -> Float:
        pixels = torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2).float()
        features = self.encoder(pixels)[2]
        features = functional.layer_norm(features.permute(0, 2, 3, 1), features.shape[1:2])
        return np.ascontiguousarray(features.float().cpu().numpy())
