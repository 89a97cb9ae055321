"""Published benchmarks: the layouts that people have on disk, and how their masks are coded."""

from clickgrain.evaluation.sets.layout import Found as Found
from clickgrain.evaluation.sets.layout import Layout as Layout
from clickgrain.evaluation.sets.masks import checked_mask as checked_mask

__all__ = ["Found", "Layout", "checked_mask"]
