"""Whole objects in photos, found without a label: what stands out from the image's border and can be cut out.

Regions of a merge tree are of one kind (a shirt, a face); this finds people. Two independent methods must agree:
robust background detection (Zhu et al., "Saliency Optimization from Robust Background Detection", CVPR 2014) on the
regions of a cut of the tree, and GrabCut (Rother et al., 2004; OpenCV's) started from it. Most photos have no such
object; those that have one teach what users mean by their first click.
"""

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.sparse.csgraph import dijkstra
from scipy.sparse.linalg import spsolve

from clickgrain.images import to_lab
from clickgrain.proposals.cutouts import largest_piece
from clickgrain.tree import MergeTree
from clickgrain.types import Bool, Float, Size, UInt8

REGIONS = 250  # of the cut that saliency is computed on
NOISE = 3.0  # Lab difference between neighbors that counts as zero
SIGMA_COLOR, SIGMA_SPACE, SIGMA_BORDER = 10.0, 0.4, 1.0
"""Width of likeness in Lab, in parts of the long side, and in boundary connectivity (the paper's)."""
BACKGROUND_WEIGHT, LEAST_SMOOTHNESS = 5.0, 0.1
CERTAIN, CERTAINLY_NOT = 0.9, 0.2
"""Parts of the way from the threshold to 1, and from 0 to it, beyond which GrabCut may change nothing."""
ITERATIONS = 3
LEAST_AGREEMENT = 0.8  # IoU of thresholded saliency and GrabCut's answer
LEAST_CONTRAST = 0.7
"""Mean saliency inside less that outside, of GrabCut's answer; before it is asked, less will do."""
PROMISING = 0.6
LEAST_WHOLE = 0.85  # part of the object that its largest piece must be
MOST_BORDER = 0.15  # part of the image's border that the object may touch
AREA_RANGE = (0.02, 0.7)

Labels = npt.NDArray[np.int32]
Numbers = npt.NDArray[np.float64]


class _Graph(NamedTuple):
    """n regions: H x W labels; Lab colors n x 3; centers n x 2 in long sides; share of the image; pixels on its
    border; E x 2 pairs that touch, each once, the smaller number first."""

    labels: Labels
    color: Numbers
    center: Numbers
    share: Numbers
    border: Numbers
    edges: npt.NDArray[np.int64]


def salient_object(image: UInt8, tree: MergeTree) -> Float | None:
    """The one object of an H x W x 3 uint8 RGB photo as H x W float32, 0 or 1; None without, or when in doubt.

    256 pixels on the long side of the image are enough (about 0.15 s); the tree may be of another size.
    """
    salient = saliency(image, tree)
    otsu, _ = cv2.threshold(np.round(salient * 255).astype(np.uint8), 0, 255, cv2.THRESH_OTSU)
    threshold = float(otsu) / 255
    first = salient > threshold
    if not _stands_out(first, salient, PROMISING):
        return None
    found = _cut_out(image, salient, threshold)
    if not _stands_out(found, salient, LEAST_CONTRAST):
        return None
    agreement = float((found & first).sum()) / float((found | first).sum())
    whole = largest_piece(found)
    sure = agreement >= LEAST_AGREEMENT and whole.sum() >= LEAST_WHOLE * found.sum()
    return whole.astype(np.float32) if sure else None


def saliency(image: UInt8, tree: MergeTree) -> Float:
    """How much each pixel of an H x W x 3 uint8 RGB image stands out from its border: H x W float32 in 0..1."""
    graph = _graph(image, tree.cut(min(REGIONS, tree.n_leaves)))
    if len(graph.share) < 2:
        return np.zeros(image.shape[:2], np.float32)
    distance = np.linalg.norm(graph.color[:, None] - graph.color[None], axis=2)
    background = _background(graph, distance)
    # difference from the background close by (equation 6)
    apart = ((graph.center[:, None] - graph.center[None]) ** 2).sum(2)
    weight = np.exp(-apart / (2 * SIGMA_SPACE**2)) * background * graph.share
    contrast = _unit((distance * weight).sum(1))
    # the least-squares saliency between background, contrast and smoothness (equation 9)
    likeness = np.exp(-(distance[tuple(graph.edges.T)] ** 2) / (2 * SIGMA_COLOR**2)) + LEAST_SMOOTHNESS
    links = _sparse(graph.edges, likeness, len(contrast))
    foreground = contrast * (1 - background)
    laplacian = diags_array(np.asarray(links.sum(axis=1)).ravel()) - links
    system = laplacian + diags_array(BACKGROUND_WEIGHT * background + foreground + 1e-9)
    return _unit(spsolve(system.tocsc(), foreground)).astype(np.float32)[graph.labels]


def _graph(image: UInt8, cut: Labels) -> _Graph:
    size: Size = (image.shape[0], image.shape[1])
    wide = cv2.resize(cut.astype(np.float32), size[::-1], interpolation=cv2.INTER_NEAREST)
    _, flat = np.unique(wide, return_inverse=True)
    labels = flat.reshape(size).astype(np.int32)
    count = np.bincount(flat.ravel()).astype(np.float64)
    lab = to_lab(image)
    y, x = np.mgrid[: size[0], : size[1]]
    planes = [*np.moveaxis(lab, 2, 0), y / max(size), x / max(size)]
    means = np.stack([np.bincount(labels.ravel(), plane.ravel()) for plane in planes], 1) / count[:, None]
    edge = np.ones(size, bool)
    edge[1:-1, 1:-1] = False
    border = np.bincount(labels[edge], minlength=len(count)).astype(np.float64)
    next_to = [(labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])]
    pairs = np.concatenate([np.stack([a[a != b], b[a != b]], 1) for a, b in next_to])
    edges = np.unique(np.sort(pairs, axis=1), axis=0).astype(np.int64)
    return _Graph(labels, means[:, :3], means[:, 3:], count / count.sum(), border, edges)


def _background(graph: _Graph, distance: Numbers) -> Numbers:
    """n: how surely a region is background, from its boundary connectivity (equations 1 to 4).

    That is the length of border within geodesic reach over the root of the area within reach: 4 for the whole
    image, nearly 0 for an object in its middle.
    """
    edge = np.flatnonzero(graph.border)
    first, second = np.triu_indices(len(edge), 1)
    edges = np.concatenate([graph.edges, np.stack([edge[first], edge[second]], 1)])
    edges = np.unique(np.sort(edges, axis=1), axis=0)
    cost = np.maximum(distance[edges[:, 0], edges[:, 1]] - NOISE, 0) + 1e-4
    reach = dijkstra(_sparse(edges, cost, len(graph.share)), directed=False)
    near = np.exp(-(reach**2) / (2 * SIGMA_COLOR**2))
    height, width = graph.labels.shape
    length = near @ graph.border / np.sqrt(height * width)
    connectivity = length / np.sqrt(near @ graph.share)
    return np.asarray(1 - np.exp(-(connectivity**2) / (2 * SIGMA_BORDER**2)))


def _sparse(edges: npt.NDArray[np.int64], weight: Numbers, n: int) -> csr_array:
    both = np.concatenate([edges, edges[:, ::-1]])
    return coo_array((np.concatenate([weight, weight]), (both[:, 0], both[:, 1])), shape=(n, n)).tocsr()


def _unit(values: Numbers) -> Numbers:
    return (values - values.min()) / max(float(np.ptp(values)), 1e-9)


def _stands_out(mask: Bool, salient: Float, contrast: float) -> bool:
    """Whether a mask has a useful size, keeps off the border and is clearly more salient than the rest."""
    border = np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])
    if not AREA_RANGE[0] < float(mask.mean()) < AREA_RANGE[1] or float(border.mean()) > MOST_BORDER:
        return False
    return float(salient[mask].mean() - salient[~mask].mean()) >= contrast


def _cut_out(image: UInt8, salient: Float, threshold: float) -> Bool:
    """GrabCut from thresholded saliency; both it and the rest must not be empty."""
    start = np.where(salient > threshold, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    start[salient > threshold + CERTAIN * (1 - threshold)] = cv2.GC_FGD
    start[salient < CERTAINLY_NOT * threshold] = cv2.GC_BGD
    models = np.zeros((1, 65)), np.zeros((1, 65))
    bgr = np.ascontiguousarray(image[..., ::-1])
    cv2.setRNGSeed(0)  # of this thread: its clustering draws from it
    answer, _, _ = cv2.grabCut(bgr, start, None, *models, ITERATIONS, cv2.GC_INIT_WITH_MASK)
    return (answer & 1).astype(bool)
