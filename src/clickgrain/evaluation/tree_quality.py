"""How well a tree's nodes hold the targets of a benchmark: the ceiling of everything trained on its proposals."""

from collections.abc import Callable, Iterable
from time import perf_counter

import numpy as np
import numpy.typing as npt

from clickgrain.clicks.robot import split_target
from clickgrain.errors import ConfigError
from clickgrain.evaluation.clicking import said
from clickgrain.evaluation.datasets import Benchmark, Target, load_group, size_class
from clickgrain.evaluation.tree_result import TreeQuality, TreeRow
from clickgrain.features.base import FeatureExtractor
from clickgrain.tree import MergeTree, build_tree, edge_tree
from clickgrain.types import Float, Size, UInt8

Counts = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]

CUTS = (10, 30, 100, 300)


def evaluate_trees(
    build: FeatureExtractor | Callable[[UInt8], MergeTree],
    benchmark: Benchmark,
    *,
    name: str | None = None,
    cuts: Iterable[int] = CUTS,
    targets: int | Iterable[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> TreeQuality:
    """Find the best node, and the best region of each cut, for every target.

    Args:
        build: an extractor, whose features are merged by `build_tree`, or image -> tree.
        benchmark: images and target masks. A leaf covers its cell of the image; ignored pixels count nowhere.
        name: in the result; the extractor's name by default.
        cuts: numbers of regions k; a tree of fewer leaves is cut into its leaves.
        targets: only the first so many, or only those with these ids.
        progress: called after every image with (targets done, targets in all).

    Raises:
        ConfigError: for a cut into fewer than 1 region.
        DataError: when no target can be used. Single bad images, masks and failed trees are listed in the
            result.
    """
    ks = tuple(cuts)
    if any(k < 1 for k in ks):
        raise ConfigError(f"--cuts {ks} holds a number below 1; give numbers of regions such as 10 30 100")
    maker = _maker(build)
    rows: list[TreeRow] = []
    skipped: list[str] = []
    chosen = benchmark.select(targets)
    for group in chosen.by_image():
        rows += _of_image(group, maker, ks, skipped)
        if progress is not None:
            progress(len(rows) + len(skipped), len(chosen))
    name = name or str(getattr(build, "name", getattr(build, "__name__", type(build).__name__)))
    return TreeQuality(name, benchmark.name, ks, tuple(rows), tuple(benchmark.notes), tuple(skipped))


def _maker(build: FeatureExtractor | Callable[[UInt8], MergeTree]) -> Callable[[UInt8], MergeTree]:
    if not isinstance(build, FeatureExtractor):
        return build
    extract: Callable[[UInt8], Float] = build
    return lambda image: build_tree(extract(image), image_size=(image.shape[0], image.shape[1]))


def edge_trees(extract: Callable[[UInt8], Float]) -> Callable[[UInt8], MergeTree]:
    """Image -> its edge tree, on the grid of an extractor's features."""

    def edges(image: UInt8) -> MergeTree:
        h, w = extract(image).shape[:2]
        return edge_tree(image, (h, w))

    return edges


def _of_image(
    group: list[Target], build: Callable[[UInt8], MergeTree], cuts: tuple[int, ...], skipped: list[str]
) -> list[TreeRow]:
    image, masks = load_group(group, skipped)
    if image is None or not masks:
        return []
    start = perf_counter()
    try:
        tree = build(image)
    except Exception as error:  # anybody's extractor may raise anything
        skipped += [f"target {target.id}: no tree, {said(error)}" for target, _ in masks]
        return []
    seconds = perf_counter() - start
    partitions = [tree.cut(min(k, tree.n_leaves)) for k in cuts]
    return [_row(target, mask, tree, partitions, seconds) for target, mask in masks]


def _row(
    target: Target, mask: UInt8, tree: MergeTree, partitions: list[npt.NDArray[np.int32]], seconds: float
) -> TreeRow:
    object_, valid = leaf_counts(mask, tree.grid)
    ious = node_ious(tree, object_, valid)
    best = int(ious.argmax())
    area = float(split_target(mask)[0].mean())
    return TreeRow(
        id=target.id,
        image=target.image_id,
        area=area,
        size=size_class(area),
        best_iou=float(ious[best]),
        best_level=float(tree.level[best]),
        cut_ious=tuple(float(region_ious(labels, object_, valid).max()) for labels in partitions),
        seconds=seconds,
    )


def leaf_counts(target: UInt8, grid: Size) -> tuple[Counts, Counts]:
    """Object pixels and valid (not ignored) pixels of every leaf of an h x w grid over an H x W target.

    Pixel (x, y) belongs to the leaf in column floor((x + 0.5) w / W) and row floor((y + 0.5) h / H). Returns
    two int64 arrays of n = h w leaves in raster order.
    """
    object_, valid = split_target(target)
    (h, w), (height, width) = grid, target.shape
    rows = (2 * np.arange(height) + 1) * h // (2 * height)
    columns = (2 * np.arange(width) + 1) * w // (2 * width)
    leaf = (rows[:, None] * w + columns).ravel()
    return _summed(leaf, object_.ravel(), h * w), _summed(leaf, valid.ravel(), h * w)


def _summed(group: npt.NDArray[np.integer], weights: npt.NDArray[np.generic], size: int) -> Counts:
    return np.rint(np.bincount(group, weights, minlength=size)).astype(np.int64)


def node_ious(tree: MergeTree, object_: Counts, valid: Counts) -> Values:
    """IoU of each of the tree's nodes with a target, given the `leaf_counts` of the target."""
    inside, total = (_per_node(tree, counts) for counts in (object_, valid))
    return _iou(inside, total, int(object_.sum()))


def _per_node(tree: MergeTree, counts: Counts) -> Counts:
    # Every node is one slice of the leaf order, so one running sum gives them all.
    running = np.concatenate([[0], np.cumsum(counts[tree.order])])
    sums: Counts = running[tree.start + tree.area] - running[tree.start]
    return sums


def region_ious(labels: npt.NDArray[np.int32], object_: Counts, valid: Counts) -> Values:
    """IoU of every region of a partition (h x w labels from 0) with a target, given its `leaf_counts`."""
    size = int(labels.max()) + 1
    inside, total = (_summed(labels.ravel(), counts, size) for counts in (object_, valid))
    return _iou(inside, total, int(object_.sum()))


def _iou(inside: Counts, total: Counts, object_: int) -> Values:
    return np.asarray(inside / (total + object_ - inside), np.float64)
