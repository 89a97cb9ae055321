"""After the network: what the image's features say, the guard (what was right stays), and the cut."""

from clickgrain.cut.cut import (
    CutSettings,
    Discriminant,
    cut_mask,
    cut_region,
    depth_in,
    guard_mask,
    in_one_piece,
    obey,
    warm_up,
)

__all__ = [
    "CutSettings",
    "Discriminant",
    "cut_mask",
    "cut_region",
    "depth_in",
    "guard_mask",
    "in_one_piece",
    "obey",
    "warm_up",
]
