"""`ImageSet`: photos and composites with their merge trees and exact masks, in memory as far as they fit."""

import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from threading import Lock
from typing import Literal, TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from clickgrain.devices import available_memory
from clickgrain.errors import ClickgrainError, ImageError
from clickgrain.proposals.store import ProposalStore, pack_tree, unpack_tree
from clickgrain.training.regions import FINENESS, Regions, RegionsOf, TreeRegions, hidden_regions
from clickgrain.tree import (
    FLAT,
    MergeTree,
    edge_strength,
    edge_tree,
    region_contrast,
    semantic_cells,
    semantic_tree,
)
from clickgrain.types import Bool, Float, Size, UInt8

T = TypeVar("T")
RegionKind = Literal["features", "edges", "semantic", "hidden"]
MEMORY = 0.8  # of the available memory, that an image set takes at most when no other number is given
IMAGES, TREES = 5 / 8, 0.075  # parts of it: of the images, and of each of the five kinds of trees
BYTES_PER_LEAF = 56
FEWEST_TREES, MOST_TREES = 64, 20_000
AT_ONCE = 64  # images that are worked on, or composites that are made, before the next ones
READERS = 16  # threads that read ahead
STRIPES = 64  # locks, so that two threads do not read the same image


@dataclass(frozen=True)
class Entry:
    """What an image set holds of an image."""

    image: UInt8  # H x W x 3 uint8 RGB, no side longer than the image set's
    tree: MergeTree | None = None  # its image size may differ (they show the same); None: it is in the store
    mask: UInt8 | None = None  # PNG of an H x W mask, 255 = object; photos have none
    level: float | None = None  # of the object, if known


@dataclass(frozen=True)
class _Held:
    """An entry in memory, the tree packed (a tenth of its size)."""

    image: UInt8
    tree: tuple[bytes, bytes, Size, Size] | None
    mask: UInt8 | None
    level: float | None
    bytes: int


class ImageSet:
    """Images, each with its merge tree and, some of them, an exact mask. It only grows: photos, then composites.

    What does not fit into memory is read, or made, again when it is asked for; the least recently used images are
    evicted first. Samples do not depend on it. Threads may read while one of them adds.

    Args:
        side: of the squares that `crops` looks at; the longest side of any image.
        store: has the trees of the photos that are added without one, by name.
        memory: bytes that images and trees may take; 80 % of what is available when None.
    """

    def __init__(self, side: int, store: ProposalStore | None = None, *, memory: float | None = None) -> None:
        self.side, self.store = side, store
        self.photos = 0  # how many; composites follow
        self.memory = MEMORY * available_memory() if memory is None else memory
        # key of each photo; "composite/000000" ... for composites, those of cutouts name the set of files
        self.names: list[str] = []
        self.objects: dict[int, UInt8] = {}  # photo -> its salient object, if any, as a PNG, 255 = object
        self.large: set[int] = set()  # photos that are kept much smaller than they are
        self.accepted: list[int] = []  # images whose exact mask is an object that a person accepted
        self.refused: dict[int, list[UInt8]] = {}  # image -> PNGs of regions that a person said are no objects
        self.lost: dict[int, str] = {}  # image -> why it could not be read again when a sample was to show it
        self.regions: RegionsOf | None = None  # where targets come from; the nodes of the merge trees when None
        # of each image, made on first use: its merge tree and, on the same leaves, its tree by edges
        self.tree = self._cached(self._read_tree)
        self.edge_tree = self._cached(
            lambda i: edge_tree(self.image(i), self.tree(i).grid, self.tree(i).image_size)
        )
        # its semantic tree, what the semantic network sees in it, and regions that the click maps cannot show
        self.semantic_tree = self._cached(lambda i: semantic_tree(self.image(i), self.tree(i), self.cells(i)))
        self.cells = self._cached(lambda i: semantic_cells(self.image(i)))
        self.hidden = self._cached(
            lambda i: hidden_regions(self.image(i), self.tree(i), np.random.default_rng(i)), FINENESS**2
        )
        self.is_flat = cache(self._is_flat)  # whether no large region of it stands out
        self._again: list[Callable[[], Entry] | None] = []
        self._seen: list[tuple[Size, int] | None] = []  # size and checksum of each image that was read
        self._stored = bytearray()  # whether the tree of each image is in the store
        self._held: OrderedDict[int, _Held] = OrderedDict()  # the least recently used first
        self._pinned: dict[int, _Held] = {}
        self._used, self._lock = 0, Lock()
        self._reading = [Lock() for _ in range(2 * STRIPES)]
        self._on_device: Tensor | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def full(self) -> bool:
        """Whether memory has no room for another image."""
        return self._used + self.side**2 * 3 > IMAGES * self.memory

    @property
    def streams(self) -> bool:
        """Whether some images are not in memory."""
        return len(self._held) + len(self._pinned) < len(self)

    def described(self) -> str:
        """Where the images are, in words."""
        held, size = len(self._held) + len(self._pinned), f"{self._used / 1e9:.2g} GB"
        if not self.streams:
            return f"all {held} images are in memory ({size})"
        return (
            f"{held} of {len(self)} images are in memory ({size}), the others are read ahead when their turn comes;"
            f" --memory (now {self.memory / 1e9:.2g} GB) sets how many fit"
        )

    def add(self, entry: Entry | None, name: str, again: Callable[[], Entry] | None = None) -> int:
        """Add a photo, or a composite: an image with an exact mask; returns its index.

        `again` reads it, or makes it, once more; without, it stays in memory. Without an `entry` it is a composite
        that `again` makes when it is asked for.
        """
        i = len(self.names)
        if entry is not None and entry.mask is None:
            if self.photos < i:
                raise ValueError(f"{name}: a photo must be added before all composites")
            self.photos += 1
        self._again.append(again)
        self._seen.append(None)
        self._stored.append(entry is not None and entry.tree is None)
        self.names.append(name)
        if entry is not None:
            self._hold(i, entry)
        self._on_device = None
        return i

    def image(self, i: int) -> UInt8:
        """Image i, H x W x 3 uint8; not to be written to.

        Raises ClickgrainError: it is not in memory, and cannot be read again.
        """
        return self._entry(i).image

    def mask(self, i: int) -> Float:
        """H x W float32 exact mask of composite i, or of the object of photo i."""
        png = self.objects[i] if i < self.photos else self._entry(i).mask
        assert png is not None, "a composite"
        return scaled_mask(png)

    def level(self, i: int) -> float | None:
        """Level of the whole object in composite i, if known."""
        return self._entry(i).level

    def size(self, i: int) -> Size:
        """(height, width) of image i."""
        return self.seen(i)[0]

    def seen(self, i: int) -> tuple[Size, int]:
        """Size and checksum of the pixels of image i."""
        if self._seen[i] is None:
            self._entry(i)
        seen = self._seen[i]
        assert seen is not None, "read"
        return seen

    def read_ahead(self, i: int) -> None:
        """Bring image i and its tree into memory, if that can be done."""
        with suppress(ClickgrainError):
            self.tree(i)
            self.image(i)

    def each(self, indices: Sequence[int], work: Callable[[int], T], threads: int) -> Iterator[T]:
        """What `work` gives for each of the images, in order; so many threads work while others read ahead."""
        blocks = [indices[start : start + AT_ONCE] for start in range(0, len(indices), AT_ONCE)]
        with ThreadPoolExecutor(threads) as pool, ThreadPoolExecutor(READERS) as reading:
            for block, following in zip(blocks, [*blocks[1:], []]):
                for i in following if self.streams else ():
                    reading.submit(self.read_ahead, i)
                yield from pool.map(work, block)

    def source(self, i: int, kind: RegionKind = "features") -> Regions:
        """The possible targets of image i, its exact mask aside: nodes of one of its trees, or hidden regions."""
        if self.regions is not None:
            return self.regions(i)
        if kind == "hidden":
            return self.hidden(i)
        if kind == "features":
            return TreeRegions(self.tree(i))
        tree = self.edge_tree(i) if kind == "edges" else self.semantic_tree(i)
        return TreeRegions(tree, scale=self.tree(i))

    def to(self, device: torch.device) -> "ImageSet":
        """The same image set; `crops` are made on a GPU if the pixels fit into half of its free memory."""
        needed = len(self) * self.side**2 * 3
        if self.streams or self._on_device is not None or device.type != "cuda":
            return self
        if needed <= torch.cuda.mem_get_info(device)[0] / 2:
            self._on_device = torch.empty((len(self), self.side, self.side, 3), dtype=torch.uint8, device=device)
            for i in range(len(self)):
                self._on_device[i] = torch.from_numpy(squared(self.image(i), self.side))
        return self

    def crops(
        self, indices: Sequence[int], matrices: Tensor, side: int, images: Sequence[UInt8] | None = None
    ) -> Tensor:
        """B x 3 x side x side float32 in 0..255: images seen through matrices from crop to image pixels.

        `images` are those of the indices, where they are at hand.
        """
        if self._on_device is None:
            images = [self.image(i) for i in indices] if images is None else images
            chosen = torch.from_numpy(np.stack([squared(image, self.side) for image in images]))
        else:
            chosen = self._on_device[torch.as_tensor(list(indices), device=self._on_device.device)]
        # grid_sample wants -1..1 over pixel areas: x' = (2 x + 1) / size - 1
        inner, square = matrices.to(chosen.device, torch.float64), self.side
        to_unit = torch.tensor([[2 / square, 0, 1 / square - 1], [0, 2 / square, 1 / square - 1], [0, 0, 1]])
        from_unit = torch.tensor([[side / 2, 0, (side - 1) / 2], [0, side / 2, (side - 1) / 2], [0, 0, 1]])
        bottom = inner.new_tensor([0, 0, 1]).expand(len(inner), 1, 3)
        theta = to_unit.to(inner) @ torch.cat([inner, bottom], 1) @ from_unit.to(inner)
        grid = functional.affine_grid(theta[:, :2].float(), [len(inner), 3, side, side], align_corners=False)
        return functional.grid_sample(
            chosen.permute(0, 3, 1, 2).float(), grid, padding_mode="border", align_corners=False
        )

    def _entry(self, i: int) -> _Held:
        """What is held of image i, read again where it was evicted."""
        with self._lock:
            if (held := self._pinned.get(i)) is not None:
                return held
            if (held := self._held.get(i)) is not None:
                self._held.move_to_end(i)
                return held
        # Composites are made from photos: with shared locks two threads could deadlock.
        with self._reading[i % STRIPES + (STRIPES if i >= self.photos else 0)]:
            with self._lock:
                if (held := self._held.get(i)) is not None:  # by another thread
                    return held
            again = self._again[i]
            assert again is not None, "pinned"
            return self._hold(i, again())

    def _hold(self, i: int, entry: Entry) -> _Held:
        image = np.array(entry.image, order="C")  # not a part of a larger array that it would keep in memory
        seen = (image.shape[0], image.shape[1]), zlib.crc32(image.data)
        if self._seen[i] not in (None, seen):
            raise ImageError(f"{self.names[i]}: the image has changed since the run began; run again")
        self._seen[i] = seen
        tree, mask = entry.tree, entry.mask
        packed = None if tree is None else (*pack_tree(tree), tree.grid, tree.image_size)
        size = image.nbytes + sum(map(len, packed[:2] if packed else ())) + (0 if mask is None else mask.nbytes)
        held = _Held(image, packed, mask, entry.level, size)
        with self._lock:
            self._used += size
            if self._again[i] is None:
                self._pinned[i] = held
            else:
                self._held[i] = held
            while self._used > IMAGES * self.memory and len(self._held) > 1:
                self._used -= self._held.popitem(last=False)[1].bytes
        return held

    def _read_tree(self, i: int) -> MergeTree:
        if self._stored[i]:
            assert self.store is not None, "added without a tree"
            return self.store.tree(self.names[i])
        packed = self._entry(i).tree
        assert packed is not None, "built here"
        return unpack_tree(*packed)

    def _is_flat(self, i: int) -> bool:
        tree = self.tree(i)
        return region_contrast(tree, edge_strength(self.image(i), tree.grid)) < FLAT

    def _cached(self, make: Callable[[int], T], leaves: int = 1) -> Callable[[int], T]:
        """`make` for as many images as memory has room for, judged by the leaves of the first one; others again.

        `leaves` are those of what is made, over those of the merge tree.
        """
        cached: list[Callable[[int], T]] = []

        def get(i: int) -> T:
            if not cached:
                most = trees_in(self.memory, leaves * self._read_tree(i).n_leaves)
                cached.append(lru_cache(most)(make))
            return cached[0](i)

        return get


def trees_in(memory: float, leaves: int) -> int:
    """How many trees of so many leaves are cached in an image set of so many bytes."""
    return max(FEWEST_TREES, int(min(TREES * memory / (BYTES_PER_LEAF * leaves), MOST_TREES)))


def encode_mask(mask: UInt8) -> UInt8:
    """PNG of an H x W mask, which compresses it a hundredfold."""
    return np.asarray(cv2.imencode(".png", mask)[1].ravel(), np.uint8)


def decode_mask(png: UInt8) -> UInt8:
    """The H x W mask of a PNG."""
    return np.asarray(cv2.imdecode(png, cv2.IMREAD_GRAYSCALE), np.uint8)


def scaled_mask(png: UInt8) -> Float:
    """The mask of a PNG as H x W float32 in 0..1."""
    return decode_mask(png).astype(np.float32) / np.float32(255)


def mask_of_size(mask: Bool, size: Size) -> UInt8:
    """A mask at another (height, width): 255 inside, area means along the outline."""
    return np.asarray(cv2.resize(mask.astype(np.uint8) * 255, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def squared(image: UInt8, side: int) -> UInt8:
    """An h x w x 3 image in the top left corner of a side x side one, its last row and column repeated."""
    height, width = image.shape[:2]
    return np.pad(image, ((0, side - height), (0, side - width), (0, 0)), mode="edge")
