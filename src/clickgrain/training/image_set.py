"""`ImageSet`: photos and composites, each held once, with their merge trees and exact masks."""

import os
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import Literal, TypeVar

import cv2
import numpy as np
import psutil
import torch
from torch import Tensor
from torch.nn import functional

from clickgrain.clicks.maps import leaf_colors
from clickgrain.errors import TrainingError
from clickgrain.features import FeatureExtractor
from clickgrain.proposals.composites import composite
from clickgrain.proposals.cutouts import (
    WHOLE_OBJECTS,
    Cutout,
    object_cutout,
    plain_background_object,
    read_cutout,
    region_cutout,
    retextured,
    solid_cutout,
)
from clickgrain.proposals.store import ProposalStore, pack_tree, unpack_tree
from clickgrain.training.regions import FINENESS, Regions, RegionsOf, TreeRegions, hidden_regions
from clickgrain.tree import MergeTree, build_tree, edge_tree, semantic_cells, semantic_tree
from clickgrain.types import Float, Size, UInt8

T = TypeVar("T")
RegionKind = Literal["features", "edges", "semantic", "hidden"]
PIXEL_SHARE = 0.5  # of the available memory, that pixels may take; more lie in an unnamed file on disk
CHUNK = 1 << 26  # bytes of pixels that are allocated at once; untouched memory costs nothing
MEMORY_SHARE = 0.2  # of the available memory, that each kind of tree may take
BYTES_PER_LEAF = 56
FEWEST_TREES, MOST_TREES = 256, 20_000
WHOLE = (0.85, 0.95)  # levels of whole objects
MOST_CUTOUTS = 256  # kept decoded
SECOND = 0.4  # part of the composites of cutouts that show a second one, in front of the target or behind it


class ImageSet:
    """Images, each with its merge tree and, some of them, an exact mask. It only grows: photos, then composites.

    Trees of photos are read from their store on demand; trees that were built here stay in memory packed (a tenth
    of their size), masks as PNG. Threads may read while one of them adds.

    Args:
        side: of the squares that `crops` looks at; the longest side of any image.
        store: has the trees of the photos that are added without one, by name.

    Attributes:
        sizes: (height, width) of each image.
        names: key of each photo; "composite/000000" ... for composites, those of cutouts name the set of files.
        photos: how many photos; composites follow.
        objects: photo -> its salient object, if any, as the PNG of an H x W mask, 255 = object.
        levels: composite -> level of the whole object in it, if known.
        large: photos that are kept much smaller than they are.
        accepted: images whose exact mask is an object that a person accepted.
        refused: image -> PNGs of H x W masks of regions that a person said are no objects.
        regions: where the targets of image i come from; the nodes of its tree when None.
        tree: image -> its merge tree.
        edge_tree: image -> its tree by edges, on the grid of its merge tree; made on first use.
        semantic_tree: image -> its semantic tree, likewise.
        cells: image -> what the semantic network sees in it (`semantic_cells`), likewise.
        hidden: image -> regions of it that the click maps cannot show; found on first use.
    """

    def __init__(self, side: int, store: ProposalStore | None = None) -> None:
        self.side, self.store, self.photos = side, store, 0
        self.sizes: list[Size] = []
        self.names: list[str] = []
        self.objects: dict[int, UInt8] = {}
        self.levels: dict[int, float] = {}
        self.large: set[int] = set()
        self.accepted: list[int] = []
        self.refused: dict[int, list[UInt8]] = {}
        self.regions: RegionsOf | None = None
        self.tree = _cached(self._read_tree, lambda i: self._read_tree(i).n_leaves)
        self.edge_tree = _cached(
            lambda i: edge_tree(self.image(i), self.tree(i).grid, self.tree(i).image_size),
            lambda i: self.tree(i).n_leaves,
        )
        self.semantic_tree = _cached(
            lambda i: semantic_tree(self.image(i), self.tree(i), self.cells(i)),
            lambda i: self.tree(i).n_leaves,
        )
        self.cells = _cached(lambda i: semantic_cells(self.image(i)), lambda i: self.tree(i).n_leaves)
        self.hidden = _cached(
            lambda i: hidden_regions(self.image(i), self.tree(i), np.random.default_rng(i)),
            lambda i: FINENESS**2 * self.tree(i).n_leaves,
        )
        self._pixels: list[UInt8] = []
        self._masks: dict[int, UInt8] = {}
        self._packed: dict[int, tuple[bytes, bytes, Size, Size]] = {}
        self._chunk, self._used, self._left = np.zeros(0, np.uint8), 0, PIXEL_SHARE * available_memory()
        self._on_device: Tensor | None = None

    def __len__(self) -> int:
        return len(self.sizes)

    def add(
        self, image: UInt8, name: str, tree: MergeTree | None = None, *, mask: UInt8 | None = None,
        level: float | None = None,
    ) -> int:  # fmt: skip
        """Add a photo, or a composite: an image with an exact mask.

        Args:
            image: H x W x 3 uint8 RGB, no side longer than `side`.
            name: its key.
            tree: its merge tree, whose image size may differ (they show the same); None: it is in the store.
            mask: PNG of an H x W mask, 255 = object.
            level: of the object, if known.

        Returns:
            Its index.

        Raises:
            TrainingError: if the pixels fit neither into memory nor on disk.
        """
        i = len(self.sizes)
        if mask is None and self.photos < i:
            raise ValueError(f"{name}: a photo must be added before all composites")
        if self._used + image.nbytes > len(self._chunk):
            self._chunk, self._used = self._room(max(CHUNK, image.nbytes)), 0
        kept = self._chunk[self._used : self._used + image.nbytes].reshape(image.shape)
        self._used += image.nbytes
        kept[:] = image
        if tree is not None:
            self._packed[i] = (*pack_tree(tree), tree.grid, tree.image_size)
        if level is not None:
            self.levels[i] = level
        if mask is None:
            self.photos += 1
        else:
            self._masks[i] = mask
        self._pixels.append(kept)
        self.names.append(name)
        self.sizes.append((image.shape[0], image.shape[1]))  # last: now it is there
        self._on_device = None
        return i

    def image(self, i: int) -> UInt8:
        """Image i, H x W x 3 uint8; not to be written to."""
        return self._pixels[i]

    def mask(self, i: int) -> Float:
        """H x W float32 exact mask of composite i, or of the object of photo i."""
        png = self.objects[i] if i < self.photos else self._masks[i]
        return np.asarray(cv2.imdecode(png, cv2.IMREAD_GRAYSCALE), np.float32) / np.float32(255)

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

    def leaf_lab(self, i: int) -> Float:
        """Mean Lab on the leaves of image i's tree."""
        return leaf_colors(self.image(i), self.tree(i))

    def to(self, device: torch.device) -> "ImageSet":
        """The same image set; `crops` are made on a GPU if the pixels fit into half of its free memory."""
        needed = len(self) * self.side**2 * 3
        if device.type == "cuda" and needed <= torch.cuda.mem_get_info(device)[0] / 2 and self._on_device is None:
            self._on_device = torch.empty((len(self), self.side, self.side, 3), dtype=torch.uint8, device=device)
            for i in range(len(self)):
                self._on_device[i] = torch.from_numpy(squared(self.image(i), self.side))
        return self

    def crops(self, indices: Sequence[int], matrices: Tensor, side: int) -> Tensor:
        """B x 3 x side x side float32 in 0..255: images seen through matrices from crop to image pixels."""
        if self._on_device is None:
            chosen = torch.from_numpy(np.stack([squared(self.image(i), self.side) for i in indices]))
        else:
            chosen = self._on_device[torch.as_tensor(list(indices), device=self._on_device.device)]
        # grid_sample wants -1..1 over pixel areas: x' = (2 x + 1) / size - 1
        inner, square = matrices.to(chosen.device, torch.float64), self.side
        to_unit = torch.tensor([[2 / square, 0, 1 / square - 1], [0, 2 / square, 1 / square - 1], [0, 0, 1]])
        from_unit = torch.tensor([[side / 2, 0, (side - 1) / 2], [0, side / 2, (side - 1) / 2], [0, 0, 1]])
        bottom = inner.new_tensor([0, 0, 1]).expand(len(inner), 1, 3)
        theta = to_unit.to(inner) @ torch.cat([inner, bottom], 1) @ from_unit.to(inner)
        grid = functional.affine_grid(theta[:, :2].float(), [len(inner), 3, side, side], align_corners=False)
        images = chosen.permute(0, 3, 1, 2).float()
        return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)

    def _read_tree(self, i: int) -> MergeTree:
        if i in self._packed:
            return unpack_tree(*self._packed[i])
        assert self.store is not None
        return self.store.tree(self.names[i])

    def _room(self, size: int) -> UInt8:
        """So many bytes in memory, or in an unnamed file on disk once pixels have had their share of it."""
        self._left -= size
        if self._left >= 0:
            return np.empty(size, np.uint8)
        try:
            with TemporaryFile() as file:
                if hasattr(os, "posix_fallocate"):  # a mapped file that finds the disk full later ends the process
                    os.posix_fallocate(file.fileno(), 0, size)
                return np.memmap(file, np.uint8, "w+", shape=(size,))
        except OSError as error:
            raise TrainingError(
                f"the photos after the first {len(self)} fit neither into memory nor into {gettempdir()}"
                f" ({error.strerror or error}); free some space, or point TMPDIR to a folder on a larger disk"
            ) from error


def _cached(make: Callable[[int], T], leaves: Callable[[int], int]) -> Callable[[int], T]:
    """`make` for as many images as memory has room for, judged by the leaves of the first one; others again."""
    cached: list[Callable[[int], T]] = []

    def get(i: int) -> T:
        if not cached:
            cached.append(lru_cache(trees_in_memory(leaves(i)))(make))
        return cached[0](i)

    return get


def trees_in_memory(leaves: int) -> int:
    """How many trees of so many leaves are cached; evicted ones are read or built again."""
    most = MEMORY_SHARE * available_memory() / (BYTES_PER_LEAF * leaves)
    return max(FEWEST_TREES, int(min(most, MOST_TREES)))


def squared(image: UInt8, side: int) -> UInt8:
    """An h x w x 3 image in the top left corner of a side x side one, its last row and column repeated."""
    height, width = image.shape[:2]
    return np.pad(image, ((0, side - height), (0, side - width), (0, 0)), mode="edge")


CGROUPS, PROCESS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
# controller -> folder of its hierarchy, then files with limit and use, and the page cache's line in memory.stat
VERSIONS = {
    "": ("", "memory.max", "memory.current", "inactive_file"),
    "memory": ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def available_memory() -> int:
    """Bytes that this process can take without swapping, of the machine and of all its cgroups (version 1 or 2)."""
    least = int(psutil.virtual_memory().available)
    try:
        lines = PROCESS.read_text().splitlines()  # number:controllers:path
    except OSError:  # not Linux
        return least
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for name in VERSIONS.keys() & set(controllers.split(",")):
            below, limit, use, cache = VERSIONS[name]
            # The limits of all groups above hold, too. In a container the path may not exist: the root is ours.
            group = CGROUPS / below / path.lstrip("/")
            for folder in (group, *group.parents):
                try:
                    most = int((folder / limit).read_text())
                    stat = dict(row.split() for row in (folder / "memory.stat").read_text().splitlines())
                    # Cached files count as used, but are given back on demand.
                    least = min(least, most - int((folder / use).read_text()) + int(stat.get(cache, 0)))
                except (OSError, ValueError):  # no such group, or "max": no limit
                    continue
    return max(least, 0)


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
    photos, `seed` and i alone. Their trees are built here.
    """
    first = len(image_set)
    if count == 0:
        return range(first, first)
    sources = list(range(image_set.photos)) if photos is None else list(photos)
    with ThreadPoolExecutor(threads) as pool:
        cut = pool.map(lambda i: plain_background_object(image_set.image(i)) is not None, sources)
        objects = [i for i, found in zip(sources, cut) if found or i in image_set.objects]
    files = zlib.crc32("\0".join(path.name for path in cutouts).encode("utf-8", "surrogateescape"))
    read = lru_cache(MOST_CUTOUTS)(lambda path: read_cutout(path, image_set.side))

    def make(i: int) -> tuple[UInt8, str, MergeTree, UInt8, float | None]:
        rng = np.random.default_rng([seed, 8, i])  # the others stay the same, whatever the share
        name, level = f"composite/{i:06d}", None
        if cutouts and rng.random() < share:
            image, alpha = _cutout_composite(image_set, sources, lambda: read(_one_of(cutouts, rng)), rng)
            name, level = f"cutouts-{files:08x}/{i:06d}", float(rng.uniform(*WHOLE))
        else:
            image, alpha = _composite(image_set, sources, objects, np.random.default_rng([seed, 1, i]))
        png = cv2.imencode(".png", np.round(alpha * 255).astype(np.uint8))[1].ravel()
        return image, name, build_tree(extractor(image), image.shape[:2]), png, level

    with ThreadPoolExecutor(threads) as pool:
        for image, name, tree, png, level in pool.map(make, range(count)):
            image_set.add(image, name, tree, mask=png, level=level)
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
        if whole:
            piece = (
                solid_cutout(image, image_set.mask(donor)) if donor in image_set.objects else object_cutout(image)
            )
        else:
            tree = image_set.tree(donor)
            shown = MergeTree(tree.children, tree.cost, tree.grid, (image.shape[0], image.shape[1]))
            piece = region_cutout(image, shown, rng)
        if piece is not None:
            return composite(background, *piece, rng)
    # Nothing can be cut out of these photos: an ellipse of one in another still teaches edges and occlusion.
    image = image_set.image(_one_of(sources, rng))
    alpha = np.zeros(image.shape[:2], np.uint8)
    center = (image.shape[1] // 2, image.shape[0] // 2)
    cv2.ellipse(alpha, center, (max(center[0] // 2, 2), max(center[1] // 2, 2)), 0, 0, 360, 255, -1)
    return composite(background, image, alpha.astype(np.float32) / np.float32(255), rng)


def _cutout_composite(
    image_set: ImageSet, sources: Sequence[int], cutout: Callable[[], Cutout], rng: np.random.Generator
) -> tuple[UInt8, Float]:
    """A cutout in a photo, at times with a second one that hides part of it, or that it hides part of."""

    def photo() -> UInt8:
        return image_set.image(_one_of(sources, rng))

    background, piece, occluder = photo(), retextured(cutout(), photo, rng), None
    if rng.random() < SECOND:
        other = retextured(cutout(), photo, rng)
        if rng.random() < 0.5:
            occluder = other
        else:
            background = composite(background, *other, rng, WHOLE_OBJECTS).image
    return composite(background, *piece, rng, WHOLE_OBJECTS, occluder=occluder)


def _one_of(items: Sequence[T], rng: np.random.Generator) -> T:
    return items[int(rng.integers(len(items)))]
