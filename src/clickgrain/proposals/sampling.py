"""Drawing proposals (regions used as pseudo masks) from a merge tree, many at once."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from clickgrain.errors import ConfigError
from clickgrain.proposals.laws import LawName, SamplingLaw
from clickgrain.tree import MergeTree

Nodes = npt.NDArray[np.int64]

TRIES = 100
"""Rejections after which the paper's sampler takes the largest rejected region."""
BINS = 16
"""Stretches of log-area or level that the balanced laws draw from with equal probability."""


class Draw(NamedTuple):
    """Drawn node ids, and how many of them fell outside the law's area range for want of anything better."""

    nodes: Nodes
    fallbacks: int


def sample_proposal(tree: MergeTree, rng: np.random.Generator, decay: float = 0.9, min_area: float = 0.05) -> int:
    """Draw one node by the paper's law; see `sample_proposals`."""
    return int(sample_proposals(tree, rng, 1, decay=decay, min_area=min_area)[0])


def sample_proposals(
    tree: MergeTree,
    rng: np.random.Generator,
    n: int,
    law: LawName | SamplingLaw = "paper",
    *,
    decay: float = 0.9,
    min_area: float = 0.05,
    max_area: float = 1.0,
) -> Nodes:
    """Draw n node ids, independently and with repetition.

    Args:
        tree: a merge tree.
        rng: the only source of randomness: the same state gives the same nodes.
        n: how many.
        law: a law's name, which takes the three settings below, or a whole `SamplingLaw`, which brings its own.
        decay: see `SamplingLaw`.
        min_area: fraction of the leaves that a region must exceed.
        max_area: fraction of the leaves that a region may have at most.

    Returns:
        n int64 node ids.

    Raises:
        ConfigError: settings out of range, or n negative.
    """
    if not isinstance(law, SamplingLaw):
        law = SamplingLaw(law, decay, min_area, max_area)
    return draw_proposals(tree, rng, n, law).nodes


def draw_proposals(tree: MergeTree, rng: np.random.Generator, n: int, law: SamplingLaw) -> Draw:
    """Like `sample_proposals`, and counts the fallbacks for the log."""
    if n < 0:
        raise ConfigError(f"{n} proposals asked for; give 0 or more")
    if law.name == "paper":
        return _walk_until_accepted(tree, rng, n, law)
    candidates = np.arange(max(1, tree.n_nodes - 1))  # the root only where there is nothing else
    return _balanced(tree, rng, n, law, candidates)


def proposal_at(tree: MergeTree, rng: np.random.Generator, x: float, y: float, law: SamplingLaw) -> int:
    """Draw one node that covers image pixel (x, y), by the law restricted to the path from leaf to root.

    Raises:
        TreeError: if the point is outside the image.
    """
    path = np.asarray(tree.path(x, y), np.int64)
    if law.name != "paper":
        return int(_balanced(tree, rng, 1, law, path[: max(1, len(path) - 1)]).nodes[0])
    depths = np.minimum(_depths(rng, TRIES, law.decay, len(path)), len(path) - 1)
    tried = path[::-1][depths]
    accepted = tried[_accepted(tree, tried, law)]
    return int(accepted[0] if len(accepted) else tried[np.argmax(tree.area[tried])])


def depth_law(decay: float, depths: int) -> npt.NDArray[np.float64]:
    """Probability of stopping at depth 0, 1, ... depths - 1 of an endless tree (depth 0: the root)."""
    going_on = decay ** np.arange(depths, dtype=np.float64)
    reach = np.concatenate([[1.0], np.cumprod(going_on)[:-1]])
    return reach * (1.0 - going_on)


def _depths(rng: np.random.Generator, n: int, decay: float, limit: int) -> Nodes:
    """n depths by the stopping rule, each at most `limit`."""
    goes_on = rng.random((n, limit)) <= decay ** np.arange(limit, dtype=np.float64)
    return np.where(goes_on.all(1), limit, np.argmin(goes_on, axis=1)).astype(np.int64)


def _walk_until_accepted(tree: MergeTree, rng: np.random.Generator, n: int, law: SamplingLaw) -> Draw:
    nodes = np.full(n, -1, np.int64)
    largest = np.full(n, -1, np.int64)
    waiting = np.arange(n)
    for _ in range(TRIES):
        if len(waiting) == 0:
            break
        drawn = _walk(tree, rng, len(waiting), law.decay)
        accepted = _accepted(tree, drawn, law)
        nodes[waiting[accepted]] = drawn[accepted]
        waiting, rejected = waiting[~accepted], drawn[~accepted]
        held = largest[waiting]
        better = (held < 0) | (tree.area[rejected] > tree.area[held])
        largest[waiting] = np.where(better, rejected, held)
    nodes[waiting] = largest[waiting]
    return Draw(nodes, len(waiting))


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


def _accepted(tree: MergeTree, nodes: Nodes, law: SamplingLaw) -> npt.NDArray[np.bool_]:
    area = tree.area[nodes]
    return (area > law.min_area * tree.n_leaves) & (area <= law.max_area * tree.n_leaves)


def _balanced(tree: MergeTree, rng: np.random.Generator, n: int, law: SamplingLaw, candidates: Nodes) -> Draw:
    """Draw a bin that holds candidates, then one of them: every bin is as likely, whatever it holds."""
    eligible = candidates[_accepted(tree, candidates, law)]
    if len(eligible) == 0:
        return Draw(np.full(n, _nearest_in_area(tree, candidates, law), np.int64), n)
    key = np.log(tree.area[eligible]) if law.name == "area" else tree.level[eligible].astype(np.float64)
    span = max(float(key.max() - key.min()), 1e-12)
    bins = np.minimum(((key - key.min()) / span * BINS).astype(np.int64), BINS - 1)
    eligible, bins = eligible[np.argsort(bins, kind="stable")], np.sort(bins)
    _, first, count = np.unique(bins, return_index=True, return_counts=True)
    chosen = rng.integers(0, len(first), n)
    return Draw(eligible[first[chosen] + rng.integers(0, count[chosen])], 0)


def _nearest_in_area(tree: MergeTree, candidates: Nodes, law: SamplingLaw) -> int:
    """No candidate has an allowed area: the one whose area is nearest by ratio."""
    area = tree.area[candidates] / tree.n_leaves
    low, high = max(law.min_area, 1e-9), law.max_area
    return int(candidates[np.argmin(np.maximum(np.log(low / area), np.log(area / high)))])
