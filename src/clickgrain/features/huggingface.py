"""Patch features of self-supervised vision transformers: DINO, DINOv2, DINOv3, MAE, MSN."""

import math
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from torch.nn.functional import interpolate

from clickgrain.devices import choose_device, computes_bf16
from clickgrain.errors import FeatureError
from clickgrain.features.checkpoint import load_backbone, read_normalization, weights_digest
from clickgrain.features.position import position_directions, project_out
from clickgrain.images import check_image
from clickgrain.types import Float, Size, UInt8

Precision = Literal["float32", "bfloat16", "float16"]

PIXELS_PER_PATCH = 8  # pixels of the given image per patch at scale 1, whatever the model's own patch size


class HuggingFaceExtractor:
    """Last-block patch tokens of a vision transformer.

    The rule of MIS (arXiv 2303.13399): the image is scaled by patch/8 and each side rounded up to a multiple of
    the patch, so 500 x 375 pixels give 63 x 47 patches for every model. The vectors come after the final
    LayerNorm, without class and register tokens, and are not normalized to length 1. Position embeddings are
    interpolated (bicubic). Pixels are normalized as the model's preprocessor_config.json says, or as ImageNet's.

    Raises FeatureError: an unsupported model, or settings out of range; ConfigError: a device that is not there;
    WeightsError: a folder, id or weights that cannot be found, read or matched.
    """

    def __init__(
        self,
        source: str | Path,  # folder with config.json and weights, or an id such as "facebook/dino-vits8"
        *,
        device: str = "cpu",
        # precision of the matrix products, not of sums, norms and results, which stay in float32. None is float32
        # on a CPU (trees must not depend on which), and on a GPU bfloat16, or float16 where it is only emulated.
        dtype: Precision | None = None,
        # blocks to average, counted as in a list (-1 is the last); each passes the final LayerNorm first
        layers: Sequence[int] = (-1,),
        # leading directions of positional bias to project out (`features.position`), measured once, then cached
        remove_position: int = 0,
        scale: float = 1.0,  # of the image before patches are cut; 2 gives one patch per 4 pixels
        max_patches: int = 8192,  # a larger image is scaled down, both sides alike, until it has no more
        batch_size: int = 8,  # most images in one forward pass
    ) -> None:
        if not (math.isfinite(scale) and scale > 0):
            raise FeatureError(f"scale {scale!r} is not a positive number; 1 gives one patch per 8 pixels")
        counts = {"max_patches": max_patches, "batch_size": batch_size, "remove_position": remove_position}
        for name, value in counts.items():
            least = 0 if name == "remove_position" else 1
            if value < least:
                raise FeatureError(f"{name} {value!r} is below {least}; give {least} or more")
        self._source, self._device = source, torch.device(choose_device(device))
        self._dtype = _dtype(dtype, self._device)
        model, family = load_backbone(source)
        mean, std = read_normalization(source)
        self.patch_size, self.dim = int(model.config.patch_size), int(model.config.hidden_size)
        depth = int(model.config.num_hidden_layers)
        self._layers = _layers(layers, depth)
        self._last_only = self._layers == (depth - 1,)
        self._scale, self._max_patches, self._batch_size = float(scale), int(max_patches), int(batch_size)
        # positions of other sizes: ViT and ViTMSN interpolate them only when asked
        self._options = {"interpolate_pos_encoding": True} if family.startswith("ViT") else {}
        digest = weights_digest(model)
        self._model = model.to(self._device)
        self._mean, self._std = (torch.tensor(v, device=self._device).view(3, 1, 1) for v in (mean, std))
        self.name = self._name(Path(source).name if Path(source).is_dir() else str(source), digest, (mean, std))
        self._directions: Float | None = None
        if remove_position:
            self._directions = position_directions(self, remove_position)
            self.name += f",position={remove_position}"

    def __call__(self, image: UInt8) -> Float:
        """Features of one H x W x 3 uint8 RGB image: h x w x d float32."""
        return self.batch([image])[0]

    def batch(self, images: Sequence[UInt8]) -> list[Float]:
        """Features of images of any sizes, in order; equal patch grids share passes of at most `batch_size`."""
        grids = [self.grid(check_image(image).shape[:2]) for image in images]
        features: dict[int, Float] = {}
        for grid in sorted(set(grids)):
            members = [i for i, own in enumerate(grids) if own == grid]
            for start in range(0, len(members), self._batch_size):
                chunk = members[start : start + self._batch_size]
                features.update(zip(chunk, self._forward([images[i] for i in chunk], grid)))
        return [features[index] for index in range(len(images))]

    def grid(self, size: Size) -> Size:
        """(h, w) patches of an image of `size` = (height, width) pixels."""
        # Rounding first: 0.1 * 80 / 8 must not become two patches.
        h, w = (math.ceil(round(side * self._scale / PIXELS_PER_PATCH, 6)) for side in size)
        h, w = max(1, h), max(1, w)
        if h * w <= self._max_patches:
            return h, w
        shrink = math.sqrt(self._max_patches / (h * w))
        h, w = max(1, int(h * shrink)), max(1, int(w * shrink))
        return min(h, self._max_patches), min(w, self._max_patches)  # where the other side is a single patch

    @torch.inference_mode()
    def _forward(self, images: Sequence[UInt8], grid: Size) -> Float:
        """B x h x w x d of B images of the same grid."""
        h, w = grid
        try:
            pixels = torch.stack([self._pixels(image, grid) for image in images])
            reduced = self._dtype != torch.float32
            with torch.autocast(self._device.type, dtype=self._dtype) if reduced else nullcontext():
                tokens = self._tokens(pixels)
        except torch.OutOfMemoryError as error:
            raise FeatureError(
                f"{self._device} ran out of memory with {len(images)} images of {h} x {w} patches;"
                f" lower batch_size ({self._batch_size}) or max_patches ({self._max_patches})"
            ) from error
        patches = tokens[:, -h * w :]  # class and register tokens come first
        features: Float = patches.float().reshape(len(images), h, w, -1).cpu().numpy()
        if not np.isfinite(features).all():
            damaged = "its weights are damaged, get them again"
            fix = "pass dtype='float32' or 'bfloat16'" if self._dtype == torch.float16 else damaged
            raise FeatureError(f"{self._source} gave infinite or NaN features; {fix}")
        return features if self._directions is None else project_out(features, self._directions)

    def _pixels(self, image: UInt8, grid: Size) -> torch.Tensor:
        """3 x H' x W' normalized float32 at the size the grid asks for, resized bicubically with anti-aliasing."""
        size = (grid[0] * self.patch_size, grid[1] * self.patch_size)
        pixels = torch.tensor(np.ascontiguousarray(image), device=self._device).permute(2, 0, 1).float()
        if pixels.shape[1:] != size:
            resized = interpolate(pixels[None], size, mode="bicubic", antialias=True, align_corners=False)
            pixels = resized[0].clamp(0, 255)
        return (pixels / 255 - self._mean) / self._std

    def _tokens(self, pixels: torch.Tensor) -> torch.Tensor:
        """B x tokens x d: the last block after the final LayerNorm, or the mean of several blocks after it."""
        if self._last_only:
            last: torch.Tensor = self._model(pixels, **self._options).last_hidden_state
            return last
        states = self._model(pixels, output_hidden_states=True, **self._options).hidden_states
        norm = self._model.norm if hasattr(self._model, "norm") else self._model.layernorm
        chosen = [norm(states[layer + 1]) for layer in self._layers]  # states[0] is the embedding
        return torch.stack(chosen).mean(0)

    def _name(self, label: str, digest: str, normalization: tuple[tuple[float, ...], ...]) -> str:
        layers, dtype = "+".join(map(str, self._layers)), str(self._dtype).removeprefix("torch.")
        mean, std = ("/".join(f"{value:g}" for value in values) for values in normalization)
        settings = f"layers={layers},scale={self._scale:g},max={self._max_patches},{dtype},mean={mean},std={std}"
        return f"{label}@{digest}:{settings}"


def _dtype(name: Precision | None, device: torch.device) -> torch.dtype:
    if name is None:
        if device.type == "cpu":
            return torch.float32
        return torch.bfloat16 if computes_bf16(str(device)) else torch.float16
    if name not in get_args(Precision):
        raise FeatureError(f"dtype {name!r} is none of {', '.join(get_args(Precision))}; choose one of them")
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def _layers(layers: Sequence[int], depth: int) -> tuple[int, ...]:
    """Ascending, counted from 0, each once."""
    wrong = [layer for layer in layers if not -depth <= layer < depth]
    if wrong or not layers:
        raise FeatureError(
            f"layers {tuple(layers)!r} of a model with {depth} blocks; give numbers from {-depth} to {depth - 1}"
        )
    return tuple(sorted({layer % depth for layer in layers}))
