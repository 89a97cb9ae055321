"""Settings of the `grain` click model, without torch."""

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from clickgrain.clicks.spec import MAP_NAMES, MapSpec
from clickgrain.errors import ConfigError
from clickgrain.features.config_check import differences
from clickgrain.features.encoder_config import WIDEST, EncoderConfig

LARGEST_SIDE = 8192


@dataclass(frozen=True)
class GrainConfig:
    """Encode once, then milliseconds per click.

    Args:
        encoder: sizes of the image encoder.
        decoder_widths: channels of the click decoder at strides 2, 4, 8, 16.
        maps: click maps that the decoder sees, in order.
        radius: of click disks, in pixels of the working image.
        long_side: images are scaled to this long side (sides rounded to multiples of 32).
        tree: extractor whose features give the merge tree behind the maps.
    """

    kind: ClassVar[str] = "grain"
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    decoder_widths: tuple[int, ...] = (16, 32, 48, 96)
    maps: tuple[str, ...] = MAP_NAMES
    radius: float = 5.0
    long_side: int = 384
    tree: str = "color-texture"

    def __post_init__(self) -> None:
        object.__setattr__(self, "maps", tuple(self.maps))
        object.__setattr__(self, "decoder_widths", tuple(self.decoder_widths))
        if len(self.decoder_widths) != 4 or not all(1 <= width <= WIDEST for width in self.decoder_widths):
            raise ConfigError(
                f"--decoder-widths {self.decoder_widths} must be four positive numbers up to {WIDEST}"
            )
        if not self.maps:
            raise ConfigError("--maps is empty; without click maps a model cannot see clicks")
        if self.long_side < 64:
            raise ConfigError(f"--long-side {self.long_side} is under 64 pixels, too small to see an object")
        if self.long_side > LARGEST_SIDE:
            raise ConfigError(f"--long-side {self.long_side} is over {LARGEST_SIDE} pixels, too large to work at")
        self.map_spec  # noqa: B018  (checks the names)

    @property
    def map_spec(self) -> MapSpec:
        """The click maps, at stride 2."""
        return MapSpec(self.maps, stride=2, radius=self.radius)

    def to_json(self) -> dict[str, Any]:
        """Plain values for config.json."""
        return {"kind": self.kind, **asdict(self)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "GrainConfig":
        """From config.json; keys that describe the file (kind, format, clickgrain) are passed over.

        Raises:
            ConfigError: for missing or unknown keys, and values of another type or out of range.
        """
        own = {key: value for key, value in values.items() if key not in ("kind", "format", "clickgrain")}
        if problems := differences(cls, own):
            raise ConfigError(f"config of a grain model does not fit this version: {', '.join(problems)}")
        return cls(**{**own, "encoder": EncoderConfig(**own["encoder"])})

    @classmethod
    def small(cls, long_side: int = 256) -> "GrainConfig":
        """Half the channels: trains in minutes on two cores."""
        return cls(EncoderConfig((12, 24, 40, 64, 80), (1, 1, 1, 1, 1)), (12, 24, 32, 48), long_side=long_side)
