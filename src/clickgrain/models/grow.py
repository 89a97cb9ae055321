"""A larger `grain` network that answers as a smaller one does, and learns on from there.

Source: Net2WiderNet and Net2DeeperNet (Chen, Goodfellow, Shlens, ICLR 2016, arXiv 1511.05641), for networks whose
norms run over channels: every channel is copied equally often, which leaves mean and variance as they are.
"""

from dataclasses import replace

import torch
from torch import Tensor

from clickgrain.errors import ConfigError
from clickgrain.models.grain import GrainModel
from clickgrain.models.grain_config import GrainConfig

SHARES = 0.3, 0.7
"""What a copy of a channel takes over of the weight that read the one; unequal, so that copies drift apart."""
TWO_PARTS = "decoder.score.0.weight"
"""Reads the same channels twice, one part after the other."""


def grown(model: GrainModel, config: GrainConfig, seed: int = 0) -> GrainModel:
    """A copy with wider stages and more blocks; its answers are the same but for rounding.

    Args:
        model: the smaller one.
        config: sizes of the larger one: widths are whole multiples, and no stage has fewer blocks. The rest (maps,
            radius, long side, trees) stays as the model has it.
        seed: of the new weights.

    Raises:
        ConfigError: for sizes that the model cannot grow to.
    """
    sizes = replace(model.config, encoder=config.encoder, decoder_widths=config.decoder_widths)
    _check(model.config, sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        larger = GrainModel(sizes)
        old, new = model.state_dict(), larger.state_dict()
        state = {key: _grown(key, old[key], new[key]) if key in old else _silent(key, new[key]) for key in new}
    larger.load_state_dict(state)
    return larger


def _check(small: GrainConfig, large: GrainConfig) -> None:
    for name, before, after in (
        ("encoder widths", small.encoder.widths, large.encoder.widths),
        ("decoder widths", small.decoder_widths, large.decoder_widths),
    ):
        if len(before) != len(after) or any(b % a for a, b in zip(before, after)):
            raise ConfigError(f"{name} {before} cannot grow to {after}; give whole multiples")
    if any(b < a for a, b in zip(small.encoder.depths, large.encoder.depths)):
        raise ConfigError(f"encoder depths {small.encoder.depths} cannot shrink to {large.encoder.depths}")


def _silent(key: str, value: Tensor) -> Tensor:
    """A parameter of a block that is not in the smaller model: its last convolution adds nothing yet."""
    return torch.zeros_like(value) if ".conv2." in key else value


def _grown(key: str, old: Tensor, new: Tensor) -> Tensor:
    """A parameter whose outputs are copied, and whose inputs are shared between copies."""
    copies = new.shape[0] // old.shape[0]
    wide = old.repeat(copies, *[1] * (old.ndim - 1))
    if old.ndim < 2 or new.shape[1] == old.shape[1]:
        return wide
    parts = wide.chunk(2, dim=1) if key == TWO_PARTS else (wide,)
    return torch.cat([_shared(part, new.shape[1] // old.shape[1]) for part in parts], dim=1)


def _shared(weight: Tensor, copies: int) -> Tensor:
    """Outputs x (copies * inputs): the shares of an input's copies add up to its weight."""
    low, high = SHARES
    share = torch.empty(copies, *weight.shape[:2]).uniform_(low, high)
    share = (share / share.sum(0)).view(copies, *weight.shape[:2], *[1] * (weight.ndim - 2))
    return torch.cat(list(share * weight), dim=1)
