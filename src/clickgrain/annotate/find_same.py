"""Find the same: in other images, the tree nodes whose leaves look most like those of an object.

A node is described by mean and spread of its leaves' features: one that merely averages to the same is another.
Distances are in units of the features' spread over the object's image.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from clickgrain.annotate.cache import DiskCache
from clickgrain.annotate.http_errors import RequestError
from clickgrain.annotate.jobs import Job
from clickgrain.annotate.project import Project
from clickgrain.errors import ClickgrainError
from clickgrain.tree import MergeTree
from clickgrain.types import Bool, Float

Double = npt.NDArray[np.float64]
PER_IMAGE = 3
LARGEST_RATIO = 6.0
"""Candidates are between a sixth and six times the object's share of its image."""
LOWEST = 0.05
HELD = 0.5
"""A node that objects hold to more than this share is no candidate."""


@dataclass(frozen=True)
class Wanted:
    """What is looked for: means and spreads of d features, the unit of each, and the share of the image."""

    mean: Double
    spread: Double
    unit: Double
    share: float


@dataclass(frozen=True)
class Candidate:
    """A node that may be the same; score in 0..1, bbox XYXY pixels."""

    node: int
    score: float
    bbox: tuple[int, int, int, int]


def describe(features: Float, coverage: Float) -> Wanted:
    """What an object looks like.

    Args:
        features: h x w x d of its image's leaves.
        coverage: h x w in 0..1, the share of every leaf that the object covers.

    Raises:
        RequestError: it covers next to nothing.
    """
    flat = features.reshape(-1, features.shape[-1]).astype(np.float64)
    weight = np.where(coverage.ravel() > 0.5, 1.0, 0.0)
    if not weight.any():
        weight = coverage.ravel().astype(np.float64)
    if weight.sum() == 0:
        raise RequestError("invalid", "the object has no pixels; there is nothing to look for")
    weight /= weight.sum()
    mean = weight @ flat
    spread = np.sqrt(np.maximum(weight @ flat**2 - mean**2, 0))
    return Wanted(mean, spread, flat.std(0) + 1e-6, float(coverage.mean()))


def find_nodes(tree: MergeTree, features: Float, wanted: Wanted, held: Bool) -> list[Candidate]:
    """The best nodes of one image, none inside another, at most `PER_IMAGE`, best first.

    Args:
        tree: of the image; features: h x w x d of its leaves.
        wanted: what is looked for.
        held: h x w bool, leaves that objects hold already.
    """
    nodes = _of_size(tree, wanted.share)
    if len(nodes) == 0:
        return []
    flat = features.reshape(tree.n_leaves, -1).astype(np.float64)[tree.order]
    n = tree.area[nodes][:, None]
    mean = _sums(tree, flat, nodes) / n
    spread = np.sqrt(np.maximum(_sums(tree, flat**2, nodes) / n - mean**2, 0))
    off = (((mean - wanted.mean) / wanted.unit) ** 2).mean(1) + (
        ((spread - wanted.spread) / wanted.unit) ** 2
    ).mean(1)
    ratio = np.log(tree.area[nodes] / tree.n_leaves / wanted.share)
    score = np.exp(-off - (ratio / 3.0) ** 2)
    taken = _sums(tree, held.reshape(-1, 1).astype(np.float64)[tree.order], nodes)[:, 0] / n[:, 0]
    score[taken > HELD] = 0
    return _best(tree, nodes, score)


def _of_size(tree: MergeTree, share: float) -> npt.NDArray[np.int64]:
    ratio = tree.area / tree.n_leaves / max(share, 1e-9)
    return np.flatnonzero(
        (ratio <= LARGEST_RATIO) & (ratio >= 1 / LARGEST_RATIO) & (np.arange(tree.n_nodes) < tree.root)
    )


def _sums(tree: MergeTree, ordered: Double, nodes: npt.NDArray[np.int64]) -> Double:
    """Sums over the leaves of nodes, of values in the tree's order of leaves."""
    running = np.concatenate([np.zeros((1, ordered.shape[1])), np.cumsum(ordered, axis=0)])
    return np.asarray(running[tree.start[nodes] + tree.area[nodes]] - running[tree.start[nodes]], np.float64)


def _best(tree: MergeTree, nodes: npt.NDArray[np.int64], score: Double) -> list[Candidate]:
    free = np.ones(tree.n_leaves, bool)  # in the tree's order: every node is a slice
    chosen: list[Candidate] = []
    for i in np.argsort(-score, kind="stable"):
        node = int(nodes[i])
        part = slice(tree.start[node], tree.start[node] + tree.area[node])
        if score[i] < LOWEST or len(chosen) == PER_IMAGE:
            break
        if free[part].all():
            free[part] = False
            chosen.append(Candidate(node, round(float(score[i]), 4), _bbox(tree, node)))
    return chosen


def _bbox(tree: MergeTree, node: int) -> tuple[int, int, int, int]:
    rows, columns = np.divmod(tree.leaves(node), tree.grid[1])
    scale_y, scale_x = tree.image_size[0] / tree.grid[0], tree.image_size[1] / tree.grid[1]
    right, bottom = (columns.max() + 1) * scale_x, (rows.max() + 1) * scale_y
    return int(columns.min() * scale_x), int(rows.min() * scale_y), int(np.ceil(right)), int(np.ceil(bottom))


class Finder:
    """Looks through a project; trees and features of images it has seen are kept on disk.

    Args:
        project: the project.
        cache: for trees and features.
    """

    def __init__(self, project: Project, cache: DiskCache) -> None:
        self.project, self.cache = project, cache

    def work(self, image: int, number: int, images: Sequence[int] | None, limit: int) -> Callable[[Job], Any]:
        """A job that looks for an object of an image in other images (all when None).

        Raises:
            RequestError: no such object, or it was drawn on a file that was replaced.
        """
        item = self.project.history(image).document.find(number)
        if item is None or item.mask is None:
            raise RequestError("not_found", f"there is no object {number} in this image")
        if item.content not in (None, self.project.content(image)):
            raise RequestError(
                "invalid", f"object {number} was drawn on an older photo; draw it again, then search"
            )
        others = [other for other in (images or self.project.gallery.order) if other != image]
        mask, model = self.project.mask(item.mask), self.project.model.hash

        def run(job: Job) -> dict[str, Any]:
            tree, features = self.leaves_of(image)
            wanted = describe(features, _coverage(mask, tree))
            found: list[dict[str, Any]] = []
            for done, other in enumerate(others):
                job.report(done, len(others), f"looked at {done} of {len(others)} images")
                found += self._candidates(other, wanted)
            job.report(len(others), len(others), f"looked at {len(others)} images")
            best = sorted(found, key=lambda one: -one["score"])[:limit]
            return {"image": image, "object": number, "label": item.label, "model": model, "candidates": best}

        return run

    def _candidates(self, image: int, wanted: Wanted) -> list[dict[str, Any]]:
        try:
            tree, features = self.leaves_of(image)
            held = np.zeros(tree.grid, bool)
            for item in self.project.history(image).document.objects:
                if item.mask:
                    held |= _coverage(self.project.mask(item.mask), tree) > 0.5
        except ClickgrainError:
            return []  # a bad file stops nobody; opening it says what is wrong
        gallery = self.project.gallery
        place = {"image": image, "name": gallery.name(image), "size": tree.image_size, "taken": False}
        place["content"] = gallery.content(image)
        return [
            {**place, "node": one.node, "score": one.score, "bbox": one.bbox}
            for one in find_nodes(tree, features, wanted, held)
        ]

    def leaves_of(self, image: int) -> tuple[MergeTree, Float]:
        """The merge tree of an image and the h x w x d features of its leaves, from the cache if they are there."""
        maker = self.project.maker()
        about = f"{maker.model} {maker.extractor.name}"
        key = f"leaves {self.project.gallery.stamp(image)} {about}"
        if (kept := self.cache.get(key)) is not None:
            try:
                return _unpacked(kept)
            except Exception:  # whole, but not what this version writes: made again
                self.cache.drop(key)
        loaded = self.project.gallery.load(image)
        tree, features = maker.tree_of(loaded.pixels)
        content = io.BytesIO()
        np.savez(
            content,
            children=tree.children,
            cost=tree.cost,
            grid=tree.grid,
            size=tree.image_size,
            features=features.astype(np.float16),
        )
        self.cache.put(f"leaves {loaded.stamp} {about}", content.getvalue())
        return tree, features


def _unpacked(content: bytes) -> tuple[MergeTree, Float]:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        grid, size = tuple(arrays["grid"].tolist()), tuple(arrays["size"].tolist())
        tree = MergeTree(arrays["children"], arrays["cost"], grid, size)
        return tree, arrays["features"].astype(np.float32).reshape(*tree.grid, -1)


def _coverage(mask: Bool, tree: MergeTree) -> Float:
    """h x w float32: the share of every leaf that a mask covers."""
    covered: Float = cv2.resize(mask.astype(np.float32), (tree.grid[1], tree.grid[0]), interpolation=cv2.INTER_AREA)
    return covered.reshape(tree.grid)
