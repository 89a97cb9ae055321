"""Settings of the click models and their losses; no torch, so that the command line can show them at once."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Literal, NamedTuple, Self, get_args

from clickgrain.clicks.config import FIRST, MAP_NAMES, MapSpec
from clickgrain.errors import ConfigError, check_range
from clickgrain.features.config import WIDEST, EncoderConfig, differences

LARGEST_SIDE = 8192
NEW = ("labelled", "first_maps")  # fields that configs of the first version do not have


class _Saved:
    """A settings dataclass that config.json holds."""

    kind: ClassVar[str]

    def to_json(self: Any) -> dict[str, Any]:
        """Plain values for config.json; what is new since the first version only where it is used."""
        values = {"kind": self.kind, **asdict(self)}
        return {key: value for key, value in values.items() if value or key not in NEW}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """From config.json; keys that describe the file (kind, format, clickgrain) are passed over."""
        own = {key: value for key, value in values.items() if key not in ("kind", "format", "clickgrain")}
        own = {one.name: one.default for one in fields(cls) if one.name in NEW} | own  # type: ignore[arg-type]
        if problems := differences(cls, own):
            raise ConfigError(f"config of a {cls.kind} model does not fit this version: {', '.join(problems)}")
        return cls(**own)


@dataclass(frozen=True)
class GrainConfig(_Saved):
    """Encode once, then milliseconds per click."""

    kind: ClassVar[str] = "grain"
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    decoder_widths: tuple[int, ...] = (16, 32, 48, 96)  # channels of the click decoder at strides 2, 4, 8, 16
    maps: tuple[str, ...] = MAP_NAMES  # click maps that the decoder sees, in order
    radius: float = 5.0  # of click disks, in pixels of the working image
    long_side: int = 384  # images are scaled to this long side (sides rounded to multiples of 32)
    tree: str = "color-texture"  # extractor whose features give the merge tree behind the maps
    labelled: bool = False  # masks of people were among its targets: then it is not label-free
    # click maps of a second decoder, which answers first clicks (the map `FIRST`); () for one decoder
    first_maps: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.encoder, dict):  # config.json gives this, and lists
            object.__setattr__(self, "encoder", EncoderConfig(**self.encoder))
        for name in ("maps", "first_maps", "decoder_widths"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.decoder_widths) != 4 or not all(1 <= width <= WIDEST for width in self.decoder_widths):
            raise ConfigError(f"--decoder-widths {self.decoder_widths} must be four numbers from 1 to {WIDEST}")
        if not self.tree.strip():
            raise ConfigError("tree is empty; name an extractor, such as color-texture")
        if not self.maps:
            raise ConfigError("--maps is empty; without click maps a model cannot see clicks")
        check_range(self, "long_side", 64, LARGEST_SIDE)
        self.map_spec  # noqa: B018  (checks the names)

    @property
    def map_spec(self) -> MapSpec:
        """The click maps of both decoders, at stride 2: first `maps`, then what `first_maps` adds, and `FIRST`."""
        names = (*self.maps, *(name for name in self.first_maps if name not in self.maps))
        names += (FIRST,) if self.first_maps else ()
        return MapSpec(names, stride=2, radius=self.radius)

    @property
    def columns(self) -> tuple[list[int], list[int]]:
        """Channels of `map_spec` that the decoder sees, and those that the second one does."""
        names = self.map_spec.names
        return [names.index(name) for name in self.maps], [names.index(name) for name in self.first_maps]

    def decoder_for(self, maps: Any) -> tuple[bool, list[int]]:
        """Whether the second decoder answers, and the channels that it sees, or that the other one does.

        `maps` are M x C x h x w of prompts that are all first clicks, or none is.
        """
        first = bool(self.first_maps) and bool(maps[:, self.map_spec.names.index(FIRST)].any())
        return first, self.columns[first]

    @classmethod
    def small(cls, long_side: int = 256) -> "GrainConfig":
        """Half the channels: trains in minutes on two cores."""
        return cls(EncoderConfig((12, 24, 40, 64, 80), (1, 1, 1, 1, 1)), (12, 24, 32, 48), long_side=long_side)


class VitShape(NamedTuple):
    """Token width, number of blocks, attention heads per block."""

    dim: int
    depth: int
    heads: int


SIZES = {"b": VitShape(768, 12, 12), "s": VitShape(384, 12, 6), "ti": VitShape(192, 12, 3)}
WIDEST_VIT, DEEPEST_VIT = 8192, 200  # more than any of them needs; what has more is no config but damage


@dataclass(frozen=True)
class PaperConfig(_Saved):
    """Early-fusion ViT click model; the defaults are the published ViT-B/16 at 448 x 448."""

    kind: ClassVar[str] = "paper"
    size: Literal["b", "s", "ti"] = "b"
    image_size: int = 448  # side in pixels that the position embedding is made for; other sizes resize it
    patch_size: int = 16  # side of a patch in pixels, a multiple of 4
    dim: int = 0  # token width, a multiple of 12 and of `heads`; 0 is the size's own
    depth: int = 0  # number of transformer blocks; 0 is the size's own
    heads: int = 0  # attention heads per block; 0 is the size's own
    # 1-based numbers of the blocks that attend within a 2 x 2 split of the token grid. None is the published rule:
    # all but every (depth / 2)-th, so 1-5 and 7-11 of 12.
    window_blocks: tuple[int, ...] | None = None
    head_channels: int = 256  # width of the MLP head
    dropout: float = 0.1  # probability in the head, while training
    radius: float = 5.0  # radius of a click's disk in pixels at the network's resolution
    labelled: bool = False  # masks of people were among its targets: then it is not label-free

    def __post_init__(self) -> None:
        if self.window_blocks is not None:
            object.__setattr__(self, "window_blocks", tuple(self.window_blocks))  # config.json gives a list
        if self.size not in SIZES:
            raise ConfigError(f"--size {self.size!r} is unknown; choose one of {', '.join(SIZES)}")
        dim, depth, heads = self.vit
        if min(dim, depth, heads) < 1 or dim > WIDEST_VIT or depth > DEEPEST_VIT:
            wanted = f"positive, or 0 for the size's; dim up to {WIDEST_VIT}, depth up to {DEEPEST_VIT}"
            raise ConfigError(f"--dim {dim}, --depth {depth} and --heads {heads} must be {wanted}")
        if dim % 12 or dim % heads:
            raise ConfigError(f"--dim {dim} is not a multiple of 12 and of --heads {heads}")
        if outside := [block for block in self.window_blocks or () if not 1 <= block <= depth]:
            raise ConfigError(f"--window-blocks names block {outside[0]}; blocks are numbered 1 to {depth}")
        if self.patch_size < 4 or self.patch_size % 4:
            raise ConfigError(f"--patch-size {self.patch_size} is not a positive multiple of 4; use 8 or 16")
        if not 1 <= self.image_size <= LARGEST_SIDE or self.image_size % self.step:
            multiple = f"no multiple of {self.step} (two patches) up to {LARGEST_SIDE}"
            raise ConfigError(f"--image-size {self.image_size} is {multiple}")
        check_range(self, "head_channels", 1)
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"--dropout {self.dropout} is outside 0..1")
        check_range(self, "radius", 0, above=True)

    @property
    def vit(self) -> VitShape:
        """The transformer's shape, with the size's own numbers where none are set."""
        own = SIZES[self.size]
        return VitShape(self.dim or own.dim, self.depth or own.depth, self.heads or own.heads)

    @property
    def windowed(self) -> tuple[bool, ...]:
        """For every block, whether it attends within windows."""
        depth, windows = self.vit.depth, self.window_blocks
        blocks = range(1, depth + 1)
        return tuple(b % max(1, depth // 2) != 0 if windows is None else b in windows for b in blocks)

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


Variant = Literal["bilateral", "published"]


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms of `total_loss`; a term of weight 0 is not computed. The defaults are the paper's."""

    bce: float = 1.0
    dice: float = 0.0
    smoothness: float = 10.0
    # on probabilities, as the formula reads, or on logits, as in the paper's implementation (to reproduce it)
    smoothness_variant: Variant = "bilateral"
    iou: float = 0.0  # squared error of the score against the true IoU
    # cross-entropy of pixels that were right in the answer before a click and are wrong after it. At 1 such a pixel
    # costs twice what another wrong one costs: itself, and the click that brings it back.
    kept: float = 0.0

    def __post_init__(self) -> None:
        check_range(self, " ".join(self.terms()), 0)
        if not any(self.terms().values()):
            raise ConfigError("all loss weights are 0, so nothing would be learned; set --bce or another above 0")
        if self.smoothness_variant not in (known := get_args(Variant)):
            unknown = f"--smoothness-variant {self.smoothness_variant!r} is unknown"
            raise ConfigError(f"{unknown}; choose one of {', '.join(known)}")

    def terms(self) -> dict[str, float]:
        """Weight of every term by name."""
        return {f.name: float(getattr(self, f.name)) for f in fields(self) if f.name != "smoothness_variant"}
