"""Where training targets come from: regions of an image, by default the nodes of its merge tree.

The click maps show the nodes of two trees around a click. If all targets were nodes of these trees, some node would
always be exactly right, and a model would trust the trees more than real objects allow: the best node covers an
object with an IoU of about 0.7. `hidden_regions` are nodes of a third tree, which relate to the two trees as
objects do (docs/experiments.md).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from clickgrain.proposals.config import AREA, Sampler
from clickgrain.proposals.sampling import sample_proposals
from clickgrain.tree import MergeTree, edge_strength, edge_tree
from clickgrain.types import Bool, Float, Size, UInt8

BLUR = (1.5, 4.0)  # range of the blur before the third tree is built, in pixels of an image of 256 on the long side
FINENESS = 2  # leaves of the third tree per leaf of the merge tree, in each direction
CANDIDATES = 5  # regions examined for each one that is drawn
WEAKEST = 0.25  # a region is as well outlined as this quantile of its outline
FAINT, MANY = 1.3, 240
"""If even the best outlined candidate is no better than FAINT, MANY are examined: images of many small things
(cells on textured ground) have no meaningful large regions."""
AROUND = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class Target:
    """A target, on the grid of its `Regions` or in a crop."""

    mask: Float  # h x w float32 in 0..1
    sibling: Float | None = None  # h x w float32, a neighbor that is easily confused with it, or None
    level: float | None = None  # granularity 0..1, or None
    leaves: npt.NDArray[np.integer] | None = None  # indices of its cells (raster numbering, any order), if known

    @property
    def cells(self) -> npt.NDArray[np.integer]:
        """Indices of the target's cells; at least one."""
        return np.flatnonzero(self.mask > 0.5) if self.leaves is None else self.leaves


@dataclass(eq=False)
class Regions(ABC):
    """The possible targets of one image."""

    grid: Size  # (h, w) of the masks
    image_size: Size  # (H, W) pixels that the grid covers
    exact: bool = False  # whether masks already follow the image's edges; others are cut
    ignored: Bool | None = None  # h x w, cells that count nowhere

    @abstractmethod
    def draw(self, rng: np.random.Generator, n: int, sampler: Sampler) -> list[Target]:
        """Up to n targets, the first ones preferred; empty if the image has none."""


RegionsOf = Callable[[int], Regions]  # index of an image -> its regions


def level_of(share: float, tree: MergeTree) -> float:
    """The level at which a tree has nodes of a share of the image's area, above 0: the median of the nearest.

    With the merge tree of the features it is what the level of the page and of `segment --level` stands for.
    """
    if tree.n_leaves == 1:
        return 1.0
    away = np.abs(np.log(tree.area[tree.n_leaves :] / (share * tree.n_leaves)))
    reach = np.partition(away, min(8, len(away) - 1))[min(8, len(away) - 1)]  # nine nodes, all those of equal area
    return float(np.median(tree.level[tree.n_leaves :][away <= max(reach, 0.1)]))


class TreeRegions(Regions):
    """Nodes of a merge tree (MIS, section 3.2)."""

    def __init__(self, tree: MergeTree, *, scale: MergeTree | None = None) -> None:
        """`scale` is the tree of the features, whose levels say how large a node is, where `tree` is another."""
        super().__init__(tree.grid, tree.image_size)
        self.tree, self.scale = tree, scale

    def draw(self, rng: np.random.Generator, n: int, sampler: Sampler) -> list[Target]:
        """n nodes drawn by the sampler, with their siblings and levels."""
        return [self.target(int(node)) for node in sample_proposals(self.tree, rng, n, sampler)]

    def target(self, node: int) -> Target:
        """A node with its sibling and level."""
        tree = self.tree
        sibling = tree.mask(tree.siblings(node)).astype(np.float32) if node != tree.root else None
        share = float(tree.area[node]) / tree.n_leaves
        level = float(tree.level[node]) if self.scale is None else level_of(share, self.scale)
        return Target(tree.mask(node).astype(np.float32), sibling, level, tree.leaves(node))


class HiddenRegions(TreeRegions):
    """Nodes of a merge tree, the better outlined ones preferred."""

    def __init__(self, tree: MergeTree, *, scale: MergeTree, strength: Float) -> None:
        super().__init__(tree, scale=scale)
        self.strength = strength  # h x w float32, the image's edges on the tree's leaves
        self.outlined = cache(lambda node: outlined(tree.mask(node), strength))  # how well a node is outlined

    def draw(self, rng: np.random.Generator, n: int, sampler: Sampler) -> list[Target]:
        """The n best outlined of several times as many nodes, best first, without repetition.

        If none of these stands out, of very many nodes of all sizes.
        """
        best = self._best(rng, CANDIDATES * n, sampler)
        if not best or self.outlined(best[0]) < FAINT:
            best = self._best(rng, MANY, sampler if sampler.name == "area" else AREA)
        return [self.target(node) for node in best[:n]]

    def _best(self, rng: np.random.Generator, count: int, sampler: Sampler) -> list[int]:
        drawn = np.unique(sample_proposals(self.tree, rng, count, sampler))
        return sorted((int(node) for node in drawn), key=lambda node: -self.outlined(node))


def hidden_regions(image: UInt8, tree: MergeTree, rng: np.random.Generator) -> HiddenRegions:
    """Regions between the edges of a blurred H x W x 3 image, on leaves finer than those of its merge tree."""
    height, width = image.shape[:2]
    low, high = BLUR
    sigma = low * (high / low) ** rng.random() * max(height, width) / 256
    grid = min(FINENESS * tree.grid[0], height), min(FINENESS * tree.grid[1], width)
    blurred = np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)
    third = edge_tree(blurred, grid, tree.image_size)
    return HiddenRegions(third, scale=tree, strength=edge_strength(image, grid))


def outlined(mask: Float | Bool, strength: Float) -> float:
    """Edge strength along the weakest part of a region's outline, over the mean edge strength of the image.

    The image's border is no outline.
    """
    inside = mask.astype(np.uint8)
    outline = cv2.dilate(inside, AROUND) != cv2.erode(inside, AROUND)
    if not outline.any():
        return 0.0
    return float(np.quantile(strength[outline], WEAKEST)) / max(float(strength.mean()), 1e-6)
