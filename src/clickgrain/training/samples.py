"""From an image set to batches: which image, which crop, which target, which first clicks.

Sample i of step s is a function of (seed, s, i) alone, so a resumed run sees what an uninterrupted one would.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from clickgrain.clicks.config import ClickPlan, ClickSimulation
from clickgrain.clicks.leaf_maps import Affine, Leaves, map_to_leaf, warp
from clickgrain.clicks.maps import leaf_colors
from clickgrain.clicks.robot import Click
from clickgrain.clicks.simulation import corrective_click, initial_clicks, simulated_box, simulated_scribble
from clickgrain.cut import cut_region
from clickgrain.errors import DataError, ImageError, StoreError, TrainingError
from clickgrain.proposals.config import Sampler
from clickgrain.training.config import DataArgs
from clickgrain.training.image_set import ImageSet, RegionKind, decode_mask, scaled_mask
from clickgrain.training.regions import Regions, Target
from clickgrain.tree import semantic_vectors
from clickgrain.types import Bool, Float, Prompt, Size, UInt8

MIN_PIXELS, MAX_SHARE = 24, 0.95
TRIES = 30
FINER = 0.25  # smallest proposals of a photo that is stored much smaller than it is, over those of others
CLOSE = 0.45  # crops of a smaller part of the image's long side are zoom crops
CELLS = 128  # cells of a whole look on the image's long side, as many as `grain` has logits at 256 pixels
SHIFT = 0.7  # of the outline, in cells; standard deviation
WOBBLE = 0.25  # of the threshold along the outline, in parts of the probability; standard deviation
STEEPNESS = 8.0  # logits per unit of coverage
ACCEPTED = 0.5  # share of the samples that show an object that a person accepted, where there are any
REFUSED = 0.5  # IoU with a refused region from which on a region is not drawn


class Shown(NamedTuple):
    """What a step needs of an image; taken at once, since the image set may evict it."""

    pixels: UInt8
    leaves: Leaves

    @classmethod
    def of(cls, image_set: ImageSet, i: int) -> "Shown":
        """That of image i."""
        pixels, tree = image_set.image(i), image_set.tree(i)
        others = image_set.edge_tree(i), semantic_vectors(image_set.cells(i), tree), image_set.semantic_tree(i)
        return cls(pixels, Leaves(tree, leaf_colors(pixels, tree), *others))


@dataclass(frozen=True)
class Sample:
    """One crop with its targets and first prompts."""

    image: int  # index into the image set
    to_image: Affine  # from crop to image pixels
    to_tree: Affine  # from crop pixels to pixels of the tree's image
    valid: Bool  # S x S bool, False outside the image
    targets: list[Target]  # with S x S masks
    prompts: tuple[Prompt, ...]
    rounds: tuple[int, ...]  # corrective clicks after each first prompt
    before: tuple[Float | None, ...]  # S x S float32 previous mask of each first prompt, or None
    shown: Shown


@dataclass(frozen=True)
class Batch:
    """B crops with M prompts in all."""

    step: int
    first: int  # number of the first crop among those of the step (other processes have the others)
    images: list[int]
    shown: list[Shown]
    matrices: Tensor  # B x 2 x 3 from crop to image pixels
    to_tree: list[Affine]
    masks: Tensor  # M x 1 x S x S float32 targets
    valid: Tensor  # B x 1 x S x S float32
    index: list[int]  # crop of each prompt
    prompts: list[Prompt]
    rounds: list[int]  # corrective clicks after each of the M first prompts
    # M x 1 x S x S float32 previous masks of the first prompts, zeros for none; None if all have none
    before: Tensor | None = None


@dataclass(frozen=True)
class Pools:
    """The images of a run, by what they have to offer."""

    photos: list[int]
    composites: list[int]
    objects: list[int]  # photos with a salient object, if they are wanted
    accepted: list[int]  # images with an object that a person accepted

    @classmethod
    def of(cls, image_set: ImageSet, images: Sequence[int], data: DataArgs) -> "Pools":
        """Those of `images`, indices into the image set. Raises TrainingError: there are none."""
        if not images:
            raise TrainingError("there are no images to train on; give the indices of some")
        taught = set(image_set.accepted)
        photos = [i for i in images if i < image_set.photos]
        return cls(
            photos,
            [i for i in images if i >= image_set.photos and i not in taught],
            [i for i in photos if i in image_set.objects] if data.objects > 0 else [],
            sorted(taught & set(images)),
        )

    def choose(self, data: DataArgs, rng: np.random.Generator) -> tuple[int, bool]:
        """An image, and whether its exact mask is the target."""
        exact = bool(self.composites) and (rng.random() < data.composites or not self.photos)
        pool = self.composites if exact else self.photos
        if self.objects and not exact and rng.random() < data.objects:
            exact, pool = True, self.objects
        if self.accepted and rng.random() < ACCEPTED:
            exact, pool = True, self.accepted
        return pool[int(rng.integers(len(pool)))], exact


def make_batch(
    image_set: ImageSet,
    images: Sequence[int] | Pools,
    data: DataArgs,
    clicks: ClickSimulation,
    *,
    seed: int,
    step: int,
    first: int = 0,
    count: int = 16,
) -> Batch:
    """Batch of a step: samples `first` .. `first + count - 1`, drawn from `images` (indices into the image set)."""
    pools = images if isinstance(images, Pools) else Pools.of(image_set, images, data)
    samples = [
        draw_sample(image_set, pools, data, clicks, sample_rng(seed, step, i)) for i in range(first, first + count)
    ]
    return _collate(samples, step, first)


def sample_rng(seed: int, step: int, i: int) -> np.random.Generator:
    """All randomness of sample i of a step."""
    return np.random.default_rng([seed, 3, step, i])


def draw_sample(
    image_set: ImageSet, pools: Pools, data: DataArgs, clicks: ClickSimulation, rng: np.random.Generator
) -> Sample:
    """One crop with targets of a useful size; an image that cannot be read again is passed over."""
    for _ in range(TRIES):
        image, exact = pools.choose(data, rng)
        try:
            sample = _sample_of(image_set, image, exact, data, clicks, rng)
        except (ImageError, StoreError, DataError) as error:
            image_set.lost.setdefault(image, str(error))
            continue
        if sample is not None:
            return sample
    raise TrainingError(
        f"no target of a useful size in {TRIES} crops; the photos may be blank, or --data.sampler and --data.window"
        f" may not fit them{''.join(f'; {why}' for why in list(image_set.lost.values())[-1:])}"
    )


def _sample_of(
    image_set: ImageSet, image: int, exact: bool, data: DataArgs, clicks: ClickSimulation, rng: np.random.Generator
) -> Sample | None:
    """A crop of an image, or None if what was drawn has no target of a useful size."""
    kind: RegionKind = "features"
    if data.hidden > 0 and (rng.random() < data.hidden or (not exact and image_set.is_flat(image))):
        kind = "hidden"
    elif not exact and data.semantic > 0 and rng.random() < data.semantic:
        kind = "semantic"
    elif not exact and data.edges > 0 and rng.random() < data.edges:
        kind = "edges"
    source = image_set.source(image, kind)
    sampler = Sampler() if data.large > 0 and rng.random() < data.large else data.sampler
    if image in image_set.large and sampler.name != "paper":
        sampler = replace(sampler, min_area=FINER * sampler.min_area)
    drawn = source.draw(rng, 2 * data.masks_per_image, sampler)
    drawn = [target for target in drawn if not _is_refused(image_set.refused.get(image, []), target.mask)]
    if not (exact or drawn):
        return None
    anchor = _anchor(image_set, image, source.grid, None if exact else drawn[0], rng)
    size = image_set.size(image)
    crop = _Crop.of(image_set, image, source, _window(size, anchor, data, rng), data.crop)
    targets = list(islice(crop.targets(drawn, exact), data.masks_per_image))
    if not targets:
        return None
    targets = [targets[i % len(targets)] for i in range(data.masks_per_image)]  # the first ones repeated
    prompts, rounds, before = zip(*(_begun(crop, target, drawn, clicks, data, rng) for target in targets))
    to_tree = map_to_leaf(image_set.tree(image).image_size, size, crop.to_image, 1)
    shown = Shown.of(image_set, image)
    return Sample(image, crop.to_image, to_tree, crop.valid, targets, prompts, rounds, before, shown)


def _is_refused(masks: Sequence[UInt8], region: Float) -> bool:
    """Whether an h x w region is one of those that a person refused, given as PNGs."""
    size, inside = region.shape[::-1], region > 0.5
    shown = (cv2.resize(decode_mask(png), size, interpolation=cv2.INTER_AREA) > 127 for png in masks)
    return any(np.count_nonzero(one & inside) > REFUSED * np.count_nonzero(one | inside) for one in shown)


def _anchor(
    image_set: ImageSet, image: int, grid: Size, region: Target | None, rng: np.random.Generator
) -> tuple[float, float]:
    """A point (x, y) of the target in image pixels: the crop will hold it."""
    height, width = image_set.size(image)
    if region is None:
        inside = np.flatnonzero(image_set.mask(image) > 0.5)
        if len(inside):
            row, column = divmod(int(inside[rng.integers(len(inside))]), width)
            return float(column), float(row)
    cells = np.arange(grid[0] * grid[1]) if region is None else region.cells
    row, column = divmod(int(cells[rng.integers(len(cells))]), grid[1])
    return (column + 0.5) * width / grid[1], (row + 0.5) * height / grid[0]


def _window(size: tuple[int, int], anchor: tuple[float, float], data: DataArgs, rng: np.random.Generator) -> Affine:
    """From crop to image pixels: a random square around the anchor, kept inside the image where it fits."""
    low, high = np.log(data.window)
    extent = float(np.exp(rng.uniform(low, high))) * max(size)
    center = np.array(anchor) + rng.uniform(-0.4, 0.4, 2) * extent
    for axis, length in enumerate((size[1], size[0])):
        half = extent / 2
        center[axis] = length / 2 if extent >= length else np.clip(center[axis], half, length - half)
    angle = np.deg2rad(rng.uniform(-15, 15)) if rng.random() < data.rotate else 0.0
    flip = -1.0 if rng.random() < 0.5 else 1.0
    if data.any_orientation:  # with the flip, all eight
        angle += np.pi / 2 * int(rng.integers(4))
    zoom = extent / data.crop
    cos, sin = np.cos(angle) * zoom, np.sin(angle) * zoom
    linear = np.array([[cos * flip, -sin], [sin * flip, cos]])
    middle = (data.crop - 1) / 2
    return np.column_stack([linear, center - 0.5 - linear @ [middle, middle]])


@dataclass(frozen=True)
class _Crop:
    """A crop of an image, and where its targets come from."""

    image_set: ImageSet
    image: int  # index into the image set
    source: Regions
    to_image: Affine  # from crop to image pixels
    to_grid: Affine  # from crop pixels to the grid of the source
    valid: Bool  # S x S bool, False outside the image

    @classmethod
    def of(cls, image_set: ImageSet, image: int, source: Regions, to_image: Affine, side: int) -> "_Crop":
        """The crop of `side` pixels that `to_image` shows."""
        size = image_set.size(image)
        to_shown = map_to_leaf(source.image_size, size, to_image, 1)
        to_grid = map_to_leaf(source.grid, source.image_size, to_shown, 1)
        y, x = np.mgrid[:side, :side]
        column, row = (line[0] * x + line[1] * y + line[2] for line in to_image)
        valid = (column >= -0.5) & (column < size[1] - 0.5) & (row >= -0.5) & (row < size[0] - 0.5)
        if source.ignored is not None:
            valid &= warp(source.ignored.astype(np.float32), to_grid, (side, side)) < 0.5
        return cls(image_set, image, source, to_image, to_grid, valid)

    def targets(self, drawn: list[Target], exact: bool) -> Iterator[Target]:
        """Those of a useful size, the exact mask first if it is wanted; none if that is of no useful size."""
        if exact:
            refused = [self.of_image(scaled_mask(png)) for png in self.image_set.refused.get(self.image, [])]
            sibling = np.maximum.reduce(refused) if refused else None  # negative clicks fall on them
            mask = self.of_image(self.image_set.mask(self.image))
            if not self.is_useful(mask):
                return
            yield Target(mask, sibling, self.image_set.level(self.image))
        for region in drawn:
            if self.source.exact:
                mask = self.of_grid(region.mask)
            else:
                outlined = cut_region(region.mask, self.image_set.image(self.image))
                mask = self.of_image(outlined.astype(np.float32))
            if self.is_useful(mask):
                sibling = None if region.sibling is None else self.of_grid(region.sibling)
                yield Target(mask, sibling, region.level)

    def of_image(self, mask: Float) -> Float:
        """S x S: the crop of an H x W mask of the image."""
        flags, border = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, cv2.BORDER_REPLICATE
        shape = self.valid.shape
        return cv2.warpAffine(mask, self.to_image, shape, flags=flags, borderMode=border) * self.valid

    def of_grid(self, mask: Float) -> Float:
        """S x S: the crop of a mask on the grid of the source."""
        return warp(mask, self.to_grid, self.valid.shape) * self.valid

    def is_useful(self, mask: Float) -> bool:
        """Whether an S x S mask is neither a speck nor about all that is seen."""
        return MIN_PIXELS <= int((mask > 0.5).sum()) <= MAX_SHARE * int(self.valid.sum())


def _begun(
    crop: _Crop,
    target: Target,
    drawn: list[Target],
    clicks: ClickSimulation,
    data: DataArgs,
    rng: np.random.Generator,
) -> tuple[Prompt, int, Float | None]:
    """The first prompt of a target, how many clicks follow, and a previous mask in a share of the zoom crops."""
    plan, valid = clicks.plan(rng), crop.valid
    part = float(np.hypot(*crop.to_image[:, 0])) * data.crop / max(crop.image_set.size(crop.image))
    if not (data.whole_looks > 0 and part < CLOSE and rng.random() < data.whole_looks):
        return _prompt(target, valid, clicks, plan, rng), plan.rounds, None
    other = crop.of_grid(drawn[-1].mask) if drawn else None
    before = whole_look(target.mask, part, other, rng) * valid
    # a zoom crop answers clicks alone, and the last of them corrects the answer to the whole image
    plan = replace(plan, bare=False, box=False, scribble=False, level=False)
    prompt = _prompt(target, valid, clicks, plan, rng)
    click = corrective_click(target.mask, before, rng, share_centre=clicks.share_centre_corrective, valid=valid)
    return (prompt if click is None else with_click(prompt, click)), plan.rounds, before


def with_click(prompt: Prompt, click: Click, scale: float = 1.0) -> Prompt:
    """The prompt with one more click, made on a grid of cells of `scale` pixels."""
    point = np.array([[(click[0] + 0.5) * scale - 0.5, (click[1] + 0.5) * scale - 0.5]], np.float32)
    points = np.concatenate([prompt.points, point])
    return replace(prompt, points=points, labels=np.append(prompt.labels, np.uint8(click[2])))


def _prompt(
    target: Target, valid: Bool, clicks: ClickSimulation, plan: ClickPlan, rng: np.random.Generator
) -> Prompt:
    """The first clicks, strokes, box and level of a target."""
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


def _collate(samples: Sequence[Sample], step: int, first: int) -> Batch:
    masks = [t.mask for s in samples for t in s.targets]
    before = [plane for s in samples for plane in s.before]
    none = np.zeros_like(masks[0])
    return Batch(
        step=step,
        first=first,
        images=[s.image for s in samples],
        shown=[s.shown for s in samples],
        matrices=torch.from_numpy(np.stack([s.to_image for s in samples])),
        to_tree=[s.to_tree for s in samples],
        masks=_planes(masks),
        valid=_planes([s.valid for s in samples]),
        index=[i for i, s in enumerate(samples) for _ in s.targets],
        prompts=[p for s in samples for p in s.prompts],
        rounds=[r for s in samples for r in s.rounds],
        before=None if all(b is None for b in before) else _planes([none if b is None else b for b in before]),
    )


def _planes(planes: Sequence[Float | Bool]) -> Tensor:
    """N x 1 x S x S float32."""
    return torch.from_numpy(np.stack(planes).astype(np.float32)[:, None])


def whole_look(target: Float, part: float, other: Float | None, rng: np.random.Generator) -> Float:
    """Probability of a previous mask of a target in a crop of `part` of the long side; all S x S float32.

    In half of the cases what `other` shares with the target is missing, or else what it does not share is added,
    where that is less than half of the target.
    """
    inside, spoiled = target > 0.5, target
    if other is not None and rng.random() < 0.5:
        shared, beyond = inside & (other > 0.5), (other > 0.5) & ~inside
        if 0 < 2 * np.count_nonzero(shared) < np.count_nonzero(inside):
            spoiled = np.where(shared, 0, target)
        elif 0 < 2 * np.count_nonzero(beyond) < np.count_nonzero(inside):
            spoiled = np.where(beyond, other, target)
    side = target.shape[0]
    cells = min(max(round(CELLS * part), 4), side)
    small = cv2.resize(spoiled.astype(np.float32), (cells, cells), interpolation=cv2.INTER_AREA)
    moved = np.array([[1, 0, rng.normal(0, SHIFT)], [0, 1, rng.normal(0, SHIFT)]])
    small = cv2.warpAffine(small, moved, (cells, cells), borderMode=cv2.BORDER_REPLICATE)
    small = cv2.GaussianBlur(small, (0, 0), 0.7)
    wobble = cv2.resize(
        rng.normal(0, WOBBLE, (5, 5)).astype(np.float32), (cells, cells), interpolation=cv2.INTER_CUBIC
    )
    coarse = 1 / (1 + np.exp(-STEEPNESS * (small + wobble - 0.5)))
    return np.asarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR), np.float32)
