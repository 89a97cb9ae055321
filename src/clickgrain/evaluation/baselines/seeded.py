"""Four methods that spread certain pixels (seeds): GrabCut, graph cut, random walker, geodesic distance."""

import warnings
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import correlate1d
from skimage.graph import MCP_Geometric
from skimage.segmentation import random_walker

from clickgrain.cut import obey
from clickgrain.cut.flow import COLUMN, ROW, min_cut
from clickgrain.evaluation.baselines.base import Prompted
from clickgrain.images import resize_long_side, to_lab
from clickgrain.types import Box, Float, Mask, Prompt, Size, UInt8

UNKNOWN, OBJECT, BACKGROUND = 0, 1, 2
RADIUS = 5  # of the certain disk around a click and to either side of a scribble, in image pixels
GAMMA = 3.0  # geodesic: pixels that a change of one Lab unit is worth; of 0.3, 1, 3 the best on 12 targets of bsds
SMOOTHNESS, BANDWIDTH = 6.0, 8.0  # graph cut: of its neighbors; of its kernel density, in Lab units
LIMIT = 3.0  # the log-likelihood ratio of a color is clipped here, so that no color is certain
UNIT, CERTAIN = 1000, 1_000_000  # capacities are whole numbers: thousandths
Values = npt.NDArray[np.float64]
Spread = Callable[[UInt8], Float]
"""Of one image: h x w seeds that hold all three values -> h x w float32 probability of object."""


class Seeded(Prompted):
    """A method that spreads certain pixels over the image; starts from scratch at every click.

    Clicks are disks and scribbles strokes of certain pixels. Outside a box all is certain background; the middle of
    a box (half its width and height) without a positive click or scribble is certain object. Without a background
    seed the outermost pixels of the image are background, without an object seed the answer is empty. `previous`
    and `level` are ignored. Every click ends on its side of the mask.

    Works on the image shrunk to `long_side`, to keep a click short; the probability is scaled up bilinearly.
    """

    def __init__(self, name: str, long_side: int, study: Callable[[UInt8], Spread]) -> None:
        self.name, self._long_side, self._study = name, long_side, study

    def _prepare(self, image: UInt8) -> None:
        small = resize_long_side(image, self._long_side) if max(image.shape[:2]) > self._long_side else image.copy()
        self._small: Size = small.shape[:2]
        self._spread = self._study(small)

    def _answer(self, prompt: Prompt, size: Size, previous: "Mask | Float | None") -> Mask:
        seeds = seeds_of(prompt, size, self._small)
        if all((seeds == value).any() for value in (UNKNOWN, OBJECT, BACKGROUND)):
            small = self._spread(seeds)
        else:  # nothing to decide, or nothing to decide it from
            small = (seeds == OBJECT).astype(np.float32)
        full = cv2.resize(small, size[::-1], interpolation=cv2.INTER_LINEAR)
        return Mask(obey(full.astype(np.float32, copy=False), prompt, RADIUS))


def seeds_of(prompt: Prompt, image_size: Size, size: Size) -> UInt8:
    """h x w uint8 of UNKNOWN, OBJECT and BACKGROUND for a prompt in pixels of an image of `image_size`."""
    scale = size[1] / image_size[1]
    small = prompt.scaled(scale, size[0] / image_size[0])
    strokes = strokes_of(small)
    seeds = np.full(size, UNKNOWN, np.uint8)
    if small.box is not None:
        x1, y1, x2, y2 = small.box
        seeds[:] = BACKGROUND
        seeds[inside(small.box)] = UNKNOWN
        if not any(label for _, label in strokes):
            middle = 0.75 * x1 + 0.25 * x2, 0.75 * y1 + 0.25 * y2, 0.25 * x1 + 0.75 * x2, 0.25 * y1 + 0.75 * y2
            seeds[inside(middle)] = OBJECT
    for radius in (max(1, round(RADIUS * scale)), 0):  # the disk of a neighbor must not swallow a click
        for points, label in strokes:
            draw(seeds, points, radius, OBJECT if label else BACKGROUND)
    if not (seeds == BACKGROUND).any():
        inner = seeds[1:-1, 1:-1].copy()
        seeds[seeds == UNKNOWN] = BACKGROUND
        seeds[1:-1, 1:-1] = inner
    return seeds


def inside(box: Box) -> tuple[slice, slice]:
    """Rows and columns of the pixels that an XYXY box touches."""
    return slice(int(box[1]), int(np.ceil(box[3]))), slice(int(box[0]), int(np.ceil(box[2])))


def strokes_of(prompt: Prompt) -> list[tuple[Float, int]]:
    """(points, label) of every click (one point) and scribble."""
    strokes = [(point[None], int(label)) for point, label in zip(prompt.points, prompt.labels)]
    return strokes + [(scribble.points, scribble.label) for scribble in prompt.scribbles]


def draw(seeds: UInt8, points: Float, radius: int, value: int) -> None:
    """Draw a disk (one point) or a stroke with round ends (several), `radius` pixels to either side."""
    pixels = np.floor(points).astype(np.int32)
    for x, y in pixels:
        cv2.circle(seeds, (int(x), int(y)), radius, value, cv2.FILLED)
    if len(pixels) > 1:
        cv2.polylines(seeds, [pixels], isClosed=False, color=value, thickness=2 * radius + 1)


class OpenCVGrabCut(Prompted):
    """`cv2.grabCut` (Rother et al. 2004) driven by clicks, from scratch at every click, at full size.

    All is probable background, a wide disk around each positive click probable object, a small disk around each
    click certain. A box makes all outside certain background and all inside probable object; a scribble counts as
    a click along its whole length. `previous` and `level` are ignored.

    grabCut starts its color models from OpenCV's global random generator, which moves the figures: on 21 of the 50
    GrabCut images NoC85 / NoC90 are 4.32 / 6.78 on average over seeds 0..4 (standard deviation 0.12 / 0.15), and
    4.29 / 6.67 in an unseeded run that leaves each target at IoU 0.90. So `seed` is that of every prediction: the
    same prompt gets the same answer. None leaves the generator alone.
    """

    name = "opencv-grabcut"
    iterations = 4

    def __init__(self, seed: int | None = 0) -> None:
        self._seed = seed

    def _prepare(self, image: UInt8) -> None:
        self._image = np.ascontiguousarray(image)

    def _answer(self, prompt: Prompt, size: Size, previous: "Mask | Float | None") -> Mask:
        strokes = strokes_of(prompt)
        if prompt.box is None:
            seeds = np.full(size, cv2.GC_PR_BGD, np.uint8)
            for points in (points for points, label in strokes if label):
                draw(seeds, points, int(max(20, min(size) / 8)), cv2.GC_PR_FGD)
        else:
            seeds = np.full(size, cv2.GC_BGD, np.uint8)
            seeds[inside(prompt.box)] = cv2.GC_PR_FGD
        for points, label in strokes:
            draw(seeds, points, RADIUS, cv2.GC_FGD if label else cv2.GC_BGD)
        found = np.isin(seeds, (cv2.GC_FGD, cv2.GC_PR_FGD))
        if found.any() and not found.all():  # each of the two color models needs pixels
            if self._seed is not None:
                cv2.setRNGSeed(self._seed)
            models = np.zeros((2, 1, 65))
            unused = (0, 0, 1, 1)  # a rectangle, which GC_INIT_WITH_MASK does not read
            cv2.grabCut(self._image, seeds, unused, models[0], models[1], self.iterations, cv2.GC_INIT_WITH_MASK)
            found = np.isin(seeds, (cv2.GC_FGD, cv2.GC_PR_FGD))
        return Mask(found.astype(np.float32))


def random_walker_on(image: UInt8) -> Spread:
    """Random walks (Grady, TPAMI 2006): how likely a walker, kept by color edges, meets an object seed first."""
    color = image / 255.0
    if color.std() == 0:  # scikit-image divides by it
        color[0, 0] += 1e-3

    def spread(seeds: UInt8) -> Float:
        with warnings.catch_warnings():  # of the solver's error, which is clipped below
            warnings.filterwarnings("ignore", message="The probability range is outside")
            probability = random_walker(
                color,
                seeds.astype(np.int32),
                beta=500,  # how much an edge keeps the walker back; best of 130, 500, 1500 on 10 targets of bsds
                mode="cg_j",  # conjugate gradients, Jacobi preconditioner: needs no further package
                tol=1e-3,  # 1e-5 took three times as long and gave no better masks at beta 130
                return_full_prob=True,
                channel_axis=-1,
            )
        return np.clip(probability[0], 0, 1).astype(np.float32)

    return spread


def geodesic_on(image: UInt8) -> Spread:
    """Nearest seed by geodesic distance: a pixel belongs to the seed that is nearest along the image.

    The length of a path is the integral of sqrt(1 + gamma^2 |grad I|^2), I in CIE Lab (Criminisi, Sharp and Blake,
    GeoS, ECCV 2008, eq. 2, with the gradient's norm for its projection on the path, so that a path along an edge
    pays as well; labels as by Bai and Sapiro, ICCV 2007). The probability is d_background / (d_object +
    d_background).
    """
    lab = to_lab(image).astype(np.float64)
    down, across = (correlate1d(lab, [-0.5, 0, 0.5], axis, mode="nearest") for axis in (0, 1))
    cost = np.sqrt(1 + GAMMA**2 * (across**2 + down**2).sum(axis=2))

    def spread(seeds: UInt8) -> Float:
        sides = (np.argwhere(seeds == value) for value in (OBJECT, BACKGROUND))
        object_, background = (MCP_Geometric(cost).find_costs(side)[0] for side in sides)
        return np.asarray(background / (object_ + background), np.float32)

    return spread


def graph_cut_on(image: UInt8) -> Spread:
    """Interactive graph cuts (Boykov and Jolly, ICCV 2001): the cheapest boundary that separates the seeds.

    A pixel pays its log-likelihood ratio of color, a kernel density over the seeds of each side in CIE Lab; the
    background's is mixed with that of the whole image, since one click shows little of it. Neighbors (8) pay
    SMOOTHNESS * exp(-|dI|^2 / (2 mean |dI|^2)) / distance.
    """
    lab = to_lab(image).astype(np.float64)
    bins = np.floor(lab / 4).astype(np.int64).reshape(-1, 3) + 64
    code = (bins[:, 0] * 256 + bins[:, 1]) * 256 + bins[:, 2]
    _, first, bin_ = np.unique(code, return_index=True, return_inverse=True)
    colors = lab.reshape(-1, 3)[first]

    def density(samples: Values) -> Values:
        """Mean Gaussian kernel of (evenly thinned) samples at each of the image's binned colors."""
        samples = samples[:: max(1, len(samples) // 256)]
        squared = ((colors[:, None] - samples[None]) ** 2).sum(axis=2)
        return np.exp(-squared / (2 * BANDWIDTH**2)).mean(axis=1)

    everywhere, (neighbor, capacity) = density(lab.reshape(-1, 3)), _neighbors(lab)

    def spread(seeds: UInt8) -> Float:
        object_, background = density(lab[seeds == OBJECT]), (density(lab[seeds == BACKGROUND]) + everywhere) / 2
        ratio = np.log((object_ + 1e-4) / (background + 1e-4)).clip(-LIMIT, LIMIT)[bin_]
        unary = np.rint(ratio * UNIT).astype(np.int64)
        unary[seeds.ravel() == OBJECT] = CERTAIN
        unary[seeds.ravel() == BACKGROUND] = -CERTAIN
        return min_cut(neighbor, capacity.copy(), unary.astype(np.int32)).reshape(seeds.shape).astype(np.float32)

    return spread


def _neighbors(lab: Values) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """n x 8 neighbors and capacities, as `min_cut` takes them, of an h x w x 3 image."""
    height, width = lab.shape[:2]
    index, colors = np.arange(height * width).reshape(height, width), lab.reshape(-1, 3)
    padded = np.pad(index, 1, constant_values=-1)
    shifted = [padded[1 + y : 1 + y + height, 1 + x : 1 + x + width].ravel() for y, x in zip(ROW, COLUMN)]
    neighbor = np.stack(shifted, axis=1).astype(np.int32)
    capacity = np.zeros(neighbor.shape, np.int32)
    pairs = [(d, np.flatnonzero(neighbor[:, d] >= 0)) for d in (4, 6, 7, 5)]  # each pair of neighbors once
    squared = [((colors[one] - colors[neighbor[one, d]]) ** 2).sum(axis=1) for d, one in pairs]
    every = np.concatenate(squared)
    beta = 1 / max(2 * every.mean(), 1e-6) if len(every) else 0.0
    for (d, one), values in zip(pairs, squared):
        cost = SMOOTHNESS * np.exp(-beta * values) / np.hypot(ROW[d], COLUMN[d])
        capacity[one, d] = capacity[neighbor[one, d], 7 - d] = np.rint(cost * UNIT).astype(np.int32) + 1
    return neighbor, capacity
