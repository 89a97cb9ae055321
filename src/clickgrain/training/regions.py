"""Where training takes its targets from: the regions of a picture, by default the nodes of its merge tree."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from clickgrain.proposals import draw_proposals
from clickgrain.proposals.laws import SamplingLaw
from clickgrain.tree import MergeTree
from clickgrain.types import Bool, Float, Size


@dataclass(frozen=True)
class Region:
    """A target on the grid of its `Regions`.

    Attributes:
        mask: h x w float32 in 0..1.
        cells: indices of the region's cells (raster numbering, any order); at least one.
        sibling: h x w float32, a neighbour that is easily taken for it, or None.
        level: granularity 0..1, or None.
    """

    mask: Float
    cells: npt.NDArray[np.integer]
    sibling: Float | None = None
    level: float | None = None

    @classmethod
    def of(cls, mask: Float) -> "Region":
        """A region that is only a mask."""
        return cls(mask, np.flatnonzero(mask > 0.5))


class Regions(Protocol):
    """The possible targets of one picture."""

    @property
    def grid(self) -> Size:
        """(h, w) of the masks."""
        ...

    @property
    def image_size(self) -> Size:
        """(H, W) pixels that the grid covers."""
        ...

    @property
    def exact(self) -> bool:
        """Whether masks follow the image's edges already; others are drawn to them."""
        ...

    @property
    def ignored(self) -> Bool | None:
        """h x w bool, cells that count nowhere, or None."""
        ...

    def draw(self, rng: np.random.Generator, n: int, law: SamplingLaw) -> list[Region]:
        """Up to n regions, the first ones preferred; none where the picture has none."""
        ...


RegionsOf = Callable[[int], Regions]
"""Picture -> its regions."""


def level_of(share: float, tree: MergeTree) -> float:
    """The level at which a tree has nodes of a size: the median among those nearest in area.

    Args:
        share: of the image's area that a region covers, above 0.
        tree: whose levels are meant: what the level of the page and of `segment --level` stands for.
    """
    if tree.n_leaves == 1:
        return 1.0
    away = np.abs(np.log(tree.area[tree.n_leaves :] / (share * tree.n_leaves)))
    reach = np.partition(away, min(8, len(away) - 1))[min(8, len(away) - 1)]  # nine nodes, all those of equal area
    return float(np.median(tree.level[tree.n_leaves :][away <= max(reach, 0.1)]))


@dataclass(frozen=True)
class TreeRegions:
    """Nodes of a merge tree (MIS, section 3.2).

    Attributes:
        tree: whose nodes they are.
        exact, ignored: see `Regions`.
        scale: the tree of the features, whose levels say how large a node is, where `tree` is another.
    """

    tree: MergeTree
    exact: bool = False
    ignored: Bool | None = None
    scale: MergeTree | None = None

    @property
    def grid(self) -> Size:
        """(h, w) leaves."""
        return self.tree.grid

    @property
    def image_size(self) -> Size:
        """(H, W) pixels of the tree's image."""
        return self.tree.image_size

    def draw(self, rng: np.random.Generator, n: int, law: SamplingLaw) -> list[Region]:
        """n nodes by the law, with their siblings and levels."""
        return [self.region(int(node)) for node in draw_proposals(self.tree, rng, n, law).nodes]

    def region(self, node: int) -> Region:
        """A node with its sibling and level."""
        tree = self.tree
        sibling = tree.mask(tree.siblings(node)).astype(np.float32) if node != tree.root else None
        share = float(tree.area[node]) / tree.n_leaves
        level = float(tree.level[node]) if self.scale is None else level_of(share, self.scale)
        return Region(tree.mask(node).astype(np.float32), tree.leaves(node), sibling, level)
