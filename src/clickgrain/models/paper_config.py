"""Settings of the published click model; imports no torch, so that the command line can show them at once."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, NamedTuple

from clickgrain.clicks.spec import MapSpec
from clickgrain.errors import ConfigError
from clickgrain.features.config_check import differences


class VitShape(NamedTuple):
    """Token width, number of blocks, attention heads per block."""

    dim: int
    depth: int
    heads: int


SIZES = {"b": VitShape(768, 12, 12), "s": VitShape(384, 12, 6), "ti": VitShape(192, 12, 3)}
"""ViT-B, ViT-S and ViT-Ti."""
WIDEST, DEEPEST, LARGEST_SIDE = 8192, 200, 8192
"""More than any of them needs; what has more is no config but damage."""


@dataclass(frozen=True)
class PaperConfig:
    """Early-fusion ViT click model; the defaults are the published ViT-B/16 at 448 x 448.

    Attributes:
        size: "b", "s" or "ti".
        image_size: side in pixels that the position embedding is made for; other sizes resize it.
        patch_size: side of a patch in pixels, a multiple of 4.
        dim: token width, a multiple of 12 and of `heads`; 0 is the size's own.
        depth: number of transformer blocks; 0 is the size's own.
        heads: attention heads per block; 0 is the size's own.
        window_blocks: 1-based numbers of the blocks that attend within a 2 x 2 split of the token grid. None
            is the published rule: all but every (depth / 2)-th, so 1-5 and 7-11 of 12.
        head_channels: width of the MLP head.
        dropout: probability in the head, while training.
        radius: radius of a click's disk in pixels at the network's resolution.

    Raises:
        ConfigError: for settings that contradict each other; the message names the flag.
    """

    kind: ClassVar[str] = "paper"
    size: Literal["b", "s", "ti"] = "b"
    image_size: int = 448
    patch_size: int = 16
    dim: int = 0
    depth: int = 0
    heads: int = 0
    window_blocks: tuple[int, ...] | None = None
    head_channels: int = 256
    dropout: float = 0.1
    radius: float = 5.0

    def __post_init__(self) -> None:
        if self.window_blocks is not None:
            object.__setattr__(self, "window_blocks", tuple(self.window_blocks))  # config.json gives a list
        if self.size not in SIZES:
            raise ConfigError(f"--size {self.size!r} is unknown; choose one of {', '.join(SIZES)}")
        self._check_vit()
        self._check_rest()

    @property
    def vit(self) -> VitShape:
        """The transformer's shape, with the size's own numbers where none are set."""
        own = SIZES[self.size]
        return VitShape(self.dim or own.dim, self.depth or own.depth, self.heads or own.heads)

    @property
    def windowed(self) -> tuple[bool, ...]:
        """For every block, whether it attends within windows."""
        depth = self.vit.depth
        every = max(1, depth // 2)
        if self.window_blocks is None:
            return tuple(block % every != 0 for block in range(1, depth + 1))
        return tuple(block in self.window_blocks for block in range(1, depth + 1))

    @property
    def grid(self) -> int:
        """Tokens along each side at `image_size`."""
        return self.image_size // self.patch_size

    @property
    def step(self) -> int:
        """Image sides are multiples of this many pixels: two patches, so that the grid splits in four."""
        return 2 * self.patch_size

    @property
    def pyramid(self) -> tuple[int, int, int, int]:
        """Channels at strides 4, 8, 16, 32 (for patch 16): 128, 256, 512, 1024 for ViT-B, in proportion else."""
        dim = self.vit.dim
        return dim // 6, dim // 3, 2 * dim // 3, 4 * dim // 3

    @property
    def map_spec(self) -> MapSpec:
        """The click maps, at full resolution."""
        return MapSpec(("previous", "disk+", "disk-"), stride=1, radius=self.radius)

    def to_json(self) -> dict[str, Any]:
        """Plain values for config.json."""
        return {"kind": self.kind, **asdict(self)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "PaperConfig":
        """From config.json; keys that describe the file (kind, format, clickgrain) are passed over.

        Raises:
            ConfigError: for missing or unknown keys, values of another type, or settings at odds with each other.
        """
        own = {key: value for key, value in values.items() if key not in ("kind", "format", "clickgrain")}
        if problems := differences(cls, own):
            raise ConfigError(f"config of a paper model does not fit this version: {', '.join(problems)}")
        return cls(**own)

    def _check_vit(self) -> None:
        dim, depth, heads = self.vit
        if min(dim, depth, heads) < 1 or dim > WIDEST or depth > DEEPEST:
            raise ConfigError(
                f"--dim {dim}, --depth {depth} and --heads {heads} must be positive, or 0 for the size's; dim up to"
                f" {WIDEST}, depth up to {DEEPEST}"
            )
        if dim % 12 or dim % heads:
            raise ConfigError(f"--dim {dim} is not a multiple of 12 and of --heads {heads}")
        outside = [block for block in self.window_blocks or () if not 1 <= block <= depth]
        if outside:
            raise ConfigError(f"--window-blocks names block {outside[0]}; blocks are numbered 1 to {depth}")

    def _check_rest(self) -> None:
        if self.patch_size < 4 or self.patch_size % 4:
            raise ConfigError(f"--patch-size {self.patch_size} is not a positive multiple of 4; use 8 or 16")
        if not 1 <= self.image_size <= LARGEST_SIDE or self.image_size % self.step:
            raise ConfigError(
                f"--image-size {self.image_size} is no multiple of {self.step} (two patches) up to {LARGEST_SIDE}"
            )
        if self.head_channels < 1:
            raise ConfigError(f"--head-channels {self.head_channels} is not positive; the published width is 256")
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"--dropout {self.dropout} is outside 0..1")
        if not self.radius > 0.0:
            raise ConfigError(f"--radius {self.radius} is not positive; the published value is 5 pixels")
