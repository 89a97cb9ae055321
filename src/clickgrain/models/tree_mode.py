"""Tree mode: clicks answered by nodes of the merge tree, without a network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from clickgrain.clicks.centre import Evidence, Ranks, centre_map, decided, nested_regions
from clickgrain.cut import obey
from clickgrain.features import FeatureExtractor
from clickgrain.tree import (
    MergeTree,
    build_tree,
    edge_strength,
    edge_tree,
    semantic_cells,
    semantic_tree,
    semantic_vectors,
    snap,
)
from clickgrain.types import Bool, Box, Float, Int, Mask, Prompt, UInt8

DEFAULT_LEVEL = 0.6  # of a stroke within one leaf
OTHER_LEVELS = (0.45, 0.75, 0.88)  # levels offered as alternatives to a single click
Others = Callable[[], list[Mask]] | None
Cell = tuple[int, int]  # (row, column) of a leaf


@dataclass(frozen=True)
class TreeImage:
    """An image, its merge tree, and what else is known of the same leaves."""

    image: UInt8
    tree: MergeTree
    edges: MergeTree | None = None
    semantic: MergeTree | None = None
    leaf_features: Float | None = None  # h x w x d that the tree was built on
    vectors: Float | None = None  # its `semantic_vectors`

    @cached_property
    def strength(self) -> Float:
        """h x w edge strength of the leaves."""
        return edge_strength(self.image, self.tree.grid)


class TreeEngine:
    """Clicks take nodes of the tree, one after the other; a click lies in the middle of the node that it means.

    The first click takes the weighted median of the regions around it (`clicks.centre`): nodes of three trees (of
    features, of edges, and the semantic one), and what is most like the click. A later one adds such a region to
    the answer or takes it away, never over a click of the other kind. A box begins with the node that fits it best;
    the points of a scribble correct what is still wrong at them.

    With a wanted level, or without a positive click, one mark takes the node at that level, more marks the smallest
    node with all positives and no negative, grown up to the level while it stays free of negatives, else the union
    of each positive's largest negative-free node.
    """

    one_by_one = False

    def __init__(self, extractor: FeatureExtractor) -> None:
        self.extractor = extractor

    def encode(self, image: UInt8) -> TreeImage:
        """The trees of an H x W x 3 uint8 RGB image."""
        features = self.extractor(image)
        tree = build_tree(features, image.shape[:2])
        edges, cells = edge_tree(image, tree.grid), semantic_cells(image)
        semantic = semantic_tree(image, tree, cells)
        return TreeImage(image, tree, edges, semantic, features, semantic_vectors(cells, tree))

    def answer(self, encoded: TreeImage, prompt: Prompt, previous: Mask | None) -> Mask:
        """Mask of a prompt; the previous mask is not used."""
        tree = encoded.tree
        negatives, positives = marks = prompt.by_label(spacing=tree.image_size[1] / tree.grid[1])
        # two clicks in one leaf say no more than one, and must not shrink the answer to that leaf
        inside, outside = np.unique(tree.leaves_at(positives)), np.unique(tree.leaves_at(negatives))
        if prompt.level is None and len(prompt.positives):
            return self._one_by_one(encoded, prompt, marks)
        nodes, others = _choose(tree, inside, outside, prompt), None
        if len(inside) == 1 and len(outside) == 0 and prompt.box is None:
            levels = [level for level in OTHER_LEVELS if prompt.level is None or abs(level - prompt.level) > 0.05]
            coarser = {_climb(tree, inside[0], level) for level in levels}
            others = _alternatives(encoded, coarser - set(nodes), prompt)
        return _mask(encoded, nodes, prompt, others)

    def _one_by_one(self, encoded: TreeImage, prompt: Prompt, by_label: tuple[Float, Float]) -> Mask:
        """The answer to clicks, one after the other, and then to scribbles."""
        tree, likely = encoded.tree, np.zeros(encoded.tree.grid, np.float32)
        trees = [tree, *(other for other in (encoded.edges, encoded.semantic) if other not in (None, tree))]
        if prompt.box is not None:
            likely = tree.mask(int(np.argmax(_box_iou(tree, prompt.box)))).astype(np.float32)
        clicks = [(point, int(label)) for point, label in zip(prompt.points, prompt.labels)]
        clicked = len(prompt.negatives), len(prompt.positives)
        strokes = [(point, label) for label in (1, 0) for point in by_label[label][clicked[label] :]]
        taken: list[tuple[Cell, int]] = []
        for i, (point, label) in enumerate([*clicks, *strokes]):
            leaf = int(tree.leaves_at(point)[0])
            cell = divmod(leaf, tree.grid[1])
            if i < len(clicks) or bool(likely[cell] > 0.5) != bool(label):
                nested = nested_regions(trees, encoded.vectors, leaf)
                # only the last click leaves doubt: on what was doubtful before, the next click has agreed
                against = [c for c, other in taken if other != label]
                likely = _corrected(nested, encoded.strength, likely > 0.5, cell, label, against)
            taken.append((cell, label))
        others, leaves = None, likely > 0.5
        if len(taken) == 1 and prompt.box is None:
            nodes = {_climb(tree, leaf, level) for level in OTHER_LEVELS}
            others = _alternatives(encoded, {n for n in nodes if tree.area[n] != int(leaves.sum())}, prompt)
        held = np.flatnonzero(leaves)
        smallest = int(np.flatnonzero(_holds(tree, held) == len(held))[0]) if len(held) else tree.root
        return _rendered(encoded, likely, prompt, smallest, others)


def _alternatives(encoded: TreeImage, nodes: set[int], prompt: Prompt) -> Others:
    """Makes the masks of nodes, the longest-lived first."""
    ranked = sorted(nodes, key=lambda node: -_persistence(encoded.tree, node))
    return lambda: [_mask(encoded, [node], prompt) for node in ranked]


def _corrected(
    nested: Sequence[Ranks], strength: Float, leaves: Bool, cell: Cell, label: int, others: Sequence[Cell]
) -> Float:
    """h x w probability of leaves with the nested region that a click means added or taken off, but no `others`."""
    free = (~leaves if label else leaves) if leaves.any() else np.ones_like(leaves)
    region = decided(centre_map(nested, Evidence(cell, free, (), tuple(others)), strength))
    for other in others:
        if other != cell and region[other] > 0.5:
            region *= nested[0] < nested[0][other]
    region[cell] = 1
    likely = np.maximum(leaves, region) if label else np.minimum(leaves, 1 - region)
    return np.asarray(likely, np.float32)


def _mask(encoded: TreeImage, nodes: Sequence[int], prompt: Prompt, alternatives: Others = None) -> Mask:
    tree = encoded.tree
    leaves = np.zeros(tree.grid, bool)
    for node in nodes:
        leaves |= tree.mask(node)
    coarsest = max(nodes, key=lambda node: tree.level[node], default=None)
    return _rendered(encoded, leaves.astype(np.float32), prompt, coarsest, alternatives)


def _rendered(encoded: TreeImage, likely: Float, prompt: Prompt, node: int | None, others: Others = None) -> Mask:
    """The mask of h x w probabilities of the leaves; level and score are those of a node."""
    tree = encoded.tree

    def render() -> Float:
        radius = max(tree.image_size[1] / tree.grid[1], 2.0)
        return obey(snap(likely, encoded.image), prompt, radius)

    score, level = (0.0, 0.0) if node is None else (_persistence(tree, node), float(tree.level[node]))
    return Mask(render, score=score, level=level, alternatives=others)


def _choose(tree: MergeTree, inside: Int, outside: Int, prompt: Prompt) -> list[int]:
    free = ~_holds(tree, outside).astype(bool)
    if len(inside) == 0 and prompt.box is None:
        return []
    whole = (_holds(tree, inside) == len(inside)) & free
    if prompt.box is not None and whole.any():
        return [int(np.argmax(np.where(whole, _box_iou(tree, prompt.box), -1)))]
    if len(inside) == 1:
        return [_climb(tree, inside[0], DEFAULT_LEVEL if prompt.level is None else prompt.level, free)]
    if whole.any():
        smallest = int(np.flatnonzero(whole)[0])  # a parent's number is larger than its child's
        return [_climb(tree, smallest, prompt.level, free) if prompt.level is not None else smallest]
    return sorted({_climb(tree, leaf, 1.0, free) for leaf in inside})


def _climb(tree: MergeTree, node: int, level: float, free: Bool | None = None) -> int:
    """Largest ancestor of a node whose level is at most `level` and that is `free`; at least the node itself."""
    best = int(node)
    for up in tree.ancestors(best)[1:]:
        if tree.level[up] > level or (free is not None and not free[up]):
            break
        best = int(up)
    return best


def _holds(tree: MergeTree, leaves: Int) -> npt.NDArray[np.float64]:
    """For every node how many of some leaves it holds."""
    return tree.sums(np.bincount(leaves, minlength=tree.n_leaves).astype(np.float64))


def _box_iou(tree: MergeTree, box: Box) -> npt.NDArray[np.float64]:
    """For every node the IoU of its leaves and an XYXY box in image pixels."""
    (h, w), (height, width) = tree.grid, tree.image_size

    def covered_by(first: float, last: float, cells: int, size: int) -> npt.NDArray[np.float64]:
        """Share of each cell of an axis that lies between two pixels."""
        start = np.arange(cells)
        return np.clip(np.minimum(start + 1, last * cells / size) - np.maximum(start, first * cells / size), 0, 1)

    covered = np.outer(covered_by(box[1], box[3], h, height), covered_by(box[0], box[2], w, width)).ravel()
    common = tree.sums(covered)
    union = tree.area + covered.sum() - common
    return np.asarray(common / union, np.float64)


def _persistence(tree: MergeTree, node: int) -> float:
    """How long a node lives: the gap between its parent's level and its own. Long-lived regions are objects."""
    up = tree.parent[node]
    return float(tree.level[up] - tree.level[node]) if up >= 0 else 0.0
