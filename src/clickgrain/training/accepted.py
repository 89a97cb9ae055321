"""Objects that people accepted: exact targets of a run, next to the regions of its unlabelled photos."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial

import cv2
import numpy as np

from clickgrain.errors import DataError
from clickgrain.evaluation import Benchmark
from clickgrain.evaluation import Target as LabelledTarget
from clickgrain.evaluation.datasets import load_group
from clickgrain.features import FeatureExtractor
from clickgrain.progress import Progress
from clickgrain.proposals.pipeline import shrunk
from clickgrain.training.image_set import Entry, ImageSet, encode_mask, mask_of_size
from clickgrain.training.regions import level_of
from clickgrain.tree import MergeTree, build_tree
from clickgrain.types import Bool, UInt8

SMALL = 32
"""Long side in pixels; an object that is smaller than this in the decoded photo gets a zoom crop."""
VIEW = 4.0
"""Side of that crop, over the object's long side."""

_View = tuple[Entry, list[UInt8]]  # an object in its photo or in a part of it, and PNGs of refused regions there


@dataclass(frozen=True)
class Accepted:
    """What people said about photos."""

    objects: Benchmark  # to train on
    held_out: Benchmark  # never trained on: they measure what is gained
    refused: Benchmark  # regions that are not what was searched for; `image_id` is the photo's key


def add_accepted(
    image_set: ImageSet, accepted: Accepted, extractor: FeatureExtractor, bar: Progress, *, threads: int
) -> tuple[list[int], list[str]]:
    """Add accepted objects as images with an exact mask, and tell the image set which regions were refused.

    The image set has all its photos. Returns indices of the new images, and why objects are left out. Raises
    DataError: none of them can be used.
    """
    failed: list[str] = []
    refused: dict[str, list[LabelledTarget]] = {group[0].image_id: group for group in accepted.refused.by_image()}
    for i, name in enumerate(image_set.names):
        if name in refused:
            masks = load_group(refused[name], failed)[1]
            image_set.refused[i] = [encode_mask(mask_of_size(mask == 255, image_set.size(i))) for _, mask in masks]
    groups = list(accepted.objects.by_image())
    bar.start("accepted objects", len(groups))

    def views(group: list[LabelledTarget], failed: list[str]) -> dict[str, _View]:
        return _views(group, refused.get(group[0].image_id, []), image_set.side, extractor, failed)

    def again(group: list[LabelledTarget], name: str) -> Entry:
        problems: list[str] = []
        found = views(group, problems)
        if name not in found:
            raise DataError("; ".join(problems) or f"object {name}: it is not there any more")
        return found[name][0]

    with ThreadPoolExecutor(threads) as pool:
        for group, made in zip(groups, pool.map(partial(views, failed=failed), groups)):
            bar.advance()
            for name, (entry, not_objects) in made.items():
                i = image_set.add(entry, name, partial(again, group, name))
                image_set.accepted.append(i)
                image_set.refused[i] = not_objects
    if not image_set.accepted:
        raise DataError("none of the accepted objects can be used:" + "".join(f"\n- {line}" for line in failed[:5]))
    return image_set.accepted, failed


def _views(
    group: list[LabelledTarget],
    refused: list[LabelledTarget],
    side: int,
    extractor: FeatureExtractor,
    failed: list[str],
) -> dict[str, _View]:
    """Every object of one photo in the whole photo, those too small to be seen there in a part of it, by name."""
    photo, masks = load_group(group, failed)
    if photo is None:
        return {}
    others = [mask == 255 for _, mask in load_group(refused, failed)[1]] if refused else []

    @cache
    def seen(part: tuple[int, int, int, int]) -> tuple[UInt8, MergeTree]:
        image = shrunk(np.ascontiguousarray(photo[part[1] : part[3], part[0] : part[2]]), side)
        return image, build_tree(extractor(image), image.shape[:2])

    views: dict[str, _View] = {}
    for target, mask in masks:
        part = _part(mask == 255, side)
        rows, columns = slice(part[1], part[3]), slice(part[0], part[2])
        image, tree = seen(part)
        size = image.shape[:2]
        shown = mask_of_size((mask == 255)[rows, columns], size)
        if not (shown > 127).any():
            failed.append(f"object {target.id}: nothing is left of it at a long side of {side} pixels")
            continue
        there = [other[rows, columns] for other in others if other[rows, columns].any()]
        entry = Entry(image, tree, encode_mask(shown), level_of(float((shown > 127).mean()), tree))
        views[target.id] = entry, [encode_mask(mask_of_size(other, size)) for other in there]
    return views


def _part(mask: Bool, side: int) -> tuple[int, int, int, int]:
    """XYXY pixels of what a view shows: the whole photo, or a square around an object that is small in it."""
    height, width = mask.shape
    x, y, w, h = cv2.boundingRect(mask.view(np.uint8))
    if max(w, h) * side >= SMALL * max(height, width) or max(height, width) <= side:
        return 0, 0, width, height
    extent = min(max(round(VIEW * max(w, h)), side), max(height, width))
    left = int(np.clip(x + w // 2 - extent // 2, 0, max(width - extent, 0)))
    top = int(np.clip(y + h // 2 - extent // 2, 0, max(height - extent, 0)))
    return left, top, min(left + extent, width), min(top + extent, height)
