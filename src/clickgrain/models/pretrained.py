"""Self-supervised ViT weights (DINO, MAE) from Hugging Face into our ViT, key by key."""

import math
import re
from typing import Any

import torch
from torch import Tensor

from clickgrain.errors import WeightsError
from clickgrain.features.checkpoint import load_backbone as read_encoder
from clickgrain.features.checkpoint import read_config
from clickgrain.models.config import PaperConfig
from clickgrain.models.vit import EarlyFusionViT, resize_positions

KINDS = ("vit", "vit_mae")

# transformers renamed the inner modules of its ViTs between releases; these lead to the newer names
RENAMED = (
    (r"^encoder\.layer\.", "layers."),
    (r"attention\.attention\.(q|k|v)(uery|ey|alue)\.", r"attention.\1_proj."),
    (r"attention\.output\.dense\.", "attention.o_proj."),
    (r"intermediate\.dense\.", "mlp.fc1."),
    (r"^(layers\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
)

PARTS = {
    "norm1": ("layernorm_before",),
    "attention.qkv": ("attention.q_proj", "attention.k_proj", "attention.v_proj"),
    "attention.proj": ("attention.o_proj",),
    "norm2": ("layernorm_after",),
    "mlp.0": ("mlp.fc1",),
    "mlp.2": ("mlp.fc2",),
}
"""Our part of a block -> theirs, stacked."""


def load_backbone(vit: EarlyFusionViT, config: PaperConfig, model: str) -> None:
    """Copy the encoder of a Hugging Face ViT or ViT-MAE into `vit`; its click embedding is left as it is.

    The class token and the final norm are dropped, the position embedding is resized to `config.grid`.

    Args:
        vit: the network to fill.
        config: the settings `vit` was built from.
        model: Hugging Face id or local folder.

    Raises:
        WeightsError: when it cannot be loaded, is another kind of network, lacks weights or does not fit.
    """
    theirs = _read(model, config)
    try:
        ours = {
            key: torch.cat([theirs[part] for part in parts]) for key, parts in _sources(config.vit.depth).items()
        }
        ours["positions"] = _positions(theirs["embeddings.position_embeddings"], config.grid)
    except KeyError as error:
        raise WeightsError(f"{model} lacks the encoder weight {error}; choose another checkpoint") from error
    kept = {key: value for key, value in vit.state_dict().items() if key.startswith("embed_clicks.")}
    vit.load_state_dict(ours | kept)


def _sources(depth: int) -> dict[str, tuple[str, ...]]:
    table: dict[str, tuple[str, ...]] = {"embed_image": ("embeddings.patch_embeddings.projection",)}
    for i in range(depth):
        for ours, theirs in PARTS.items():
            table[f"blocks.{i}.{ours}"] = tuple(f"layers.{i}.{part}" for part in theirs)
    return {
        f"{ours}.{end}": tuple(f"{part}.{end}" for part in theirs)
        for ours, theirs in table.items()
        for end in ("weight", "bias")
    }


def _positions(theirs: Tensor, grid: int) -> Tensor:
    patches = theirs[:, 1:]  # the class token comes first
    side = math.isqrt(patches.shape[1])
    return resize_positions(patches.reshape(1, side, side, -1), grid, grid)


def _read(model: str, config: PaperConfig) -> dict[str, Tensor]:
    kind = read_config(model).get("model_type")
    if kind not in KINDS:
        raise WeightsError(f"{model} is a {kind!r}; the paper model takes DINO (vit) or MAE (vit_mae) weights")
    encoder, _ = read_encoder(model)
    _check(model, encoder.config, config)
    return {_newer_name(key): value for key, value in encoder.state_dict().items()}


def _newer_name(key: str) -> str:
    for pattern, name in RENAMED:
        key = re.sub(pattern, name, key)
    return key


def _check(model: str, settings: Any, config: PaperConfig) -> None:
    wanted = {
        "hidden_size": config.vit.dim,
        "num_hidden_layers": config.vit.depth,
        "num_attention_heads": config.vit.heads,
        "patch_size": config.patch_size,
        "intermediate_size": 4 * config.vit.dim,
        "hidden_act": "gelu",
    }
    for name, value in wanted.items():
        found = getattr(settings, name)
        if found != value:
            raise WeightsError(
                f"{model} has {name} {found}, this model needs {value}; choose --size (b, s, ti) and"
                " --patch-size to match the checkpoint"
            )
