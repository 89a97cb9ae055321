"""Closer views of large photos: what is small in a photo of many pixels is learned as well.

Photos are kept with 256 pixels on the long side. A cell of 40 pixels in a micrograph of 2,000 would be one leaf of
a tree, nothing to learn from; and close looks (`clickgrain.models.zoom`) show a model just such parts of an image.
"""

import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from clickgrain.features import FeatureExtractor
from clickgrain.images import resize_long_side
from clickgrain.training.image_set import ImageSet
from clickgrain.tree import MergeTree, build_tree
from clickgrain.types import UInt8

CLOSEST, WIDEST = 6.0, 1.5
"""A photo's long side over that of its closest and its widest view."""
IN_ALL = 2000
"""About so many views at most, however many photos there are."""


@dataclass
class Tiles:
    """Cuts closer views out of the photos of a folder as they are read.

    Attributes:
        side: long side that pictures are kept at; photos of less than twice as much have no closer views.
        most: views of a photo; the larger it is, the more.
        photos: how many there are.
        seed: of where the views lie.
        cut: (number of the photo, h x w x 3 uint8 with `side` pixels on the long side) until now.
    """

    side: int
    most: int
    photos: int
    seed: int
    cut: list[tuple[int, UInt8]] = field(default_factory=list)

    def look(self, number: int, name: str, image: UInt8) -> None:
        """Cut views out of the next photo, H x W x 3 uint8; they depend on the seed, its name and its size."""
        longest = max(image.shape[:2])
        if self.most == 0 or longest < 2 * self.side:
            return
        rng = np.random.default_rng([self.seed, 7, zlib.crc32(name.encode("utf-8", "surrogateescape"))])
        wanted = min(self.most, round(longest / self.side) - 1)
        kept = rng.random(wanted) < IN_ALL / (self.photos * self.most)
        for _ in range(int(kept.sum())):
            self.cut.append((number, np.ascontiguousarray(self._view(image, rng))))

    def _view(self, image: UInt8, rng: np.random.Generator) -> UInt8:
        longest = max(image.shape[:2])
        low, high = np.log([max(self.side, longest / CLOSEST), longest / WIDEST])
        extent = float(np.exp(rng.uniform(low, max(low, high))))
        height, width = (min(round(extent), length) for length in image.shape[:2])
        top = int(rng.integers(image.shape[0] - height + 1))
        left = int(rng.integers(image.shape[1] - width + 1))
        return resize_long_side(image[top : top + height, left : left + width], self.side)


def add_tiles(
    image_set: ImageSet,
    tiles: Tiles,
    extractor: FeatureExtractor,
    *,
    threads: int = 1,
    advance: Callable[[], None] = lambda: None,
) -> dict[int, int]:
    """Add views as more photos, after the others, and mark the photos that have some as large.

    The views' trees are built here.

    Args:
        image_set: of photos alone.
        tiles: gives its views away, so that they are not held twice.
        extractor: gives the features of their trees.
        threads: that build.
        advance: called once per view.

    Returns:
        View -> its photo, by their numbers in the image set.
    """

    def plant(cut: tuple[int, UInt8]) -> tuple[int, UInt8, MergeTree]:
        number, view = cut
        return number, view, build_tree(extractor(view), view.shape[:2])

    photo_of: dict[int, int] = {}
    with ThreadPoolExecutor(threads) as pool:
        planted = pool.map(plant, tiles.cut)
        tiles.cut = []
        for i, (number, view, tree) in enumerate(planted):
            photo_of[image_set.add(view, f"{image_set.names[number]}#tile{i}", tree)] = number
            advance()
    image_set.large.update(photo_of.values())
    return photo_of
