"""What follows the network's answer to a correction: a discriminant of the image's features, then the guard.

The network is the same for all images. The discriminant separates object from background in one image: the answer
and the clicks are its training data. Where features separate the two poorly, its log odds are small.

The guard: a click must not destroy what was right. People, and the robot of the benchmarks, click in the middle of
the largest error. So nothing that is wrong with the previous mask is thicker than the error around the click, and
that error ends where the mask already agrees with the click, and at clicks of the other label. A change that is
thicker than this contradicts the user.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from clickgrain.types import Bool, Float, Mask, Prompt, Size

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
    distance = np.hypot(*np.ogrid[-row : size[1] - row, -column : size[0] - column]).astype(np.float32)
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
