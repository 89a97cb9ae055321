"""Click maps: what the clicks say about every pixel, as input channels of a click model.

The merge tree, colour and the image's own geometry each give a notion of "near the clicks"; a network that sees
them need not learn to propagate clicks by itself. All maps run on the device of the canvas.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from clickgrain.clicks.centre import CELL, View, centre_maps
from clickgrain.clicks.color import lab_bins, lab_of, posterior
from clickgrain.clicks.leaf_maps import Affine, LeafMap, Leaves, leaf_closeness, map_to_leaf, warp
from clickgrain.clicks.spec import CENTRE_MAPS, MapSpec
from clickgrain.errors import ConfigError
from clickgrain.tree import MergeTree
from clickgrain.types import Float, Prompt, UInt8

COLOR_RANGE = 20.0
"""Lab units at which colour closeness falls to 1/e."""


@dataclass
class Canvas:
    """What click maps need of B images of one working size, made once per image (or augmented crop).

    Attributes:
        lab: B x 3 x h x w Lab at map resolution.
        bins: B x h x w int64, colour bin of each map pixel.
        trees: B merge trees (empty where the spec uses none).
        leaf_lab: mean Lab on each tree's leaves, h x w x 3.
        to_image: B matrices from pixels of the working image to pixels of each tree's image.
        stride: working pixels per map pixel.
        edges: B trees more, on the leaves of the first ones, or none: `centre` maps ask both, `edge` maps these.
    """

    lab: Tensor
    bins: Tensor
    trees: list[MergeTree]
    leaf_lab: list[Float]
    to_image: list[Affine]
    stride: int
    edges: list[MergeTree] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        images: Tensor,
        spec: MapSpec,
        trees: Sequence[MergeTree] = (),
        leaf_lab: Sequence[Float] = (),
        to_image: Sequence[Affine] | None = None,
        edges: Sequence[MergeTree] = (),
    ) -> "Canvas":
        """Canvas of B x 3 x H x W working images, float32 in 0..255; H and W are multiples of the spec's stride.

        `leaf_lab` comes from `leaf_colors`; without `to_image` the working images are the trees' images, scaled.
        """
        if spec.stride > 1:
            images = functional.avg_pool2d(images, spec.stride)
        lab = lab_of(images)
        height, width = images.shape[2] * spec.stride, images.shape[3] * spec.stride
        if to_image is None:
            to_image = [_scaling((height, width), tree.image_size) for tree in trees]
        return cls(lab, lab_bins(lab), list(trees), list(leaf_lab), list(to_image), spec.stride, list(edges))


def leaf_colors(image: UInt8, tree: MergeTree) -> Float:
    """h x w x 3 float32: mean Lab of the image over each leaf of its tree."""
    h, w = tree.grid
    small = cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    lab: Float = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).reshape(h, w, 3)
    return lab


@torch.no_grad()
def click_maps(
    spec: MapSpec,
    canvas: Canvas,
    prompts: Sequence[Prompt],
    previous: Tensor | None = None,
    index: Sequence[int] | None = None,
) -> Tensor:
    """Maps of several prompts.

    Args:
        spec: which maps.
        canvas: of B images.
        prompts: M prompts in pixels of the working images; scribbles count as rows of clicks.
        previous: M x 1 x h' x w' probabilities of any resolution; zeros when None.
        index: the image of each prompt; prompt i belongs to image i when None.

    Returns:
        M x C x h x w float32; every map lies in 0..1, only "box" in -1..1. They carry no gradients.
    """
    chosen = list(range(len(prompts))) if index is None else list(index)
    lab, bins = _rows(canvas.lab, chosen), _rows(canvas.bins, chosen)
    if previous is None:
        previous = lab.new_zeros(len(prompts), 1, *lab.shape[2:])
    elif previous.shape[2:] != lab.shape[2:]:
        previous = functional.interpolate(previous.float(), lab.shape[2:], mode="bilinear", antialias=True)
    strokes = [prompt.sides(spec.radius) for prompt in prompts]
    maps: dict[str, Tensor] = {"previous": previous.float()[:, 0]}
    maps |= _leaf_maps(spec, canvas, strokes, chosen)
    maps |= _centre_maps(spec, canvas, prompts, maps["previous"], chosen)
    for sign, label in (("+", 1), ("-", 0)):
        points, valid = _padded([p[label] for p in strokes], canvas.stride, lab.device)
        if f"disk{sign}" in spec.names:
            maps[f"disk{sign}"] = _disks(points, valid, lab.shape[2:], spec.radius / canvas.stride)
        if f"color{sign}" in spec.names:
            maps[f"color{sign}"] = _color_closeness(lab, points, valid)
    if "box" in spec.names or "posterior" in spec.names:
        maps["box"] = _boxes(prompts, lab, canvas.stride)
    if "posterior" in spec.names:
        seed = (maps["level+"], maps["level-"], maps["previous"], maps["box"])
        maps["posterior"] = posterior(bins, *seed)
    maps["level"] = _constant([p.level or 0.0 for p in prompts], lab)
    maps["level?"] = _constant([float(p.level is not None) for p in prompts], lab)
    return torch.stack([maps[name] for name in spec.names], dim=1)


def _rows(tensor: Tensor, chosen: list[int]) -> Tensor:
    """The chosen rows; no copy when they are all, in order."""
    return tensor if chosen == list(range(len(tensor))) else tensor[chosen]


def _leaf_maps(
    spec: MapSpec, canvas: Canvas, strokes: Sequence[tuple[Float, Float]], chosen: Sequence[int]
) -> dict[str, Tensor]:
    """Maps on the leaves, warped to map resolution; the posterior needs the level maps too."""
    kinds: tuple[LeafMap, ...] = ("level", "geodesic", "edge")
    wanted = [kind for kind in kinds if f"{kind}+" in spec.names or f"{kind}-" in spec.names]
    if "posterior" in spec.names and "level" not in wanted:
        wanted.insert(0, "level")
    if not wanted:
        return {}
    if "edge" in wanted and len(canvas.edges) < len(canvas.trees):
        raise ConfigError("the click maps edge+ and edge- need the images' edge trees; give them to Canvas.of")
    size = (canvas.lab.shape[2], canvas.lab.shape[3])
    stacked = np.empty((len(strokes), *size, 2 * len(wanted)), np.float32)
    for i, (image, points) in enumerate(zip(chosen, strokes)):
        tree, to_image = canvas.trees[image], canvas.to_image[image]
        leaves = Leaves(tree, canvas.leaf_lab[image], canvas.edges[image] if canvas.edges else None)
        layers = [
            leaf_closeness(leaves, _moved(points[label], to_image, tree), kind)
            for label in (1, 0)
            for kind in wanted
        ]
        matrix = map_to_leaf(tree.grid, tree.image_size, to_image, canvas.stride)
        stacked[i] = warp(np.stack(layers, -1), matrix, size).reshape(stacked.shape[1:])
    tensor = torch.from_numpy(stacked).to(canvas.lab.device)
    names = [f"{kind}{sign}" for sign in "+-" for kind in wanted]
    return {name: tensor[..., i] for i, name in enumerate(names)}


def _centre_maps(
    spec: MapSpec, canvas: Canvas, prompts: Sequence[Prompt], previous: Tensor, chosen: Sequence[int]
) -> dict[str, Tensor]:
    """Maps of nested regions around clicks, on cells of `CELL` pixels, enlarged to map resolution."""
    names = [name for name in CENTRE_MAPS if name in spec.names]
    if not names or not prompts:
        return {}
    size = (canvas.lab.shape[2], canvas.lab.shape[3])
    stride = max(CELL, canvas.stride)
    cells = (size[0] * canvas.stride // stride, size[1] * canvas.stride // stride)
    before = functional.interpolate(previous[:, None], cells, mode="area")[:, 0].cpu().numpy() > 0.5
    stacked = np.empty((len(prompts), len(names), *cells), np.float32)
    for i, (image, prompt) in enumerate(zip(chosen, prompts)):
        tree, to_image = canvas.trees[image], canvas.to_image[image]
        view = View(map_to_leaf(tree.grid, tree.image_size, to_image, stride), cells, stride)

        def leaf_of(point: Float, tree: MergeTree = tree, to_image: Affine = to_image) -> int:
            return int(tree.leaves_at(_moved(point[None], to_image, tree))[0])

        trees = [tree, *canvas.edges[image : image + 1]]
        stacked[i] = centre_maps(names, view, prompt, before[i], trees, leaf_of, canvas.leaf_lab[image])
    coarse = torch.from_numpy(stacked).to(canvas.lab.device)
    fine = functional.interpolate(coarse, size, mode="bilinear")
    return {name: fine[:, i] for i, name in enumerate(names)}


def _moved(points: Float, to_image: Affine, tree: MergeTree) -> Float:
    """Points of the working image in the tree's image, clamped into it (rounding can step over the border)."""
    moved = points @ to_image[:, :2].T + to_image[:, 2]
    height, width = tree.image_size
    return np.clip(moved, 0, [width - 1, height - 1]).astype(np.float32)


def _padded(points: Sequence[Float], stride: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """M x N x 2 (x, y) in map pixels, and M x N bool: which of them are real."""
    longest = max((len(p) for p in points), default=0)
    array, valid = np.zeros((len(points), longest, 2), np.float32), np.zeros((len(points), longest), bool)
    for i, p in enumerate(points):
        array[i, : len(p)], valid[i, : len(p)] = (p + 0.5) / stride - 0.5, True
    return torch.from_numpy(array).to(device), torch.from_numpy(valid).to(device)


def _disks(points: Tensor, valid: Tensor, size: torch.Size, radius: float) -> Tensor:
    """M x h x w: anti-aliased disks."""
    if points.shape[1] == 0:
        return points.new_zeros(len(points), *size)
    y = torch.arange(size[0], device=points.device)[:, None]
    x = torch.arange(size[1], device=points.device)
    clicks = points.masked_fill(~valid[..., None], torch.inf)[..., None, None].unbind(1)
    square = _least((y - click[:, 1]).square() + (x - click[:, 0]).square() for click in clicks)
    return (radius + 0.5 - square.sqrt_()).clamp_(0, 1)


def _color_closeness(lab: Tensor, points: Tensor, valid: Tensor) -> Tensor:
    """M x h x w: exp(-||Lab - nearest click's Lab|| / 20), clicks' colours averaged over 3 x 3 map pixels."""
    if points.shape[1] == 0:
        return lab.new_zeros(len(lab), *lab.shape[2:])
    clicks = _click_colors(lab, points).masked_fill(~valid[..., None], torch.inf)[..., None, None].unbind(1)
    square = _least((lab - click).square_().sum(1) for click in clicks)
    return (square.sqrt_() / -COLOR_RANGE).exp_()


def _click_colors(lab: Tensor, points: Tensor) -> Tensor:
    """M x N x 3: mean Lab of the 3 x 3 map pixels around each click, fewer at the border."""
    height, width = lab.shape[2:]
    reach = torch.arange(-1, 2, device=lab.device)
    x = points[..., 0].round().long().clamp(0, width - 1)[..., None, None] + reach
    y = points[..., 1].round().long().clamp(0, height - 1)[..., None, None] + reach[:, None]
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)  # M x N x 3 x 3
    rows = torch.arange(len(lab), device=lab.device)[:, None, None, None]
    colors = lab[rows, :, y.clamp(0, height - 1), x.clamp(0, width - 1)] * inside[..., None]
    return colors.sum((2, 3)) / inside.sum((2, 3))[..., None]


def _least(distances: Iterable[Tensor]) -> Tensor:
    """Elementwise minimum, one at a time: hundreds of clicks need no more memory than one."""
    return reduce(lambda a, b: torch.minimum(a, b, out=a), distances)


def _boxes(prompts: Sequence[Prompt], lab: Tensor, stride: int) -> Tensor:
    maps = lab.new_zeros(len(prompts), *lab.shape[2:])
    for i, prompt in enumerate(prompts):
        if prompt.box is not None:
            x1, y1, x2, y2 = (v / stride for v in prompt.box)
            maps[i] = -1
            maps[i, int(y1) : int(np.ceil(y2)), int(x1) : int(np.ceil(x2))] = 1
    return maps


def _constant(values: Sequence[float], lab: Tensor) -> Tensor:
    return lab.new_tensor(values)[:, None, None].expand(-1, *lab.shape[2:])


def _scaling(work: tuple[int, int], image: tuple[int, int]) -> Affine:
    sy, sx = image[0] / work[0], image[1] / work[1]
    return np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2]], np.float64)
