"""Which click maps a model wants, and how training draws its clicks; no torch, no OpenCV."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from clickgrain.errors import ConfigError, check_range

if TYPE_CHECKING:
    import numpy as np

MAP_NAMES = (
    "previous",  # probability of the previous mask
    "disk+", "disk-",  # disks around the clicks
    "level+", "level-",  # closeness in the merge tree
    "color+", "color-",  # closeness in color
    "geodesic+", "geodesic-",  # closeness along the image
    "posterior",  # probability of object given the pixel's color
    "centre", "ball",  # what the first click means, if it lies in the middle of it
    "correction+", "correction-",  # what the last click adds or takes away, likewise
    "box",  # 1 inside, -1 outside, 0 without a box
    "level", "level?",  # the wanted level, and whether one is wanted
    "edge+", "edge-",  # closeness in the edge tree
    "semantic+", "semantic-",  # cosine to the nearest click in semantic vectors
    "alike",  # closer to the previous mask's mean semantic vector than to that of the rest
)  # fmt: skip
FIRST = "first"
"""1 for one positive click alone, without level or previous mask: this map chooses a decoder and feeds none."""
LEAF_MAPS = ("level+", "level-", "geodesic+", "geodesic-", "edge+", "edge-", "semantic+", "semantic-")
"""Maps that are computed on the tree's leaves."""
CENTRE_MAPS = ("centre", "ball", "correction+", "correction-")
"""Maps of the regions around single clicks (`clicks.centre`)."""


@dataclass(frozen=True)
class MapSpec:
    """Click maps, in channel order."""

    names: tuple[str, ...]  # out of `MAP_NAMES`
    stride: int = 1  # pixels of the working image per map pixel
    radius: float = 5.0  # of the disks, in pixels of the working image

    def __post_init__(self) -> None:
        unknown = [name for name in self.names if name not in (*MAP_NAMES, FIRST)]
        if unknown or len(set(self.names)) != len(self.names):
            raise ConfigError(f"click maps {self.names} hold unknown or repeated names; give some of {MAP_NAMES}")
        if self.stride < 1 or self.radius <= 0:
            raise ConfigError(f"stride {self.stride} and radius {self.radius} of click maps must be positive")

    @property
    def uses_tree(self) -> bool:
        """Whether any map needs the merge tree."""
        return not {"posterior", "alike", *LEAF_MAPS, *CENTRE_MAPS}.isdisjoint(self.names)


@dataclass(frozen=True)
class ClickPlan:
    """What one training sample is given; drawn by `ClickSimulation.plan`."""

    bare: bool  # begins with the box or scribble alone, without any click
    single: bool  # begins with exactly one positive click (hand it to `initial_clicks(..., single=...)`)
    rounds: int  # corrective clicks that follow, each after a prediction that becomes the previous mask
    box: bool  # also gets a box
    scribble: bool  # also gets a scribble
    level: bool  # is told the level of its proposal


@dataclass(frozen=True)
class ClickSimulation:
    """How clicks are drawn from a pseudo mask; the defaults are the published settings (MIS, section 4)."""

    max_points: int = 24  # largest number of initial positive clicks, and of initial negative ones
    decay: float = 0.8  # 1 + k positive and k negative clicks, P(k) ~ decay^k
    erosion: int = 3  # 3x3 erosions of the mask before positive clicks are drawn from it
    share_erosion: float = 0.9  # share of samples whose mask is eroded
    min_eroded: int = 10  # the eroded mask is used only if more pixels than this remain
    # share of the negatives drawn from the band around the object; the others come from all of the background
    share_border: float = 0.5
    border_ratio: float = 0.1  # width of that band over the square root of the object's area (rounded up to pixels)
    corrective: tuple[int, int] = (0, 3)  # fewest and most corrective clicks after the initial ones, uniform
    # share of samples that begin with exactly one positive click; corrective clicks follow as in all others
    share_single: float = 0.0
    # share of samples made of corrective clicks only, from one first click on (on top of share_single)
    share_recursive: float = 0.0
    recursive: tuple[int, int] = (1, 6)  # fewest and most corrective clicks of these samples, uniform
    # share of single first clicks at the very centre of the object; the others lie anywhere well inside
    share_centre: float = 0.5
    # share of corrective clicks at the very centre of the error; the others lie anywhere well inside
    share_centre_corrective: float = 0.0
    # share of the negatives drawn from the sibling region in the merge tree, if it has one
    share_sibling: float = 0.0
    share_box: float = 0.0  # share of samples given a box
    share_scribble: float = 0.0  # share of samples given a scribble
    share_bare: float = 0.0  # share of the samples with a box or scribble that begin without any click
    share_level: float = 0.0  # share of samples told the level of their proposal

    def __post_init__(self) -> None:
        check_range(self, "max_points", 1)
        check_range(self, "decay", 0, 1, above=True)
        check_range(self, "erosion min_eroded", 0)
        check_range(self, "border_ratio", 0, above=True)
        for name, (low, high) in (("corrective", self.corrective), ("recursive", self.recursive)):
            if not 0 <= low <= high:
                raise ConfigError(f"--{name} {(low, high)} is out of range; give two numbers, 0 <= fewest <= most")
        check_range(self, " ".join(f.name for f in fields(self) if f.name.startswith("share_")), 0, 1)
        if self.share_single + self.share_recursive > 1.0 + 1e-9:
            both = f"--share-single {self.share_single:g} and --share-recursive {self.share_recursive:g}"
            raise ConfigError(f"{both} add up to more than 1; a sample is one or the other, lower one of them")

    @classmethod
    def paper(cls) -> "ClickSimulation":
        """The published simulation, exactly."""
        return cls()

    @classmethod
    def grain(cls) -> "ClickSimulation":
        """Ours: first clicks are often single (published: 1 %) and clicks central; siblings are negatives."""
        return cls(
            share_single=0.4,
            share_recursive=0.45,
            recursive=(2, 10),
            share_centre=0.75,
            share_centre_corrective=0.6,
            share_sibling=0.3,
            share_box=0.1,
            share_scribble=0.1,
            share_bare=0.5,
            share_level=0.3,
        )

    def plan(self, rng: "np.random.Generator") -> ClickPlan:
        """Draw what one sample is given. Always takes six numbers from `rng`, whatever the settings."""
        start, turn, box, scribble, bare, level = rng.random(6)
        recursive = self.share_single <= start < self.share_single + self.share_recursive
        low, high = self.recursive if recursive else self.corrective
        has_box, has_scribble = bool(box < self.share_box), bool(scribble < self.share_scribble)
        return ClickPlan(
            bare=bool((has_box or has_scribble) and bare < self.share_bare),
            single=bool(start < self.share_single + self.share_recursive),
            rounds=low + int(turn * (high - low + 1)),
            box=has_box,
            scribble=has_scribble,
            level=bool(level < self.share_level),
        )
