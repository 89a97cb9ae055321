"""Images as the tool works on them, and their encodings: read once, encoded in a thread, a bounded number kept."""

import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from clickgrain.annotate.leafmap import Int32, leaf_map
from clickgrain.features import FeatureExtractor, load_extractor
from clickgrain.images import fit_size, read_image, resize
from clickgrain.segmenter import Encoded, Segmenter
from clickgrain.tree import MergeTree, build_tree
from clickgrain.types import Float, Size, UInt8

WORK_SIDE = 2560
"""Larger images are worked on at this long side; export scales masks back."""


def read_at_work(path: Path, notes: list[str] | None = None) -> tuple[UInt8, Size]:
    """(H x W x 3 uint8 RGB at working size, (H, W) of the file).

    Raises:
        ImageError: as `read_image`.
    """
    image = read_image(path, notes=notes)
    native = (image.shape[0], image.shape[1])
    return resize(image, work_size(native)), native


def work_size(native: Size) -> Size:
    """The size that an image of `native` = (H, W) is worked on at."""
    return fit_size(native, WORK_SIDE) if max(native) > WORK_SIDE else native


@dataclass(frozen=True)
class Scene:
    """An image with all that clicks and hovering need.

    Attributes:
        image: H x W x 3 uint8 RGB at working size.
        encoded: for the segmenter.
        tree: merge tree; features: h x w x d float32 of its leaves.
        leaves: leaf map.
        segmenter: what encoded it and answers its clicks; model: hash of its weights.
        stamp: of the file, see `Gallery.stamp`; content: hash of its bytes. Empty where there is no file.
    """

    segmenter: Segmenter
    model: str
    image: UInt8
    encoded: Encoded
    tree: MergeTree
    features: Float
    leaves: Int32
    stamp: str = ""
    content: str = ""

    @property
    def size(self) -> Size:
        """(H, W) at work."""
        return self.image.shape[0], self.image.shape[1]

    @property
    def n_bytes(self) -> int:
        """Memory that it holds, roughly; it grows with the parts that are looked at closely."""
        return self.image.nbytes + self.features.nbytes + self.leaves.nbytes + size_of(self.encoded.state)

    @cached_property
    def hover(self) -> bytes:
        """What the page needs to show regions without asking: the tree and the leaf map ("CGH1")."""
        tree, leaves = self.tree, self.leaves
        head = struct.pack("<4s7I", b"CGH1", *tree.grid, *self.size, *leaves.shape, 0)
        ints = (tree.order, tree.start, tree.area, tree.parent, tree.children.ravel())
        parts = [np.asarray(values, "<i4").tobytes() for values in ints]
        kind = "<u2" if tree.n_leaves <= 65_535 else "<i4"
        return b"".join([head, *parts, tree.level.astype("<f4").tobytes(), leaves.astype(kind).tobytes()])


class SceneMaker:
    """Encodes images with one segmenter, and keeps the features that its trees are made of.

    Args:
        segmenter: answers the clicks.
        model: hash of its weights.
    """

    def __init__(self, segmenter: Segmenter, model: str) -> None:
        self.segmenter, self.model = segmenter, model
        engine: Any = segmenter.engine
        own = getattr(engine, "extractor", None)
        self.extractor = _Remembering(own if isinstance(own, FeatureExtractor) else load_extractor("color-texture"))
        if isinstance(own, FeatureExtractor):
            engine.extractor = self.extractor

    def make(self, image: UInt8, stamp: str = "", content: str = "") -> Scene:
        """Encode an H x W x 3 uint8 RGB image, which came from a file of that stamp and content."""
        self.extractor.last = None
        encoded = self.segmenter.encode(image)
        tree, features = getattr(encoded.state, "tree", None), self.extractor.last
        if not isinstance(tree, MergeTree) or features is None:
            tree, features = self.tree_of(image)
        shared = getattr(encoded.state, "image", image)  # the segmenter's copy serves both
        leaves = leaf_map(tree, image)
        return Scene(self.segmenter, self.model, shared, encoded, tree, features, leaves, stamp, content)

    def tree_of(self, image: UInt8) -> tuple[MergeTree, Float]:
        """The merge tree of an image and the h x w x d features of its leaves, without the rest."""
        features = self.extractor(image)
        return build_tree(features, (image.shape[0], image.shape[1])), features


class _Remembering:
    """An extractor that keeps its last features per thread: trees are made of them inside the segmenter."""

    def __init__(self, extractor: FeatureExtractor) -> None:
        self._extractor, self._local = extractor, threading.local()
        self.name, self.patch_size, self.dim = extractor.name, extractor.patch_size, extractor.dim

    @property
    def last(self) -> Float | None:
        """Features of this thread's last image."""
        found: Float | None = getattr(self._local, "features", None)
        return found

    @last.setter
    def last(self, value: Float | None) -> None:
        self._local.features = value

    def __call__(self, image: UInt8) -> Float:
        self.last = self._extractor(image)
        return self.last

    def batch(self, images: Sequence[UInt8]) -> list[Float]:
        """As the extractor."""
        return self._extractor.batch(images)


def size_of(value: Any) -> int:
    """Bytes of the arrays and tensors inside anything, found through dataclasses and containers.

    Clicks in other threads may put answers into the dictionaries meanwhile, so copies are walked: `list` of a
    dictionary's values is made in one go.
    """
    if isinstance(value, np.ndarray):
        return int(value.nbytes)
    if hasattr(value, "element_size"):  # a tensor; torch need not be loaded to ask
        return int(value.numel() * value.element_size())
    if isinstance(value, MergeTree):
        return 40 * value.n_leaves
    if isinstance(value, dict):
        return sum(map(size_of, list(value.values())))
    if isinstance(value, list | tuple):
        return sum(map(size_of, value))
    return size_of(vars(value)) if hasattr(value, "__dict__") else 0
