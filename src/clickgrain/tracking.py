"""`Tracker`: carries the mask of an object from frame to frame, or from slice to slice.

Dense optical flow (DIS: Kroeger et al., ECCV 2016) moves the mask; a similarity transform, fitted to the flow on
the object, moves its full shape, which outlives what hides a part of it. Where the two disagree, the colors of the
object and of what surrounds it decide, and the cut draws the outline. No network: `docs/experiments.md` says why.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import convolve1d

from clickgrain.cut import CutSettings, cut_mask, depth_in
from clickgrain.errors import ImageError, PromptError
from clickgrain.images import check_image, resize_long_side
from clickgrain.types import Bool, Float, Prompt, Size, UInt8

LONG_SIDE = 640  # motion and masks are computed at this size
UNSURE = 0.02  # probability of what is certainly not the object; its complement of what certainly is
INCONSISTENT = 1.5, 0.1
"""Flow there and back may differ by so many pixels, and by this part of its length, before it counts as wrong."""
COLOR, MOST_ODDS, FLOOR = 1.2, 3.0, 2e-4
"""Weight of the color log odds, their largest size, and what is added to every frequency."""
DECAY = 0.97  # a frame, of the part of the full shape that is not seen
REACH, AROUND = 4, 20
"""How many pixels from the carried mask the object may be, and how far what surrounds it counts."""
BINS = 16, 32, 32  # of L, a, b
FEWEST, MOST_POINTS, FITTING = 30, 600, 0.3
"""Points of the object that a transform is fitted to, and the part of them that must follow it."""
SMALLER = 1 / 3  # part of the first mask's pixels below which the score falls: what left the image leaves a rest
FOUND = 0.7  # a part of an image is found in another one where their normalized correlation is at least this
LOST = 0.35
"""`Tracked.score` below which a caller should stop and ask for a click."""
FloatMap = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Tracked:
    """The object on one frame.

    Attributes:
        mask: H x W bool.
        score: 0..1, how sure the tracker is: agreement of mask and carried mask, times the part of the mask that
            looks like the object; less for a mask under a third of the first one, 0 for an empty one.
    """

    mask: Bool
    score: float


class Tracker:
    """Carries one object; a correction on any frame starts another tracker there.

    ```python
    tracker = Tracker(first_image, mask.binary)
    for image in images:
        tracked = tracker.step(image)
        if tracked.score < clickgrain.tracking.LOST:
            break
    ```

    Args:
        image: H x W x 3 uint8 RGB.
        mask: H x W bool, the object on it.

    Raises:
        PromptError: for an empty mask, or one of another size.
        ImageError: if the array is no such image.
    """

    def __init__(self, image: UInt8, mask: Bool) -> None:
        self.size: Size = check_image(image).shape[:2]
        if mask.shape != self.size or not mask.any():
            raise PromptError(
                f"the mask has shape {mask.shape} and {int(np.count_nonzero(mask))} pixels; give one of the object,"
                f" H x W = {self.size[0]} x {self.size[1]}"
            )
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        worked = self._worked(image)
        self._gray = cv2.cvtColor(worked, cv2.COLOR_RGB2GRAY)
        small = cv2.resize(mask.astype(np.float32), worked.shape[1::-1], interpolation=cv2.INTER_AREA)
        if small.max() <= 0.5:  # thinner than a pixel at this size
            small /= small.max()
        self._seen: Float = small
        self._shape: Float = small.copy()
        bins, seen = _bins(worked), small > 0.5
        self._pixels = int(seen.sum())
        self._object = _frequencies(bins, seen)
        self._around = _frequencies(bins, _wider(seen, AROUND) & ~seen)

    def step(self, image: UInt8) -> Tracked:
        """The object on the next frame; ImageError if it is no H x W x 3 uint8 RGB image of the first's size."""
        if check_image(image).shape[:2] != self.size:
            raise ImageError(
                f"the frame has {image.shape[1]} x {image.shape[0]} pixels, the first one"
                f" {self.size[1]} x {self.size[0]}; all frames must have one size"
            )
        worked = self._worked(image)
        gray = cv2.cvtColor(worked, cv2.COLOR_RGB2GRAY)
        carried = self._carry(gray)
        bins = _bins(worked)
        odds = np.log((self._object[bins] + FLOOR) / (self._around[bins] + FLOOR)).clip(-MOST_ODDS, MOST_ODDS)
        looks_alike = odds > 0

        shape, moved = self._shape > 0.5, carried > 0.5
        prior = np.where(shape == moved, carried, 0.5).clip(UNSURE, 1 - UNSURE)
        logits = np.log(prior / (1 - prior)) + COLOR * cv2.GaussianBlur(odds, (0, 0), 1.0)
        probability = np.where(_wider(shape | moved, REACH), 1 / (1 + np.exp(-logits)), UNSURE).astype(np.float32)
        if (inside := probability > 0.5).any():
            y, x = divmod(int(depth_in(inside).argmax()), gray.shape[1])  # the pixel farthest from the border
            prompt = Prompt.of([(x, y)], [1], size=(gray.shape[0], gray.shape[1]))
            probability = np.asarray(cut_mask(probability, worked, prompt, CutSettings()), np.float32)
        seen = probability > 0.5

        self._gray, self._seen = gray, probability
        self._shape = np.where(looks_alike, np.maximum(DECAY * self._shape, probability), DECAY * self._shape)
        near = _wider(seen | (self._shape > 0.5), AROUND) & ~seen & (self._shape <= 0.5)
        self._around = 0.8 * self._around + 0.2 * _frequencies(bins, near)
        score = 0.0
        if seen.any():
            score = float((seen & moved).sum() / (seen | moved).sum() * looks_alike[seen].mean())
            score *= min(1.0, float(seen.sum()) / (SMALLER * self._pixels))
        if gray.shape != self.size:
            probability = cv2.resize(probability, self.size[::-1], interpolation=cv2.INTER_LINEAR)
        return Tracked(probability > 0.5, score)

    def _worked(self, image: UInt8) -> UInt8:
        return image if max(self.size) <= LONG_SIDE else resize_long_side(image, LONG_SIDE)

    def _carry(self, gray: UInt8) -> Float:
        """The mask moved by the flow; the full shape moves along."""
        back, there = self._flow.calc(gray, self._gray, None), self._flow.calc(self._gray, gray, None)
        carried = _moved(self._seen, back)
        missed = np.hypot(*(back[..., i] + _moved(np.ascontiguousarray(there[..., i]), back) for i in (0, 1)))
        trusted = missed <= INCONSISTENT[0] + INCONSISTENT[1] * np.hypot(back[..., 0], back[..., 1])
        motion = _similarity(back, (carried > 0.5) & trusted)
        if motion is None:
            self._shape = _moved(self._shape, back)
        else:
            self._shape = cv2.warpAffine(self._shape, motion, gray.shape[::-1], flags=cv2.INTER_LINEAR)
        return carried


def found_near(mask: Bool, before: UInt8, after: UInt8) -> Bool:
    """An H x W mask where its part of an image is found in another one of that size, at most its own size away."""
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    longer = max(width, height)
    margin = longer // 8 + 1

    def part(grown: int) -> tuple[slice, slice]:
        rows = slice(max(0, top - grown), top + height + grown)
        return rows, slice(max(0, left - grown), left + width + grown)

    small, large = part(margin), part(margin + longer)
    fits = cv2.matchTemplate(after[large], before[small], cv2.TM_CCOEFF_NORMED)
    _, best, _, (x, y) = cv2.minMaxLoc(fits)
    if best < FOUND:
        return mask
    by = np.array([large[1].start + x - small[1].start, large[0].start + y - small[0].start], np.float32)
    shift = np.column_stack([np.eye(2, dtype=np.float32), by])
    return cv2.warpAffine(mask.astype(np.uint8), shift, mask.shape[::-1]) > 0


def _moved(values: Float, back: FloatMap) -> Float:
    """h x w values of the last frame on the next one; `back` is the flow from there to the last frame."""
    y, x = np.mgrid[: values.shape[0], : values.shape[1]].astype(np.float32)
    return cv2.remap(values, x + back[..., 0], y + back[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def _similarity(back: FloatMap, inside: Bool) -> npt.NDArray[np.float64] | None:
    """2 x 3, rotation, scale and shift from the last frame to the next that most of the object's pixels follow."""
    rows, columns = np.nonzero(inside)
    if len(rows) < FEWEST:
        return None
    chosen = np.random.default_rng(0).permutation(len(rows))[:MOST_POINTS]
    here = np.stack([columns[chosen], rows[chosen]], 1).astype(np.float32)
    before = here + back[rows[chosen], columns[chosen]]
    motion, followed = cv2.estimateAffinePartial2D(
        before, here, method=cv2.RANSAC, ransacReprojThreshold=INCONSISTENT[0]
    )
    return motion if motion is not None and followed.mean() > FITTING else None


def _bins(image: UInt8) -> npt.NDArray[np.int32]:
    """h x w color bin of every pixel."""
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.int32)
    light, a, b = (lab[..., i] * count // 256 for i, count in enumerate(BINS))
    return (light * BINS[1] + a) * BINS[2] + b


def _frequencies(bins: npt.NDArray[np.int32], mask: Bool) -> Float:
    """Of every color bin in a mask, smoothed over neighboring bins."""
    counts: Float = np.bincount(bins[mask], minlength=int(np.prod(BINS))).astype(np.float32).reshape(BINS)
    for axis in range(3):
        counts = convolve1d(counts, [0.25, 0.5, 0.25], axis, mode="nearest")
    return counts.ravel() / max(float(counts.sum()), 1.0)


def _wider(mask: Bool, pixels: int) -> Bool:
    square = np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)
    return cv2.dilate(mask.astype(np.uint8), square) > 0
