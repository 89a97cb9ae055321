"""Labelled images for `finetune`: which of them, and an image set whose targets are their masks."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from clickgrain.errors import DataError
from clickgrain.evaluation import Benchmark, Target
from clickgrain.evaluation.datasets import load_group
from clickgrain.features import FeatureExtractor
from clickgrain.images import resize_long_side
from clickgrain.proposals.laws import SamplingLaw
from clickgrain.training.image_set import ImageSet
from clickgrain.training.progress import Progress
from clickgrain.training.regions import Region
from clickgrain.tree import MergeTree, build_tree
from clickgrain.types import Bool, Float, Size, UInt8

HELD_OUT_MOST = 64
KEPT = 1000
"""Images whose decoded masks stay in memory."""

Group = list[Target]
"""The targets of one image."""


@dataclass(frozen=True)
class Subset:
    """Labelled images: those to train on, and those that are never trained on, whatever the share."""

    train: list[Group]
    held_out: list[Group]


def choose_labelled(benchmark: Benchmark, share: float, *, held_out: float, seed: int) -> Subset:
    """A share of a set's images. Subsets of one seed are nested: 1 % is inside 5 %, and so on.

    Args:
        benchmark: the labelled set.
        share: of the images that are not held out, in 0..1; one image at least.
        held_out: share of all images that is kept for validation; at least 1 image, at most 64.
        seed: of the order.

    Raises:
        DataError: for a set of a single image.
    """
    groups = list(benchmark.by_image())
    if len(groups) < 2:
        raise DataError(
            f"the set {benchmark.name!r} has masks of {len(groups)} image; fine-tuning needs 2 at least, for one is"
            " kept for validation"
        )
    order = np.random.default_rng([seed, 7]).permutation(len(groups))
    held = min(max(round(held_out * len(groups)), 1), HELD_OUT_MOST)
    count = max(round(share * (len(groups) - held)), 1)
    return Subset([groups[i] for i in order[held : held + count]], [groups[i] for i in order[:held]])


@dataclass(frozen=True)
class LabelRegions:
    """The masks of one image, drawn without regard to their area.

    Attributes:
        masks: h x w float32 in 0..1, of the image at the size that it is trained at.
        grid: (h, w).
        ignored: pixels that count nowhere, or None.
    """

    masks: tuple[Float, ...]
    grid: Size
    ignored: Bool | None = None
    exact: bool = True

    @property
    def image_size(self) -> Size:
        """The grid's own."""
        return self.grid

    def draw(self, rng: np.random.Generator, n: int, law: SamplingLaw) -> list[Region]:
        """Up to n different masks, in random order."""
        return [Region.of(self.masks[i]) for i in rng.permutation(len(self.masks))[:n]]


@dataclass(frozen=True)
class _Labelled:
    """The masks of one image of (height, width) as PNG, for they compress a hundredfold."""

    masks: list[bytes]
    ignored: bytes | None
    size: Size

    def regions(self) -> LabelRegions:
        masks = tuple(_decoded(mask).astype(np.float32) / np.float32(255) for mask in self.masks)
        ignored = None if self.ignored is None else _decoded(self.ignored) > 127
        return LabelRegions(masks, self.size, ignored)


def load_labelled(
    groups: Sequence[Group], side: int, extractor: FeatureExtractor, bar: Progress, *, threads: int
) -> tuple[ImageSet, list[str]]:
    """An image set of labelled images, and why others are left out.

    Args:
        groups: targets by image.
        side: long side that images are shrunk to.
        extractor: gives the features of the trees behind the click maps.
        bar: shows how far it is.
        threads: that read and merge.

    Raises:
        DataError: if no image with a mask is left.
    """
    failed: list[str] = []

    def load(group: Group) -> tuple[UInt8, MergeTree, _Labelled] | None:
        found = _load(group, side, extractor, failed)
        bar.advance()
        return found

    bar.start("labelled images", len(groups))
    image_set, labels = ImageSet(side), list[_Labelled]()
    with ThreadPoolExecutor(threads) as pool:
        for group, found in zip(groups, pool.map(load, groups)):
            if found is not None:
                image, tree, labelled = found
                image_set.add(image, group[0].image_id, tree)
                labels.append(labelled)
    if not labels:
        raise DataError("none of the labelled images can be used:" + "".join(f"\n- {line}" for line in failed[:5]))
    image_set.regions = lru_cache(KEPT)(lambda i: labels[i].regions())
    return image_set, failed


def usable(benchmark: Benchmark, groups: Sequence[Group], most: int) -> Benchmark | None:
    """Up to `most` targets of the groups whose image and mask can be read, or None."""
    ids: list[str] = []
    for group in groups:
        if len(ids) >= most:
            break
        _, masks = load_group(group, [])
        ids += [target.id for target, _ in masks]
    return benchmark.select(ids[:most]) if ids else None


def _load(
    group: Group, side: int, extractor: FeatureExtractor, failed: list[str]
) -> tuple[UInt8, MergeTree, _Labelled] | None:
    image, masks = load_group(group, failed)
    if image is None:
        return None
    small = resize_long_side(image, side) if max(image.shape[:2]) > side else image
    kept: list[bytes] = []
    ignored = np.zeros(small.shape[:2], np.uint8)
    for target, mask in masks:
        object_ = _shrunk(mask == 255, small)
        if (object_ > 127).any():
            kept.append(_encoded(object_))
            ignored = np.maximum(ignored, _shrunk((mask != 255) & (mask != 0), small))
        else:
            failed.append(f"target {target.id}: nothing is left of it at a long side of {side} pixels")
    if not kept:
        return None
    size = (small.shape[0], small.shape[1])
    labelled = _Labelled(kept, _encoded(ignored) if (ignored > 127).any() else None, size)
    return small, build_tree(extractor(small), size), labelled


def _shrunk(mask: Bool, image: UInt8) -> UInt8:
    values = mask.astype(np.uint8) * 255
    if mask.shape == image.shape[:2]:
        return values
    return np.asarray(cv2.resize(values, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_AREA), np.uint8)


def _encoded(mask: UInt8) -> bytes:
    return cv2.imencode(".png", mask)[1].tobytes()


def _decoded(png: bytes) -> UInt8:
    return np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8)
