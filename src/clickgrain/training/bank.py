"""`Bank`: all photos decoded once, with their merge trees, and composites beside them."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from clickgrain.clicks.maps import leaf_colors
from clickgrain.errors import TrainingError
from clickgrain.features import FeatureExtractor
from clickgrain.images import ReadReport, read_images, resize_long_side
from clickgrain.proposals import (
    ProposalStore,
    composite,
    object_cutout,
    plain_background_object,
    region_cutout,
    solid_cutout,
)
from clickgrain.proposals.cutouts import Cutout
from clickgrain.training.hidden import FINENESS, hidden_regions
from clickgrain.training.regions import Regions, RegionsOf, TreeRegions
from clickgrain.tree import MergeTree, build_tree, edge_tree
from clickgrain.types import Float, Size, UInt8

RegionKind = Literal["features", "edges", "hidden"]
MEMORY_SHARE = 0.2
"""Of the free memory, that each kind of tree may take."""
BYTES_PER_LEAF = 56
FEWEST_TREES, MOST_TREES = 256, 20_000


@dataclass
class Bank:
    """Photos 0..n-1 and composites n..n+m-1.

    Attributes:
        pixels: (n+m) x P x P x 3 uint8, each picture in the top left corner, its last row and column repeated.
        sizes: (height, width) of each picture inside its square.
        names: key of each photo; "composite/000000" ... for composites.
        tree: merge tree of picture i; its image size may differ from the picture's (they show the same).
        masks: m x P x P uint8, 255 = object: the exact masks of the composites.
        regions: where the targets of picture i come from; the nodes of its tree when None.
        objects: photo -> H x W uint8, 255 = its salient object; not of every photo.
        large: photos that are kept much smaller than they are.
        host: the pixels in main memory, where `pixels` lie on a GPU: single pictures are read from here.
    """

    pixels: Tensor
    sizes: list[Size]
    names: list[str]
    tree: Callable[[int], MergeTree]
    masks: UInt8
    regions: RegionsOf | None = None
    host: Tensor | None = None
    objects: Mapping[int, UInt8] = field(default_factory=dict)
    large: frozenset[int] = frozenset()

    @property
    def photos(self) -> int:
        """How many photos."""
        return len(self.sizes) - len(self.masks)

    def image(self, i: int) -> UInt8:
        """Picture i, H x W x 3 uint8."""
        height, width = self.sizes[i]
        pixels = self.pixels if self.host is None else self.host
        return pixels[i, :height, :width].numpy()

    def mask(self, i: int) -> Float:
        """H x W float32 exact mask of composite i, or of the object of photo i."""
        height, width = self.sizes[i]
        found = self.objects[i] if i < self.photos else self.masks[i - self.photos, :height, :width]
        return found.astype(np.float32) / np.float32(255)

    def edge_tree(self, i: int) -> MergeTree:
        """Tree of picture i by its edges, on the grid of its merge tree; made when first asked for."""
        return self._edge_trees(i)

    @cached_property
    def _edge_trees(self) -> Callable[[int], MergeTree]:
        def build(i: int) -> MergeTree:
            return edge_tree(self.image(i), self.tree(i).grid, self.tree(i).image_size)

        return lru_cache(trees_in_memory(self.tree(0).n_leaves))(build)

    def hidden(self, i: int) -> Regions:
        """Regions of picture i that no click map is made of; found when first asked for, and kept."""
        return self._hidden(i)

    @cached_property
    def _hidden(self) -> Callable[[int], Regions]:
        def find(i: int) -> Regions:
            return hidden_regions(self.image(i), self.tree(i), np.random.default_rng(i))

        return lru_cache(trees_in_memory(FINENESS**2 * self.tree(0).n_leaves))(find)

    def source(self, i: int, kind: RegionKind = "features") -> Regions:
        """The possible targets of picture i, besides an exact mask: of its merge tree, its edge tree, or hidden."""
        if self.regions is not None:
            return self.regions(i)
        if kind == "hidden":
            return self.hidden(i)
        return TreeRegions(self.edge_tree(i), scale=self.tree(i)) if kind == "edges" else TreeRegions(self.tree(i))

    def to(self, device: torch.device) -> "Bank":
        """The bank with its pixels on a GPU, where they fit into half of its free memory; else unchanged."""
        if device.type != "cuda" or self.pixels.nbytes > torch.cuda.mem_get_info(device)[0] / 2:
            return self
        return replace(self, pixels=self.pixels.to(device), host=self.pixels)

    def leaf_lab(self, i: int) -> Float:
        """Mean Lab on the leaves of picture i's tree."""
        return leaf_colors(self.image(i), self.tree(i))

    def crops(self, indices: Sequence[int], matrices: Tensor, side: int) -> Tensor:
        """B x 3 x side x side float32 in 0..255: pictures seen through matrices from crop to picture pixels."""
        device, square = self.pixels.device, self.pixels.shape[1]
        chosen = self.pixels[torch.as_tensor(list(indices), device=device)].permute(0, 3, 1, 2).float()
        # grid_sample wants -1..1 over pixel areas: x' = (2 x + 1) / size - 1
        inner = matrices.to(device, torch.float64)
        to_unit = torch.tensor([[2 / square, 0, 1 / square - 1], [0, 2 / square, 1 / square - 1], [0, 0, 1]])
        from_unit = torch.tensor([[side / 2, 0, (side - 1) / 2], [0, side / 2, (side - 1) / 2], [0, 0, 1]])
        bottom = inner.new_tensor([0, 0, 1]).expand(len(inner), 1, 3)
        theta = to_unit.to(inner) @ torch.cat([inner, bottom], 1) @ from_unit.to(inner)
        grid = functional.affine_grid(theta[:, :2].float(), [len(inner), 3, side, side], align_corners=False)
        return functional.grid_sample(chosen, grid, padding_mode="border", align_corners=False)


def load_bank(
    folder: Path,
    store: ProposalStore,
    *,
    side: int,
    keys: Sequence[str] | None = None,
    advance: Callable[[], None] = lambda: None,
    report: ReadReport | None = None,
    look: Callable[[int, str, UInt8], None] = lambda number, name, image: None,
) -> Bank:
    """Decode the photos of a folder whose trees are in a store.

    Args:
        folder: that `propose` walked.
        store: trees by relative path.
        side: long side that pictures are shrunk to.
        keys: only these photos.
        advance: called once per photo.
        report: notes the photos that cannot be read; they are left out.
        look: shown each photo before it is shrunk: its number in the bank, its key, H x W x 3 uint8.

    Raises:
        TrainingError: if no photo is left.
    """
    wanted = {folder / key: key for key in (store.keys() if keys is None else keys)}
    squares = _room(len(wanted), side)
    sizes: list[Size] = []
    names: list[str] = []
    for path, image in read_images(list(wanted), report=report):
        look(len(names), wanted[path], image)
        small = resize_long_side(image, side) if max(image.shape[:2]) > side else image
        squares[len(names)] = squared(small, side)
        sizes.append((small.shape[0], small.shape[1]))
        names.append(wanted[path])
        advance()
    if not names:
        raise TrainingError(
            f"no photo of the store {store.path} can be read in {folder}; run `clickgrain propose` again"
        )
    tree = lru_cache(trees_in_memory(store.tree(names[0]).n_leaves))(lambda i: store.tree(names[i]))
    return Bank(torch.from_numpy(squares[: len(names)]), sizes, names, tree, np.zeros((0, side, side), np.uint8))


def with_composites(
    bank: Bank,
    count: int,
    extractor: FeatureExtractor,
    *,
    photos: Sequence[int] | None = None,
    seed: int,
    threads: int = 1,
    advance: Callable[[], None] = lambda: None,
) -> Bank:
    """The bank with `count` composites: whole objects and regions of trees, put into other photos.

    Whole objects are those on plain backgrounds, and the bank's salient ones.

    Composite i depends on the photos, `seed` and i alone. The trees of composites are built here.

    Args:
        bank: without composites.
        count: how many.
        extractor: gives the features of their trees.
        photos: indices of the photos to make them of; all of them when None.
        seed: of everything random.
        threads: that work on them.
        advance: called once per composite.
    """
    if count == 0:
        return bank
    side = bank.pixels.shape[1]
    sources = list(range(bank.photos)) if photos is None else list(photos)
    with ThreadPoolExecutor(threads) as pool:
        cut = pool.map(lambda i: plain_background_object(bank.image(i)) is not None, sources)
        objects = [i for i, found in zip(sources, cut) if found or i in bank.objects]

    def make(i: int) -> tuple[UInt8, UInt8, Size, MergeTree]:
        image, alpha = _composite(bank, sources, objects, np.random.default_rng([seed, 1, i]))
        tree = build_tree(extractor(image), image.shape[:2])
        advance()
        mask = np.zeros((side, side), np.uint8)
        mask[: alpha.shape[0], : alpha.shape[1]] = np.round(alpha * 255)
        return squared(image, side), mask, (image.shape[0], image.shape[1]), tree

    with ThreadPoolExecutor(threads) as pool:
        made = list(pool.map(make, range(count)))
    n, trees = bank.photos, [m[3] for m in made]
    names = [*bank.names, *(f"composite/{i:06d}" for i in range(count))]
    return Bank(
        appended(bank, [m[0] for m in made]),
        [*bank.sizes, *(m[2] for m in made)],
        names,
        lambda i: bank.tree(i) if i < n else trees[i - n],
        np.stack([m[1] for m in made]),
        objects=bank.objects,
        large=bank.large,
    )


def _composite(
    bank: Bank, sources: Sequence[int], objects: Sequence[int], rng: np.random.Generator
) -> tuple[UInt8, Float]:
    """A composite of photos drawn from `sources`; half of the pieces are whole objects where there are any."""
    background = bank.image(_one_of(sources, rng))
    for _ in range(20):
        whole = len(objects) > 0 and rng.random() < 0.5
        donor = _one_of(objects if whole else sources, rng)
        piece = _whole(bank, donor) if whole else _region(bank, donor, rng)
        if piece is not None:
            image, mask = composite(background, piece.image, piece.alpha, rng)
            return image, mask
    # Nothing can be cut out of these photos: an ellipse of one in another still teaches edges and occlusion.
    picture = bank.image(_one_of(sources, rng))
    alpha = np.zeros(picture.shape[:2], np.uint8)
    centre = (picture.shape[1] // 2, picture.shape[0] // 2)
    cv2.ellipse(alpha, centre, (max(centre[0] // 2, 2), max(centre[1] // 2, 2)), 0, 0, 360, 255, -1)
    image, mask = composite(background, picture, alpha.astype(np.float32) / np.float32(255), rng)
    return image, mask


def _one_of(items: Sequence[int], rng: np.random.Generator) -> int:
    return items[int(rng.integers(len(items)))]


def _whole(bank: Bank, i: int) -> Cutout | None:
    return solid_cutout(bank.image(i), bank.mask(i)) if i in bank.objects else object_cutout(bank.image(i))


def _region(bank: Bank, i: int, rng: np.random.Generator) -> Cutout | None:
    tree, image = bank.tree(i), bank.image(i)
    small = MergeTree(tree.children, tree.cost, tree.grid, (image.shape[0], image.shape[1]))
    return region_cutout(image, small, rng)


def _room(count: int, side: int) -> UInt8:
    """count x side x side x 3 zeros, in memory, or in an unnamed file on disk where that would take half of it.

    Raises:
        TrainingError: if the disk has no room for that file.
    """
    shape = (count, side, side, 3)
    if math.prod(shape) < _free_memory() / 2:
        return np.zeros(shape, np.uint8)
    try:
        with TemporaryFile() as file:
            if hasattr(os, "posix_fallocate"):  # a mapped file that finds the disk full later ends the process
                os.posix_fallocate(file.fileno(), 0, math.prod(shape))
            return np.memmap(file, np.uint8, "w+", shape=shape)
    except OSError as error:
        raise TrainingError(
            f"{count} photos of {side} x {side} pixels fit neither into memory nor into {gettempdir()}"
            f" ({error.strerror or error}); free some space, or point TMPDIR to a folder on a larger disk"
        ) from error


def _free_memory() -> float:
    """Bytes of memory that are free; unlimited where the system does not say."""
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):  # not on Windows, nor this number on macOS
        return math.inf


def trees_in_memory(leaves: int) -> int:
    """How many trees of so many leaves are kept; others are read or built again when they are asked for."""
    most = MEMORY_SHARE * _free_memory() / (BYTES_PER_LEAF * leaves)
    return max(FEWEST_TREES, int(min(most, MOST_TREES)))


def appended(bank: Bank, squares: Sequence[UInt8]) -> Tensor:
    """The bank's pixels with more pictures after them, each as `squared` gives it."""
    pixels = torch.from_numpy(_room(len(bank.sizes) + len(squares), bank.pixels.shape[1]))
    pixels[: len(bank.sizes)] = bank.pixels
    for i, square in enumerate(squares, len(bank.sizes)):
        pixels[i] = torch.from_numpy(square)
    return pixels


def squared(image: UInt8, side: int) -> UInt8:
    """An h x w x 3 picture in the top left corner of a side x side one, its last row and column repeated."""
    height, width = image.shape[:2]
    return np.pad(image, ((0, side - height), (0, side - width), (0, 0)), mode="edge")
