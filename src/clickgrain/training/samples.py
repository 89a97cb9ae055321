"""From an image set to batches: which picture, which crop, which target, which first clicks.

Sample i of step s is a function of (seed, s, i) alone, so a resumed run sees what an uninterrupted one would.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from clickgrain.clicks.args import ClickPlan, ClickSimulation
from clickgrain.clicks.leaf_maps import Affine, map_to_leaf, warp
from clickgrain.clicks.simulation import initial_clicks, simulated_box, simulated_scribble
from clickgrain.errors import TrainingError
from clickgrain.proposals.laws import SamplingLaw
from clickgrain.training.args import DataArgs
from clickgrain.training.image_set import ImageSet, RegionKind
from clickgrain.training.regions import Region, Regions
from clickgrain.tree import MergeTree
from clickgrain.types import Bool, Float, Prompt, Size

MIN_PIXELS, MAX_SHARE = 24, 0.95
TRIES = 30
FINER = 0.25
"""Smallest proposals of a photo that is kept much smaller than it is, over those of others."""


@dataclass(frozen=True)
class Target:
    """One pseudo mask in a crop: S x S float32 mask, its sibling (or None) and its level (or None).

    `exact` masks are not drawn to the image's edges.
    """

    mask: Float
    sibling: Float | None
    level: float | None
    exact: bool = False


@dataclass(frozen=True)
class Sample:
    """One crop with its targets and first prompts.

    Attributes:
        picture: index into the image set.
        to_picture: from crop to picture pixels.
        to_tree: from crop pixels to pixels of the tree's image.
        valid: S x S bool, False beside the picture.
    """

    picture: int
    to_picture: Affine
    to_tree: Affine
    valid: Bool
    targets: tuple[Target, ...]
    prompts: tuple[Prompt, ...]


@dataclass(frozen=True)
class Batch:
    """B crops with M prompts in all.

    Attributes:
        first: number of the first crop among those of the step (other processes have the others).
        matrices: B x 2 x 3 from crop to picture pixels.
        masks: M x 1 x S x S float32 targets.
        valid: B x 1 x S x S float32.
        index: crop of each prompt.
        rounds: corrective clicks after the first prompts.
        exact: M flags: masks that are not drawn to the image's edges.
    """

    step: int
    first: int
    pictures: list[int]
    matrices: Tensor
    to_tree: list[Affine]
    trees: list[MergeTree]
    edge_trees: list[MergeTree]
    leaf_lab: list[Float]
    masks: Tensor
    valid: Tensor
    index: list[int]
    prompts: list[Prompt]
    rounds: int
    exact: list[bool]


def make_batch(
    image_set: ImageSet,
    pictures: Sequence[int],
    data: DataArgs,
    clicks: ClickSimulation,
    *,
    seed: int,
    step: int,
    first: int = 0,
    count: int = 16,
) -> Batch:
    """Batch of a step: samples `first` .. `first + count - 1`, drawn from `pictures` (indices into the image set).

    Raises:
        TrainingError: for no pictures, or if they hold no target of a useful size.
    """
    if not pictures:
        raise TrainingError("there are no pictures to train on; give the indices of some")
    photos = [i for i in pictures if i < image_set.photos]
    composites = [i for i in pictures if i >= image_set.photos]
    objects = [i for i in photos if i in image_set.objects] if data.objects > 0 else []
    rounds = clicks.plan(np.random.default_rng([seed, 2, step])).rounds
    samples = [
        draw_sample(image_set, photos, composites, data, clicks, np.random.default_rng([seed, 3, step, i]), objects)
        for i in range(first, first + count)
    ]
    return _collate(image_set, samples, step, first, rounds)


def draw_sample(
    image_set: ImageSet,
    photos: Sequence[int],
    composites: Sequence[int],
    data: DataArgs,
    clicks: ClickSimulation,
    rng: np.random.Generator,
    objects: Sequence[int] = (),
) -> Sample:
    """One crop with targets of a useful size; `objects` are the photos with a salient object.

    Raises:
        TrainingError: if none is found in many tries (photos of one colour, say).
    """
    for _ in range(TRIES):
        exact = bool(composites) and (rng.random() < data.composites or not photos)
        pool = composites if exact else photos
        if objects and not exact and rng.random() < data.objects:
            exact, pool = True, objects
        picture = pool[int(rng.integers(len(pool)))]
        source = image_set.source(picture, _kind(data, exact, rng))
        law = SamplingLaw() if data.large > 0 and rng.random() < data.large else data.law
        if picture in image_set.large and law.name != "paper":
            law = replace(law, min_area=FINER * law.min_area)
        drawn = source.draw(rng, 2 * data.masks_per_image, law)
        if not (exact or drawn):
            continue
        anchor = _anchor(image_set, picture, source.grid, None if exact else drawn[0], rng)
        to_picture = _window(image_set.sizes[picture], anchor, data, rng)
        sample = _framed(image_set, picture, source, drawn, exact, to_picture, data)
        if sample is not None:
            return replace(sample, prompts=tuple(_prompt(t, sample.valid, clicks, rng) for t in sample.targets))
    raise TrainingError(
        f"no target of a useful size in {TRIES} crops; the photos may be blank, or --data.law and --data.window"
        " may not fit them"
    )


def _kind(data: DataArgs, exact: bool, rng: np.random.Generator) -> RegionKind:
    """Where the proposals of a picture come from."""
    if data.hidden > 0 and rng.random() < data.hidden:
        return "hidden"
    if not exact and data.edges > 0 and rng.random() < data.edges:
        return "edges"
    return "features"


def _anchor(
    image_set: ImageSet, picture: int, grid: Size, region: Region | None, rng: np.random.Generator
) -> tuple[float, float]:
    """A point (x, y) of the target in picture pixels: the crop will hold it."""
    height, width = image_set.sizes[picture]
    if region is None:
        inside = np.flatnonzero(image_set.mask(picture) > 0.5)
        if len(inside):
            row, column = divmod(int(inside[rng.integers(len(inside))]), width)
            return float(column), float(row)
    cells = np.arange(grid[0] * grid[1]) if region is None else region.cells
    row, column = divmod(int(cells[rng.integers(len(cells))]), grid[1])
    return (column + 0.5) * width / grid[1], (row + 0.5) * height / grid[0]


def _window(size: tuple[int, int], anchor: tuple[float, float], data: DataArgs, rng: np.random.Generator) -> Affine:
    """From crop to picture pixels: a random square around the anchor, kept inside the picture where it fits."""
    low, high = np.log(data.window)
    extent = float(np.exp(rng.uniform(low, high))) * max(size)
    centre = np.array(anchor) + rng.uniform(-0.4, 0.4, 2) * extent
    for axis, length in enumerate((size[1], size[0])):
        half = extent / 2
        centre[axis] = length / 2 if extent >= length else np.clip(centre[axis], half, length - half)
    angle = np.deg2rad(rng.uniform(-15, 15)) if rng.random() < data.rotate else 0.0
    flip = -1.0 if rng.random() < 0.5 else 1.0
    zoom = extent / data.crop
    cos, sin = np.cos(angle) * zoom, np.sin(angle) * zoom
    linear = np.array([[cos * flip, -sin], [sin * flip, cos]])
    middle = (data.crop - 1) / 2
    return np.column_stack([linear, centre - 0.5 - linear @ [middle, middle]])


def _framed(
    image_set: ImageSet,
    picture: int,
    source: Regions,
    drawn: list[Region],
    exact: bool,
    to_picture: Affine,
    data: DataArgs,
) -> Sample | None:
    """The crop with as many useful targets as wanted (the first ones repeated), or None without any."""
    size = image_set.sizes[picture]
    to_tree = _scaled(to_picture, image_set.tree(picture).image_size, size)
    matrix = map_to_leaf(source.grid, source.image_size, _scaled(to_picture, source.image_size, size), 1)
    valid = _inside(to_picture, size, data.crop)
    if source.ignored is not None:
        valid &= warp(source.ignored.astype(np.float32), matrix, _shape(valid)) < 0.5
    targets: list[Target] = []
    if exact:
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        mask = cv2.warpAffine(image_set.mask(picture), to_picture, (data.crop, data.crop), flags=flags) * valid
        targets += [Target(mask, None, image_set.levels.get(picture), exact=True)] if _useful(mask, valid) else []
        if not targets:
            return None
    for region in drawn:
        if len(targets) == data.masks_per_image:
            break
        target = _target(region, source.exact, matrix, valid)
        targets += [target] if _useful(target.mask, valid) else []
    if not targets:
        return None
    repeated = tuple(targets[i % len(targets)] for i in range(data.masks_per_image))
    return Sample(picture, to_picture, to_tree, valid, repeated, ())


def _target(region: Region, exact: bool, matrix: Affine, valid: Bool) -> Target:
    """The region in the crop; `matrix` goes from crop pixels to the region's grid."""
    mask = warp(region.mask, matrix, _shape(valid)) * valid
    sibling = None if region.sibling is None else warp(region.sibling, matrix, _shape(valid)) * valid
    return Target(mask, sibling, region.level, exact)


def _shape(valid: Bool) -> Size:
    return valid.shape[0], valid.shape[1]


def _useful(mask: Float, valid: Bool) -> bool:
    area = int((mask > 0.5).sum())
    return MIN_PIXELS <= area <= MAX_SHARE * int(valid.sum())


def _prompt(target: Target, valid: Bool, clicks: ClickSimulation, rng: np.random.Generator) -> Prompt:
    """The first clicks, strokes, box and level of a target."""
    plan: ClickPlan = clicks.plan(rng)
    points, labels = np.zeros((0, 2), np.float32), np.zeros(0, np.uint8)
    if not plan.bare:
        points, labels = initial_clicks(
            target.mask, rng, clicks, sibling=target.sibling, valid=valid, single=plan.single
        )
    return Prompt(
        points,
        labels,
        box=simulated_box(target.mask, rng, valid=valid) if plan.box else None,
        scribbles=(simulated_scribble(target.mask, rng, valid=valid),) if plan.scribble else (),
        level=target.level if plan.level else None,
    )


def _collate(image_set: ImageSet, samples: Sequence[Sample], step: int, first: int, rounds: int) -> Batch:
    masks = np.stack([t.mask for s in samples for t in s.targets])[:, None]
    valid = np.stack([s.valid for s in samples])[:, None].astype(np.float32)
    return Batch(
        step=step,
        first=first,
        pictures=[s.picture for s in samples],
        matrices=torch.from_numpy(np.stack([s.to_picture for s in samples])),
        to_tree=[s.to_tree for s in samples],
        trees=[image_set.tree(s.picture) for s in samples],
        edge_trees=[image_set.edge_tree(s.picture) for s in samples],
        leaf_lab=[image_set.leaf_lab(s.picture) for s in samples],
        masks=torch.from_numpy(masks.astype(np.float32)),
        valid=torch.from_numpy(valid),
        index=[i for i, s in enumerate(samples) for _ in s.targets],
        prompts=[p for s in samples for p in s.prompts],
        rounds=rounds,
        exact=[t.exact for s in samples for t in s.targets],
    )


def _scaled(matrix: Affine, to: Size, of: Size) -> Affine:
    """The matrix followed by a resize of (H, W) `of` to `to`, pixel centres kept."""
    sx, sy = to[1] / of[1], to[0] / of[0]
    resize = np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2]])
    return resize @ np.vstack([matrix, [0, 0, 1]])


def _inside(matrix: Affine, size: tuple[int, int], side: int) -> Bool:
    """S x S bool: crop pixels that lie on the picture."""
    y, x = np.mgrid[:side, :side]
    column = matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]
    row = matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]
    return (column >= -0.5) & (column < size[1] - 0.5) & (row >= -0.5) & (row < size[0] - 0.5)
