"""What composites are made of: objects on plain backgrounds, and regions of merge trees, cut out of photos."""

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from clickgrain.tree import MergeTree
from clickgrain.types import Bool, Float, UInt8

BORDER_SHARE = 0.9
"""Part of the image's border that must have the background's color."""
AREA_RANGE = (0.01, 0.75)
"""Smallest and largest part of the image that an object may cover."""
LEAST_DISTANCE = 6.0
"""Lab distance below which colors count as equal (JPEG noise stays below)."""
CLEAR_DISTANCE = 10.0
LEAST_SUPPORT = 0.7
"""Part of an outline that must be a clear edge (`edge_support`)."""
LEAST_COMPACTNESS = 0.25
HOLE_AREA = 0.003
"""Plain pieces inside an object that are larger, as part of the image, are holes."""
DRAWN = 8


class Cutout(NamedTuple):
    """A piece of a photo: h x w x 3 uint8 RGB, and h x w float32 alpha in 0..1."""

    image: UInt8
    alpha: Float


def object_cutout(image: UInt8) -> Cutout | None:
    """The object of a photo with a plain background, cropped; None without such an object."""
    alpha = plain_background_object(image)
    return None if alpha is None else cropped(image, alpha)


def solid_cutout(image: UInt8, mask: Float) -> Cutout | None:
    """What a mask covers of a photo, less one pixel of mixed colors all around; None if nothing is left.

    Args:
        image: H x W x 3 uint8 RGB.
        mask: H x W float32, the object where above 0.5.
    """
    inner = _without_rim(mask > 0.5)
    return cropped(image, inner.astype(np.float32)) if inner.any() else None


def plain_background_object(image: UInt8) -> Float | None:
    """Find the one object on a background of one color.

    The background is what has nearly the border's median color (in Lab) and is connected to the border, and
    wide holes as plain as that; the object is the largest piece of the rest, minus one pixel of mixed colors
    all around.

    Args:
        image: H x W x 3 uint8 RGB.

    Returns:
        H x W float32 alpha (0 or 1), or None when in doubt: the border is not plain, there are several
        objects, the object is very small, very large, full of holes (or of the background's color) or a framed
        image, or its outline is no sharp edge or depends on the threshold (shadows, fading).
    """
    distance, border = _distance_to_border_color(image)
    near = float(np.percentile(distance[border], 100 * BORDER_SHARE))
    if near > 2 * LEAST_DISTANCE:
        return None
    threshold = max(LEAST_DISTANCE, 1.5 * near)
    strict, loose = (_object(distance, factor * threshold) for factor in (2, 1))
    if not AREA_RANGE[0] < float(loose.mean()) < AREA_RANGE[1]:
        return None
    holes = float((_filled(loose) & ~loose).sum()) / float(_filled(loose).sum())
    clutter = float((_foreground(distance, threshold) & ~_filled(loose)).sum()) / float(loose.sum())
    agreement = float((strict & loose).sum()) / float((strict | loose).sum())
    if (
        holes > 0.25
        or clutter > 0.1
        or agreement < 0.85
        or _is_frame(loose)
        or edge_support(image, loose) < LEAST_SUPPORT
    ):
        return None
    inner = _without_rim(loose)
    return inner.astype(np.float32) if inner.any() else None


def region_cutout(
    image: UInt8, tree: MergeTree, rng: np.random.Generator, *, min_area: float = 0.02, max_area: float = 0.4
) -> Cutout | None:
    """A region of a photo's merge tree that looks like an object, or None if none was found.

    Only regions away from the photo's border are taken (a cut border would show as a straight edge). Of some
    compact ones drawn at random, the one whose outline follows the image's edges best wins.

    Args:
        image: H x W x 3 uint8 RGB, the image of the tree.
        tree: its merge tree.
        rng: the source of randomness.
        min_area: fraction of the leaves that a region must have at least.
        max_area: and at most.
    """
    nodes = _inner_nodes(tree, min_area, max_area)
    drawn = rng.choice(nodes, size=min(DRAWN, len(nodes)), replace=False) if len(nodes) else nodes
    best, best_support = None, LEAST_SUPPORT
    for node in drawn:
        if _compactness(tree.mask(int(node))) < LEAST_COMPACTNESS:
            continue
        solid = _filled(largest_piece(tree.upsample(int(node), image) > 0.5))
        support = edge_support(image, solid)
        inner = _without_rim(solid)
        if support > best_support and inner.mean() > 0.5 * min_area:
            best, best_support = inner, support
    return None if best is None else cropped(image, best.astype(np.float32))


def edge_support(image: UInt8, mask: Bool) -> float:
    """Part of a mask's outline, 0..1, where the colors close by on both sides differ clearly (Lab distance 10)."""
    if not mask.any():
        return 0.0
    piece, inside = cropped(image, mask.astype(np.float32), margin=8)
    lab = cv2.cvtColor(piece.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    outline = inside != cv2.erode(inside, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_REPLICATE)
    means = []
    for side in (inside, 1 - inside):
        weight = cv2.blur(side, (7, 7))[outline]
        means.append(cv2.blur(lab * side[..., None], (7, 7))[outline] / np.maximum(weight, 1e-6)[:, None])
    return float((np.linalg.norm(means[0] - means[1], axis=1) > CLEAR_DISTANCE).mean())


def cropped(image: UInt8, alpha: Float, margin: int = 4) -> Cutout:
    """Cut both to the box of `alpha` > 0 plus a margin of the pixels around it."""
    rows, columns = np.flatnonzero(alpha.any(1)), np.flatnonzero(alpha.any(0))
    box = (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + margin + 1),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + margin + 1),
    )
    return Cutout(np.ascontiguousarray(image[box]), np.ascontiguousarray(alpha[box], np.float32))


def _distance_to_border_color(image: UInt8) -> tuple[Float, Bool]:
    """H x W Lab distance to the border's median color, and where the border is."""
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    width = max(2, round(0.02 * min(image.shape[:2])))
    border = np.ones(image.shape[:2], bool)
    border[width:-width, width:-width] = False
    distance = np.linalg.norm(lab - np.median(lab[border], axis=0), axis=2)
    return distance.astype(np.float32), border


def _foreground(distance: Float, threshold: float) -> Bool:
    """What does not belong to a background-colored component that reaches the image's border."""
    _, labels = cv2.connectedComponents((distance < threshold).astype(np.uint8), connectivity=4)
    edge = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    background = np.setdiff1d(edge, [0])
    return ~np.isin(labels, background)


def _object(distance: Float, threshold: float) -> Bool:
    kernel = np.ones((3, 3), np.uint8)
    opened = cv2.morphologyEx(_foreground(distance, threshold).astype(np.uint8), cv2.MORPH_OPEN, kernel)
    filled = _filled(largest_piece(opened.astype(bool)))
    return filled & ~_plain_holes(filled & (distance < threshold))


def _plain_holes(plain: Bool) -> Bool:
    """Those pieces of `plain` that are wide: through them the background shows, others are highlights."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(plain.astype(np.uint8), connectivity=4)
    wide = statistics[:, cv2.CC_STAT_AREA] > HOLE_AREA * plain.size
    wide[0] = False
    return np.asarray(wide[labels])


def _is_frame(mask: Bool) -> bool:
    """Whether the mask nearly fills its box: an image within the image."""
    box = mask[mask.any(1)][:, mask.any(0)]
    return float(box.mean()) > 0.95


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


def _without_rim(mask: Bool) -> Bool:
    """One pixel less all around: there the camera mixed both colors, which would show as a halo."""
    padded = np.pad(mask, 1, mode="edge").astype(np.uint8)
    return largest_piece(cv2.erode(padded, np.ones((3, 3), np.uint8))[1:-1, 1:-1].astype(bool))


def _inner_nodes(tree: MergeTree, min_area: float, max_area: float) -> npt.NDArray[np.int64]:
    """Nodes of the wanted area none of whose leaves lies at the grid's border."""
    on_border = np.zeros(tree.grid, np.int64)
    on_border[[0, -1]] = 1
    on_border[:, [0, -1]] = 1
    counted = np.concatenate([[0], np.cumsum(on_border.ravel()[tree.order])])
    touching = counted[tree.start + tree.area] - counted[tree.start]
    share = tree.area / tree.n_leaves
    return np.flatnonzero((touching == 0) & (share >= min_area) & (share <= max_area))


def _compactness(mask: Bool) -> float:
    """16 area / perimeter^2 on the grid: 1 for a square, less for strings and stars."""
    padded = np.pad(mask, 1)
    perimeter = sum(int((padded != np.roll(padded, 1, axis)).sum()) for axis in (0, 1))
    return 16 * float(mask.sum()) / perimeter**2
