"""Features to merge, and ways to compare trees."""

import cv2
import numpy as np
import pytest


@pytest.fixture(scope="session")
def field():
    """Smooth random features with a little noise: regions at several scales, no ties."""

    def draw(h, w, d, seed=0, noise=0.1):
        rng = np.random.default_rng(seed)
        smooth = np.zeros((h, w, d), np.float32)
        for sigma in (1.5, 4.0):
            for channel in range(d):
                plane = rng.normal(size=(h, w)).astype(np.float32)
                smooth[..., channel] += sigma * cv2.GaussianBlur(plane, (0, 0), sigma)
        return smooth + noise * rng.normal(size=(h, w, d)).astype(np.float32)

    return draw


@pytest.fixture(scope="session")
def node_costs():
    """{set of leaves (as a random hash): cost} of the inner nodes."""

    def costs(children, cost):
        n = len(children) + 1
        key = np.zeros(2 * n - 1, np.uint64)
        key[:n] = np.random.default_rng(7).integers(2**63, size=n, dtype=np.uint64)
        for i, (a, b) in enumerate(children):
            key[n + i] = key[a] ^ key[b]
        return dict(zip(key[n:].tolist(), np.asarray(cost, np.float64).tolist(), strict=True))

    return costs


@pytest.fixture(scope="session")
def random_children():
    """(n-1) x 2 children of a random binary tree over n leaves, shaped like a comb or like a bush."""

    def draw(n, seed):
        rng = np.random.default_rng(seed)
        comb = rng.random() < 0.3
        alive, children = list(rng.permutation(n)), []
        for i in range(n - 1):
            a = alive.pop(len(alive) - 1 if comb else rng.integers(len(alive)))
            b = alive.pop(rng.integers(len(alive)))
            children.append((a, b))
            alive.append(n + i)
        return np.array(children, np.int32).reshape(-1, 2)

    return draw
