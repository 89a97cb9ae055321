"""Hand-made trees for the tests of this room."""

import numpy as np
import pytest

from clickgrain.tree import MergeTree


def balanced_tree(depth: int, image_size: tuple[int, int] | None = None) -> MergeTree:
    """A perfect binary tree over a 1 x 2**depth grid: every node of a depth has the same area."""
    n = 2**depth
    children = np.arange(2 * n - 2, dtype=np.int32).reshape(-1, 2)
    return MergeTree(children, np.arange(n - 1, dtype=np.float32), grid=(1, n), image_size=image_size)


def random_tree(h: int, w: int, seed: int, image_size: tuple[int, int] | None = None) -> MergeTree:
    """Any two living nodes merge at random: deep and shallow branches, all areas."""
    rng, n = np.random.default_rng(seed), h * w
    living, children = list(range(n)), []
    for new in range(n, 2 * n - 1):
        pair = [living.pop(int(rng.integers(len(living)))) for _ in range(2)]
        children.append(sorted(pair))
        living.append(new)
    cost = rng.random(n - 1, np.float32)
    return MergeTree(np.array(children, np.int32).reshape(-1, 2), cost, grid=(h, w), image_size=image_size)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture(scope="session")
def make_random_tree():
    return random_tree


@pytest.fixture(scope="session")
def make_balanced_tree():
    return balanced_tree
