"""Published benchmarks: the layouts that people have on disk, and how their masks are coded.

A new set is one entry in `LOADERS`.
"""

from collections.abc import Mapping

from clickgrain.evaluation.sets import instances, pairs
from clickgrain.evaluation.sets.layout import Layout as Layout
from clickgrain.evaluation.sets.layout import Target as Target
from clickgrain.evaluation.sets.masks import checked_mask as checked_mask
from clickgrain.evaluation.sets.pairs import GENERIC as GENERIC

LOADERS: Mapping[str, Layout] = {
    "grabcut": pairs.GRABCUT,
    "berkeley": pairs.BERKELEY,
    "sbd": instances.SBD,
    "sbd-train": instances.SBD_TRAIN,
    "davis": pairs.DAVIS,
    "pascalvoc": instances.PASCAL_VOC,
    "coco-mval": pairs.COCO_MVAL,
    "sstem": instances.SSTEM,
    "brats": pairs.BRATS,
    "oai-zib": instances.OAI_ZIB,
    "hqseg-dis": pairs.DIS,
    "hqseg-coift": pairs.COIFT,
    "hqseg-hrsod": pairs.HRSOD,
    "hqseg-thin": pairs.THIN,
}
"""Benchmark name -> layout; any other name has the generic layout. Case and _ for - do not matter."""


def layout_of(name: str) -> Layout:
    """The layout of a benchmark by its name, such as "grabcut" or "COCO_MVal"; the generic one by default."""
    return LOADERS.get(name.lower().replace("_", "-"), GENERIC)
