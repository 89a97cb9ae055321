"""Guard and cut: what was right stays, and the image's pixels decide the outline."""

from clickgrain.cut.cut import CutSettings, cut_mask, warm_up
from clickgrain.cut.guard import depth_in, guard_mask

__all__ = ["CutSettings", "cut_mask", "depth_in", "guard_mask", "warm_up"]
