"""Sets whose mask files hold several objects: listing them reads every mask file once, one at a time."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from scipy.io import loadmat

from clickgrain.errors import DataError, ImageError
from clickgrain.evaluation.sets.layout import Layout, Target, files_of, listed, target_of
from clickgrain.evaluation.sets.masks import Labels, label_mask, read_labels
from clickgrain.types import Size, UInt8

VOID = 255
"""VOC's label of object borders and of what is too hard to tell."""

Reader = Callable[[Path], Labels]


def _find(
    pairs: Iterable[tuple[Path, Path]], read: Reader, ignore: int | None = None
) -> tuple[list[Target], list[str]]:
    """A target for every label above 0 of each (image, label file); files that cannot be used become notes."""
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
        found += [target_of(f"{image.stem}#{label}", image, _mask, path, read, ignore, label) for label in present]
        if not present:
            notes.append(f"{path}: left out, there is no object in it")
    return found, notes


def _mask(path: Path, read: Reader, ignore: int | None, label: int, size: Size) -> UInt8:
    return label_mask(read(path), label, str(path), size, ignore)


def read_sbd(path: Path) -> Labels:
    """H x W int32 instances of an SBD file: `GTinst.Segmentation`, 0 background.

    Raises:
        DataError: when the file cannot be read or holds no `GTinst`.
    """
    try:
        instances = loadmat(path)["GTinst"]["Segmentation"][0, 0]
        return np.asarray(instances, np.int32).reshape(instances.shape[0], -1)
    except Exception as error:  # a damaged .mat file fails in any way it likes
        reason = str(error).strip() or type(error).__name__
        raise DataError(f"{path}: no SBD instances ({reason}); copy it again from SBD's inst folder") from error


def read_components(path: Path) -> Labels:
    """H x W int32: the 4-connected components of the pixels above 0, numbered from 1."""
    return np.asarray(cv2.connectedComponents((read_labels(path) > 0).astype(np.uint8), connectivity=4)[1])


def _sbd(root: Path, split: str) -> tuple[list[Target], list[str]]:
    stems = listed(root / split)
    return _find(((root / "img" / f"{stem}.jpg", root / "inst" / f"{stem}.mat") for stem in stems), read_sbd)


def _voc(root: Path) -> tuple[list[Target], list[str]]:
    images, masks = root / "JPEGImages", root / "SegmentationObject"
    stems = listed(root / "ImageSets" / "Segmentation" / "val.txt")
    return _find(((images / f"{stem}.jpg", masks / f"{stem}.png") for stem in stems), read_labels, VOID)


def _sstem(root: Path) -> tuple[list[Target], list[str]]:
    return _same_stems(root / "raw", root / "mitochondria", read_components)


def _oai_zib(root: Path) -> tuple[list[Target], list[str]]:
    return _same_stems(root / "image", root / "annotation", read_labels)


def _same_stems(images: Path, masks: Path, read: Reader) -> tuple[list[Target], list[str]]:
    by_stem = {image.stem: image for image in files_of(images)}
    labels = {mask.stem: mask for mask in files_of(masks)}
    pairs = ((by_stem.get(stem, images / f"{stem}.*"), mask) for stem, mask in labels.items())
    found, notes = _find(pairs, read)
    return found, notes + [f"{by_stem[stem]}: left out, it has no mask" for stem in sorted({*by_stem} - {*labels})]


SBD = Layout(
    needs=("img", "inst", "val.txt"),
    tree="""\
  img/<id>.jpg          photos
  inst/<id>.mat         their instances, key GTinst
  val.txt               names of the 2857 images to use, one a line""",
    find=partial(_sbd, split="val.txt"),
    source="the Semantic Boundaries Dataset (Hariharan et al. 2011): the folder `dataset` of benchmark.tgz",
    images=2857,
    targets=6671,
)

SBD_TRAIN = replace(
    SBD,
    needs=("img", "inst", "train.txt"),
    tree=SBD.tree.replace("val.txt  ", "train.txt").replace("2857", "8498"),
    find=partial(_sbd, split="train.txt"),
    images=8498,
    targets=None,
)

PASCAL_VOC = Layout(
    needs=("JPEGImages", "SegmentationObject", "ImageSets/Segmentation/val.txt"),
    tree="""\
  JPEGImages/<id>.jpg
  SegmentationObject/<id>.png       palette PNG: one index per object, 0 background, 255 ignore
  ImageSets/Segmentation/val.txt    names of the 1449 images to use, one a line""",
    find=_voc,
    source="the PASCAL VOC 2012 page (host.robots.ox.ac.uk/pascal/VOC/voc2012): the folder VOC2012",
    images=1449,
    targets=3417,
)

SSTEM = Layout(
    needs=("raw", "mitochondria"),
    tree="""\
  raw/<id>.tif          20 sections
  mitochondria/<id>.png their masks; every 4-connected component above 0 is a target""",
    find=_sstem,
    source="Gerhard et al. 2013, segmented anisotropic ssTEM data set of neural tissue (figshare): folder stack1",
    images=20,
)

OAI_ZIB = Layout(
    needs=("image", "annotation"),
    tree="""\
  image/<id>.*          150 slices, one of each volume, as pictures
  annotation/<id>.*     their label maps, grey or palette: every label above 0 is a target""",
    find=_oai_zib,
    source="the SimpleClick project (slices of OAI-ZIB, pubdata.zib.de)",
    images=150,
)
