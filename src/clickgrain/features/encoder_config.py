"""Sizes of the grain encoder, without torch."""

from dataclasses import dataclass

from clickgrain.errors import ConfigError

STRIDES = (2, 4, 8, 16, 32)
WIDEST, DEEPEST = 4096, 100
"""More channels or blocks than any encoder of this kind needs; what has more is no config but damage."""


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
        for name, values, most in (("widths", self.widths, WIDEST), ("depths", self.depths, DEEPEST)):
            object.__setattr__(self, name, tuple(values))
            if len(values) != len(STRIDES) or not all(1 <= value <= most for value in values):
                raise ConfigError(
                    f"--encoder.{name} {values} must be {len(STRIDES)} positive numbers up to {most}, one a stride"
                )
