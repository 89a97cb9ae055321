"""What tells an object from the rest of its image: a linear discriminant of features, found anew at every click.

The network has learned what clicks mean in all images. In this one, the answer so far and the clicks say which
features are the object's; where these features tell the answer from its surroundings they refine it, and where they
do not, they say nothing: the log odds of a discriminant are as steep as its classes are apart.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from clickgrain.types import Float, Prompt, Size

RIDGE = 0.1  # of the mean variance, added to all: features of regions are nearly dependent
CLICKED = 0.05  # weight of the leaf under a click, over that of all that the answer holds on its side
STRENGTH = 0.5  # of the log odds: neighboring leaves say much the same
LIMIT = 3.0  # largest log odds, either way
FULL_FROM = 4  # clicks from which on they count in full; the answer to few clicks is no good example
SPOT = 2  # pixels around every click where the answer stands


@dataclass(frozen=True)
class Discriminant:
    """Features of an image's leaves, ready to tell any object apart (Fisher 1936, with a common covariance).

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

        They count by the share of all likely leaves that the answer holds: a cell among many gets next to nothing.

        Args:
            probability: H x W float32 in 0..1, the answer whose two sides are told apart.
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
        # among things that look the same, features cannot tell which one is meant
        alike = odds > 0
        held = float(seen[alike].mean()) if alike.any() else 0.0
        return held * np.clip(odds, -LIMIT, LIMIT).reshape(h, w)

    def refine(self, probability: Float, prompt: Prompt) -> Float:
        """H x W float32: a network's answer to a correction, after what the image's features say of it.

        Args:
            probability: H x W float32 in 0..1, the answer; it stands at the clicks.
            prompt: in pixels of the probability.
        """
        strength = STRENGTH * min(1.0, (len(prompt.points) - 1) / (FULL_FROM - 1))
        odds = np.exp(strength * self.log_odds(probability, prompt))
        refined = probability * cv2.resize(odds, probability.shape[::-1], interpolation=cv2.INTER_LINEAR)
        refined /= refined + (1 - probability)
        for column, row in np.floor(prompt.points).astype(int):
            spot = slice(max(row - SPOT, 0), row + SPOT + 1), slice(max(column - SPOT, 0), column + SPOT + 1)
            refined[spot] = probability[spot]
        return refined
