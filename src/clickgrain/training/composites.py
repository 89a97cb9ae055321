"""Composites of an image set's photos: images whose masks are exact."""

import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache, partial
from itertools import repeat
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from clickgrain.errors import ClickgrainError
from clickgrain.features import FeatureExtractor
from clickgrain.proposals import cutouts as pieces
from clickgrain.proposals.composites import composite
from clickgrain.training.image_set import AT_ONCE, Entry, ImageSet, encode_mask
from clickgrain.tree import MergeTree, build_tree
from clickgrain.types import Float, UInt8

T = TypeVar("T")
WHOLE = (0.85, 0.95)  # levels of whole objects
MOST_CUTOUTS = 256  # kept decoded
SECOND = 0.4  # part of the composites of cutouts that show a second one, in front of the target or behind it


def add_composites(
    image_set: ImageSet,
    count: int,  # how many
    extractor: FeatureExtractor,  # gives the features of their trees
    *,
    photos: Sequence[int] | None = None,  # indices of the photos to make them of; all of them when None
    seed: int,  # of everything random
    cutouts: Sequence[Path] = (),  # files that `read_cutout` reads
    share: float = 0.2,  # of the composites that show one of these
    threads: int = 1,  # that work on them
    advance: Callable[[], None] = lambda: None,  # called once per composite
) -> range:
    """Add composites: whole objects, regions of trees and cutouts with exact alpha, pasted into other photos.

    Whole objects are those on plain backgrounds, and the image set's salient ones. Composite i depends on the
    photos, `seed` and i alone; it is made when it is asked for if memory has no room for it.
    """
    first = len(image_set)
    if count == 0:
        return range(first, first)
    sources = range(image_set.photos) if photos is None else photos

    def can_be_cut(i: int) -> bool:
        with suppress(ClickgrainError):  # it cannot be read again
            return i in image_set.objects or pieces.plain_background_object(image_set.image(i)) is not None
        return False

    objects = [i for i, found in zip(sources, image_set.each(sources, can_be_cut, threads)) if found]
    files = zlib.crc32("\0".join(path.name for path in cutouts).encode("utf-8", "surrogateescape"))
    read = lru_cache(MOST_CUTOUTS)(lambda path: pieces.read_cutout(path, image_set.side))

    def begun(i: int) -> tuple[bool, np.random.Generator]:
        """Whether composite i shows a cutout, and the source of its randomness."""
        rng = np.random.default_rng([seed, 8, i])  # the others stay the same, whatever the share
        shows = bool(cutouts) and rng.random() < share
        return shows, rng if shows else np.random.default_rng([seed, 1, i])

    def make(i: int) -> Entry:
        (shows, rng), level = begun(i), None
        if shows:
            image, alpha = _cutout_composite(image_set, sources, lambda: read(_one_of(cutouts, rng)), rng)
            level = float(rng.uniform(*WHOLE))
        else:
            image, alpha = _composite(image_set, sources, objects, rng)
        png = encode_mask(np.round(alpha * 255).astype(np.uint8))
        return Entry(image, build_tree(extractor(image), image.shape[:2]), png, level)

    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, count, AT_ONCE):
            numbers = range(start, min(start + AT_ONCE, count))
            entries: Iterable[Entry | None] = repeat(None) if image_set.full else pool.map(make, numbers)
            for i, entry in zip(numbers, entries):
                name = f"cutouts-{files:08x}/{i:06d}" if begun(i)[0] else f"composite/{i:06d}"
                image_set.add(entry, name, partial(make, i))
                advance()
    return range(first, len(image_set))


def _composite(
    image_set: ImageSet, sources: Sequence[int], objects: Sequence[int], rng: np.random.Generator
) -> tuple[UInt8, Float]:
    """A composite of photos drawn from `sources`; half of the pieces are whole objects, if any exist."""
    background = image_set.image(_one_of(sources, rng))
    for _ in range(20):
        whole = len(objects) > 0 and rng.random() < 0.5
        donor = _one_of(objects if whole else sources, rng)
        image = image_set.image(donor)
        if not whole:
            tree = image_set.tree(donor)
            shown = MergeTree(tree.children, tree.cost, tree.grid, image.shape[:2])
            piece = pieces.region_cutout(image, shown, rng)
        elif donor in image_set.objects:
            piece = pieces.solid_cutout(image, image_set.mask(donor))
        else:
            piece = pieces.object_cutout(image)
        if piece is not None:
            return composite(background, *piece, rng)
    # Nothing can be cut out of these photos: an ellipse of one in another still teaches edges and occlusion.
    image = image_set.image(_one_of(sources, rng))
    alpha = np.zeros(image.shape[:2], np.float32)
    center = (image.shape[1] // 2, image.shape[0] // 2)
    cv2.ellipse(alpha, center, (max(center[0] // 2, 2), max(center[1] // 2, 2)), 0, 0, 360, 1, -1)
    return composite(background, image, alpha, rng)


def _cutout_composite(
    image_set: ImageSet, sources: Sequence[int], cutout: Callable[[], pieces.Cutout], rng: np.random.Generator
) -> tuple[UInt8, Float]:
    """A cutout in a photo, at times with a second one that hides part of it, or that it hides part of."""

    def photo() -> UInt8:
        return image_set.image(_one_of(sources, rng))

    background, piece, occluder = photo(), pieces.retextured(cutout(), photo, rng), None
    if rng.random() < SECOND:
        other = pieces.retextured(cutout(), photo, rng)
        if rng.random() < 0.5:
            occluder = other
        else:
            background = composite(background, *other, rng, pieces.WHOLE_OBJECTS).image
    return composite(background, *piece, rng, pieces.WHOLE_OBJECTS, occluder=occluder)


def _one_of(items: Sequence[T], rng: np.random.Generator) -> T:
    return items[int(rng.integers(len(items)))]
