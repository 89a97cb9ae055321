"""A mask's last pixels by a global optimum at the image's resolution.

Near the outline of a probability, and where it is undecided, pixels are free; all others keep their side. The cut
minimizes E(x) = sum_i -u_i x_i + strength sum_ij w_ij |x_i - x_j| over them, u = logit + color log odds, w smaller
across edges (Boykov and Jolly, ICCV 2001).
"""

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from clickgrain.cut.colors import CODES, color_codes, fit_mixture, log_odds
from clickgrain.cut.flow import COLUMN, ROW, compiled, min_cut
from clickgrain.types import Bool, Float, Prompt, UInt8

BACKGROUND, OBJECT, FREE = 0, 1, 2
SCALE = 256  # integer capacities per unit of energy


@dataclass(frozen=True)
class CutSettings:
    """Weights of the energy, and what is free."""

    strength: float = 10.0  # of the smoothness term
    logit: float = 1.0  # weight of the network's logit
    color: float = 1.0  # weight of the color log odds
    first: float = 0.5  # what is left of it at the first click, when colors are learned from one guess
    odds: float = 5.0  # largest color log odds, either way
    band: int = 2  # pixels on both sides of the outline that are free
    zone: float = 0.2  # pixels whose probability lies between this and one minus this are free
    margin: int = 40  # pixels around the mask's box that the colors of the background come from
    disk: int = 3  # radius in pixels around clicks that keeps the click's label
    free: int = 6000  # most free pixels of the coarsest level; the image is halved until there are no more
    least: int = 1500  # pixels of the smallest mask that is cut; color models of smaller ones harm


def cut_mask(probability: Float, image: UInt8, prompt: Prompt, settings: CutSettings | None = None) -> Float:
    """The probability with its outline decided by the cut.

    The image (h x w x 3) may be smaller than the probability (H x W): then the decision is enlarged. Clicks and
    strokes of the prompt, in pixels of the probability, keep their label. Returns half the decision (.05 or .95),
    half the probability, so that its doubt stays visible to the next click; the array that was given, where the
    mask is too small to be cut.
    """
    s, (height, width) = settings or CutSettings(), image.shape[:2]
    if len(prompt.points) <= 1 and not prompt.scribbles:
        s = replace(s, color=s.first * s.color)
    small, scale = probability, height / len(probability)
    if probability.shape != (height, width):
        small = cv2.resize(probability, (width, height), interpolation=cv2.INTER_AREA)
        prompt = prompt.scaled(width / probability.shape[1], scale)
    inside = small > 0.5
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    if len(rows) == 0 or np.count_nonzero(inside) < s.least * scale**2:
        return probability
    clicks = prompt.by_label(spacing=2.0 * s.disk)
    xs = np.concatenate([columns[[0, -1]], clicks[1][:, 0]])
    ys = np.concatenate([rows[[0, -1]], clicks[1][:, 1]])
    left, right = max(int(xs.min()) - s.margin, 0), min(int(xs.max()) + s.margin + 1, width)
    top, bottom = max(int(ys.min()) - s.margin, 0), min(int(ys.max()) + s.margin + 1, height)
    part, pixels = small[top:bottom, left:right].copy(), image[top:bottom, left:right].copy()
    corner = np.array([left, top], np.float32)
    decided = _decide(part, pixels, [points - corner for points in clicks], s).astype(np.float32)
    result = probability.copy()
    if small is probability:
        _mix(result[top:bottom, left:right], decided)
    else:
        whole = inside.astype(np.float32)
        whole[top:bottom, left:right] = decided
        _mix(result, cv2.resize(whole, probability.shape[::-1], interpolation=cv2.INTER_LINEAR))
    return result


def in_one_piece(probability: Float, point: Float) -> Float:
    """H x W: what one click at a point (x, y) means is connected, so the odds of all other pieces are turned over.

    Regions around a click can hold two objects and a bridge of background. The cut takes the bridge away.
    """
    inside = (probability > 0.5).astype(np.uint8)
    column, row = (min(max(int(value), 0), size - 1) for value, size in zip(point, inside.shape[::-1]))
    count, pieces = cv2.connectedComponents(inside)
    if count <= 2 or not inside[row, column]:
        return probability
    return np.where(inside & (pieces != pieces[row, column]), 1 - probability, probability)


def warm_up() -> None:
    """Load or compile all that a cut calls, so that the user's first click does not wait for it."""
    for size in ((40, 40), (160, 160)):  # the part that is cut is the whole image, or a window of it
        probability = np.zeros(size, np.float32)
        probability[5:30, 5:30] = np.linspace(0.3, 1, 25)
        image = np.repeat((255 * probability).astype(np.uint8)[..., None], 3, axis=2)
        prompt = Prompt.of([[20, 20]], [1], size=size)
        cut_mask(probability, image, prompt, CutSettings(least=1, free=100))


@compiled
def _mix(probability: Any, decided: Any) -> None:
    """Half of the decision and half of the probability, in place."""
    for y in range(probability.shape[0]):
        for x in range(probability.shape[1]):
            likely = min(max(probability[y, x], np.float32(0.06)), np.float32(0.94))
            probability[y, x] = np.float32(0.475 if decided[y, x] > 0.5 else 0.025) + np.float32(0.5) * likely


def _decide(probability: Float, image: UInt8, clicks: list[Float], s: CutSettings) -> Bool:
    """h x w bool: the object in a part of the image; a coarse level first, then the outline at each finer one."""
    sizes, probabilities = [image.shape[:2]], [probability]
    state = _states(probability, s)
    while np.count_nonzero(state == FREE) > s.free and min(sizes[-1]) >= 64:
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
        probabilities.append(cv2.resize(probability, sizes[-1][::-1], interpolation=cv2.INTER_AREA))
        state = _states(probabilities[-1], s)
    label, models = state == OBJECT, None
    for level, (size, likely) in reversed(list(enumerate(zip(sizes, probabilities)))):
        pixels = image if level == 0 else cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
        if level < len(sizes) - 1:
            wide = cv2.resize(label.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
            state = _outline((wide > 0.5).astype(np.uint8), 1)
        scale = size[0] / sizes[0][0]
        for side, points in enumerate(clicks):
            for point in points:  # no disk reaches beyond half the way to a click of the other label
                room = np.hypot(*(clicks[1 - side] - point).T).min(initial=np.inf) / 2
                center = (int(point[0] * size[1] / sizes[0][1]), int(point[1] * scale))
                cv2.circle(state, center, int(min(s.disk, room) * scale), side, -1)
        if level == len(sizes) - 1:
            models, table = _color_models(state, likely, pixels), np.full(CODES, np.nan, np.float32)
        # contiguous: numpy's own layout depends on their number, and numba compiles once for each layout
        rows, columns = map(np.ascontiguousarray, np.nonzero(state == FREE))
        p = likely[rows, columns].clip(1e-3, 1 - 1e-3)
        unary = s.logit * np.log(p / (1 - p))
        if models is not None:
            unary += s.color * log_odds(color_codes(pixels[rows, columns]), *models, table, s.odds)
        label = state == OBJECT
        label[rows, columns] = min_cut(*_graph(state, rows, columns, pixels, unary, s.strength))
    return label


def _states(probability: Float, s: CutSettings) -> UInt8:
    state = _outline((probability > 0.5).astype(np.uint8), s.band)
    state[(probability > s.zone) & (probability < 1 - s.zone)] = FREE
    return state


def _outline(inside: UInt8, band: int) -> UInt8:
    """0 and 1 as they are, 2 within `band` pixels of the outline."""
    kernel = np.ones((2 * band + 1, 2 * band + 1), np.uint8)
    changed = cv2.dilate(inside, kernel) != cv2.erode(inside, kernel)
    state = inside.copy()
    state[changed] = FREE
    return state


def _color_models(state: UInt8, probability: Float, image: UInt8) -> tuple[Float, Float] | None:
    """Mixtures of the object and its surroundings, None where one of them has too few pixels."""
    pixels = []
    for side in (OBJECT, BACKGROUND):
        chosen = image[state == side]
        if len(chosen) < 50:
            chosen = image[(probability > 0.5) == (side == OBJECT)]
        if len(chosen) < 50:
            return None
        pixels.append(fit_mixture(chosen))
    return pixels[0], pixels[1]


@compiled
def _graph(state: Any, rows: Any, columns: Any, image: Any, unary: Any, strength: float) -> Any:
    """Arcs between free pixels, and what pulls each to either side: its unary and its decided neighbors."""
    height, width = state.shape
    n = len(rows)
    node = np.full((height, width), -1, np.int32)
    for i in range(n):
        node[rows[i], columns[i]] = i
    total, count = np.float32(0), 1
    for y in range(0, height - 1, 3):  # the mean square contrast of the part, of every third row
        for x in range(width - 1):
            for c in range(3):
                p = np.float32(image[y, x, c])
                total += (p - image[y, x + 1, c]) ** 2 + (p - image[y + 1, x, c]) ** 2
            count += 2
    beta = 1 / (2 * (total / count + 1e-3))
    neighbor, capacity = np.full((n, 8), -1, np.int32), np.zeros((n, 8), np.int32)
    terminal = np.empty(n, np.int32)
    for i in range(n):
        y, x, pull = rows[i], columns[i], unary[i]
        for d in range(8):
            row, column = y + ROW[d], x + COLUMN[d]
            if row < 0 or row >= height or column < 0 or column >= width:
                continue
            square = np.float32(0)
            for c in range(3):
                square += (np.float32(image[y, x, c]) - image[row, column, c]) ** 2
            alike = np.exp(np.float32(-beta) * square)
            weight = np.float32(strength) * (np.float32(0.05) + np.float32(0.95) * alike)
            if ROW[d] != 0 and COLUMN[d] != 0:
                weight *= np.float32(0.70710678)
            if node[row, column] >= 0:
                neighbor[i, d], capacity[i, d] = node[row, column], np.int32(SCALE * weight)
            else:
                pull += weight if state[row, column] == OBJECT else -weight
        terminal[i] = np.int32(SCALE * pull)
    return neighbor, capacity, terminal
