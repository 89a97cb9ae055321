"""Targets with exact masks: pieces of held-out photos put into other held-out photos."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from clickgrain import __version__
from clickgrain.errors import DataError
from clickgrain.evaluation import Benchmark, load_benchmark
from clickgrain.files import atomic_write, hash_bytes
from clickgrain.proposals.composites import composite
from clickgrain.proposals.config import CompositeSettings
from clickgrain.proposals.cutouts import Cutout, region_cutout
from clickgrain.training.image_set import ImageSet
from clickgrain.tree import MergeTree
from clickgrain.types import UInt8

LAW = CompositeSettings(min_area=0.03, max_area=0.25, match=0.3, max_upscale=3.0)
"""Targets that can be seen well in a report: none tiny, none that fills the picture."""
TRIES = 40


def write_targets(
    image_set: ImageSet, folder: Path, count: int, *, seed: int, advance: Callable[[], None] = lambda: None
) -> tuple[Benchmark, str]:
    """Make targets, put them into a folder in the generic layout, and read that back as a benchmark.

    Args:
        image_set: the photos to make them of.
        folder: gets `images/<n>.png` and `masks/<n>#0.png`.
        count: how many.
        seed: target n depends on the image set, the seed and n alone.
        advance: called once per target.

    Returns:
        The benchmark, and a hash of all its pixels and of the version that answers are made with.

    Raises:
        DataError: if nothing can be cut out of these photos, or the folder cannot be written.
    """
    written = [__version__.encode()]
    for n in range(count):
        image, mask = make_target(image_set, np.random.default_rng([seed, 2, n]))
        for name, pixels in ((f"images/{n:02d}.png", image), (f"masks/{n:02d}#0.png", mask)):
            written.append(_write_png(folder / name, pixels))
        advance()
    return load_benchmark("composites", folder).select([f"{n:02d}#0" for n in range(count)]), hash_bytes(
        b"".join(written)
    )


def make_target(image_set: ImageSet, rng: np.random.Generator) -> tuple[UInt8, UInt8]:
    """One composite (H x W x 3 uint8 RGB) and its mask (H x W uint8, 255 = object)."""
    for _ in range(TRIES):
        donor, ground = (int(i) for i in rng.permutation(image_set.photos)[:2])
        image, tree = shown(image_set, donor)
        piece: Cutout | None = region_cutout(image, tree, rng, min_area=0.03)
        if piece is not None:
            made = composite(image_set.image(ground), piece.image, piece.alpha, rng, LAW)
            return made.image, np.where(made.mask > 0.5, 255, 0).astype(np.uint8)
    raise DataError(f"no region that could be a target was found in {', '.join(image_set.names)}; use other photos")


def shown(image_set: ImageSet, i: int) -> tuple[UInt8, MergeTree]:
    """A photo of the image set with its tree at the photo's own size in the image set."""
    image, tree = image_set.image(i), image_set.tree(i)
    return image, MergeTree(tree.children, tree.cost, tree.grid, image.shape[:2])


def _write_png(path: Path, pixels: UInt8) -> bytes:
    """Returns the bytes that were written."""
    ordered = pixels[..., ::-1] if pixels.ndim == 3 else pixels
    content = bytes(cv2.imencode(".png", ordered)[1])
    try:
        atomic_write(path, content)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be written ({error.strerror or error}); make room or choose another --out"
        ) from error
    return content
