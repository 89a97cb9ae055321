"""`build_tree`: from features to a merge tree."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from clickgrain.errors import TreeError
from clickgrain.tree.kernel import merge
from clickgrain.tree.merge_tree import Int32, MergeTree
from clickgrain.types import Size

Linkage = Literal["ward", "average", "cosine"]
Floats = npt.NDArray[np.floating]
Float64 = npt.NDArray[np.float64]
FREE_LEAVES = 20_000  # without connectivity all pairs are held in memory: 1.6 GB at this many leaves


def build_tree(
    features: npt.NDArray[np.floating],
    image_size: Size | None = None,
    *,
    connectivity: Literal[0, 4, 8] = 4,
    linkage: Linkage = "ward",
) -> MergeTree:
    """Merge patches bottom-up into a tree of regions (MIS, ICCV 2023, section 3.1).

    At every step the cheapest pair of adjacent regions is merged; ties go to the smaller, then the larger id.
    (Without connectivity, SciPy breaks ties, in another order.)

    Args:
        features: h x w x d, finite; float32, other types are converted. Not changed.
        image_size: (H, W) pixels of the image that the grid covers.
        connectivity: 4 or 8 neighbors on the grid, or 0: any two regions may merge (the paper's comparison).
        linkage: "ward" = growth of the within-region sum of squares, |A||B| / (|A|+|B|) ||mean A - mean B||²;
            "average" = mean squared distance between the patches of A and of B;
            "cosine" = mean cosine distance between them, 0..2 (between a zero vector and any other: 1/2).

    Raises:
        TreeError: for features that are not h x w x d, hold NaN or infinities, are so large that costs overflow
            float32, or (connectivity 0) are too many.
    """
    if connectivity not in (0, 4, 8) or linkage not in ("ward", "average", "cosine"):
        raise TreeError(
            f"connectivity {connectivity!r} / linkage {linkage!r}: give 0, 4 or 8 / ward, average or cosine"
        )
    array = _floats(features)
    scale = _scale(array)
    h, w = array.shape[:2]
    if h * w == 1:
        return MergeTree(np.zeros((0, 2)), np.zeros(0), (1, 1), image_size)
    if linkage == "cosine":
        array = array * scale
        length = np.linalg.norm(array, axis=-1, keepdims=True)
        array, scale = array / np.where(length > 0, length, 1).astype(array.dtype), 1.0
    if connectivity == 0:
        children, cost = _merge_freely((array * np.float64(scale)).reshape(h * w, -1), ward=linkage == "ward")
    else:
        children, cost = merge(array, connectivity=connectivity, ward=linkage == "ward", scale=scale)
    if linkage == "cosine":
        cost = cost / 2  # for unit vectors the mean cosine distance is half the mean squared one
    else:
        with np.errstate(over="ignore"):
            cost = cost / scale / scale
        if cost.max() > np.finfo(np.float32).max:
            raise TreeError(f"features as large as {1 / scale:.0e} give costs beyond float32; scale them down")
    return MergeTree(children, cost, (h, w), image_size)


def _floats(features: npt.ArrayLike) -> Floats:
    array = np.asarray(features)
    if array.ndim != 3 or 0 in array.shape:
        raise TreeError(f"features have shape {array.shape}; give h x w x d with at least one patch")
    if array.dtype.kind not in "fiu":
        raise TreeError(f"features are of type {array.dtype}; give real numbers, best float32")
    return array if array.dtype == np.float64 else array.astype(np.float32, copy=False)


def _scale(array: Floats) -> float:
    """1, or the power of two that brings very large or small features to about 1: squares keep their digits."""
    power = float(np.vdot(array, array)) / array.size  # one quick pass; it shows NaN and infinities too
    if 1e-12 < power < 1e12:
        return 1.0
    peak = max(float(array.max()), -float(array.min()))
    if not np.isfinite(peak):  # NaN too: max and min hand it on
        row, column = np.argwhere(~np.isfinite(array).all(-1))[0]
        raise TreeError(f"features hold NaN or infinity, first at row {row}, column {column}; check the extractor")
    exponent = int(np.frexp(peak)[1])
    return float(2.0 ** -max(exponent, np.finfo(array.dtype).minexp))


def _merge_freely(vectors: Float64, *, ward: bool) -> tuple[Int32, Float64]:
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import pdist

    n = len(vectors)
    if n > FREE_LEAVES:
        raise TreeError(
            f"merging without connectivity holds all pairs: {n} patches are over {FREE_LEAVES}; use 4 or 8"
        )
    pairs = pdist(vectors, "euclidean" if ward else "sqeuclidean")
    table = linkage(pairs, "ward" if ward else "average")
    cost = table[:, 2] ** 2 / 2 if ward else table[:, 2]  # scipy's Ward height is sqrt(2 x growth)
    return np.sort(table[:, :2].astype(np.int32), axis=1), cost
