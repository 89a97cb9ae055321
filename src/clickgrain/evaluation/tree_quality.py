"""How well a tree's nodes match the targets of a benchmark: the upper bound for training on its proposals."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from clickgrain.clicks.robot import split_target
from clickgrain.errors import ConfigError, DataError
from clickgrain.evaluation.datasets import Benchmark, SizeClass, Target, load_group, size_class
from clickgrain.evaluation.protocol import one_line
from clickgrain.features.registry import FeatureExtractor
from clickgrain.tree import MergeTree, build_tree
from clickgrain.tree.leaf_map import Int32
from clickgrain.types import Size, UInt8

VERSION = 1
AR_THRESHOLDS: npt.NDArray[np.float64] = np.linspace(0.5, 0.95, 10)  # IoUs of average recall, as in COCO


@dataclass(frozen=True)
class TreeRow:
    """How well a tree matches one target."""

    id: str
    image: str
    area: float  # share of the image that is object, 0..1
    size: SizeClass  # class of `area` (small < 3 %, medium 3-15 %, large > 15 %)
    best_iou: float  # of the best of all nodes
    best_level: float  # level of that node, 0..1
    cut_ious: tuple[float, ...]  # IoU of the best region of each cut
    seconds: float  # to build the image's tree, features included


@dataclass(frozen=True)
class TreeQuality:
    """Quality of one kind of tree on one benchmark."""

    name: str  # of the extractor or tree builder
    benchmark: str  # name
    cuts: tuple[int, ...]  # the numbers of regions k that trees were cut into
    rows: tuple[TreeRow, ...]  # one per target, in the benchmark's order
    notes: tuple[str, ...] = ()  # what a reader must know, such as an incomplete set
    skipped: tuple[str, ...] = ()  # targets without a usable image, mask or tree, and why; in no figure

    def __post_init__(self) -> None:
        if not self.rows:
            reasons = "".join(f"\n- {reason}" for reason in self.skipped[:5])
            raise DataError(f"benchmark {self.benchmark!r} has no usable target" + reasons)

    def summary(self, size: SizeClass | None = None) -> dict[str, float | None]:
        """The usual figures by name, of one size class or of all; None where there is no target.

        "best IoU" is the mean over targets of the best node's, "recall@t" the share of targets whose best node has
        at least IoU t, "AR@k" the recall of the regions of the cut into k, averaged over IoUs of .5, .55, ... .95.
        """
        rows = [row for row in self.rows if size in (None, row.size)]
        best = np.array([row.best_iou for row in rows])
        cuts = np.array([row.cut_ious for row in rows]).reshape(len(rows), len(self.cuts))
        values = {"best IoU": best, **{f"recall@{t}": best >= t for t in (0.5, 0.7, 0.9)}}
        values |= {f"AR@{k}": cuts[:, i, None] >= AR_THRESHOLDS for i, k in enumerate(self.cuts)}
        return {"targets": len(rows), **{name: float(v.mean()) if rows else None for name, v in values.items()}}

    def to_json(self) -> str:
        """Everything, with the summary on top; `from_json` reads it back."""
        return json.dumps({"version": VERSION, "summary": self.summary(), **asdict(self)}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> "TreeQuality":
        """Inverse of `to_json`; DataError for text that this version's did not write."""
        try:
            data: dict[str, Any] = json.loads(text)
            if data.pop("version") != VERSION:
                raise DataError(f"this tree evaluation is not of version {VERSION}; evaluate again")
            data.pop("summary")
            data["rows"] = [TreeRow(**{**row, "cut_ious": tuple(row["cut_ious"])}) for row in data["rows"]]
            values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
            return cls(**values)
        except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
            raise DataError(f"not the JSON of a tree evaluation ({error}); evaluate again") from error


Counts = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]


def evaluate_trees(
    build: FeatureExtractor | Callable[[UInt8], MergeTree],
    benchmark: Benchmark,
    *,
    name: str | None = None,
    cuts: Iterable[int] = (10, 30, 100, 300),
    targets: int | Iterable[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> TreeQuality:
    """Find the best node, and the best region of each cut, for every target.

    `build` is an extractor, whose features are merged by `build_tree`, or image -> tree. A leaf covers its cell of
    the image; ignored pixels do not count. A tree of fewer leaves than a cut has regions is cut into its leaves.
    `targets`: only the first N, or those with these ids; `progress` is called after every image with (targets done,
    targets in all). Raises ConfigError: a cut into fewer than 1 region. DataError: no target can be used; single
    bad images, masks and failed trees are listed in the result.
    """
    ks = tuple(cuts)
    if any(k < 1 for k in ks):
        raise ConfigError(f"--cuts {ks} holds a number below 1; give numbers of regions such as 10 30 100")
    rows: list[TreeRow] = []
    skipped: list[str] = []
    chosen = benchmark.select(targets)
    for group in chosen.by_image():
        image, masks = load_group(group, skipped)
        if image is not None and masks:
            start = perf_counter()
            try:
                made = build(image)
                tree = made if isinstance(made, MergeTree) else build_tree(made, image.shape[:2])
                seconds = perf_counter() - start
            except Exception as error:  # an extractor may raise anything
                skipped += [f"target {target.id}: no tree, {one_line(error)}" for target, _ in masks]
            else:
                partitions = [tree.cut(min(k, tree.n_leaves)) for k in ks]
                rows += [_row(target, mask, tree, partitions, seconds) for target, mask in masks]
        if progress is not None:
            progress(len(rows) + len(skipped), len(chosen))
    name = name or str(getattr(build, "name", getattr(build, "__name__", type(build).__name__)))
    return TreeQuality(name, benchmark.name, ks, tuple(rows), tuple(benchmark.notes), tuple(skipped))


def _row(target: Target, mask: UInt8, tree: MergeTree, cuts: list[Int32], seconds: float) -> TreeRow:
    object_, valid = leaf_counts(mask, tree.grid)
    ious = node_ious(tree, object_, valid)
    best = int(ious.argmax())
    area = float(split_target(mask)[0].mean())
    cut_ious = tuple(float(region_ious(labels, object_, valid).max()) for labels in cuts)
    about = (target.id, target.image_id, area, size_class(area))
    return TreeRow(*about, float(ious[best]), float(tree.level[best]), cut_ious, seconds)


def leaf_counts(target: UInt8, grid: Size) -> tuple[Counts, Counts]:
    """Object pixels and valid (not ignored) ones of every leaf, in raster order, of a grid over an H x W target."""
    object_, valid = split_target(target)
    (h, w), (height, width) = grid, target.shape
    rows = (2 * np.arange(height) + 1) * h // (2 * height)
    columns = (2 * np.arange(width) + 1) * w // (2 * width)
    leaf = rows[:, None] * w + columns
    return _summed(leaf, object_, h * w), _summed(leaf, valid, h * w)


def _summed(group: npt.NDArray[np.integer], weights: npt.NDArray[np.generic], size: int) -> Counts:
    return np.rint(np.bincount(group.ravel(), weights.ravel(), minlength=size)).astype(np.int64)


def node_ious(tree: MergeTree, object_: Counts, valid: Counts) -> Values:
    """IoU of each of the tree's nodes with a target, given the `leaf_counts` of the target."""
    return _iou(tree.sums(object_), tree.sums(valid), int(object_.sum()))


def region_ious(labels: Int32, object_: Counts, valid: Counts) -> Values:
    """IoU of every region of a partition (h x w labels from 0) with a target, given its `leaf_counts`."""
    inside, total = (_summed(labels, counts, int(labels.max()) + 1) for counts in (object_, valid))
    return _iou(inside, total, int(object_.sum()))


def _iou(inside: Counts, total: Counts, object_: int) -> Values:
    return np.asarray(inside / (total + object_ - inside), np.float64)
