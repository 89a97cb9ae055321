"""Superpixel hierarchies in place of our merge tree; prompts are answered as by tree mode (`TreeEngine`)."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from skimage.graph import merge_hierarchical, rag_mean_color
from skimage.segmentation import felzenszwalb, slic

from clickgrain.images import resize_long_side, to_lab
from clickgrain.models.tree_mode import TreeEngine, TreeImage
from clickgrain.segmenter import Segmenter
from clickgrain.tree import MergeTree
from clickgrain.types import Float, UInt8

Labels = npt.NDArray[np.int64]
LONG_SIDE = 128  # leaves along the image's longer side


def felzenszwalb_tree() -> Segmenter:
    """Felzenszwalb and Huttenlocher's regions (IJCV 2004), merged by Ward's rule on their mean Lab color."""
    return Segmenter(RegionEngine(partial(felzenszwalb, scale=20, sigma=0.5, min_size=8)), "felzenszwalb")


def slic_tree() -> Segmenter:
    """SLIC superpixels (Achanta et al., TPAMI 2012), merged by Ward's rule on their mean Lab color."""
    return Segmenter(RegionEngine(partial(slic, n_segments=400, compactness=10, start_label=0)), "slic")


class RegionEngine(TreeEngine):
    """Tree mode on the regions of an image; `segment`: h x w x 3 uint8 RGB -> h x w labels of its regions."""

    def __init__(self, segment: Callable[[UInt8], Labels]) -> None:
        self.segment = segment

    def encode(self, image: UInt8) -> TreeImage:
        """The merge tree of an H x W x 3 uint8 RGB image: its leaves are pixels at a long side of 128."""
        small = resize_long_side(image, LONG_SIDE) if max(image.shape) > LONG_SIDE else image
        labels = np.asarray(self.segment(small), np.int64)
        return TreeImage(image, region_tree(labels, to_lab(small), image.shape[:2]))


def region_tree(labels: Labels, colors: Float, image_size: tuple[int, int]) -> MergeTree:
    """Pixels of each of h x w `labels` merge at no cost, then the regions, by scikit-image's adjacency graph."""
    _, compact = np.unique(labels, return_inverse=True)
    children: list[tuple[int, int]] = []
    node = [-1] * (int(compact.max()) + 1)  # of every region
    for leaf, label in enumerate(compact.ravel().tolist()):
        if node[label] < 0:
            node[label] = leaf
        else:
            children.append((node[label], leaf))
            node[label] = labels.size + len(children) - 1
    cost = [0.0] * len(children)
    for source, target, price in _merges(compact.reshape(labels.shape), colors):
        children.append((node[source], node[target]))
        node[target] = labels.size + len(children) - 1
        cost.append(price)
    joined = np.array(children, np.int32).reshape(-1, 2)
    return MergeTree(joined, np.array(cost, np.float32), labels.shape[:2], image_size)


def _merges(labels: Labels, colors: Float) -> list[tuple[int, int, float]]:
    """(source, target, cost) of every merge of two regions, cheapest first; the target keeps its number."""
    if labels.max() == 0:
        return []
    graph = rag_mean_color(colors, labels, connectivity=1)
    for one, other in graph.edges:
        graph.edges[one, other]["weight"] = _ward(graph.nodes[one], graph.nodes[other])
    merges: list[tuple[int, int, float]] = []

    def join(graph: Any, source: int, target: int) -> None:
        merges.append((source, target, _ward(graph.nodes[source], graph.nodes[target])))
        kept, gone = graph.nodes[target], graph.nodes[source]
        kept["total color"] = kept["total color"] + gone["total color"]
        kept["pixel count"] += gone["pixel count"]

    def weigh(graph: Any, source: int, target: int, neighbor: int) -> dict[str, float]:
        return {"weight": _ward(graph.nodes[target], graph.nodes[neighbor])}

    merge_hierarchical(labels, graph, np.inf, False, True, join, weigh)
    return merges


def _ward(one: dict[str, Any], other: dict[str, Any]) -> float:
    a, b = one["pixel count"], other["pixel count"]
    difference = one["total color"] / a - other["total color"] / b
    return float(a * b / (a + b) * (difference**2).sum())
