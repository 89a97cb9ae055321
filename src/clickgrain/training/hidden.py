"""Targets that the click maps cannot give away: well outlined regions of a tree that no map is made of.

The maps show the nodes of two trees around a click. Were the targets nodes of these trees as well, some node would
always be exactly right, and a model would learn to trust the trees more than people's objects merit, of which the
best node covers an IoU of 0.7 or so. Nodes of a third tree stand to the two trees as objects do (see
docs/experiments.md).
"""

from dataclasses import dataclass, field

import cv2
import numpy as np

from clickgrain.proposals import draw_proposals
from clickgrain.proposals.laws import AREA, SamplingLaw
from clickgrain.training.regions import Region, TreeRegions
from clickgrain.tree import MergeTree, edge_strength, edge_tree
from clickgrain.types import Bool, Float, UInt8

BLUR = (1.5, 4.0)
"""Range of the smoothing before the third tree is built, in pixels of a picture of 256 on the long side."""
FINENESS = 2
"""Leaves of the third tree per leaf of the merge tree, in each direction."""
CANDIDATES = 5
"""Regions looked at for each one that is drawn."""
WEAKEST = 0.25
"""A region is as well outlined as this quantile of its outline."""
FAINT, MANY = 1.3, 240
"""Where even the best outlined of the candidates is no better than this, so many are looked at: pictures of many
small things (cells on textured ground) have no large region that is anything."""
AROUND = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class HiddenRegions(TreeRegions):
    """Nodes of a merge tree, the better outlined ones preferred.

    Attributes:
        strength: h x w float32, the edges of the picture on the tree's leaves.
    """

    strength: Float = field(kw_only=True)
    known: dict[int, float] = field(default_factory=dict, repr=False, compare=False)
    """How well nodes are outlined, as far as anybody has asked."""

    def draw(self, rng: np.random.Generator, n: int, law: SamplingLaw) -> list[Region]:
        """The n best outlined of several times as many nodes, best first, none of them twice.

        Where none of these stands out, of very many nodes of all sizes.
        """
        best = self._best(rng, CANDIDATES * n, law)
        if not best or self._outlined(best[0]) < FAINT:
            best = self._best(rng, MANY, law if law.name == "area" else AREA)
        return [self.region(node) for node in best[:n]]

    def _best(self, rng: np.random.Generator, count: int, law: SamplingLaw) -> list[int]:
        drawn = np.unique(draw_proposals(self.tree, rng, count, law).nodes)
        return sorted((int(node) for node in drawn), key=lambda node: -self._outlined(node))

    def _outlined(self, node: int) -> float:
        if node not in self.known:
            self.known[node] = outlined(self.tree.mask(node), self.strength)
        return self.known[node]


def hidden_regions(image: UInt8, tree: MergeTree, rng: np.random.Generator) -> HiddenRegions:
    """Regions between the edges of a blurred picture, on leaves finer than those of its merge tree.

    Args:
        image: H x W x 3 uint8 RGB.
        tree: its merge tree, of this size or another.
        rng: draws how much is blurred.
    """
    height, width = image.shape[:2]
    low, high = BLUR
    sigma = low * (high / low) ** rng.random() * max(height, width) / 256
    grid = min(FINENESS * tree.grid[0], height), min(FINENESS * tree.grid[1], width)
    blurred = np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)
    third = edge_tree(blurred, grid, tree.image_size)
    return HiddenRegions(third, scale=tree, strength=edge_strength(image, grid))


def outlined(mask: Float | Bool, strength: Float) -> float:
    """How strong an edge runs along a region's outline even where it is weak: 1 for the mean of the picture.

    Args:
        mask: h x w, 1 inside; what lies beside the picture is no outline.
        strength: h x w float32.
    """
    inside = mask.astype(np.uint8)
    outline = cv2.dilate(inside, AROUND) != cv2.erode(inside, AROUND)
    if not outline.any():
        return 0.0
    return float(np.quantile(strength[outline], WEAKEST)) / max(float(strength.mean()), 1e-6)
