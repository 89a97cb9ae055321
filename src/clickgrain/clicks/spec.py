"""Which click maps a model wants."""

from dataclasses import dataclass

from clickgrain.errors import ConfigError

MAP_NAMES = (
    "previous",  # probability of the previous mask
    "disk+", "disk-",  # disks around the clicks
    "level+", "level-",  # closeness in the merge tree
    "color+", "color-",  # closeness in colour
    "geodesic+", "geodesic-",  # closeness along the image
    "posterior",  # probability of object given the pixel's colour
    "centre", "ball",  # what the first click means, if it lies in the middle of it
    "correction+", "correction-",  # what the last click adds or takes away, likewise
    "box",  # 1 inside, -1 outside, 0 without a box
    "level", "level?",  # the wanted level, and whether one is wanted
    "edge+", "edge-",  # closeness in the edge tree
)  # fmt: skip
LEAF_MAPS = ("level+", "level-", "geodesic+", "geodesic-", "edge+", "edge-")
"""Maps that are computed on the tree's leaves."""
CENTRE_MAPS = ("centre", "ball", "correction+", "correction-")
"""Maps of the regions around single clicks (`clicks.centre`)."""


@dataclass(frozen=True)
class MapSpec:
    """Click maps, in channel order.

    Args:
        names: out of `MAP_NAMES`.
        stride: pixels of the working image per map pixel.
        radius: of the disks, in pixels of the working image.
    """

    names: tuple[str, ...]
    stride: int = 1
    radius: float = 5.0

    def __post_init__(self) -> None:
        unknown = [name for name in self.names if name not in MAP_NAMES]
        if unknown or len(set(self.names)) != len(self.names):
            raise ConfigError(f"click maps {self.names} hold unknown or repeated names; give some of {MAP_NAMES}")
        if self.stride < 1 or self.radius <= 0:
            raise ConfigError(f"stride {self.stride} and radius {self.radius} of click maps must be positive")

    @property
    def uses_tree(self) -> bool:
        """Whether any map needs the merge tree."""
        return "posterior" in self.names or any(name in LEAF_MAPS + CENTRE_MAPS for name in self.names)
