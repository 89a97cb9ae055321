import numpy as np
import pytest

SIDE = 48


@pytest.fixture(scope="module")
def scene():
    """Three images with one noisy square each, of different size and contrast."""
    rng = np.random.default_rng(0)
    pairs = []
    for side, gap in ((8, 60), (16, 90), (24, 120)):
        mask = np.zeros((SIDE, SIDE + 8), bool)
        mask[6 : 6 + side, 9 : 9 + side] = True
        image = rng.integers(60, 90, (*mask.shape, 3)).astype(np.uint8)
        image[mask] += np.uint8(gap)
        pairs.append((image, mask))
    return pairs
