"""What composites are made of: objects on plain backgrounds, regions of merge trees, and foreground cutouts.

A region of a tree is a shirt, not a person. Foreground cutouts (rendered objects, say) have exact masks of whole
objects, but flat colors, which must not be what a model learns: they are given surfaces from photos.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageOps

from clickgrain.errors import ImageError
from clickgrain.images import MAX_PIXELS, resize_long_side, to_lab
from clickgrain.images.guard import check_pixels, explained, format_of, quiet_pillow
from clickgrain.proposals.config import CompositeSettings
from clickgrain.tree import MergeTree
from clickgrain.types import Bool, Float, UInt8

Rng = np.random.Generator
BORDER_SHARE = 0.9  # part of the image's border that must have the background's color
AREA_RANGE = (0.01, 0.75)  # smallest and largest part of the image that an object may cover
LEAST_DISTANCE = 6.0  # Lab distance below which colors count as equal (JPEG noise stays below)
CLEAR_DISTANCE = 10.0
LEAST_SUPPORT = 0.7  # part of an outline that must be a clear edge (`edge_support`)
LEAST_COMPACTNESS = 0.25  # 16 area / perimeter² on the grid: 1 for a square, less for strings and stars
HOLE_AREA = 0.003  # plain pieces inside an object that are larger, as part of the image, are holes
DRAWN = 8
WHOLE_OBJECTS = CompositeSettings(
    min_area=0.0002,
    sides=(0.05, 0.8),
    rotation=20,
    match=0.8,
    blur=0.6,
    finish=0.8,
    light=0.5,
    shadow=0.8,
    noise=0.5,
)
"""How cutouts of whole objects are put into photos."""
PARTS = (2, 6)  # fewest and most surfaces of an object
SAMPLED = 1000  # pixels that clusters are found on
EVENEST_OF = 4  # parts of a photo looked at for each surface: what can be recognized in one would look like a print
CRUMB = 0.05  # part of a cutout's opaque pixels; smaller pieces (snow around a snowman) are left out


class Cutout(NamedTuple):
    """A piece of a photo: h x w x 3 uint8 RGB, and h x w float32 alpha in 0..1."""

    image: UInt8
    alpha: Float


def object_cutout(image: UInt8) -> Cutout | None:
    """The object of a photo with a plain background, cropped; None without such an object."""
    alpha = plain_background_object(image)
    return None if alpha is None else cropped(image, alpha)


def solid_cutout(image: UInt8, mask: Float) -> Cutout | None:
    """What an H x W float32 mask (above 0.5) covers of a photo, less a pixel of mixed colors all around, if any."""
    inner = _without_edge(mask > 0.5)
    return cropped(image, inner.astype(np.float32)) if inner.any() else None


def plain_background_object(image: UInt8) -> Float | None:
    """The one object on a background of one color: H x W float32 alpha (0 or 1) of an H x W x 3 uint8 RGB image.

    The background is what has nearly the border's median color (in Lab) and is connected to the border, and wide
    holes as plain as that; the object is the largest piece of the rest, minus one pixel of mixed colors all around.

    None when in doubt: the border is not plain, there are several objects, the object is very small, very large,
    full of holes (or of the background's color) or a framed image, or its outline is no sharp edge or depends on
    the threshold (shadows, fading).
    """
    lab = to_lab(image)
    width = max(2, round(0.02 * min(image.shape[:2])))
    border = np.ones(image.shape[:2], bool)
    border[width:-width, width:-width] = False
    distance = np.linalg.norm(lab - np.median(lab[border], axis=0), axis=2).astype(np.float32)
    near = float(np.percentile(distance[border], 100 * BORDER_SHARE))
    if near > 2 * LEAST_DISTANCE:
        return None
    threshold = max(LEAST_DISTANCE, 1.5 * near)
    strict, loose = (_object(distance, factor * threshold) for factor in (2, 1))
    if not AREA_RANGE[0] < float(loose.mean()) < AREA_RANGE[1]:
        return None
    holes = float((_filled(loose) & ~loose).sum()) / float(_filled(loose).sum())
    clutter = float((_filled(distance >= threshold) & ~_filled(loose)).sum()) / float(loose.sum())
    agreement = float((strict & loose).sum()) / float((strict | loose).sum())
    box = loose[loose.any(1)][:, loose.any(0)]
    is_frame = float(box.mean()) > 0.95  # nearly fills its box: an image within the image
    if holes > 0.25 or clutter > 0.1 or agreement < 0.85 or is_frame or edge_support(image, loose) < LEAST_SUPPORT:
        return None
    inner = _without_edge(loose)
    return inner.astype(np.float32) if inner.any() else None


def region_cutout(
    image: UInt8, tree: MergeTree, rng: Rng, *, min_area: float = 0.02, max_area: float = 0.4
) -> Cutout | None:
    """A region of a photo's merge tree that looks like an object, or None if none was found.

    Of some compact regions drawn at random, away from the photo's border (which would show as a straight edge) and
    of `min_area` to `max_area` of the leaves, the one whose outline follows the image's edges best wins.
    """
    on_border = np.ones(tree.grid, np.int64)
    on_border[1:-1, 1:-1] = 0
    touching, share = tree.sums(on_border.ravel()), tree.area / tree.n_leaves
    nodes = np.flatnonzero((touching == 0) & (share >= min_area) & (share <= max_area))
    drawn = rng.choice(nodes, size=min(DRAWN, len(nodes)), replace=False) if len(nodes) else nodes
    best, best_support = None, LEAST_SUPPORT
    for node in drawn:
        padded = np.pad(tree.mask(int(node)), 1)
        perimeter = sum(int((padded != np.roll(padded, 1, axis)).sum()) for axis in (0, 1))
        if 16 * float(padded.sum()) / perimeter**2 < LEAST_COMPACTNESS:
            continue
        solid = _filled(largest_piece(tree.upsample(int(node), image) > 0.5))
        support = edge_support(image, solid)
        inner = _without_edge(solid)
        if support > best_support and inner.mean() > 0.5 * min_area:
            best, best_support = inner, support
    return None if best is None else cropped(image, best.astype(np.float32))


def edge_support(image: UInt8, mask: Bool) -> float:
    """Part of a mask's outline, 0..1, where the colors close by on both sides differ clearly (Lab distance 10)."""
    if not mask.any():
        return 0.0
    piece, inside = cropped(image, mask.astype(np.float32), margin=8)
    lab = to_lab(piece)
    outline = inside != cv2.erode(inside, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_REPLICATE)
    means = []
    for side in (inside, 1 - inside):
        weight = cv2.blur(side, (7, 7))[outline]
        means.append(cv2.blur(lab * side[..., None], (7, 7))[outline] / np.maximum(weight, 1e-6)[:, None])
    return float((np.linalg.norm(means[0] - means[1], axis=1) > CLEAR_DISTANCE).mean())


def cropped(image: UInt8, alpha: Float, margin: int = 4) -> Cutout:
    """Cut both to the box of `alpha` > 0 plus a margin of the pixels around it."""
    taken = (np.flatnonzero(alpha.any(axis)) for axis in (1, 0))
    box = tuple(slice(max(0, int(lines[0]) - margin), int(lines[-1]) + margin + 1) for lines in taken)
    return Cutout(np.ascontiguousarray(image[box]), np.ascontiguousarray(alpha[box], np.float32))


def _object(distance: Float, threshold: float) -> Bool:
    kernel = np.ones((3, 3), np.uint8)
    opened = cv2.morphologyEx(_filled(distance >= threshold).astype(np.uint8), cv2.MORPH_OPEN, kernel)
    filled = _filled(largest_piece(opened.astype(bool)))
    plain = (filled & (distance < threshold)).astype(np.uint8)
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(plain, connectivity=4)
    wide = statistics[:, cv2.CC_STAT_AREA] > HOLE_AREA * plain.size  # the background shows; others are highlights
    wide[0] = False
    return filled & ~wide[labels]


def largest_piece(mask: Bool) -> Bool:
    """The largest 8-connected piece of an H x W bool mask; an empty mask stays empty."""
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count == 1:
        return mask
    return np.asarray(labels == 1 + int(np.argmax(statistics[1:, cv2.CC_STAT_AREA])))


def _filled(mask: Bool) -> Bool:
    """Holes (background that does not reach the image's border) become object."""
    padded = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    _, labels = cv2.connectedComponents(padded, connectivity=4)
    return np.asarray(labels != labels[0, 0])[1:-1, 1:-1]


def _without_edge(mask: Bool) -> Bool:
    """One pixel less all around: there the camera mixed both colors, which would show as a halo."""
    return largest_piece(cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool))


def read_cutout(path: Path, side: int) -> Cutout:
    """A file with transparency (PNG, WebP, TIFF) as a cutout, cropped, at most `side` pixels on its long side.

    Its alpha is the mask of one whole object. Raises ImageError: the file cannot be read, has no transparency, or
    nothing in it is opaque.
    """
    format_of(path)
    with explained(path), quiet_pillow(), Image.open(path) as file:
        check_pixels(path, *file.size, MAX_PIXELS)
        if not file.has_transparency_data:
            raise ImageError(f"{path} has no transparency; a cutout is an RGBA image, opaque inside its object")
        rgba = np.asarray(ImageOps.exif_transpose(file).convert("RGBA"))
    alpha = rgba[..., 3].astype(np.float32) / np.float32(255)
    if alpha.max() <= 0.5 or alpha.min() > 0.5:
        raise ImageError(f"{path} shows no object: alpha is {alpha.min():.2f} to {alpha.max():.2f} everywhere")
    _, pieces, statistics, _ = cv2.connectedComponentsWithStats((alpha > 0).astype(np.uint8))
    crumbs = statistics[:, cv2.CC_STAT_AREA] < CRUMB * np.count_nonzero(alpha)
    alpha[crumbs[pieces]] = 0
    # A pixel from the outline on, alpha counts as 1: the glass is part of a glass.
    filled = cv2.erode((alpha > 0.5).astype(np.uint8), np.ones((3, 3), np.uint8))
    image, alpha = cropped(np.ascontiguousarray(rgba[..., :3]), np.maximum(alpha, filled), margin=0)
    if max(alpha.shape) > side:
        image = resize_long_side(image, side)
        alpha = cv2.resize(alpha, image.shape[1::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
    return Cutout(image, alpha)


def retextured(piece: Cutout, photo: Callable[[], UInt8], rng: Rng) -> Cutout:
    """The object with each of its colors turned into a surface from a photo; its shading and its outline stay.

    Its pixels are clustered by color. Every cluster gets a patch of a photo, of which it takes the structure (light
    and dark) and a random share of the color. `photo` gives the next photo, H x W x 3 uint8 RGB.
    """
    height, width = piece.alpha.shape
    lab = to_lab(piece.image)
    weights = _parts(lab, piece.alpha, int(rng.integers(PARTS[0], PARTS[1] + 1)), rng)
    strength, paleness = rng.uniform(0.2, 1.0), rng.uniform(0.3, 1.0)
    common = photo() if rng.random() < 0.4 else None
    surface = np.zeros((height, width, 3), np.float32)
    for weight in weights:
        patch = _patch(photo() if common is None else common, (height, width), rng)
        mean = np.array([(lab[..., k] * weight).sum() for k in range(3)]) / max(float(weight.sum()), 1e-6)
        smooth = max(4, round(rng.uniform(0.03, 0.09) * max(height, width)))
        coarse = cv2.resize(patch, None, fx=1 / smooth, fy=1 / smooth, interpolation=cv2.INTER_AREA)
        blurred = cv2.resize(coarse, (width, height))
        own, share = mean * [1, paleness, paleness], rng.beta(0.7, 0.7)
        color = own + share * (patch.reshape(-1, 3).mean(0) - own) * [0.7, 1, 1]
        # Structure of the patch on a mean color: what is uneven in it on the large scale is light, and stays out.
        part = color + strength * (patch - blurred) + (lab - mean) * [rng.uniform(0.5, 1), paleness, paleness]
        surface += weight[..., None] * part.astype(np.float32)
    rgb = cv2.cvtColor(surface, cv2.COLOR_LAB2RGB)
    return Cutout(np.clip(np.rint(rgb * 255), 0, 255).astype(np.uint8), piece.alpha)


def _parts(lab: Float, alpha: Float, count: int, rng: Rng) -> list[Float]:
    """h x w weights of color clusters, 1 in sum: k-means from random pixels, the borders softened by a pixel."""
    inside = lab[alpha > 0.5]
    sample = inside[rng.choice(len(inside), min(SAMPLED, len(inside)), replace=False)]
    centers = sample[:count].copy()
    for _ in range(6):
        nearest = ((sample[:, None] - centers) ** 2).sum(2).argmin(1)
        for k in np.unique(nearest):
            centers[k] = sample[nearest == k].mean(0)
    distances = np.stack([((lab - center) ** 2).sum(2) for center in centers])
    chosen = distances.argmin(0)
    return [cv2.GaussianBlur((chosen == k).astype(np.float32), (0, 0), 0.8) for k in range(len(centers))]


def _patch(photo: UInt8, size: tuple[int, int], rng: Rng) -> Float:
    """The evenest of some parts of a photo, in Lab, mirrored at random, resized to (height, width)."""
    best, least = photo, np.inf
    for _ in range(EVENEST_OF):
        sides = [
            min(max(8, round(rng.uniform(0.3, 1.2) * wanted)), length) for wanted, length in zip(size, photo.shape)
        ]
        top, left = (int(rng.integers(length - side + 1)) for length, side in zip(photo.shape, sides))
        part = photo[top : top + sides[0], left : left + sides[1]]
        uneven = float(cv2.resize(part, (4, 4), interpolation=cv2.INTER_AREA).std(axis=(0, 1)).sum())
        if uneven < least:
            best, least = part, uneven
    mirrored = np.ascontiguousarray(best[:: rng.choice([-1, 1]), :: rng.choice([-1, 1])])
    return to_lab(cv2.resize(mirrored, size[::-1], interpolation=cv2.INTER_LINEAR))
