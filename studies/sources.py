"""Other sources of pseudo masks than the nodes of merge trees."""

from collections.abc import Callable
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt
from skimage.segmentation import felzenszwalb, slic

from clickgrain.proposals.config import Sampler
from clickgrain.proposals.store import ProposalStore
from clickgrain.training.image_set import ImageSet
from clickgrain.training.regions import Regions, RegionsOf, Target, TreeRegions
from clickgrain.types import Float, Size
from studies.plans import Source

Labels = npt.NDArray[np.int32]
KEPT = 2000
"""Images whose regions stay in memory."""
SCALES = (50.0, 150.0, 450.0)
"""Of Felzenszwalb's graph cut: larger ones prefer larger regions."""
SEGMENTS = (16, 48, 144)
"""Superpixels per image."""
CUT = 32


class FlatRegions(Regions):
    """The regions of one or more partitions of an image, without order between them.

    `partitions` are h x w int32 label images of one size, labels from 0; they cover (H, W) `image_size` pixels.
    """

    def __init__(self, partitions: tuple[Labels, ...], image_size: Size) -> None:
        super().__init__((partitions[0].shape[0], partitions[0].shape[1]), image_size)
        self.partitions = partitions

    @cached_property
    def shares(self) -> list[npt.NDArray[np.float64]]:
        """Share of the image that each region of each partition has."""
        return [np.bincount(labels.ravel()) / labels.size for labels in self.partitions]

    def draw(self, rng: np.random.Generator, n: int, sampler: Sampler) -> list[Target]:
        """n regions of an area that the sampler allows: every partition is as likely, and every region in it."""
        allowed = [np.flatnonzero((s > sampler.min_area) & (s <= sampler.max_area)) for s in self.shares]
        usable = [i for i, labels in enumerate(allowed) if len(labels)]
        drawn = []
        for _ in range(n if usable else 0):
            i = usable[int(rng.integers(len(usable)))]
            label = allowed[i][int(rng.integers(len(allowed[i])))]
            drawn.append(Target((self.partitions[i] == label).astype(np.float32)))
        return drawn


class BoxRegions(Regions):
    """Random boxes: uniform in log-area within the range and in log-aspect within 1/3..3, anywhere in the image."""

    def __init__(self, size: Size) -> None:
        super().__init__(size, size, exact=True)

    def draw(self, rng: np.random.Generator, n: int, sampler: Sampler) -> list[Target]:
        """n boxes."""
        return [Target(self._box(rng, sampler)) for _ in range(n)]

    def _box(self, rng: np.random.Generator, sampler: Sampler) -> Float:
        height, width = self.grid
        low = max(sampler.min_area, 1 / (height * width))
        area = np.exp(rng.uniform(np.log(low), np.log(sampler.max_area))) * height * width
        aspect = np.exp(rng.uniform(-np.log(3), np.log(3)))
        h = int(np.clip(round(np.sqrt(area * aspect)), 1, height))
        w = int(np.clip(round(area / h), 1, width))
        top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
        mask = np.zeros(self.grid, np.float32)
        mask[top : top + h, left : left + w] = 1
        return mask


class NoRegions(Regions):
    """An image without targets beyond a composite's exact mask."""

    def __init__(self, size: Size) -> None:
        super().__init__(size, size, exact=True)

    def draw(self, rng: np.random.Generator, n: int, sampler: Sampler) -> list[Target]:
        """Nothing."""
        return []


def regions_from(source: Source) -> Callable[[ImageSet], RegionsOf] | None:
    """What `train` wants as `regions`: None for the nodes of the trees. Composites give their exact mask alone."""
    if source == "tree":
        return None
    return lambda image_set: lru_cache(KEPT)(lambda i: _of(source, image_set, i))


def regions_in(store: ProposalStore) -> Callable[[ImageSet], RegionsOf]:
    """Nodes of the trees in another store than the one that click maps are made of."""

    def of(image_set: ImageSet) -> RegionsOf:
        return lru_cache(KEPT)(
            lambda i: TreeRegions(store.tree(image_set.names[i]) if i < image_set.photos else image_set.tree(i))
        )

    return of


def _of(source: Source, image_set: ImageSet, i: int) -> Regions:
    if source == "composites" or i >= image_set.photos:
        return NoRegions(image_set.size(i))
    if source == "boxes":
        return BoxRegions(image_set.size(i))
    if source == "cut":
        tree = image_set.tree(i)
        return FlatRegions((tree.cut(min(CUT, tree.n_leaves)),), tree.image_size)
    image = image_set.image(i)
    if source == "felzenszwalb":
        parts = [felzenszwalb(image, scale=scale, sigma=0.8, min_size=32) for scale in SCALES]
    else:
        parts = [slic(image, n_segments=count, compactness=10, start_label=0) for count in SEGMENTS]
    return FlatRegions(tuple(np.asarray(labels, np.int32) for labels in parts), image_set.size(i))
