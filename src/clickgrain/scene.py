"""`Scene`: an image with all that clicks and hovering need, for the browser tool and for whole-image masks."""

import struct
import threading
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from clickgrain.features import FeatureExtractor, load_extractor
from clickgrain.segmenter import Encoded, Segmenter
from clickgrain.tree import MergeTree, build_tree
from clickgrain.tree.leaf_map import Int32, leaf_map
from clickgrain.types import Float, Size, UInt8


@dataclass(frozen=True)
class Scene:
    """An image with all that clicks and hovering need."""

    segmenter: Segmenter  # encoded the image and answers its clicks
    model: str  # hash of its weights
    image: UInt8  # H x W x 3 uint8 RGB at working size
    encoded: Encoded  # for the segmenter
    tree: MergeTree  # merge tree
    features: Float  # h x w x d float32 of its leaves
    leaves: Int32  # leaf map
    stamp: str = ""  # of the file, see `Gallery.stamp`
    content: str = ""  # hash of its bytes. Empty without a file
    turn: threading.Lock = field(default_factory=threading.Lock, compare=False, repr=False)  # of its predictions

    @property
    def size(self) -> Size:
        """Working (H, W)."""
        return self.image.shape[0], self.image.shape[1]

    @property
    def n_bytes(self) -> int:
        """Memory that it holds, roughly; it grows with its zoom crops and the view."""
        return size_of([self.image, self.features, self.leaves, self.encoded.state, self.encoded.seen])

    @cached_property
    def hover(self) -> bytes:
        """The tree and the leaf map ("CGH1"), with which the page shows regions by itself."""
        tree, leaves = self.tree, self.leaves
        head = struct.pack("<4s7I", b"CGH1", *tree.grid, *self.size, *leaves.shape, 0)
        ints = (tree.order, tree.start, tree.area, tree.parent, tree.children.ravel())
        parts = [np.asarray(values, "<i4").tobytes() for values in ints]
        kind = "<u2" if tree.n_leaves <= 65_535 else "<i4"
        return b"".join([head, *parts, tree.level.astype("<f4").tobytes(), leaves.astype(kind).tobytes()])


class SceneMaker:
    """Encodes images with one segmenter; `model` is the hash of its weights."""

    def __init__(self, segmenter: Segmenter, model: str) -> None:
        self.segmenter, self.model = segmenter, model
        own = getattr(segmenter.engine, "extractor", None)
        self.extractor = own if isinstance(own, FeatureExtractor) else load_extractor("color-texture")

    def make(self, image: UInt8, stamp: str = "", content: str = "") -> Scene:
        """Encode an H x W x 3 uint8 RGB image, read from a file with that stamp and content."""
        encoded = self.segmenter.encode(image)
        tree, features = encoded.tree, encoded.features
        if tree is None or features is None:
            tree, features = self.tree_of(image)
        shared = encoded.image if encoded.scale == (1, 1) else image  # the segmenter's copy serves both
        leaves = leaf_map(tree, image)
        return Scene(self.segmenter, self.model, shared, encoded, tree, features, leaves, stamp, content)

    def tree_of(self, image: UInt8) -> tuple[MergeTree, Float]:
        """The merge tree of an image and the h x w x d features of its leaves, without the rest."""
        features = self.extractor(image)
        return build_tree(features, (image.shape[0], image.shape[1])), features


def size_of(value: Any) -> int:
    """Bytes of the arrays and tensors inside any value, found through dataclasses and containers.

    Clicks in other threads may fill the dictionaries meanwhile, so copies are walked: `list` of a dictionary's
    values is atomic.
    """
    if isinstance(value, np.ndarray):
        return int(value.nbytes)
    if hasattr(value, "element_size"):  # a tensor; torch need not be loaded to ask
        return int(value.numel() * value.element_size())
    if isinstance(value, MergeTree):
        return 40 * value.n_leaves
    if isinstance(own := getattr(value, "own_bytes", None), int):  # it shares most of what it refers to
        return own
    if isinstance(value, dict):
        return sum(map(size_of, list(value.values())))
    if isinstance(value, list | tuple):
        return sum(map(size_of, value))
    return size_of(vars(value)) if hasattr(value, "__dict__") else 0
