"""What follows the network's answer: clicks that are obeyed, a discriminant of features, the guard, and the cut.

The network is the same for all images. The discriminant separates object from background in one image: the answer
and the clicks are its training data. Where features separate the two poorly, its log odds are small.

The guard: a click must not destroy what was right. People, and the robot of the benchmarks, click in the middle of
the largest error. So nothing that is wrong with the previous mask is thicker than the error around the click, and
that error ends where the mask already agrees with the click, and at clicks of the other label. A change that is
thicker than this contradicts the user.

The cut decides a mask's last pixels by a global optimum at the image's resolution. Near the outline of a
probability, and where it is undecided, pixels are free; all others keep their side. The cut minimizes
E(x) = sum_i -u_i x_i + strength sum_ij w_ij |x_i - x_j| over them, u = logit + color log odds, w smaller across
edges (Boykov and Jolly, ICCV 2001).
"""

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from clickgrain.cut.colors import CODES, SAMPLE, color_codes, fit_mixture, log_odds
from clickgrain.cut.flow import COLUMN, ROW, compiled, min_cut
from clickgrain.types import Bool, Float, Mask, Prompt, Size, UInt8

RIDGE = 0.1  # part of the mean variance that is added to every variance: features are strongly correlated
CLICKED = 0.05  # weight of the leaf under a click, over that of all that the answer holds on its side
STRENGTH = 0.5  # weight of the log odds, below 1 because neighboring leaves are not independent
LIMIT = 3.0  # largest log odds, either way
FULL_FROM = 4  # number of clicks from which on they have full weight; earlier answers are poor training data

LONG_SIDE = 320  # thickness is measured at this size
SLACK = 1.25  # largest thickness of a change over that of the error at the click; 1.18 in the middle of a half disk
CORNER = 1.5  # how far around its thick core a change is undone, over the largest thickness: 1.42 at right angles
SPOT = 2  # pixels around every click where the new answer stands
INERTIA, NEAR = 0.3, 2.0  # weight of the previous mask; distance at which it is full, over the size of the error

BACKGROUND, OBJECT, FREE = 0, 1, 2
SCALE = 256  # integer capacities per unit of energy


@dataclass(frozen=True)
class Discriminant:
    """Features of an image's leaves and their covariance (Fisher's linear discriminant, 1936)."""

    values: Float  # n x d, one row a leaf in raster order, of mean 0
    inverse: Float  # d x d, of their covariance
    grid: Size  # (h, w) leaves, h * w = n

    @classmethod
    def of(cls, features: Float, vectors: Float) -> "Discriminant":
        """Of h x w x d features that a merge tree was built on, and h x w x e `semantic_vectors` of its leaves."""
        near = features.reshape(-1, features.shape[-1])
        near = (near - near.mean(0)) / (np.float32(near.shape[1] ** 0.5) * near.std() + np.float32(1e-6))
        values = np.concatenate([near, vectors.reshape(len(near), -1)], axis=1, dtype=np.float32)
        values -= values.mean(0)
        covariance = values.T @ values / np.float32(len(values))
        covariance[np.diag_indices_from(covariance)] += RIDGE * covariance.trace() / len(covariance) + 1e-6
        return cls(values, np.linalg.inv(covariance), features.shape[:2])

    def log_odds(self, probability: Float, prompt: Prompt) -> Float:
        """h x w float32 within ±`LIMIT`: how much likelier a leaf is by its features in the object than around it.

        The two sides of the answer (H x W, in whose pixels the prompt is) are the classes; clicks weigh more than
        other pixels. The odds are scaled by the share of all likely leaves that the answer covers: near zero for
        one cell among many.
        """
        h, w = self.grid
        seen = cv2.resize(probability, (w, h), interpolation=cv2.INTER_AREA).ravel()
        share = float(seen.mean())
        weights = np.stack([1 - seen, seen])
        weights /= np.maximum(weights.sum(1, keepdims=True), np.float32(1e-6))
        columns, rows = np.floor(prompt.points * (np.array([w, h]) / probability.shape[::-1])).astype(int).T
        np.add.at(weights, (prompt.labels, rows.clip(0, h - 1) * w + columns.clip(0, w - 1)), CLICKED)
        weights /= np.maximum(weights.sum(1, keepdims=True), np.float32(1e-6))
        # einsum, not @: the threads of BLAS would wait for those of the network
        outside, inside = np.einsum("sn,nd->sd", weights, self.values)
        direction = self.inverse @ (inside - outside)
        # of the covariance within both sides (Sherman and Morrison), where that of all leaves was inverted
        within = 1 - share * (1 - share) * float((inside - outside) @ direction)
        direction /= max(within, 0.1)
        odds = np.einsum("nd,d->n", self.values, direction) - (inside + outside) @ direction / 2
        # features cannot tell which of several similar objects is meant
        likely = odds > 0
        covered = float(seen[likely].mean()) if likely.any() else 0.0
        return covered * np.clip(odds, -LIMIT, LIMIT).reshape(h, w)

    def refine(self, probability: Float, prompt: Prompt) -> Float:
        """The answer (H x W) to a correction with the weighted log odds added to its logits, but around clicks."""
        strength = STRENGTH * min(1.0, (len(prompt.points) - 1) / (FULL_FROM - 1))
        odds = np.exp(strength * self.log_odds(probability, prompt))
        refined = probability * cv2.resize(odds, probability.shape[::-1], interpolation=cv2.INTER_LINEAR)
        refined /= refined + (1 - probability)
        restore_at_clicks(refined, probability, prompt)
        return refined


def guard_mask(probability: Float, previous: Mask, prompt: Prompt) -> Float:
    """The new answer (H x W), held back where it contradicts the last click or is not sure of what it changes.

    Returns the mean of both masks, the previous one weighing less around the click, and the previous probability
    where a change is too thick; the array that was given where the click corrects nothing.
    """
    height, width = probability.shape
    (x, y), label = np.floor(prompt.points[-1]).astype(int), bool(prompt.labels[-1])
    if previous.binary[y, x] == label:
        return probability
    scale = min(1.0, LONG_SIDE / max(height, width))
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    column, row = min(int(x * size[0] / width), size[0] - 1), min(int(y * size[1] / height), size[1] - 1)
    before, after = (cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in (previous.probability, probability))
    before = before > 0.5

    others = (prompt.points[prompt.labels != label] - prompt.points[-1]) * scale
    depth = min(float(depth_in(before != label)[row, column]), np.hypot(*others.T).min(initial=np.inf))
    down, across = (np.arange(n, dtype=np.float32) - at for n, at in ((size[1], row), (size[0], column)))
    distance = np.hypot(down[:, None], across)
    weight = INERTIA * np.clip(distance / (NEAR * depth + 1), 0, 1) ** 2
    held = (after + weight * before) / (1 + weight)
    changed = (held > 0.5) != before
    core = depth_in(changed) > SLACK * depth + 1
    result = probability + cv2.resize(held - after, (width, height), interpolation=cv2.INTER_LINEAR)
    if core.any():
        away = cv2.distanceTransform((~core).astype(np.uint8), cv2.DIST_L2, 5)
        undone = changed & (away <= CORNER * (SLACK * depth + 1)) & (distance > depth)
        wide = cv2.resize(undone.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
        np.copyto(result, previous.probability, where=wide > 0)
    restore_at_clicks(result, probability, prompt)
    return np.clip(result, 0, 1, out=result)


def restore_at_clicks(changed: Float, answer: Float, prompt: Prompt) -> None:
    """Copy the engine's answer (H x W) back around every click: where it obeys the clicks, `changed` does, too."""
    for column, row in np.floor(prompt.points).astype(int):
        spot = slice(max(row - SPOT, 0), row + SPOT + 1), slice(max(column - SPOT, 0), column + SPOT + 1)
        changed[spot] = answer[spot]


def depth_in(region: Bool) -> Float:
    """Distance of every pixel of a region to the nearest one outside of it or of the image."""
    padded = np.pad(region, 1).astype(np.uint8)
    return np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1], np.float32)


@dataclass(frozen=True)
class CutSettings:
    """Weights of the energy, and what is free."""

    strength: float = 10.0  # of the smoothness term
    logit: float = 1.0  # weight of the network's logit
    color: float = 1.0  # weight of the color log odds
    doubted: float = 0.5  # what is left of it at the first click and in small masks: colors learned from a guess
    odds: float = 5.0  # largest color log odds, either way
    band: int = 2  # pixels on both sides of the outline that are free
    zone: float = 0.2  # pixels whose probability lies between this and one minus this are free
    margin: int = 40  # pixels around the mask's box that the colors of the background come from
    disk: int = 3  # radius in pixels around clicks that keeps the click's label
    free: int = 6000  # most free pixels of the coarsest level; the image is halved until there are no more
    small: int = 1500  # pixels below which a mask is small
    least: int = 150  # pixels of the smallest mask that is cut


REGION = CutSettings(logit=0.3, doubted=1.0, band=3, least=24)
"""For regions of a tree, whose outline is known to a leaf: colors and edges decide, and small ones are cut, too."""
LEAST_ALIKE = 0.6  # IoU of a region's cut with the region
NO_PROMPT = Prompt(np.zeros((0, 2), np.float32), np.zeros(0, np.uint8))


def cut_mask(probability: Float, image: UInt8, prompt: Prompt, settings: CutSettings | None = None) -> Float:
    """The probability with its outline decided by the cut.

    The image (h x w x 3) may be smaller than the probability (H x W): then the decision is enlarged. Clicks and
    strokes of the prompt, in pixels of the probability, keep their label. Returns half the decision (.05 or .95),
    half the probability, so that its doubt stays visible to the next click; the array that was given, where the
    mask is too small to be cut.
    """
    s, (height, width) = settings or CutSettings(), image.shape[:2]
    small, scale = probability, height / len(probability)
    if probability.shape != (height, width):
        small = cv2.resize(probability, (width, height), interpolation=cv2.INTER_AREA)
        prompt = prompt.scaled(width / probability.shape[1], scale)
    inside = small > 0.5
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    area = np.count_nonzero(inside) / scale**2
    if area == 0 or area < s.least:
        return probability
    if area < s.small or (len(prompt.points) <= 1 and not prompt.scribbles):
        s = replace(s, color=s.doubted * s.color)
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


def cut_region(region: Float, image: UInt8) -> Bool:
    """H x W bool: a region given on leaves (h x w, 0..1), outlined by the cut as its H x W x 3 image suggests.

    The staircase of leaves is free within a leaf, at least three pixels. It is kept where the cut finds something
    else than the region, as it may where there is no outline.
    """
    (height, width), leaf = image.shape[:2], max(image.shape[0] / region.shape[0], image.shape[1] / region.shape[1])
    soft = cv2.resize(region, (width, height), interpolation=cv2.INTER_LINEAR)
    settings = replace(REGION, band=max(REGION.band, round(leaf)))
    found, before = cut_mask(soft, image, NO_PROMPT, settings) > 0.5, soft > 0.5
    alike = np.count_nonzero(found & before) >= LEAST_ALIKE * np.count_nonzero(found | before)
    return found if alike else before


def obey(probability: Float, prompt: Prompt, radius: float) -> Float:
    """The probability with every click on its own side: positive clicks end inside, negative ones outside.

    Only clicks that the mask disobeys change anything: within `radius` pixels of such a click (at most half the
    way to the nearest click of the other label) the probability is pushed over (under) one half. Of opposite
    clicks on one pixel the last counts.
    """
    changed = probability
    height, width = probability.shape
    pixels = np.minimum(np.rint(prompt.points).astype(np.int64), [width - 1, height - 1])
    for (column, row), label in zip(pixels, prompt.labels):
        if (changed[row, column] > 0.5) == bool(label):
            continue
        if changed is probability:
            changed = probability.copy()
        others = pixels[prompt.labels != label]
        free = np.hypot(*(others - [column, row]).T).min(initial=np.inf) / 2
        around = min(radius, float(free))
        reach = int(np.ceil(around))
        top, left = max(row - reach, 0), max(column - reach, 0)
        patch = changed[top : row + reach + 1, left : column + reach + 1]
        y, x = np.ogrid[: patch.shape[0], : patch.shape[1]]
        distance = np.hypot(y - (row - top), x - (column - left))
        bump = np.float32(0.5) + np.float32(0.5) * np.clip(1 - distance / (around + 1), 0, 1).astype(np.float32)
        disk = distance <= around
        patch[disk] = np.maximum(patch, bump)[disk] if label else np.minimum(patch, 1 - bump)[disk]
    return changed


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
        rows, columns = np.divmod(np.flatnonzero(state == FREE), size[1])
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
        chosen = np.flatnonzero(state == side)
        if len(chosen) < 50:
            chosen = np.flatnonzero((probability > 0.5) == (side == OBJECT))
        if len(chosen) < 50:
            return None
        pixels.append(fit_mixture(image.reshape(-1, 3)[chosen[:: max(1, len(chosen) // SAMPLE)]]))
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
