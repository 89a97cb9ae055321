"""Find the same: in the open image and in others, the tree nodes that look most like an object.

A node is described by mean and spread of its leaves' features, so that one with merely the same average does not
match, in units of the features' spread over the object's image; by its size; and by how compact it is: halves of
things, and things with something of their ground, look the same otherwise.
"""

import io
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from clickgrain.annotate.actions import act
from clickgrain.annotate.cache import DiskCache
from clickgrain.annotate.documents import Strict
from clickgrain.annotate.http_errors import RequestError
from clickgrain.annotate.jobs import Job
from clickgrain.annotate.project import Project
from clickgrain.annotate.requests import AddNodes, LabelId, Posted, RefuseNodes
from clickgrain.errors import ClickgrainError
from clickgrain.tree import MergeTree
from clickgrain.types import Bool, Float

Double = npt.NDArray[np.float64]
LARGEST_RATIO = 6.0  # candidates have between a sixth and six times the object's share of its image
LOWEST = 0.05
FITS = 0.6
"""An object counts as the node that is most like it from this IoU on: a few pixels of a neighbor would make it look
like nothing else (skimage's coins, one click of the model in the package: 4 of 23 found instead of 22)."""
HELD = 0.1  # nodes that objects cover more than this share of are no candidates; objects keep their pixels
COMPACT = 0.5  # a node as much less (or more) compact as e to the power of this scores 1/e


class Place(Strict):
    """A node of an image's tree."""

    image: int
    node: Annotated[int, Field(ge=0)]


class AcceptRequest(Strict):
    """Which candidates become objects, or are refused: these, or all of the job's from a score on."""

    job: str
    items: tuple[Place, ...] | None = None
    above: Annotated[float, Field(ge=0, le=1)] | None = None
    label: LabelId | None = None
    refuse: bool = False
    client: Annotated[str, Field(max_length=100)] = ""


@dataclass(frozen=True)
class Wanted:
    """What is searched for: mean, spread and unit of d features, the share of the image, the compactness."""

    mean: Double
    spread: Double
    unit: Double
    share: float
    compact: float


@dataclass(frozen=True)
class Candidate:
    """A node that may be the same; score in 0..1, bbox XYXY pixels."""

    node: int
    score: float
    bbox: tuple[int, int, int, int]


def describe(features: Float, coverage: Float) -> Wanted:
    """What an object looks like, by h x w x d features and the h x w shares of them that it covers."""
    flat = features.reshape(-1, features.shape[-1]).astype(np.float64)
    weight = np.where(coverage.ravel() > 0.5, 1.0, 0.0)
    if not weight.any():
        weight = coverage.ravel().astype(np.float64)
    if weight.sum() == 0:
        raise RequestError("invalid", "the object has no pixels; there is nothing to look for")
    weight /= weight.sum()
    mean = weight @ flat
    spread = np.sqrt(np.maximum(weight @ flat**2 - mean**2, 0))
    place = _places(coverage.shape)
    compact = _compactness(np.array(np.count_nonzero(weight)), weight @ place, weight @ place**2)
    return Wanted(mean, spread, flat.std(0) + 1e-6, float(coverage.mean()), float(compact))


def as_node(tree: MergeTree, coverage: Float) -> Float:
    """The h x w shares of the leaves that an object covers, or the leaves of the node that it nearly is."""
    shares = coverage.ravel().astype(np.float64)
    inside = tree.sums(shares)
    ious = inside / (tree.area + shares[tree.order].sum() - inside)
    node = int(ious.argmax())
    return coverage if ious[node] < FITS else tree.mask(node).astype(np.float32)


def find_nodes(tree: MergeTree, features: Float, wanted: Wanted, held: Bool) -> list[Candidate]:
    """Nodes that are alike, none in another, best first, by h x w x d leaf features; objects have `held` leaves."""
    ratio = tree.area / tree.n_leaves / max(wanted.share, 1e-9)
    is_close = (ratio <= LARGEST_RATIO) & (ratio >= 1 / LARGEST_RATIO)
    nodes = np.flatnonzero(is_close[: tree.root])
    if len(nodes) == 0:
        return []
    flat, n = features.reshape(tree.n_leaves, -1).astype(np.float64), tree.area[nodes][:, None]
    mean = tree.sums(flat)[nodes] / n
    spread = np.sqrt(np.maximum(tree.sums(flat**2)[nodes] / n - mean**2, 0))
    off = (((mean - wanted.mean) / wanted.unit) ** 2).mean(1)
    off = off + (((spread - wanted.spread) / wanted.unit) ** 2).mean(1)
    place = _places(tree.grid)
    compact = _compactness(n[:, 0], tree.sums(place)[nodes] / n, tree.sums(place**2)[nodes] / n)
    off = off + (np.log(compact / wanted.compact) / COMPACT) ** 2 + np.log(ratio[nodes]) ** 2
    score = np.exp(-off)
    score[tree.sums(held.ravel())[nodes] / n[:, 0] > HELD] = 0
    scale = np.divide(tree.image_size, tree.grid)
    free = np.ones(tree.n_leaves, bool)  # in the tree's order
    chosen: list[Candidate] = []
    for i in np.argsort(-score, kind="stable"):
        node = int(nodes[i])
        part = slice(tree.start[node], tree.start[node] + tree.area[node])
        if score[i] < LOWEST:
            break
        if free[part].all():
            free[part] = False
            cells = np.array(np.divmod(tree.leaves(node), tree.grid[1]))  # rows and columns
            top, left = (cells.min(1) * scale).astype(int).tolist()
            bottom, right = np.ceil((cells.max(1) + 1) * scale).astype(int).tolist()
            chosen.append(Candidate(node, round(float(score[i]), 4), (left, top, right, bottom)))
    return chosen


class Finder:
    """Searches a project; trees and features of images it has seen are cached on disk."""

    def __init__(self, project: Project, cache: DiskCache) -> None:
        self.project, self.cache = project, cache

    def work(self, image: int, number: int, images: Sequence[int] | None, limit: int) -> Callable[[Job], Any]:
        """A job that searches images (None: all others) for an object; RequestError as by `Logs.item`."""
        gallery, logs, model = self.project.gallery, self.project.logs, self.project.model.hash
        item = logs.item(image, number, current=True)
        others = images or [other for other in gallery.order if other != image]
        mask = logs.mask(item.mask or "")

        def run(job: Job) -> dict[str, Any]:
            about = {"image": image, "object": number, "id": number, "label": item.label, "model": model}
            job.result = about  # for a page that was reloaded meanwhile
            tree, features = self.leaves_of(image)
            wanted = describe(features, as_node(tree, _coverage(mask, tree)))
            found: list[dict[str, Any]] = []
            for done, other in enumerate(others):
                job.report(done, len(others), f"looked at {done} of {len(others)} images")
                with suppress(ClickgrainError):  # a bad file does not stop it; opening it says what is wrong
                    tree, features = self.leaves_of(other)
                    held = np.zeros(tree.grid, bool)
                    for one in logs.history(other).document.objects:
                        if one.mask:
                            held |= _coverage(logs.mask(one.mask), tree) > 0.5
                    place = {"image": other, "name": gallery.name(other), "size": tree.image_size, "taken": False}
                    place["content"] = gallery.content(other)
                    found += [{**place, **asdict(one)} for one in find_nodes(tree, features, wanted, held)]
            job.report(len(others), len(others), f"looked at {len(others)} images")
            best = sorted(found, key=lambda one: -one["score"])[:limit]
            return {**about, "candidates": best}

        return run

    def leaves_of(self, image: int) -> tuple[MergeTree, Float]:
        """The merge tree of an image and the h x w x d features of its leaves, from memory or cache if possible."""
        if image in self.project.encoded():
            scene = self.project.scene(image)
            return scene.tree, scene.features
        maker = self.project.maker()
        about = f"{maker.model} {maker.extractor.name}"
        key = f"leaves {self.project.gallery.stamp(image)} {about}"
        if (cached := self.cache.get(key)) is not None:
            try:
                with np.load(io.BytesIO(cached), allow_pickle=False) as arrays:
                    tree = MergeTree(arrays["children"], arrays["cost"], arrays["grid"], arrays["size"])
                    return tree, arrays["features"].astype(np.float32).reshape(*tree.grid, -1)
            except Exception:  # whole, but not what this version writes
                self.cache.drop(key)
        loaded = self.project.gallery.load(image)
        tree, features = maker.tree_of(loaded.pixels)
        content, coarse = io.BytesIO(), features.astype(np.float16)
        arrays = {"children": tree.children, "cost": tree.cost, "grid": tree.grid, "size": tree.image_size}
        np.savez(content, **arrays, features=coarse)
        self.cache.put(f"leaves {loaded.stamp} {about}", content.getvalue())
        return tree, features

    def accept(self, job: Job, wanted: AcceptRequest, user: str = "") -> dict[str, Any]:
        """Make objects of a finished search's candidates, or refuse them, by one action an image.

        Returns {"accepted": [{"image", "objects", "seq"}], "skipped": [{"image", "node", "message"}]}. Raises
        RequestError: the search is not finished, or was made with another model.
        """
        if job.kind != "same" or job.state != "done":
            raise RequestError("invalid", f"job {job.id} has found nothing yet; wait until it is done")
        if job.result["model"] != self.project.model.hash:
            raise RequestError("invalid", "another model answers now, whose regions are others; search again")
        candidates = {(one["image"], one["node"]): one for one in job.result["candidates"]}
        if wanted.items is not None:
            chosen = [(place.image, place.node) for place in wanted.items]
        else:
            least = 2.0 if wanted.above is None else wanted.above
            chosen = [key for key, one in candidates.items() if one["score"] >= least and not one["taken"]]
        label = wanted.label if "label" in wanted.model_fields_set else job.result["label"]
        accepted, skipped = list[dict[str, Any]](), list[dict[str, Any]]()
        for image in dict.fromkeys(image for image, _ in chosen):
            nodes = [node for other, node in chosen if other == image]
            there = [one for node in nodes if (one := candidates.get((image, node))) and not one["taken"]]
            try:
                if len(there) < len(nodes):
                    raise RequestError("invalid", "not a candidate of this search, or taken already")
                post = Posted(seq=0, client=wanted.client, active=0.0, content=there[0]["content"])
                request: AddNodes | RefuseNodes = RefuseNodes(kind="object.refuse", nodes=tuple(nodes))
                if not wanted.refuse:
                    some = tuple((one["node"], one["score"]) for one in there)
                    request = AddNodes(kind="object.add_nodes", nodes=some, label=label)
                before = self.project.logs.history(image).last_id
                done = act(self.project, image, post, request, user, blind=True)
            except ClickgrainError as error:
                skipped += [{"image": image, "node": node, "message": str(error)} for node in nodes]
                continue
            for one in there:
                one["taken"] = True
            made = len(nodes) if wanted.refuse else done.next_id - 1 - before
            accepted.append({"image": image, "objects": made, "seq": done.seq})
        return {"accepted": accepted, "skipped": skipped}


def _places(grid: tuple[int, ...]) -> Double:
    """n x 2: row and column of every leaf."""
    return np.stack(np.divmod(np.arange(grid[0] * grid[1], dtype=np.float64), grid[1]), axis=1)


def _compactness(area: npt.NDArray[Any], mean: Double, square: Double) -> Double:
    """1 for a disk, less for what is long, hollow or in pieces; from the mean place and the mean of its squares."""
    return np.asarray(area / (2 * np.pi * np.maximum((square - mean**2).sum(-1), 1 / 6)))


def _coverage(mask: Bool, tree: MergeTree) -> Float:
    """h x w float32: the share of every leaf that a mask covers."""
    covered: Float = cv2.resize(mask.astype(np.float32), (tree.grid[1], tree.grid[0]), interpolation=cv2.INTER_AREA)
    return covered.reshape(tree.grid)
