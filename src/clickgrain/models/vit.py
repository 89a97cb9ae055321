"""A plain vision transformer over image and click maps, without class token and final norm.

Tokens are kept in *window order*: the four quarters of the grid one after the other. Window attention is then
a reshape, and global attention does not mind the order.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from clickgrain.models.config import PaperConfig

WINDOWS = 4
NORM_EPS = 1e-6


def to_windows(grid: Tensor) -> Tensor:
    """B x h x w x C -> B x hw x C with the quarters of the grid in sequence; h and w even."""
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
        return cast(Tensor, self.proj(mixed.transpose(1, 2).reshape(b, n, c)))


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
        return cast(Tensor, tokens + self.mlp(self.norm2(tokens)))


class EarlyFusionViT(nn.Module):
    """ViT whose first layer sums a patch embedding of RGB and one of the click maps."""

    def __init__(self, config: PaperConfig) -> None:
        super().__init__()
        (dim, _, heads), patch = config.vit, config.patch_size
        self.embed_image = nn.Conv2d(3, dim, patch, patch)
        self.embed_clicks = nn.Conv2d(3, dim, patch, patch)
        self.positions = nn.Parameter(torch.zeros(1, config.grid, config.grid, dim))
        self.blocks = nn.ModuleList(Block(dim, heads, WINDOWS if local else 1) for local in config.windowed)
        self._initialise()

    def forward(self, images: Tensor, maps: Tensor) -> Tensor:
        """Last block's tokens.

        Args:
            images: B x 3 x H x W float, normalised; H and W multiples of two patches.
            maps: B x 3 x H x W float.

        Returns:
            B x C x h x w, one vector per patch.
        """
        grid = (self.embed_image(images) + self.embed_clicks(maps)).permute(0, 2, 3, 1)
        h, w = grid.shape[1:3]
        tokens = to_windows(grid + resize_positions(self.positions, h, w))
        for block in self.blocks:
            tokens = block(tokens)
        return from_windows(tokens, h, w).permute(0, 3, 1, 2)

    def _initialise(self) -> None:
        nn.init.trunc_normal_(self.positions, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
