"""Clicks, boxes and scribbles drawn from a pseudo mask for training (MIS, section 4, and our additions).

Masks are H x W, bool or a soft float (object where > 0.5). `valid` (H x W bool) is False on padding and ignored
pixels: nothing is drawn there. Points are (x, y) in pixels and always lie on a pixel's integer coordinates.
Everything is a function of the given numpy Generator.
"""

import cv2
import numpy as np
from numpy.random import Generator

from clickgrain.clicks.config import ClickSimulation
from clickgrain.clicks.robot import Click, ErrorDepth, larger_error
from clickgrain.errors import ConfigError, PromptError
from clickgrain.types import Bool, Box, Float, Int, Scribble, UInt8

SoftMask = Bool | Float  # H x W bool, or a soft float mask whose object is > 0.5
_SQUARE = np.ones((3, 3), np.uint8)
_STROKES = 8  # strokes drawn, of which the longest is taken


def initial_clicks(
    mask: SoftMask,
    rng: Generator,
    settings: ClickSimulation,
    *,
    sibling: SoftMask | None = None,  # H x W region of the sibling node in the merge tree
    valid: Bool | None = None,  # H x W, where clicks may fall
    # True for exactly one positive click (`first_click`), False for 1 + k; None draws it with probability
    # share_single + share_recursive
    single: bool | None = None,
) -> tuple[Float, UInt8]:
    """The clicks that a sample begins with: 1 + k positives, then 0 or more negatives.

    Positives are uniform in the eroded mask. Each negative comes from `sibling` with `share_sibling` (where
    that region has pixels outside the mask), otherwise from the border band with `share_border`, otherwise
    from the whole background. A mask without background gets no negatives. Returns N x 2 (x, y) and N labels (1
    object, 0 background), positives first. Raises PromptError: for an empty mask or unequal shapes.
    """
    if single is None:
        single = rng.random() < settings.share_single + settings.share_recursive
    if single:
        point = first_click(mask, rng, share_centre=settings.share_centre, valid=valid)
        return np.array([point], np.float32), np.ones(1, np.uint8)
    inside, outside = object_and_background(mask, valid)
    erode = rng.random() < settings.share_erosion
    region = eroded(inside, settings.erosion, settings.min_eroded) if erode else inside
    positives = uniform_points(region, 1 + _count(settings.max_points - 1, settings.decay, rng), rng)
    near_by = None if sibling is None else as_bool_like(sibling, outside, "sibling") & outside
    total = _count(settings.max_points, settings.decay, rng)
    hard = 0 if near_by is None or not near_by.any() else int(rng.binomial(total, settings.share_sibling))
    near = int(rng.binomial(total - hard, settings.share_border))
    parts = [positives, uniform_points(outside, total - hard - near, rng)]
    if near:
        band = border_band(inside, outside, settings.border_ratio)
        parts.append(uniform_points(band if band.any() else outside, near, rng))
    if near_by is not None:
        parts.append(uniform_points(near_by, hard, rng))
    clicks = np.concatenate(parts)
    return clicks, (np.arange(len(clicks)) < len(positives)).astype(np.uint8)


def first_click(
    mask: SoftMask, rng: Generator, *, share_centre: float = 0.5, valid: Bool | None = None
) -> tuple[int, int]:
    """One first click as users make it: well inside the object, often at its centre.

    With probability `share_centre` it is the pixel farthest from the object's outline (first maximum of the exact
    distance transform, the robot user's click), otherwise a uniform pixel farther from it than half that maximum.
    """
    depth = ErrorDepth(object_and_background(mask, valid)[0])
    return depth.deepest() if rng.random() < share_centre else depth.random_deep(rng)


def corrective_click(
    target: SoftMask,
    prediction: SoftMask,
    rng: Generator,
    *,
    share_centre: float = 0.0,
    valid: Bool | None = None,
) -> Click | None:
    """The next click of a user who sees `prediction`, or None where it already equals `target`.

    Missed and wrongly added pixels are compared by the maximum of their exact distance transforms: positive iff the
    missed ones reach deeper (a tie is negative, as for the robot user). The click is a uniform pixel of that error
    whose distance is above half the maximum, or with probability `share_centre` its deepest pixel, the robot's.
    """
    wanted = as_bool(target, "target")
    predicted = as_bool_like(prediction, wanted, "prediction")
    wrong = wanted ^ predicted
    if valid is not None:
        wrong &= as_bool_like(valid, wanted, "valid")
    error, label = larger_error(wrong & wanted, wrong & predicted)
    if error.maximum == 0.0:
        return None
    deepest = share_centre > 0.0 and rng.random() < share_centre
    return *(error.deepest() if deepest else error.random_deep(rng)), label


def simulated_box(mask: SoftMask, rng: Generator, jitter: float = 0.1, *, valid: Bool | None = None) -> Box:
    """The object's bounding box as a user draws it: each edge off by up to `jitter` of the box's side, uniform.

    XYXY pixels inside the image, never empty; without jitter the box holds the object exactly (x2 and y2 are one
    past the last pixel). Raises PromptError: for an empty mask. ConfigError: for a jitter outside 0..0.5.
    """
    if not 0.0 <= jitter < 0.5:
        raise ConfigError(f"jitter {jitter:g} is out of range; give a share of the box's side in 0..0.5")
    inside = object_and_background(mask, valid)[0]
    x, y, w, h = cv2.boundingRect(inside.view(np.uint8))
    off = rng.uniform(-jitter, jitter, 4) * (w, h, w, h)
    height, width = inside.shape
    x1, y1, x2, y2 = (np.array([x, y, x + w, y + h]) + off).clip(0, (width, height, width, height)).tolist()
    return x1, y1, x2, y2


def simulated_scribble(mask: SoftMask, rng: Generator, label: int = 1, *, valid: Bool | None = None) -> Scribble:
    """A smooth random stroke inside the object (label 1) or outside of it (label 0).

    The stroke stays inside the region eroded by 3 px, or the region itself where that leaves too little, and is
    up to 0.5..1.5 sqrt(object area) px long; background strokes begin outside of the object. Its points are an
    8-connected chain of pixels, so that it stays inside however it is drawn. On lines one pixel wide it may be
    a single point. Raises PromptError: for an empty mask, a background stroke without background, or another label.
    """
    inside, outside = object_and_background(mask, valid)
    if label == 0 and not outside.any():
        raise PromptError("a background scribble needs background, but the mask fills the image; use label 1")
    settings = ClickSimulation.paper()
    region = eroded(inside if label else outside, settings.erosion, settings.min_eroded)
    near = region if label else border_band(inside, region, settings.border_ratio, settings.erosion)
    starts = uniform_points(near if near.any() else region, _STROKES, rng)
    length = int(np.ceil(rng.uniform(0.5, 1.5) * np.sqrt(np.count_nonzero(inside))))
    # smooth walks in steps of about 1 px, each cut where it leaves the region; the longest is taken
    n = len(starts)
    turns = rng.normal(0.0, 0.08, (n, length)) + rng.normal(0.0, 1.5 / length, (n, 1))  # rad per px
    heading = rng.uniform(0.0, 2.0 * np.pi, (n, 1)) + np.cumsum(turns, axis=1)
    steps = 0.99 * np.stack([np.cos(heading), np.sin(heading)], axis=2)  # below 1 px: rounding skips no pixel
    walk = np.concatenate([starts[:, None], starts[:, None] + np.cumsum(steps, axis=1)], axis=1)
    pixels = np.floor(walk + 0.5).astype(np.int64)
    lengths = np.logical_and.accumulate(holds(region, pixels), axis=1).sum(axis=1)
    best = int(lengths.argmax())
    stroke = pixels[best, : lengths[best]]
    moved = np.concatenate([[True], (np.diff(stroke, axis=0) != 0).any(axis=1)])
    return Scribble(stroke[moved].astype(np.float32), label)


def _count(most: int, decay: float, rng: Generator) -> int:
    """A number in 0..most with P(k) ~ decay^k."""
    weights = decay ** np.arange(most + 1)
    return int(np.searchsorted(np.cumsum(weights / weights.sum())[:-1], rng.random(), side="right"))


def object_and_background(mask: SoftMask, valid: Bool | None) -> tuple[Bool, Bool]:
    """Valid pixels of the object, and of the background; PromptError for an object without a valid pixel."""
    inside = as_bool(mask, "mask")
    outside = ~inside
    if valid is not None:
        allowed = as_bool_like(valid, inside, "valid")
        inside, outside = inside & allowed, outside & allowed
    if not inside.any():
        where = "" if valid is None else " where `valid` is true"
        raise PromptError(f"the mask of shape {inside.shape} is empty{where}; give a mask with an object")
    return inside, outside


def as_bool(mask: SoftMask, name: str) -> Bool:
    """The mask as contiguous bool; a PromptError names it if it is not H x W."""
    array = np.asarray(mask)
    if array.ndim != 2:
        raise PromptError(f"{name} has shape {array.shape}; give an H x W array")
    return np.ascontiguousarray(array if array.dtype == np.bool_ else np.greater(array, 0.5))


def as_bool_like(mask: SoftMask, other: Bool, name: str) -> Bool:
    """As `as_bool`; a PromptError also if its shape is not that of `other`."""
    array = as_bool(mask, name)
    if array.shape != other.shape:
        raise PromptError(f"{name} has shape {array.shape}, the mask {other.shape}; give arrays of the same H x W")
    return array


def eroded(region: Bool, iterations: int, min_area: int) -> Bool:
    """The region after 3x3 erosions (image borders do not erode it) if more than `min_area` pixels remain."""
    smaller = cv2.erode(region.view(np.uint8), _SQUARE, iterations=iterations)
    return smaller.view(np.bool_) if cv2.countNonZero(smaller) > min_area else region


def border_band(inside: Bool, outside: Bool, ratio: float, margin: int = 0) -> Bool:
    """Background within ceil(ratio * sqrt(area)) + margin pixels (Chebyshev distance) of the object."""
    width = int(np.ceil(ratio * np.sqrt(np.count_nonzero(inside)))) + margin
    return cv2.dilate(inside.view(np.uint8), _SQUARE, iterations=width).view(np.bool_) & outside


def uniform_points(region: Bool, n: int, rng: Generator) -> Float:
    """n x 2 (x, y) uniform pixels of the region, with replacement; none from an empty region."""
    pixels = np.flatnonzero(region) if n else np.zeros(0, np.int64)
    if pixels.size == 0:
        return np.zeros((0, 2), np.float32)
    y, x = np.divmod(pixels[rng.integers(pixels.size, size=n)], region.shape[1])
    return np.stack([x, y], axis=1).astype(np.float32)


def holds(region: Bool, pixels: Int) -> Bool:
    """Whether each of ... x 2 (x, y) pixels is in the image and in the region."""
    padded: Bool = np.pad(region, 1)
    height, width = region.shape
    x, y = pixels[..., 0].clip(-1, width), pixels[..., 1].clip(-1, height)
    return np.asarray(padded[y + 1, x + 1], np.bool_)
