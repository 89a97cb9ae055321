"""Sampling laws: which regions of a tree become proposals, and how often. Imports nothing heavy."""

from dataclasses import dataclass
from typing import Literal

from clickgrain.errors import ConfigError

LawName = Literal["paper", "area", "level"]


@dataclass(frozen=True)
class SamplingLaw:
    """How proposals are drawn from a merge tree.

    - `paper`: from the root, while u ~ U(0, 1) <= p (p starts at 1), to a random child, then p *= decay
      (MIS, section 3). Regions of at most `min_area` are rejected; after 100 tries the largest of them is taken.
    - `area`: log-area balanced: every octave share of area is as likely, whatever number of nodes it holds.
    - `level`: level balanced: every stretch of granularity is as likely.

    `area` and `level` never draw the whole image.

    Attributes:
        name: which law.
        decay: `paper` only, 0 < decay <= 1; smaller stops higher up.
        min_area: fraction of the leaves that a region must exceed.
        max_area: fraction of the leaves that a region may have at most.

    Raises:
        ConfigError: a value out of range; names the flag.
    """

    name: LawName = "paper"
    decay: float = 0.9
    min_area: float = 0.05
    max_area: float = 1.0

    def __post_init__(self) -> None:
        if self.name not in ("paper", "area", "level"):
            raise ConfigError(f"--law.name {self.name!r} is no sampling law; use paper, area or level")
        if not 0.0 < self.decay <= 1.0:
            raise ConfigError(f"--law.decay {self.decay!r} is outside 0..1; the paper uses 0.9")
        if not 0.0 <= self.min_area < self.max_area <= 1.0:
            raise ConfigError(
                f"--law.min-area {self.min_area!r} and --law.max-area {self.max_area!r} are no range inside 0..1;"
                " they are fractions of the image, e.g. 0.002 and 0.8"
            )


PAPER = SamplingLaw()
AREA = SamplingLaw("area", min_area=0.002, max_area=0.8)
LEVEL = SamplingLaw("level", min_area=0.002, max_area=0.8)


@dataclass(frozen=True)
class CompositeLaw:
    """How a cut-out piece is changed and put into another photo; every value is drawn anew per composite.

    Attributes:
        min_area: smallest part of the image that the piece is scaled to cover.
        max_area: largest part; the logarithm is uniform between the two.
        max_upscale: pieces are enlarged at most so many times, except to reach `min_area`.
        rotation: degrees to either side.
        flip: probability of mirroring.
        jitter: strength of the change of brightness, contrast, saturation and hue; 0 leaves colours alone.
        match: 0..1, how far the mean colour may be drawn towards the new surroundings.
        feather: widest standard deviation, in pixels, of the edge's softening.
        blur: probability of blurring the piece a little.
        finish: probability of blurring or JPEG-compressing the whole picture a little, which hides seams.
        sides: smallest and largest long side of the piece, as parts of the image's long side, log-uniform; instead
            of the areas.
        light: strength of a gradient of light over the piece, and of the surroundings' contrast and saturation.
        shadow: probability of a soft shadow that the piece casts.
        noise: strength of a camera's noise over the whole image.
    """

    min_area: float = 0.005
    max_area: float = 0.6
    max_upscale: float = 2.0
    rotation: float = 30.0
    flip: float = 0.5
    jitter: float = 0.5
    match: float = 0.5
    feather: float = 1.0
    blur: float = 0.3
    finish: float = 0.5
    sides: tuple[float, float] | None = None
    light: float = 0.0
    shadow: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        if self.sides is not None and not 0.0 < self.sides[0] <= self.sides[1]:
            raise ConfigError(f"--composite.sides {self.sides!r} is no range above 0; e.g. 0.05 and 0.8")
        if not 0.0 < self.min_area <= self.max_area <= 1.0:
            raise ConfigError(
                f"--composite.min-area {self.min_area!r} and --composite.max-area {self.max_area!r} are no range"
                " inside 0..1; they are fractions of the image, e.g. 0.005 and 0.6"
            )
        for name in ("flip", "jitter", "match", "blur", "finish", "light", "shadow", "noise"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"--composite.{name} {getattr(self, name)!r} is outside 0..1")
        for name in ("max_upscale", "rotation", "feather"):
            if getattr(self, name) < 0:
                flag = name.replace("_", "-")
                raise ConfigError(f"--composite.{flag} {getattr(self, name)!r} is negative; use 0 or more")
