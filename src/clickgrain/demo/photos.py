"""The demo's data: photos from scikit-image's wheel, and targets with exact masks made of some of them."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import cv2
import numpy as np

from clickgrain import __version__
from clickgrain.errors import DataError
from clickgrain.evaluation import Benchmark, load_benchmark
from clickgrain.files import hash_bytes, write_or_raise
from clickgrain.proposals.composites import composite
from clickgrain.proposals.config import CompositeSettings
from clickgrain.proposals.cutouts import region_cutout
from clickgrain.training.image_set import ImageSet
from clickgrain.tree import MergeTree
from clickgrain.types import UInt8

SETTINGS = CompositeSettings(min_area=0.03, max_area=0.25, match=0.3, max_upscale=3.0)
"""Targets that are easy to see in a report: none tiny, none that fills the image."""
TRIES = 40
ADVICE = "make room or choose another --out"


@dataclass(frozen=True)
class DemoPhoto:
    """One bundled photo."""

    file: str  # its name in scikit-image's data folder
    # where its tree is clicked for the report, as fractions (x, y) of width and height; None: not shown
    click: tuple[float, float] | None = None
    level: float = 0.6  # of the region that this click asks for


LEARN = (
    DemoPhoto("chelsea.png", (0.365, 0.30), 0.7),
    DemoPhoto("rocket.jpg", (0.50, 0.60), 0.8),
    DemoPhoto("ihc.png", (0.62, 0.72), 0.8),
    DemoPhoto("hubble_deep_field.jpg"),
    DemoPhoto("retina.jpg"),
)
"""Trained on."""

HELD_OUT = (DemoPhoto("astronaut.png"), DemoPhoto("coffee.png"), DemoPhoto("motorcycle_left.png"))
"""Never trained on; the targets are made of these alone."""


def copy_photos(photos: tuple[DemoPhoto, ...], folder: Path) -> list[DemoPhoto]:
    """Copy missing photos into a folder; those that this scikit-image has. DataError: under two, or a full disk."""
    found = []
    for photo in photos:
        source = files("skimage") / "data" / photo.file
        if not source.is_file():
            continue
        found.append(photo)
        target = folder / photo.file
        with as_file(source) as path:
            if not target.exists() or target.stat().st_size != path.stat().st_size:
                write_or_raise(target, path.read_bytes(), DataError, ADVICE)
    if len(found) < 2:
        raise DataError(
            f"the installed scikit-image lacks {photos[0].file} and others of its photos; reinstall it:"
            " pip install --force-reinstall scikit-image"
        )
    return found


def write_targets(
    image_set: ImageSet, folder: Path, count: int, *, seed: int, advance: Callable[[], None] = lambda: None
) -> tuple[Benchmark, str]:
    """Make targets, write them into a folder in the generic layout, and read that back as a benchmark.

    Returns the benchmark, and a hash of all its pixels and of the version that answers are made with. Raises
    DataError: nothing can be cut out of these photos, or the folder cannot be written.
    """
    written = [__version__.encode()]
    for n in range(count):
        image, mask = make_target(image_set, np.random.default_rng([seed, 2, n]))
        for name, pixels in ((f"images/{n:02d}.png", image[..., ::-1]), (f"masks/{n:02d}#0.png", mask)):
            content = bytes(cv2.imencode(".png", pixels)[1])
            write_or_raise(folder / name, content, DataError, ADVICE)
            written.append(content)
        advance()
    benchmark = load_benchmark("composites", folder).select([f"{n:02d}#0" for n in range(count)])
    return benchmark, hash_bytes(b"".join(written))


def make_target(image_set: ImageSet, rng: np.random.Generator) -> tuple[UInt8, UInt8]:
    """One composite (H x W x 3 uint8 RGB) and its mask (H x W uint8, 255 = object)."""
    for _ in range(TRIES):
        donor, ground = (int(i) for i in rng.permutation(image_set.photos)[:2])
        image, tree = image_and_tree(image_set, donor)
        cutout = region_cutout(image, tree, rng, min_area=0.03)
        if cutout is not None:
            made = composite(image_set.image(ground), cutout.image, cutout.alpha, rng, SETTINGS)
            return made.image, np.where(made.mask > 0.5, 255, 0).astype(np.uint8)
    raise DataError(f"no region that could be a target was found in {', '.join(image_set.names)}; use other photos")


def image_and_tree(image_set: ImageSet, i: int) -> tuple[UInt8, MergeTree]:
    """A photo of the image set with its tree at the photo's size in the image set."""
    image, tree = image_set.image(i), image_set.tree(i)
    return image, MergeTree(tree.children, tree.cost, tree.grid, image.shape[:2])
