"""`paper`: the published click model, an early-fusion ViT with a simple feature pyramid and an MLP head.

MIS (arXiv 2303.13399) trains SimpleClick (Liu et al., ICCV 2023), whose pyramid is ViTDet's (Li et al., ECCV
2022) and whose head is SegFormer's (Xie et al., NeurIPS 2021). Every click costs one full pass of the ViT.
"""

import math
import re
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from clickgrain.errors import ConfigError, PromptError, WeightsError
from clickgrain.features.checkpoint import IMAGENET_MEAN, IMAGENET_STD, load_backbone, read_config
from clickgrain.models.base import ClickModel, Decoded
from clickgrain.models.config import PaperConfig
from clickgrain.types import Float, UInt8

WINDOWS, NORM_EPS = 4, 1e-6

# transformers renamed the inner modules of its ViTs between releases; these lead to the newer names
RENAMED = (
    (r"^encoder\.layer\.", "layers."),
    (r"attention\.attention\.(q|k|v)(uery|ey|alue)\.", r"attention.\1_proj."),
    (r"attention\.output\.dense\.", "attention.o_proj."),
    (r"intermediate\.dense\.", "mlp.fc1."),
    (r"^(layers\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
)

PARTS = {  # ours of a block -> theirs, stacked
    "norm1": ("layernorm_before",),
    "attention.qkv": ("attention.q_proj", "attention.k_proj", "attention.v_proj"),
    "attention.proj": ("attention.o_proj",),
    "norm2": ("layernorm_after",),
    "mlp.0": ("mlp.fc1",),
    "mlp.2": ("mlp.fc2",),
}


class PaperModel(ClickModel):
    """Early-fusion ViT: [previous mask, positive disks, negative disks] enter with the pixels.

    The paper has no quality estimate: `score` is the mean probability over the predicted region, without gradient.
    """

    config: PaperConfig
    mean: Tensor
    std: Tensor

    def __init__(self, config: PaperConfig | None = None) -> None:
        super().__init__()
        self.config = config or PaperConfig()
        self.map_spec = self.config.map_spec
        self.backbone = EarlyFusionViT(self.config)
        self.neck = SimplePyramid(self.config)
        self.head = MLPHead(self.config)
        for name, values in (("mean", IMAGENET_MEAN), ("std", IMAGENET_STD)):  # of images in 0..255
            constant = torch.tensor([255 * value for value in values]).reshape(1, 3, 1, 1)
            self.register_buffer(name, constant, persistent=False)  # so it stays out of the checkpoint

    @classmethod
    def from_backbone(cls, config: PaperConfig, model: str | Path) -> "PaperModel":
        """A model whose ViT starts from self-supervised weights; click embedding, pyramid and head start fresh.

        `model` is a ViT (DINO) or ViT-MAE, by Hugging Face id or local folder, as `facebook/vit-mae-base` (mind the
        licence on its card). Raises WeightsError: it cannot be loaded, is another kind of network, or differs from
        `config` in width, depth, heads or patch size.
        """
        paper = cls(config)
        kept = {key: value for key, value in paper.backbone.state_dict().items() if key.startswith("embed_clicks.")}
        paper.backbone.load_state_dict(_pretrained(config, str(model)) | kept)
        return paper

    def encode(self, images: Tensor) -> tuple[Tensor, ...]:
        """Normalized B x 3 x H x W images, H and W multiples of two patches; nothing else can be kept."""
        step = self.config.step
        if images.dim() != 4 or images.shape[1] != 3:
            raise ConfigError(f"images have shape {tuple(images.shape)}; give B x 3 x H x W in 0..255")
        height, width = images.shape[-2:]
        if height < step or width < step or height % step or width % step:
            wanted = f"multiples of {step} (two patches of {self.config.patch_size} pixels)"
            raise ConfigError(f"image sides {height} x {width} are not {wanted}; resize or pad the image")
        return ((images - self.mean) / self.std,)

    def decode(self, encoded: tuple[Tensor, ...], maps: Tensor) -> Decoded:
        """Logits at image resolution (B x 1 x H x W float32) for click maps B x 3 x H x W."""
        (images,) = encoded
        if maps.shape != images.shape:
            wanted = f"{tuple(images.shape)}, channels {', '.join(self.map_spec.names)} at full resolution"
            raise PromptError(f"click maps have shape {tuple(maps.shape)}; give {wanted}")
        coarse = self.head(self.neck(self.backbone(images, maps)))
        logits = functional.interpolate(coarse.float(), images.shape[-2:], mode="bilinear", align_corners=False)
        return Decoded(logits, confidence(logits.detach()))


class TorchPaper:
    """The network computed by torch, on a device and in eval mode: a `PaperNetwork` (`models.paper_engine`)."""

    def __init__(self, model: ClickModel, device: str = "cpu") -> None:
        self.model, self.device = model.to(device).eval(), device
        self.config, self.map_spec = model.config, model.map_spec

    def put(self, values: Float | UInt8) -> Tensor:
        """A tensor on the device."""
        return torch.from_numpy(values).to(self.device)

    @torch.inference_mode()
    def decode(self, pixels: Tensor, maps: Tensor) -> tuple[Tensor, Float]:
        """B x 1 x S x S logits on the CPU and B scores for B x 3 x S x S RGB in 0..255 and click maps."""
        decoded = self.model(pixels, maps)
        return decoded.logits.float().cpu(), decoded.score.float().cpu().numpy()


def confidence(logits: Tensor) -> Tensor:
    """Mean probability over the pixels where it exceeds 0.5; 0 where none does. B x 1 x H x W -> B."""
    inside = (logits > 0).to(logits.dtype)
    total = (torch.sigmoid(logits) * inside).sum((1, 2, 3))
    return total / inside.sum((1, 2, 3)).clamp_min(1.0)


def to_windows(grid: Tensor) -> Tensor:
    """B x h x w x C -> B x hw x C in window order: the quarters of the grid (h, w even) one after the other."""
    # window attention is then a reshape, and global attention does not mind the order
    b, h, w, c = grid.shape
    return grid.reshape(b, 2, h // 2, 2, w // 2, c).transpose(2, 3).reshape(b, h * w, c)


def from_windows(tokens: Tensor, h: int, w: int) -> Tensor:
    """Undo `to_windows`: B x hw x C -> B x h x w x C."""
    b, _, c = tokens.shape
    return tokens.reshape(b, 2, 2, h // 2, w // 2, c).transpose(2, 3).reshape(b, h, w, c)


def resize_positions(positions: Tensor, h: int, w: int) -> Tensor:
    """Resize a 1 x h0 x w0 x C position embedding bicubically to 1 x h x w x C."""
    if positions.shape[1:3] == (h, w):
        return positions
    planes = positions.permute(0, 3, 1, 2).float()
    resized = functional.interpolate(planes, size=(h, w), mode="bicubic", align_corners=False)
    return resized.permute(0, 2, 3, 1).to(positions.dtype)


class Attention(nn.Module):
    """Multi-head self-attention within each of `windows` equal runs of tokens."""

    def __init__(self, dim: int, heads: int, windows: int) -> None:
        super().__init__()
        self.heads, self.windows = heads, windows
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """B x N x C -> B x N x C."""
        b, n, c = tokens.shape
        # windows join the batch, not a fifth axis: the fast attention kernels take four
        runs = self.qkv(tokens).reshape(b * self.windows, n // self.windows, 3, self.heads, c // self.heads)
        query, key, value = runs.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).reshape(b, n, c))


class Block(nn.Module):
    """A pre-norm transformer block with an MLP of four times the width."""

    def __init__(self, dim: int, heads: int, windows: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.attention = Attention(dim, heads, windows)
        self.norm2 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, tokens: Tensor) -> Tensor:
        """B x N x C -> B x N x C."""
        tokens = tokens + self.attention(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class EarlyFusionViT(nn.Module):
    """ViT whose first layer sums patch embeddings of RGB and of the click maps; no class token, no final norm."""

    def __init__(self, config: PaperConfig) -> None:
        super().__init__()
        (dim, _, heads), patch = config.vit, config.patch_size
        self.embed_image = nn.Conv2d(3, dim, patch, patch)
        self.embed_clicks = nn.Conv2d(3, dim, patch, patch)
        self.positions = nn.Parameter(torch.zeros(1, config.grid, config.grid, dim))
        self.blocks = nn.ModuleList(Block(dim, heads, WINDOWS if local else 1) for local in config.windowed)
        nn.init.trunc_normal_(self.positions, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor, maps: Tensor) -> Tensor:
        """The last block's tokens, B x C x h x w, of normalized B x 3 x H x W images and maps."""
        grid = (self.embed_image(images) + self.embed_clicks(maps)).permute(0, 2, 3, 1)
        h, w = grid.shape[1:3]
        tokens = to_windows(grid + resize_positions(self.positions, h, w))
        for block in self.blocks:
            tokens = block(tokens)
        return from_windows(tokens, h, w).permute(0, 3, 1, 2)


class SimplePyramid(nn.Module):
    """Four scales from the last token map alone: 4x and 2x finer, the same, 2x coarser (ViTDet, sec. 3)."""

    def __init__(self, config: PaperConfig) -> None:
        super().__init__()
        dim, (c4, c8, c16, c32) = config.vit.dim, config.pyramid
        half, quarter = dim // 2, dim // 4
        self.finest = nn.Sequential(
            nn.ConvTranspose2d(dim, half, 2, 2), _norm(half), nn.GELU(),
            nn.ConvTranspose2d(half, quarter, 2, 2), _norm(quarter), *_project(quarter, c4),
        )  # fmt: skip
        self.finer = nn.Sequential(nn.ConvTranspose2d(dim, half, 2, 2), _norm(half), *_project(half, c8))
        self.same = nn.Sequential(*_project(dim, c16))
        self.coarser = nn.Sequential(nn.Conv2d(dim, 2 * dim, 2, 2), _norm(2 * dim), *_project(2 * dim, c32))

    def forward(self, tokens: Tensor) -> tuple[Tensor, ...]:
        """B x C x h x w -> maps of 4h x 4w, 2h x 2w, h x w and h/2 x w/2 with `config.pyramid` channels."""
        return self.finest(tokens), self.finer(tokens), self.same(tokens), self.coarser(tokens)


class MLPHead(nn.Module):
    """A per-pixel MLP over all scales: project each to `head_channels`, fuse at the finest, one logit."""

    def __init__(self, config: PaperConfig) -> None:
        super().__init__()
        width = config.head_channels
        layers = (nn.Sequential(nn.Conv2d(c, width, 1), _norm(width), nn.ReLU()) for c in config.pyramid)
        self.project = nn.ModuleList(layers)
        self.fuse = nn.ModuleList(nn.Conv2d(width, width, 1, bias=False) for _ in config.pyramid)
        self.predict = nn.Sequential(_norm(width), nn.ReLU(), nn.Dropout2d(config.dropout), nn.Conv2d(width, 1, 1))

    def forward(self, scales: tuple[Tensor, ...]) -> Tensor:
        """Maps, finest first -> B x 1 logits at the finest scale."""
        # fusing concatenated maps is a sum of 1 x 1 convolutions, which commute with resizing: fuse first, so
        # that three of the four run at a quarter of the pixels or less
        finest, *coarser = [fuse(project(x)) for project, fuse, x in zip(self.project, self.fuse, scales)]
        for x in coarser:
            finest = finest + functional.interpolate(x, finest.shape[-2:], mode="bilinear", align_corners=False)
        return self.predict(finest)


def _norm(channels: int) -> nn.Module:
    # one group: LayerNorm over a whole map, independent of the batch
    return nn.GroupNorm(1, channels)


def _project(channels: int, out: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(channels, out, 1), _norm(out), nn.GELU()


def _pretrained(config: PaperConfig, model: str) -> dict[str, Tensor]:
    """Our ViT's weights but the click embedding's, of a Hugging Face ViT or ViT-MAE; positions are resized."""
    kind = read_config(model).get("model_type")
    if kind not in ("vit", "vit_mae"):
        raise WeightsError(f"{model} is a {kind!r}; the paper model takes DINO (vit) or MAE (vit_mae) weights")
    encoder, _ = load_backbone(model)
    wanted = {
        "hidden_size": config.vit.dim,
        "num_hidden_layers": config.vit.depth,
        "num_attention_heads": config.vit.heads,
        "patch_size": config.patch_size,
        "intermediate_size": 4 * config.vit.dim,
        "hidden_act": "gelu",
    }
    for name, value in wanted.items():
        if (found := getattr(encoder.config, name)) != value:
            fix = "choose --size (b, s, ti) and --patch-size to match the checkpoint"
            raise WeightsError(f"{model} has {name} {found}, this model needs {value}; {fix}")
    theirs = {}
    for key, value in encoder.state_dict().items():
        for pattern, name in RENAMED:
            key = re.sub(pattern, name, key)
        theirs[key] = value
    sources = {"embed_image": ["embeddings.patch_embeddings.projection"]}
    for i in range(config.vit.depth):
        sources |= {f"blocks.{i}.{own}": [f"layers.{i}.{part}" for part in parts] for own, parts in PARTS.items()}
    try:
        ours = {
            f"{key}.{end}": torch.cat([theirs[f"{part}.{end}"] for part in parts])
            for key, parts in sources.items()
            for end in ("weight", "bias")
        }
        patches = theirs["embeddings.position_embeddings"][:, 1:]  # the class token comes first
    except KeyError as error:
        raise WeightsError(f"{model} lacks the encoder weight {error}; choose another checkpoint") from error
    side = math.isqrt(patches.shape[1])
    positions = resize_positions(patches.reshape(1, side, side, -1), config.grid, config.grid)
    return {**ours, "positions": positions}
