"""Proposals drawn per second from a tree of about 3,000 leaves, one thread, best of 5. Wanted: over 100,000."""

from time import perf_counter

import numpy as np

from clickgrain.proposals.config import AREA, LEVEL, PAPER
from clickgrain.proposals.sampling import sample_proposals
from clickgrain.tree import build_tree

DRAWS = 20_000


def main() -> None:
    """Print one line per law."""
    rng = np.random.default_rng(0)
    tree = build_tree(rng.normal(size=(48, 63, 8)).astype(np.float32))
    for law in (PAPER, AREA, LEVEL):
        sample_proposals(tree, rng, 10, law)
        times = []
        for _ in range(5):
            start = perf_counter()
            sample_proposals(tree, rng, DRAWS, law)
            times.append(perf_counter() - start)
        print(f"{law.name:6s} {DRAWS / min(times):12,.0f} a second (wanted over 100,000)")


if __name__ == "__main__":
    main()
