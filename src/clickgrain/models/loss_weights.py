"""How much each loss counts; imports no torch, so that the command line can show it at once."""

import math
from dataclasses import dataclass, fields
from typing import Literal

from clickgrain.errors import ConfigError

VARIANTS = ("bilateral", "published")


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms of `total_loss`; a term of weight 0 is not computed. The defaults are the paper's.

    Attributes:
        bce: binary cross-entropy.
        dice: dice loss.
        smoothness: bilateral smoothness.
        smoothness_variant: "bilateral" (on probabilities, as the formula reads) or "published" (as in the
            paper's implementation, on logits; for faithful reproduction).
        iou: squared error of the score against the true IoU.
        kept: cross-entropy of pixels that were right in the answer before a click and are wrong after it. At 1
            such a pixel costs twice what another wrong one costs: itself, and the click that brings it back.

    Raises:
        ConfigError: for negative or unbounded weights, an unknown variant, or all weights 0.
    """

    bce: float = 1.0
    dice: float = 0.0
    smoothness: float = 10.0
    smoothness_variant: Literal["bilateral", "published"] = "bilateral"
    iou: float = 0.0
    kept: float = 0.0

    def __post_init__(self) -> None:
        for name, value in self.terms().items():
            if not (math.isfinite(value) and value >= 0.0):
                raise ConfigError(f"--{name} {value} is not a finite weight of 0 or more")
        if not any(self.terms().values()):
            raise ConfigError("all loss weights are 0, so nothing would be learned; set --bce or another above 0")
        if self.smoothness_variant not in VARIANTS:
            raise ConfigError(
                f"--smoothness-variant {self.smoothness_variant!r} is unknown; choose one of {', '.join(VARIANTS)}"
            )

    def terms(self) -> dict[str, float]:
        """Weight of every term by name."""
        return {
            field.name: float(getattr(self, field.name))
            for field in fields(self)
            if field.name != "smoothness_variant"
        }
