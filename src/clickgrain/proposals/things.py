"""Foreground cutouts of whole objects, read from a folder and given surfaces from photos.

A region of a tree is a shirt, not a person. Rendered objects have exact masks of whole objects, but flat colors;
what tells them from a photo (clean surfaces, strong colors) must not be what a model learns.
"""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from clickgrain.errors import ImageError
from clickgrain.images import MAX_PIXELS, resize_long_side
from clickgrain.images.guard import check_pixels, explained, format_of, quiet_pillow
from clickgrain.proposals.config import CompositeSettings
from clickgrain.proposals.cutouts import Cutout, cropped
from clickgrain.types import Float, UInt8

THINGS = CompositeSettings(
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
PARTS = (2, 6)
"""Fewest and most surfaces of an object."""
SAMPLED = 1000
"""Pixels that clusters are found on."""
EVENEST_OF = 4
"""Parts of a photo looked at for each surface: what can be recognized in one would look like a print."""
CRUMB = 0.05
"""Part of a cutout's opaque pixels; smaller pieces (snow around a snowman) are left out."""


def read_cutout(path: Path, side: int) -> Cutout:
    """A file with transparency as a cutout, cropped, at most `side` pixels on its long side.

    Args:
        path: PNG, WebP or TIFF whose alpha is the mask of one whole object.
        side: long side that larger ones are shrunk to.

    Raises:
        ImageError: the file cannot be read, has no transparency, or nothing in it is opaque.
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


def retextured(piece: Cutout, photo: Callable[[], UInt8], rng: np.random.Generator) -> Cutout:
    """The object with each of its colors turned into a surface from a photo; its shading and its outline stay.

    Its pixels are clustered by color. Every cluster gets a patch of a photo, of which it takes the structure (light
    and dark) and a random share of the color.

    Args:
        piece: the object.
        photo: gives the next photo to take patches of, H x W x 3 uint8 RGB.
        rng: the only other source of randomness.
    """
    height, width = piece.alpha.shape
    lab = cv2.cvtColor(piece.image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    weights = _parts(lab, piece.alpha, int(rng.integers(PARTS[0], PARTS[1] + 1)), rng)
    strength, paleness = rng.uniform(0.2, 1.0), rng.uniform(0.3, 1.0)
    common = photo() if rng.random() < 0.4 else None
    surface = np.zeros((height, width, 3), np.float32)
    for weight in weights:
        patch = _patch(photo() if common is None else common, (height, width), rng)
        mean = np.array([(lab[..., k] * weight).sum() for k in range(3)]) / max(float(weight.sum()), 1e-6)
        smooth = max(4, round(rng.uniform(0.03, 0.09) * max(height, width)))
        blurred = cv2.resize(
            cv2.resize(patch, None, fx=1 / smooth, fy=1 / smooth, interpolation=cv2.INTER_AREA), (width, height)
        )
        own, share = mean * [1, paleness, paleness], rng.beta(0.7, 0.7)
        color = own + share * (patch.reshape(-1, 3).mean(0) - own) * [0.7, 1, 1]
        # Structure of the patch on a mean color: what is uneven in it on the large scale is light, and stays out.
        part = color + strength * (patch - blurred) + (lab - mean) * [rng.uniform(0.5, 1), paleness, paleness]
        surface += weight[..., None] * part.astype(np.float32)
    rgb = cv2.cvtColor(surface, cv2.COLOR_LAB2RGB)
    return Cutout(np.clip(np.rint(rgb * 255), 0, 255).astype(np.uint8), piece.alpha)


def _parts(lab: Float, alpha: Float, count: int, rng: np.random.Generator) -> list[Float]:
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


def _patch(photo: UInt8, size: tuple[int, int], rng: np.random.Generator) -> Float:
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
    resized = cv2.resize(mirrored, size[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.cvtColor(resized.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)
