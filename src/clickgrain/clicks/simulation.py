"""Clicks, boxes and scribbles drawn from a pseudo mask for training (MIS, section 4, and our additions).

Masks are H x W, bool or a soft float (object where > 0.5). `valid` (H x W bool) is False on padding and ignored
pixels: nothing is drawn there. Points are (x, y) in pixels and always lie on a pixel's integer coordinates.
Everything is a function of the given numpy Generator.
"""

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from clickgrain.clicks.config import ClickSimulation
from clickgrain.clicks.regions import (
    SoftMask,
    as_bool,
    as_bool_like,
    border_band,
    eroded,
    holds,
    split_sides,
    uniform_points,
)
from clickgrain.clicks.robot import Click, ErrorDepth
from clickgrain.errors import ConfigError, PromptError
from clickgrain.types import Bool, Box, Float, Scribble, UInt8

_STROKES = 8  # candidate strokes, of which the longest is kept


def initial_clicks(
    mask: SoftMask,
    rng: np.random.Generator,
    settings: ClickSimulation,
    *,
    sibling: SoftMask | None = None,
    valid: Bool | None = None,
    single: bool | None = None,
) -> tuple[Float, UInt8]:
    """The clicks that a sample begins with: 1 + k positives, then 0 or more negatives.

    Positives are uniform in the eroded mask. Each negative comes from `sibling` with `share_sibling` (where
    that region has pixels outside the mask), otherwise from the border band with `share_border`, otherwise
    from the whole background. A mask without background gets no negatives.

    Args:
        mask: H x W object.
        rng: source of randomness.
        settings: the laws.
        sibling: H x W region of the sibling node in the merge tree.
        valid: H x W, where clicks may fall.
        single: True for exactly one positive click (`first_click`), False for the law; None draws it with
            probability share_single + share_recursive.

    Returns:
        N x 2 float32 (x, y) and N uint8 labels (1 object, 0 background), positives first.

    Raises:
        PromptError: for an empty mask or unequal shapes.
    """
    inside, outside = split_sides(mask, valid)
    if single is None:
        single = rng.random() < settings.share_single + settings.share_recursive
    if single:
        point = _first_click(inside, rng, settings.share_centre)
        return np.array([point], np.float32), np.ones(1, np.uint8)
    erode = rng.random() < settings.share_erosion
    region = eroded(inside, settings.erosion, settings.min_eroded) if erode else inside
    positives = uniform_points(region, 1 + _count(settings.max_points - 1, settings.decay, rng), rng)
    negatives = _negatives(inside, outside, _sibling(sibling, outside), rng, settings)
    labels = np.repeat(np.array([1, 0], np.uint8), [len(positives), len(negatives)])
    return np.concatenate([positives, negatives]), labels


def first_click(
    mask: SoftMask, rng: np.random.Generator, *, share_centre: float = 0.5, valid: Bool | None = None
) -> tuple[int, int]:
    """One first click as users make it: well inside the object, often at its centre.

    With probability `share_centre` it is the pixel farthest from the object's outline (first maximum of the exact
    distance transform, the robot user's click), otherwise a uniform pixel farther from it than half that maximum.

    Raises:
        PromptError: for an empty mask.
    """
    return _first_click(split_sides(mask, valid)[0], rng, share_centre)


def corrective_click(
    target: SoftMask,
    prediction: SoftMask,
    rng: np.random.Generator,
    *,
    share_centre: float = 0.0,
    valid: Bool | None = None,
) -> Click | None:
    """The next click of a user who sees `prediction`, or None where it already equals `target`.

    Missed and wrongly added pixels are compared by the maximum of their exact distance transforms: positive iff the
    missed ones reach deeper (a tie is negative, as for the robot user). The click is a uniform pixel of that error
    whose distance is above half the maximum, or with probability `share_centre` its deepest pixel, the robot's.

    Returns:
        (x, y, label) or None.

    Raises:
        PromptError: for unequal shapes.
    """
    wanted = as_bool(target, "target")
    predicted = as_bool_like(prediction, wanted, "prediction")
    wrong = wanted ^ predicted
    if valid is not None:
        wrong &= as_bool_like(valid, wanted, "valid")
    missed, added = ErrorDepth(wrong & wanted, ()), ErrorDepth(wrong & predicted, ())
    positive = missed.maximum > added.maximum
    error = missed if positive else added
    if error.maximum == 0.0:
        return None
    deepest = share_centre > 0.0 and rng.random() < share_centre
    point = error.point(int(error.depth.argmax())) if deepest else _random_deep(error, rng)
    return *point, int(positive)


def simulated_box(
    mask: SoftMask, rng: np.random.Generator, jitter: float = 0.1, *, valid: Bool | None = None
) -> Box:
    """The object's bounding box as a user draws it: each edge off by up to `jitter` of the box's side, uniform.

    Returns:
        XYXY pixels inside the image, never empty; without jitter the box holds the object exactly (x2 and y2 are
        one past the last pixel).

    Raises:
        PromptError: for an empty mask.
        ConfigError: for a jitter outside 0..0.5.
    """
    if not 0.0 <= jitter < 0.5:
        raise ConfigError(f"jitter {jitter:g} is out of range; give a share of the box's side in 0..0.5")
    inside = split_sides(mask, valid)[0]
    x, y, w, h = cv2.boundingRect(inside.view(np.uint8))
    off = rng.uniform(-jitter, jitter, 4) * (w, h, w, h)
    height, width = inside.shape
    x1, y1, x2, y2 = (np.array([x, y, x + w, y + h]) + off).clip(0, (width, height, width, height)).tolist()
    return x1, y1, x2, y2


def simulated_scribble(
    mask: SoftMask, rng: np.random.Generator, label: int = 1, *, valid: Bool | None = None
) -> Scribble:
    """A smooth random stroke inside the object (label 1) or outside of it (label 0).

    The stroke stays inside the region eroded by 3 px, or the region itself where that leaves too little, and is
    up to 0.5..1.5 sqrt(object area) px long; background strokes begin outside of the object. Its points are an
    8-connected chain of pixels, so that it stays inside however it is drawn. On lines one pixel wide it may be
    a single point.

    Args:
        mask: H x W object, whatever the label.
        rng: source of randomness.
        label: 1 object, 0 background.
        valid: H x W, where the stroke may run.

    Raises:
        PromptError: for an empty mask, a background stroke without background, or another label.
    """
    inside, outside = split_sides(mask, valid)
    if label == 0 and not outside.any():
        raise PromptError("a background scribble needs background, but the mask fills the image; use label 1")
    settings = ClickSimulation.paper()
    region = eroded(inside if label else outside, settings.erosion, settings.min_eroded)
    near = region if label else border_band(inside, region, settings.border_ratio, settings.erosion)
    starts = uniform_points(near if near.any() else region, _STROKES, rng)
    length = int(np.ceil(rng.uniform(0.5, 1.5) * np.sqrt(np.count_nonzero(inside))))
    return Scribble(_longest_stroke(region, starts, length, rng), label)


def _sibling(sibling: SoftMask | None, outside: Bool) -> Bool | None:
    if sibling is None:
        return None
    region = as_bool_like(sibling, outside, "sibling") & outside
    return region if region.any() else None


@lru_cache(maxsize=16)
def _cumulative(most: int, decay: float) -> npt.NDArray[np.float64]:
    weights = decay ** np.arange(most + 1)
    return np.cumsum(weights / weights.sum())[:-1]


def _count(most: int, decay: float, rng: np.random.Generator) -> int:
    """A number in 0..most with P(k) ~ decay^k."""
    return int(np.searchsorted(_cumulative(most, decay), rng.random(), side="right"))


def _negatives(
    inside: Bool, outside: Bool, sibling: Bool | None, rng: np.random.Generator, settings: ClickSimulation
) -> Float:
    total = _count(settings.max_points, settings.decay, rng)
    hard = 0 if sibling is None else int(rng.binomial(total, settings.share_sibling))
    near = int(rng.binomial(total - hard, settings.share_border))
    parts = [uniform_points(outside, total - hard - near, rng)]
    if near:
        band = border_band(inside, outside, settings.border_ratio)
        parts.append(uniform_points(band if band.any() else outside, near, rng))
    if sibling is not None:
        parts.append(uniform_points(sibling, hard, rng))
    return np.concatenate(parts)


def _random_deep(error: ErrorDepth, rng: np.random.Generator) -> tuple[int, int]:
    """A uniform pixel deeper than half the maximal depth."""
    return error.point(int(rng.choice(np.flatnonzero(error.depth > 0.5 * error.maximum))))


def _first_click(inside: Bool, rng: np.random.Generator, share_centre: float) -> tuple[int, int]:
    depth = ErrorDepth(inside, ())
    return depth.point(int(depth.depth.argmax())) if rng.random() < share_centre else _random_deep(depth, rng)


def _longest_stroke(region: Bool, starts: Float, length: int, rng: np.random.Generator) -> Float:
    """The longest of several smooth walks in steps of about 1 px, each cut where it leaves the region."""
    n = len(starts)
    turns = rng.normal(0.0, 0.08, (n, length)) + rng.normal(0.0, 1.5 / length, (n, 1))  # rad per px
    heading = rng.uniform(0.0, 2.0 * np.pi, (n, 1)) + np.cumsum(turns, axis=1)
    # Below 1 px, so that rounding never skips a pixel.
    steps = 0.99 * np.stack([np.cos(heading), np.sin(heading)], axis=2)
    walk = np.concatenate([starts[:, None], starts[:, None] + np.cumsum(steps, axis=1)], axis=1)
    pixels = np.floor(walk + 0.5).astype(np.int64)
    lengths = np.logical_and.accumulate(holds(region, pixels), axis=1).sum(axis=1)
    best = int(lengths.argmax())
    stroke = pixels[best, : lengths[best]]
    moved = np.concatenate([[True], (np.diff(stroke, axis=0) != 0).any(axis=1)])
    return np.asarray(stroke[moved], np.float32)
