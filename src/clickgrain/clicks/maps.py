"""Click maps: what the clicks say about every pixel, as input channels of a click model.

The merge tree, color and the image's geometry each give a notion of "near the clicks"; a network that sees them
need not learn to propagate clicks. Maps of numpy images are numpy arrays, those of torch tensors are tensors on the
same device.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

import cv2
import numpy as np

from clickgrain.clicks.centre import CELL, Crop, Weighed, centre_maps
from clickgrain.clicks.color import Array, lab_bins, lab_of, library, plain, posterior, to_numpy
from clickgrain.clicks.config import CENTRE_MAPS, FIRST, MapSpec
from clickgrain.clicks.leaf_maps import (
    LEAF_KINDS,
    Affine,
    Leaves,
    leaf_closeness,
    map_to_leaf,
    moved,
    resizing,
    warp,
)
from clickgrain.errors import ConfigError
from clickgrain.images import to_lab
from clickgrain.tree import MergeTree
from clickgrain.types import Float, Prompt, Size, UInt8

COLOR_RANGE = 20.0  # Lab units at which color closeness falls to 1/e
STEEP = 6.0  # logits of the map "alike" per difference of cosines


@dataclass
class MapContext:
    """What click maps need of B images of one working size, computed once per image (or augmented crop)."""

    lab: Array  # B x 3 x h x w Lab at map resolution
    bins: Array  # B x h x w int64, color bin of each map pixel
    leaves: list[Leaves]  # of B images (empty where the spec uses none)
    to_image: list[Affine]  # B matrices from pixels of the working image to pixels of each tree's image
    stride: int  # working pixels per map pixel

    @property
    def size(self) -> Size:
        """(h, w) in map pixels."""
        return self.lab.shape[2], self.lab.shape[3]

    @classmethod
    def of(
        cls, images: Array, spec: MapSpec, leaves: Sequence[Leaves] = (), to_image: Sequence[Affine] | None = None
    ) -> "MapContext":
        """Of B x 3 x H x W working images, float32 in 0..255; H and W are multiples of the spec's stride.

        Without `to_image` the working images are the trees' images, scaled.
        """
        images, stride = plain(images), spec.stride
        if stride > 1:
            parts = [images[:, :, y::stride, x::stride] for y in range(stride) for x in range(stride)]
            images = sum(parts[1:], parts[0]) / stride**2
        lab = lab_of(images)
        height, width = images.shape[2] * stride, images.shape[3] * stride
        if to_image is None:
            sizes = [tree.image_size for tree, *_ in leaves]
            to_image = [resizing(size[1] / width, size[0] / height)[:2] for size in sizes]
        return cls(lab, lab_bins(lab), list(leaves), list(to_image), stride)


def leaf_colors(image: UInt8, tree: MergeTree) -> Float:
    """h x w x 3 float32: mean Lab of the image over each leaf of its tree."""
    h, w = tree.grid
    return to_lab(cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA).reshape(h, w, 3))


def click_maps(
    spec: MapSpec,
    context: MapContext,
    prompts: Sequence[Prompt],  # M prompts in pixels of the working images; scribbles count as rows of clicks
    previous: Array | None = None,  # M x 1 x h' x w' probabilities of any resolution; zeros when None
    index: Sequence[int] | None = None,  # the image of each prompt; prompt i belongs to image i when None
) -> Array:
    """M x C x h x w: maps of several prompts, drawn once; in 0..1, only "box" in -1..1, without gradients."""
    maps = ClickMaps(spec, context, range(len(prompts)) if index is None else index)
    maps.draw(list(range(len(prompts))), prompts, previous)
    return maps.of(list(range(len(prompts))))


class ClickMaps:
    """Maps of M prompts that grow click by click; most are maxima over clicks, so that each click is drawn once.

    Raises ConfigError: for maps of an edge tree or of semantic vectors that the context lacks.
    """

    def __init__(self, spec: MapSpec, context: MapContext, index: Sequence[int]) -> None:
        self.spec, self.context, self.index = spec, context, list(index)
        wanted = spec.names
        if "posterior" in wanted:
            wanted += tuple(n for n in ("level+", "level-", "previous", "box") if n not in wanted)
        self.channels = {name: channel for channel, name in enumerate(wanted)}
        self.kinds = [kind for kind in LEAF_KINDS if f"{kind}+" in wanted or f"{kind}-" in wanted]
        if "edge" in self.kinds and any(leaves.edges is None for leaves in context.leaves):
            raise ConfigError("click maps edge+ and edge- need the images' edge trees; give them to MapContext.of")
        semantic = {"semantic+", "semantic-", "alike"} & set(wanted)
        if semantic and any(leaves.vectors is None for leaves in context.leaves):
            what = "click maps semantic+, semantic- and alike"
            raise ConfigError(f"{what} need the images' semantic vectors; give them to MapContext.of")
        self.size = context.size
        self.planes = self._zeros(len(self.index), len(wanted))
        self.clicks: list[int | None] = [None] * len(self.index)  # drawn so far
        self.close: dict[tuple[int, str], Float] = {}  # prompt, sign -> h x w x kinds
        self.first: list[dict[str, Weighed]] = [{} for _ in self.index]

    @property
    def own_bytes(self) -> int:
        """Memory of what is drawn; the context is the image's."""
        return int(self.planes.nbytes) + sum(close.nbytes for close in list(self.close.values()))

    def draw(self, rows: list[int], prompts: Sequence[Prompt], previous: Array | None = None) -> None:
        """Draw prompts (K of the M) for the first time, or with further clicks; see `click_maps` for `previous`."""
        previous = self._zeros(len(rows), 1) if previous is None else resized(plain(previous), self.size)
        self._put("previous", rows, previous[:, 0])
        added: list[tuple[Float, Float]] = []  # (negative, positive) points that are not drawn yet
        for row, prompt in zip(rows, prompts):
            known, self.clicks[row] = self.clicks[row], len(prompt.points)
            if known is not None:
                points, labels = prompt.points[known:], prompt.labels[known:]
                added.append((points[labels == 0], points[labels == 1]))
                continue
            added.append(prompt.by_label(self.spec.radius))  # strokes, box and level all come with the first prompt
            self._put("level", [row], prompt.level or 0.0)
            self._put("level?", [row], float(prompt.level is not None))
            if "box" in self.channels and prompt.box is not None:
                x1, y1, x2, y2 = (v / self.context.stride for v in prompt.box)
                plane = self.planes[row, self.channels["box"]]
                plane[:] = -1
                plane[int(y1) : int(np.ceil(y2)), int(x1) : int(np.ceil(x2))] = 1
        for sign, label in (("+", 1), ("-", 0)):
            chosen = [i for i, sides in enumerate(added) if len(sides[label])]
            if chosen:
                self._add_clicks(sign, [rows[i] for i in chosen], [added[i][label] for i in chosen])
        for row, prompt, before in zip(rows, prompts, previous) if FIRST in self.channels else ():
            single = len(prompt.points) == 1 and prompt.labels[0] == 1
            bare = prompt.box is None and prompt.level is None and not prompt.scribbles
            self._put(FIRST, [row], float(single and bare and not before.any()))
        self._put_centres(rows, prompts, previous)
        self._put_alike(rows, previous)
        if "posterior" in self.channels:
            seed = (self._plane(name, rows) for name in ("level+", "level-", "previous", "box"))
            bins = self.context.bins[[self.index[row] for row in rows]]
            self._put("posterior", rows, posterior(bins, *seed))

    def of(self, rows: list[int]) -> Array:
        """K x C x h x w float32: what was drawn of some prompts, a copy."""
        return self.planes[rows, : len(self.spec.names)]

    def _zeros(self, count: int, channels: int) -> Array:
        xp = library(self.context.lab)
        return xp.zeros((count, channels, *self.size), dtype=xp.float32, device=self.context.lab.device)

    def _plane(self, name: str, rows: list[int]) -> Array:
        return self.planes[rows, self.channels[name]]

    def _put(self, name: str, rows: list[int], values: Array | float) -> None:
        if name in self.channels and rows:
            self.planes[rows, self.channels[name]] = values

    def _put_all(self, names: Sequence[str], rows: list[int], planes: Float) -> None:
        """Put K x h x w x C planes of numpy."""
        there = library(self.planes).asarray(planes, device=self.planes.device)
        for channel, name in enumerate(names):
            self._put(name, rows, there[..., channel])

    def _seen(self, row: int) -> tuple[Leaves, Affine]:
        """The leaves of a prompt's image, and the matrix from the working image to the tree's image."""
        return self.context.leaves[self.index[row]], self.context.to_image[self.index[row]]

    def _to_leaf(self, row: int, stride: int) -> Affine:
        (tree, *_), to_image = self._seen(row)
        return map_to_leaf(tree.grid, tree.image_size, to_image, stride)

    def _raise(self, name: str, rows: list[int], values: Array) -> None:
        self._put(name, rows, library(values).maximum(self._plane(name, rows), values))

    def _add_clicks(self, sign: str, rows: list[int], added: list[Float]) -> None:
        """What clicks of one label add to the maps of some prompts."""
        if f"disk{sign}" in self.channels or f"color{sign}" in self.channels:
            points, valid = _padded(added, self.context.stride, self.planes)
            if f"disk{sign}" in self.channels:
                disks = _disks(points, valid, self.size, self.spec.radius / self.context.stride)
                self._raise(f"disk{sign}", rows, disks)
            if f"color{sign}" in self.channels:
                lab = self.context.lab[[self.index[row] for row in rows]]
                self._raise(f"color{sign}", rows, _color_closeness(lab, points, valid))
        if not self.kinds:
            return
        stacked = np.empty((len(rows), *self.size, len(self.kinds)), np.float32)
        for i, (row, points_of) in enumerate(zip(rows, added)):
            leaves, to_image = self._seen(row)
            there = moved(points_of, to_image, leaves.tree)
            close = np.stack([leaf_closeness(leaves, there, kind) for kind in self.kinds], -1)
            known = self.close.get((row, sign))
            self.close[row, sign] = close if known is None else np.maximum(close, known)
            matrix = self._to_leaf(row, self.context.stride)
            stacked[i] = warp(self.close[row, sign], matrix, self.size).reshape(stacked.shape[1:])
        self._put_all([f"{kind}{sign}" for kind in self.kinds], rows, stacked)

    def _put_centres(self, rows: list[int], prompts: Sequence[Prompt], previous: Array) -> None:
        """Maps of nested regions around clicks, on cells of `CELL` pixels, enlarged to map resolution."""
        names = [name for name in CENTRE_MAPS if name in self.channels]
        if not names:
            return
        stride = max(CELL, self.context.stride)
        cells = self.size[0] * self.context.stride // stride, self.size[1] * self.context.stride // stride
        stacked = np.empty((len(rows), *self.size, len(names)), np.float32)
        for i, (row, prompt, before) in enumerate(zip(rows, prompts, to_numpy(previous[:, 0]))):
            crop = Crop(self._to_leaf(row, stride), cells, stride)
            shown = cv2.resize(before, cells[::-1], interpolation=cv2.INTER_AREA) > 0.5
            coarse = centre_maps(names, crop, prompt, shown, *self._seen(row), self.first[row])
            stacked[i] = np.stack([cv2.resize(plane, self.size[::-1]) for plane in coarse], -1)
        self._put_all(names, rows, stacked)

    def _put_alike(self, rows: list[int], previous: Array) -> None:
        """Whether leaves are more like the previous mask's mean vector or the rest's; 0 without a mask."""
        if "alike" not in self.channels:
            return
        stacked = np.zeros((len(rows), *self.size, 1), np.float32)
        for i, (row, before) in enumerate(zip(rows, to_numpy(previous[:, 0]))):
            if before.max() <= 0.5:
                continue
            leaves, matrix = self._seen(row)[0], self._to_leaf(row, self.context.stride)
            vectors = leaves.vectors
            assert vectors is not None
            seen = cv2.warpAffine(np.stack([before, 1 - before], -1), matrix, leaves.tree.grid[::-1])  # on leaves
            sums = np.tensordot(seen, vectors, ((0, 1), (0, 1)))
            inside, outside = sums / np.maximum(np.linalg.norm(sums, axis=-1, keepdims=True), np.float32(1e-6))
            alike = 1 / (1 + np.exp(vectors @ (outside - inside) * np.float32(STEEP)))
            stacked[i, ..., 0] = warp(alike, matrix, self.size)
        self._put_all(["alike"], rows, stacked)


def resized(planes: Array, size: Size) -> Array:
    """M x 1 x h x w float32: M x 1 x h' x w' probabilities at another size, averaged where it is smaller."""
    if tuple(planes.shape[2:]) == size:
        return planes
    if isinstance(planes, np.ndarray):  # torch's antialiasing takes 10 times as long
        kind = cv2.INTER_AREA if size[0] * size[1] < planes[0, 0].size else cv2.INTER_LINEAR
        return np.stack([cv2.resize(plane, size[::-1], interpolation=kind)[None] for (plane,) in planes])
    from torch.nn import functional

    return functional.interpolate(planes.float(), size, mode="bilinear", antialias=True)


def _padded(points: Sequence[Float], stride: int, like: Array) -> tuple[Array, Array]:
    """M x N x 2 (x, y) in map pixels, and M x N bool: which of them are real."""
    longest = max((len(p) for p in points), default=0)
    array, valid = np.zeros((len(points), longest, 2), np.float32), np.zeros((len(points), longest), bool)
    for i, p in enumerate(points):
        array[i, : len(p)], valid[i, : len(p)] = (p + 0.5) / stride - 0.5, True
    xp = library(like)
    return xp.asarray(array, device=like.device), xp.asarray(valid, device=like.device)


def _disks(points: Array, valid: Array, size: Size, radius: float) -> Array:
    """M x h x w: anti-aliased disks."""
    xp = library(points)
    y = xp.arange(size[0], dtype=xp.float32, device=points.device)[:, None]
    x = xp.arange(size[1], dtype=xp.float32, device=points.device)
    clicks = xp.where(valid[..., None], points, xp.inf)[..., None, None]
    square = _least((y - clicks[:, i, 1]) ** 2 + (x - clicks[:, i, 0]) ** 2 for i in range(clicks.shape[1]))
    return xp.clip(radius + 0.5 - xp.sqrt(square), 0, 1)


def _color_closeness(lab: Array, points: Array, valid: Array) -> Array:
    """M x h x w: exp(-||Lab - nearest click's Lab|| / 20), of the mean of 3 x 3 map pixels, fewer at the border."""
    xp = library(lab)
    height, width = lab.shape[2:]
    reach = xp.arange(-1, 2, device=lab.device)
    places = xp.asarray(xp.round(points), dtype=xp.int64)[..., None, None]
    x = xp.clip(places[:, :, 0], 0, width - 1) + reach
    y = xp.clip(places[:, :, 1], 0, height - 1) + reach[:, None]
    inside = xp.asarray((x >= 0) & (x < width) & (y >= 0) & (y < height), dtype=xp.float32)  # M x N x 3 x 3
    rows = xp.arange(len(lab), device=lab.device)[:, None, None, None]
    colors = lab[rows, :, xp.clip(y, 0, height - 1), xp.clip(x, 0, width - 1)] * inside[..., None]
    means = colors.sum((2, 3)) / inside.sum((2, 3))[..., None]  # M x N x 3
    clicks = xp.where(valid[..., None], means, xp.inf)[..., None, None]
    square = _least(((lab - clicks[:, i]) ** 2).sum(1) for i in range(clicks.shape[1]))
    return xp.exp(xp.sqrt(square) / -COLOR_RANGE)


def _least(distances: Iterable[Array]) -> Array:
    """Elementwise minimum, one at a time: hundreds of clicks need no more memory than one."""
    return reduce(lambda a, b: library(a).minimum(a, b, out=a), distances)
