"""Tiny vision transformers with random weights, saved as published ones are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "image_size": 32,
    "patch_size": 8,
}
CLASSES = {
    "vit": (transformers.ViTConfig, transformers.ViTModel),
    "vit_mae": (transformers.ViTMAEConfig, transformers.ViTMAEForPreTraining),
    "vit_msn": (transformers.ViTMSNConfig, transformers.ViTMSNModel),
    "dinov2": (transformers.Dinov2Config, transformers.Dinov2Model),
    "dinov2_with_registers": (
        transformers.Dinov2WithRegistersConfig,
        transformers.Dinov2WithRegistersModel,
    ),
    "dinov3_vit": (transformers.DINOv3ViTConfig, transformers.DINOv3ViTModel),
}
EXTRA: dict[str, dict[str, Any]] = {
    "vit_mae": {
        "mask_ratio": 0.0,
        "decoder_hidden_size": 8,
        "decoder_num_hidden_layers": 1,
        "decoder_num_attention_heads": 1,
        "decoder_intermediate_size": 8,
    },
    "dinov2_with_registers": {"num_register_tokens": 3},
    "dinov3_vit": {"num_register_tokens": 3},
}

Tiny = Callable[..., tuple[Path, Any]]


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    """`tiny(kind, **config)` saves a model of that type and returns its folder and the model itself."""

    def make(kind: str = "vit", seed: int = 0, **settings: Any) -> tuple[Path, Any]:
        config_class, model_class = CLASSES[kind]
        config = config_class(**{**TINY, **EXTRA.get(kind, {}), **settings})
        options = {"add_pooling_layer": False} if kind == "vit" else {}
        torch.manual_seed(seed)
        model = model_class(config, **options).eval().requires_grad_(False)
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.3)  # so that positions, class and register tokens make a difference
        folder = tmp_path / f"{kind}-{seed}-{len(list(tmp_path.iterdir()))}"
        model.save_pretrained(folder)
        return folder, model

    return make


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKGRAIN_CACHE", str(tmp_path / "cache"))
