"""Refines an answer by a linear discriminant of the image's features, fitted at every correction.

The network is the same for all images. The discriminant separates object from background in one image: the answer
and the clicks are its training data. Where features separate the two poorly, its log odds are small.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from clickgrain.cut.guard import restore_at_clicks
from clickgrain.types import Float, Prompt, Size

RIDGE = 0.1  # part of the mean variance that is added to every variance: features are strongly correlated
CLICKED = 0.05  # weight of the leaf under a click, over that of all that the answer holds on its side
STRENGTH = 0.5  # weight of the log odds, below 1 because neighboring leaves are not independent
LIMIT = 3.0  # largest log odds, either way
FULL_FROM = 4  # number of clicks from which on they have full weight; earlier answers are poor training data


@dataclass(frozen=True)
class Discriminant:
    """Features of an image's leaves and their covariance (Fisher's linear discriminant, 1936).

    Attributes:
        values: n x d float32, one row a leaf in raster order, of mean 0.
        inverse: d x d float32, of their covariance.
        grid: (h, w) leaves, h * w = n.
    """

    values: Float
    inverse: Float
    grid: Size

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

        They are scaled by the share of all likely leaves that the answer covers: near zero for one cell among many.

        Args:
            probability: H x W float32 in 0..1, the answer; its two sides are the classes.
            prompt: in pixels of the probability; its clicks weigh more than other pixels.
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
        """H x W float32: the answer to a correction, with the weighted log odds added to its logits.

        Args:
            probability: H x W float32 in 0..1, the answer; unchanged around the clicks.
            prompt: in pixels of the probability.
        """
        strength = STRENGTH * min(1.0, (len(prompt.points) - 1) / (FULL_FROM - 1))
        odds = np.exp(strength * self.log_odds(probability, prompt))
        refined = probability * cv2.resize(odds, probability.shape[::-1], interpolation=cv2.INTER_LINEAR)
        refined /= refined + (1 - probability)
        restore_at_clicks(refined, probability, prompt)
        return refined
