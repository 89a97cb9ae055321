"""Sizes of the grain encoder, without torch."""

from dataclasses import dataclass

from clickgrain.errors import ConfigError

STRIDES = (2, 4, 8, 16, 32)


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of the encoder.

    Args:
        widths: channels at strides 2, 4, 8, 16, 32.
        depths: residual blocks at each of them.
    """

    widths: tuple[int, ...] = (16, 32, 64, 128, 160)
    depths: tuple[int, ...] = (1, 1, 2, 2, 2)

    def __post_init__(self) -> None:
        for name, values in (("widths", self.widths), ("depths", self.depths)):
            object.__setattr__(self, name, tuple(values))
            if len(values) != len(STRIDES) or min(values) < 1:
                raise ConfigError(
                    f"--encoder.{name} {values} must be {len(STRIDES)} positive numbers, one per stride"
                )
