"""Drawing proposals (regions used as pseudo masks) from a merge tree, many at once."""

import numpy as np
import numpy.typing as npt

from clickgrain.errors import ConfigError
from clickgrain.proposals.config import Sampler, SamplerName
from clickgrain.tree import MergeTree

Nodes = npt.NDArray[np.int64]

TRIES = 100  # rejections after which the paper's sampler takes the largest rejected region
BINS = 16  # stretches of log-area or level that the balanced samplers draw from with equal probability


def sample_proposal(tree: MergeTree, rng: np.random.Generator, decay: float = 0.9, min_area: float = 0.05) -> int:
    """Draw one node by the paper's sampler; see `sample_proposals`."""
    return int(sample_proposals(tree, rng, 1, decay=decay, min_area=min_area)[0])


def sample_proposals(
    tree: MergeTree,
    rng: np.random.Generator,
    n: int,
    sampler: SamplerName | Sampler = "paper",
    *,
    decay: float = 0.9,
    min_area: float = 0.05,
    max_area: float = 1.0,
) -> Nodes:
    """Draw n node ids (int64), independently and with repetition.

    Args:
        tree: a merge tree.
        rng: the only source of randomness: the same state gives the same nodes.
        n: how many.
        sampler: a sampler's name, which takes the three settings below, or a whole `Sampler`, which brings its own.
        decay: see `Sampler`.
        min_area: fraction of the leaves that a region must exceed.
        max_area: fraction of the leaves that a region may have at most.

    Raises:
        ConfigError: settings out of range, or n negative.
    """
    if not isinstance(sampler, Sampler):
        sampler = Sampler(sampler, decay, min_area, max_area)
    if n < 0:
        raise ConfigError(f"{n} proposals are impossible; give 0 or more")
    return (_walk_until_accepted if sampler.name == "paper" else _balanced)(tree, rng, n, sampler)


def _walk_until_accepted(tree: MergeTree, rng: np.random.Generator, n: int, sampler: Sampler) -> Nodes:
    nodes, waiting = np.full(n, -1, np.int64), np.arange(n)
    for _ in range(TRIES):
        if len(waiting) == 0:
            break
        drawn, held = _walk(tree, rng, len(waiting), sampler.decay), nodes[waiting]
        accepted = _accepted(tree, drawn, sampler)
        better = accepted | (held < 0) | (tree.area[drawn] > tree.area[held])
        nodes[waiting] = np.where(better, drawn, held)
        waiting = waiting[~accepted]
    return nodes


def _walk(tree: MergeTree, rng: np.random.Generator, n: int, decay: float) -> Nodes:
    """One walk from the root each, all walkers in step (MIS, section 3.2)."""
    nodes = np.full(n, tree.root, np.int64)
    walking, p = np.arange(n), 1.0
    while len(walking):
        at = nodes[walking]
        go = (rng.random(len(walking)) <= p) & (at >= tree.n_leaves)
        walking, at = walking[go], at[go]
        side = rng.integers(0, 2, len(walking))
        nodes[walking] = tree.children[at - tree.n_leaves, side]
        p *= decay
    return nodes


def _accepted(tree: MergeTree, nodes: Nodes, sampler: Sampler) -> npt.NDArray[np.bool_]:
    area = tree.area[nodes]
    return (area > sampler.min_area * tree.n_leaves) & (area <= sampler.max_area * tree.n_leaves)


def _balanced(tree: MergeTree, rng: np.random.Generator, n: int, sampler: Sampler) -> Nodes:
    """Draw a bin that holds nodes, then one of them: every bin is as likely, whatever it holds."""
    candidates = np.arange(max(1, tree.n_nodes - 1))  # the root only for a tree of one node
    eligible = candidates[_accepted(tree, candidates, sampler)]
    if len(eligible) == 0:
        area = tree.area[candidates] / tree.n_leaves  # none is allowed: take the nearest by ratio
        low, high = max(sampler.min_area, 1e-9), sampler.max_area
        nearest = candidates[np.argmin(np.maximum(np.log(low / area), np.log(area / high)))]
        return np.full(n, nearest, np.int64)
    key = np.log(tree.area[eligible]) if sampler.name == "area" else tree.level[eligible].astype(np.float64)
    span = max(float(key.max() - key.min()), 1e-12)
    bins = np.minimum(((key - key.min()) / span * BINS).astype(np.int64), BINS - 1)
    eligible, bins = eligible[np.argsort(bins, kind="stable")], np.sort(bins)
    _, first, count = np.unique(bins, return_index=True, return_counts=True)
    chosen = rng.integers(0, len(first), n)
    return np.asarray(eligible[first[chosen] + rng.integers(0, count[chosen])], np.int64)
