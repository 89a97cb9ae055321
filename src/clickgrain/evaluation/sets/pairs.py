"""Sets of one mask file per target; only names are read when they are listed."""

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from clickgrain.evaluation.sets.layout import Layout, MaskReader, Search, Target, files_of, pair
from clickgrain.evaluation.sets.masks import read_any, read_exact, read_half, read_trimap


def _search(images: str, masks: str, read: MaskReader) -> Search:
    def find(root: Path) -> tuple[list[Target], list[str]]:
        return pair(files_of(root / images), files_of(root / masks), read)

    return find


def _generic(root: Path) -> tuple[list[Target], list[str]]:
    masks, notes = [], []
    for path in files_of(root / "masks"):
        if path.suffix.lower() == ".png" and "#" in path.stem:
            masks.append(path)
        else:
            notes.append(f"{path}: left out, a mask is called <id>#<k>.png")
    found, more = pair(files_of(root / "images"), sorted(masks, key=_by_number), read_exact, _before_hash)
    return found, notes + more


def _before_hash(mask: Path, images: Iterable[str]) -> str:
    return mask.stem.rpartition("#")[0]


def _by_number(mask: Path) -> tuple[str, int, str]:
    stem, _, number = mask.stem.rpartition("#")
    return stem, int(number) if number.isdecimal() else 0, number


def _berkeley(root: Path) -> tuple[list[Target], list[str]]:
    return pair(files_of(root / "images"), files_of(root / "masks"), read_trimap, _with_number)


def _with_number(mask: Path, images: Iterable[str]) -> str:
    """The second object of an image has a mask called <id>#2, <id>-2 or <id>_2, or a copy of the image."""
    return mask.stem if mask.stem in images else re.sub(r"[#_-]\d+$", "", mask.stem)


GENERIC = Layout(
    needs=("images", "masks"),
    tree="""\
  images/<id>.*         one file per image: .jpg, .png, .webp, .tif, .bmp
  masks/<id>#<k>.png    one per target, k = 0, 1, ...: 0 background, 128 ignore, 255 object""",
    find=_generic,
)

GRABCUT = Layout(
    needs=("data_GT", "boundary_GT"),
    tree="""\
  data_GT/<id>.*        50 images
  boundary_GT/<id>.*    their trimaps: 128 ignore, above 128 object, below background""",
    find=_search("data_GT", "boundary_GT", read_trimap),
    source="the GrabCut page of Microsoft Research Cambridge, or the data sets listed by the RITM project",
    targets=50,
)

BERKELEY = Layout(
    needs=("images", "masks"),
    tree="""\
  images/<id>.*         96 images, or 100 with those of two objects twice
  masks/<id>.*          100 trimaps: 128 ignore, above 128 object; a second object is called <id>#<k>, <id>-<k>
                        or <id>_<k>""",
    find=_berkeley,
    source="the data sets listed by the RITM project (objects of McGuinness and O'Connor 2010)",
    targets=100,
    remark="berkeley: its photos are BSDS photos; say so beside the figure if any was trained on",
)

DAVIS = Layout(
    needs=("img", "gt"),
    tree="""\
  img/<id>.*            345 frames
  gt/<id>.*             their masks: object where any channel is above 0""",
    find=_search("img", "gt", read_any),
    source="the data sets listed by the RITM project (345 frames of DAVIS 2016, davischallenge.org)",
    targets=345,
)

COCO_MVAL = replace(
    DAVIS,
    tree="""\
  img/<id>.*            800 images
  gt/<id>.*             their masks: object where any channel is above 0""",
    source="the data sets listed by the RITM and SimpleClick projects (10 objects of each of 80 COCO classes)",
    targets=800,
)

BRATS = Layout(
    needs=("image", "annotation"),
    tree="""\
  image/<id>.*          369 slices, one of each volume, as pictures
  annotation/<id>.*     their label maps: object (the whole tumour) where any channel is above 0""",
    find=_search("image", "annotation", read_any),
    source="the SimpleClick project (slices of BraTS 2020, med.upenn.edu/cbica/brats2020)",
    targets=369,
)


def _hqseg(images: str, masks: str, part: str, count: int) -> Layout:
    return Layout(
        needs=(images, masks),
        tree=f"""\
  {f"{images}/<id>.*":<22}{count} images
  {f"{masks}/<id>.*":<22}their masks, grey: object from 128 up""",
        find=_search(images, masks, read_half),
        source=f"the HQ-SAM project: HQSeg-44K, part {part}",
        targets=count,
    )


DIS = _hqseg("im", "gt", "DIS5K/DIS-VD", 470)
COIFT = _hqseg("images", "masks", "thin_object_detection/COIFT", 280)
HRSOD = _hqseg("images", "masks_max255", "thin_object_detection/HRSOD", 287)
THIN = _hqseg("images_test", "masks_test", "thin_object_detection/ThinObject5K", 500)
