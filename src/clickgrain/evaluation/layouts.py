"""Published benchmarks as people have them on disk. A new set is one entry in `LOADERS`."""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

import numpy as np

from clickgrain.clicks.robot import IGNORE
from clickgrain.errors import DataError, ImageError
from clickgrain.evaluation import masks as coded
from clickgrain.evaluation.masks import checked_mask
from clickgrain.files import hash_bytes, hash_file
from clickgrain.images import read_image
from clickgrain.types import Size, UInt8

VOID = 255  # VOC's label of object borders and of ambiguous pixels
Naming = Callable[[str, Collection[str]], str]  # stem of a mask and stems of all images -> stem of its image
LabelReader = Callable[[Path], coded.Labels]
MaskReader = Callable[[Path, Size], UInt8]
"""(mask file, (height, width) of its image) -> H x W uint8 of 0, 128 and 255; raises ImageError or DataError."""


@dataclass(frozen=True)
class Target:
    """One object to be found in one image."""

    id: str  # unique in its benchmark
    image_id: str  # shared by the targets of one image
    image: Callable[[], UInt8] = field(repr=False)  # loads the H x W x 3 uint8 RGB image; raises ImageError
    # (H, W) of the image -> H x W uint8 (0 background, 128 ignore, 255 object); ImageError or DataError
    mask: Callable[[Size], UInt8] = field(repr=False)
    digest: Callable[[], str] | None = field(default=None, repr=False)  # hash of image and mask, if cheap


Found = tuple[list[Target], list[str]]  # targets in a stable order, and notes about files left out


@dataclass(frozen=True)
class Layout:
    """How one benchmark lies on disk."""

    needs: tuple[str, ...]  # folders and files below the root that must exist
    tree: str  # the expected layout, for people
    # lists the targets below a root. Sets of one mask per file are listed by their names alone; where a file holds
    # several objects, all mask files are read once, one at a time.
    find: Callable[[Path], Found]
    source: str = ""  # where to get the set, for people
    images: int | None = None  # number of images of the complete set, if published
    targets: int | None = None  # number of targets of the complete set, if published
    remark: str = ""  # what must be said with every figure on this set

    def missing(self, root: Path) -> list[str]:
        """The needed folders and files that do not exist."""
        return [name for name in self.needs if not (root / name).exists()]


def _target(id_: str, image: Path, read: Callable[..., UInt8], mask: Path, *how: object) -> Target:
    """The target in two files; `read(mask, *how, size)` loads its mask."""
    named = " ".join(str(getattr(value, "__name__", value)) for value in (read, *how))
    loads = partial(read_image, image), partial(read, mask, *how)
    return Target(id_, image.stem, *loads, partial(_digest, named, image, mask))


def _digest(how: str, *paths: Path) -> str:
    """Hash of files and of the way to read them; an unreadable file is reported when its target is reached."""
    parts = [how]
    for path in paths:
        try:
            state = path.stat()
            parts.append(_hashed(path, state.st_size, state.st_mtime_ns))
        except OSError:
            parts.append("unreadable")
    return hash_bytes(" ".join(parts).encode())


@cache
def _hashed(path: Path, size: int, changed: int) -> str:
    return hash_file(path)


def _files(folder: Path) -> list[Path]:
    """The files of a folder in order of their names, without hidden ones."""
    try:
        return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error}); give a folder that can be read") from error


def _before_number(mask: str, images: Collection[str]) -> str:
    """A mask may be called as the image, or <id>#2, <id>-2 or <id>_2 for the second object of an image."""
    return mask if mask in images else re.sub(r"[#_-]\d+$", "", mask)


def _pair(images: list[Path], masks: list[Path], read: MaskReader, image_of: Naming) -> Found:
    """Match every mask by name to the one image called `image_of(its stem, all stems)`; others become notes."""
    by_stem: dict[str, list[Path]] = defaultdict(list)
    for image in images:
        by_stem[image.stem].append(image)
    found, notes, used = [], [], set()
    for mask in masks:
        stem = image_of(mask.stem, by_stem.keys())
        used.add(stem)
        candidates = by_stem.get(stem, [])
        if len(candidates) == 1:
            found.append(_target(mask.stem, candidates[0], read, mask))
        else:
            what = f"are {len(candidates)} images" if candidates else "is no image"
            notes.append(f"{mask}: left out, there {what} called {stem!r}")
    return found, notes + [f"{by_stem[stem][0]}: left out, it has no mask" for stem in sorted({*by_stem} - used)]


def _generic(root: Path) -> Found:
    def by_number(mask: Path) -> tuple[str, int, str]:
        stem, _, number = mask.stem.rpartition("#")
        return stem, int(number) if number.isdecimal() else 0, number

    paths = _files(root / "masks")
    masks = sorted((path for path in paths if path.suffix.lower() == ".png" and "#" in path.stem), key=by_number)
    notes = [f"{path}: left out, a mask is called <id>#<k>.png" for path in paths if path not in masks]
    found, more = _pair(_files(root / "images"), masks, coded.read_exact, lambda mask, _: mask.rpartition("#")[0])
    return found, notes + more


def _instances(pairs: Iterable[tuple[Path, Path]], read: LabelReader, ignore: int | None = None) -> Found:
    """A target for every label above 0 of each (image, label file), which is read; bad files become notes."""
    found, notes = [], []
    for image, path in pairs:
        try:
            if not image.is_file():
                raise DataError(f"{image}: left out, there is no such file")
            labels = read(path)
        except (DataError, ImageError) as error:
            notes.append(str(error))
            continue
        present = [int(label) for label in np.unique(labels) if label > 0 and label != ignore]
        found += [_target(f"{image.stem}#{label}", image, _mask, path, read, ignore, label) for label in present]
        if not present:
            notes.append(f"{path}: left out, there is no object in it")
    return found, notes


def _mask(path: Path, read: LabelReader, ignore: int | None, label: int, size: Size) -> UInt8:
    """The target of one label; pixels labelled `ignore` are ignored."""
    labels = read(path)
    mask = np.where(labels == label, np.uint8(255), np.uint8(0))
    if ignore is not None:
        mask[labels == ignore] = IGNORE
    return checked_mask(mask, f"{path}, label {label}", size)


def _label_maps(root: Path, images: str, masks: str, read: LabelReader) -> Found:
    by_stem = {image.stem: image for image in _files(root / images)}
    labels = {mask.stem: mask for mask in _files(root / masks)}
    pairs = ((by_stem.get(stem, root / images / f"{stem}.*"), mask) for stem, mask in labels.items())
    found, notes = _instances(pairs, read)
    return found, notes + [f"{by_stem[stem]}: left out, it has no mask" for stem in sorted({*by_stem} - {*labels})]


def _tree(files: Mapping[str, str], width: int = 22) -> str:
    return "\n".join(f"  {path:<{width}}{what}" for path, what in files.items())


def _pairs(
    images: str, masks: str, read: MaskReader, count: int, source: str, coding: str, what: str = "",
    image_of: Naming = lambda mask, images: mask, remark: str = "",
) -> Layout:  # fmt: skip
    """A set of one target per mask file."""
    tree = _tree({f"{images}/<id>.*": what or f"{count} images", f"{masks}/<id>.*": coding})

    def find(root: Path) -> Found:
        return _pair(_files(root / images), _files(root / masks), read, image_of)

    return Layout((images, masks), tree, find, source, targets=count, remark=remark)


def _listed(
    list_: str, image: str, mask: str, read: LabelReader, count: int, source: str, what: str, coding: str, *,
    targets: int | None = None, ignore: int | None = None, width: int = 22,
) -> Layout:  # fmt: skip
    """A set of images named in a list file, one per line; `image` and `mask` are paths with {} for the name."""
    names = f"names of the {count} images to use, one a line"
    tree = _tree({image.format("<id>"): what, mask.format("<id>"): coding, list_: names}, width)

    def find(root: Path) -> Found:
        try:
            lines = (root / list_).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{root / list_}: not a list of image names ({error}); give one name a line") from error
        stems = dict.fromkeys(line.split()[0] for line in lines if line.strip())
        return _instances(((root / image.format(stem), root / mask.format(stem)) for stem in stems), read, ignore)

    folders = (path.partition("/")[0] for path in (image, mask))
    return Layout((*folders, list_), tree, find, source, images=count, targets=targets)


def _sbd(list_: str, count: int, targets: int | None) -> Layout:
    source = "the Semantic Boundaries Dataset (Hariharan et al. 2011): the folder `dataset` of benchmark.tgz"
    what, coding = "photos", "their instances, key GTinst"
    return _listed(list_, "img/{}.jpg", "inst/{}.mat", coded.read_sbd, count, source, what, coding, targets=targets)


def _hqseg(images: str, masks: str, part: str, count: int) -> Layout:
    source, coding = f"the HQ-SAM project: HQSeg-44K, part {part}", "their masks, grey: object from 128 up"
    return _pairs(images, masks, coded.read_half, count, source, coding)


_OBJECTS = "their masks: object where any channel is above 0"

GENERIC = Layout(
    ("images", "masks"),
    _tree({"images/<id>.*": "one file per image: .jpg, .png, .webp, .tif, .bmp",
           "masks/<id>#<k>.png": "one per target, k = 0, 1, ...: 0 background, 128 ignore, 255 object"}),
    _generic,
)  # fmt: skip

LOADERS: Mapping[str, Layout] = {
    "grabcut": _pairs(
        "data_GT", "boundary_GT", coded.read_trimap, 50,
        "the GrabCut page of Microsoft Research Cambridge, or the data sets listed by the RITM project",
        "their trimaps: 128 ignore, above 128 object, below background",
    ),
    "berkeley": _pairs(
        "images", "masks", coded.read_trimap, 100,
        "the data sets listed by the RITM project (objects of McGuinness and O'Connor 2010)",
        "100 trimaps: 128 ignore, above 128 object; a second object is called <id>#<k>, <id>-<k> or <id>_<k>",
        "96 images, or 100 with those of two objects twice", _before_number,
        "berkeley: its photos are BSDS photos; say so with the figure if any was trained on",
    ),
    "sbd": _sbd("val.txt", 2857, 6671),
    "sbd-train": _sbd("train.txt", 8498, None),
    "davis": _pairs(
        "img", "gt", coded.read_any, 345,
        "the data sets listed by the RITM project (345 frames of DAVIS 2016, davischallenge.org)",
        _OBJECTS, "345 frames",
    ),
    "pascalvoc": _listed(
        "ImageSets/Segmentation/val.txt", "JPEGImages/{}.jpg", "SegmentationObject/{}.png", coded.read_labels, 1449,
        "the PASCAL VOC 2012 page (host.robots.ox.ac.uk/pascal/VOC/voc2012): the folder VOC2012",
        "images", "palette PNG: one index per object, 0 background, 255 ignore",
        targets=3417, ignore=VOID, width=34,
    ),
    "coco-mval": _pairs(
        "img", "gt", coded.read_any, 800,
        "the data sets listed by the RITM and SimpleClick projects (10 objects of each of 80 COCO classes)",
        _OBJECTS,
    ),
    "sstem": Layout(
        ("raw", "mitochondria"),
        _tree({"raw/<id>.tif": "20 sections",
               "mitochondria/<id>.png": "their masks; every 4-connected component above 0 is a target"}, width=24),
        partial(_label_maps, images="raw", masks="mitochondria", read=coded.read_components),
        "Gerhard et al. 2013, segmented anisotropic ssTEM data set of neural tissue (figshare): stack1",
        images=20,
    ),
    "brats": _pairs(
        "image", "annotation", coded.read_any, 369,
        "the SimpleClick project (slices of BraTS 2020, med.upenn.edu/cbica/brats2020)",
        "their label maps: object (the whole tumor) where any channel is above 0",
        "369 slices, one of each volume, as images",
    ),
    "oai-zib": Layout(
        ("image", "annotation"),
        _tree({"image/<id>.*": "150 slices, one of each volume, as images",
               "annotation/<id>.*": "their label maps, grey or palette: every label above 0 is a target"}),
        partial(_label_maps, images="image", masks="annotation", read=coded.read_labels),
        "the SimpleClick project (slices of OAI-ZIB, pubdata.zib.de)",
        images=150,
    ),
    "hqseg-dis": _hqseg("im", "gt", "DIS5K/DIS-VD", 470),
    "hqseg-coift": _hqseg("images", "masks", "thin_object_detection/COIFT", 280),
    "hqseg-hrsod": _hqseg("images", "masks_max255", "thin_object_detection/HRSOD", 287),
    "hqseg-thin": _hqseg("images_test", "masks_test", "thin_object_detection/ThinObject5K", 500),
}  # fmt: skip
"""Benchmark name -> layout; any other name has the generic layout. Case and _ for - do not matter."""
