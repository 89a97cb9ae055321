"""Interactive graph cut."""

import cv2
import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from clickgrain.evaluation.baselines.seeds import BACKGROUND, OBJECT, SeededBaseline
from clickgrain.types import Float, UInt8

Values = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

_UNIT = 1000
"""Capacities are whole numbers: thousandths."""
_CERTAIN = 1_000_000


class GraphCut(SeededBaseline):
    """Interactive graph cuts (Boykov and Jolly, ICCV 2001): the cheapest boundary that separates the seeds.

    A pixel pays its log-likelihood ratio of colour, a kernel density over the seeds of each side in CIE Lab; the
    background's is mixed with that of the whole image, of which one click shows little. Neighbours (8) pay
    smoothness * exp(-|dI|^2 / (2 mean |dI|^2)) / distance. Max-flow by SciPy (Dinic).
    """

    name = "graph-cut"
    long_side = 256
    smoothness = 6.0
    bandwidth = 8.0
    """Of the kernel density, in Lab units."""
    limit = 3.0
    """The log-likelihood ratio of a colour is cut off here, so that no colour is certain."""

    def _study(self, image: UInt8) -> None:
        self._lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB).astype(np.float64)
        bins = np.floor(self._lab / 4).astype(np.int64).reshape(-1, 3) + 64
        code = (bins[:, 0] * 256 + bins[:, 1]) * 256 + bins[:, 2]
        _, first, self._bin = np.unique(code, return_index=True, return_inverse=True)
        self._colours = self._lab.reshape(-1, 3)[first]
        self._everywhere = self._density(self._lab.reshape(-1, 3))
        self._edges = _neighbours(self._lab, self.smoothness)

    def _spread(self, seeds: UInt8) -> Float:
        unary = np.rint(self._ratio(seeds).ravel() * _UNIT).astype(np.int64)
        unary[seeds.ravel() == OBJECT] = _CERTAIN
        unary[seeds.ravel() == BACKGROUND] = -_CERTAIN
        return _cut(unary, self._edges).reshape(seeds.shape).astype(np.float32)

    def _ratio(self, seeds: UInt8) -> Values:
        object_ = self._density(self._lab[seeds == OBJECT])
        background = (self._density(self._lab[seeds == BACKGROUND]) + self._everywhere) / 2
        ratio = np.log((object_ + 1e-4) / (background + 1e-4)).clip(-self.limit, self.limit)
        return ratio[self._bin].reshape(seeds.shape)

    def _density(self, samples: Values) -> Values:
        """Mean Gaussian kernel of (evenly thinned) samples at each of the image's binned colours."""
        samples = samples[:: max(1, len(samples) // 256)]
        squared = ((self._colours[:, None] - samples[None]) ** 2).sum(axis=2)
        density: Values = np.exp(-squared / (2 * self.bandwidth**2)).mean(axis=1)
        return density


def _neighbours(lab: Values, smoothness: float) -> tuple[Indices, Indices, Indices]:
    """(from, to, capacity) of every pair of 8-neighbours, once."""
    height, width = lab.shape[:2]
    index = np.arange(height * width).reshape(height, width)
    pairs = [
        (index[:, :-1], index[:, 1:], 1.0),
        (index[:-1], index[1:], 1.0),
        (index[:-1, :-1], index[1:, 1:], np.sqrt(2)),
        (index[:-1, 1:], index[1:, :-1], np.sqrt(2)),
    ]
    one = np.concatenate([a.ravel() for a, _, _ in pairs])
    other = np.concatenate([b.ravel() for _, b, _ in pairs])
    distance = np.concatenate([np.full(a.size, length) for a, _, length in pairs])
    colours = lab.reshape(-1, 3)
    squared = ((colours[one] - colours[other]) ** 2).sum(axis=1)
    beta = 1 / max(2 * squared.mean(), 1e-6) if len(squared) else 0.0
    capacity = smoothness * np.exp(-beta * squared) / distance
    return one, other, np.rint(capacity * _UNIT).astype(np.int64) + 1


def _cut(unary: Indices, edges: tuple[Indices, Indices, Indices]) -> npt.NDArray[np.bool_]:
    """n bool: the pixels on the source's side of the minimum cut; `unary` > 0 ties a pixel to the source."""
    one, other, capacity = edges
    n = len(unary)
    to_object, to_background = np.flatnonzero(unary > 0), np.flatnonzero(unary < 0)
    rows = np.concatenate([one, other, np.full(len(to_object), n), to_background])
    columns = np.concatenate([other, one, to_object, np.full(len(to_background), n + 1)])
    values = np.concatenate([capacity, capacity, unary[to_object], -unary[to_background]]).astype(np.int32)
    graph = csr_array(coo_array((values, (rows, columns)), shape=(n + 2, n + 2)))
    residual = graph - maximum_flow(graph, n, n + 1).flow
    residual.data = np.where(residual.data > 0, 1, 0)
    residual.eliminate_zeros()
    inside = np.zeros(n + 2, bool)
    inside[breadth_first_order(residual, n, directed=True, return_predecessors=False)] = True
    return inside[:n]
