"""Benchmarks: images with target masks, on disk or in memory, loaded one at a time."""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from clickgrain.errors import DataError, ImageError
from clickgrain.evaluation.layouts import GENERIC, LOADERS
from clickgrain.evaluation.layouts import Target as Target
from clickgrain.evaluation.masks import checked_mask
from clickgrain.files import hash_bytes
from clickgrain.types import UInt8

SizeClass = Literal["small", "medium", "large"]
SIZE_CLASSES: tuple[SizeClass, ...] = ("small", "medium", "large")


def size_class(area: float) -> SizeClass:
    """Class of a target by its share of the image: small < 3 %, medium 3-15 %, large > 15 %."""
    if area < 0.03:
        return "small"
    return "medium" if area <= 0.15 else "large"


class Benchmark:
    """A named list of targets; holds no pixels unless built by `Benchmark.of`."""

    def __init__(self, name: str, targets: Iterable[Target], notes: Iterable[str] = ()) -> None:
        self.name = name
        groups: dict[str, list[Target]] = {}
        for target in targets:
            groups.setdefault(target.image_id, []).append(target)
        self._groups = groups
        self.targets = [target for group in groups.values() for target in group]
        self.notes = list(notes)

    def __len__(self) -> int:
        return len(self.targets)

    def __iter__(self) -> Iterator[Target]:
        return iter(self.targets)

    def __repr__(self) -> str:
        return f"Benchmark({self.name!r}, {len(self)} targets of {len(self._groups)} images)"

    @property
    def ids(self) -> list[str]:
        """Ids of the targets, in order."""
        return [target.id for target in self.targets]

    def by_image(self) -> Iterator[list[Target]]:
        """The targets of each image together, so that an image is read and encoded once."""
        yield from (list(group) for group in self._groups.values())

    def select(self, wanted: int | Iterable[str] | None) -> "Benchmark":
        """The first `wanted` targets, or those of the given ids (DataError for an unknown one), or (None) all."""
        if wanted is None:
            return self
        if isinstance(wanted, int):
            return Benchmark(self.name, self.targets[:wanted], self.notes)
        ids = list(wanted)
        known = {target.id: target for target in self.targets}
        missing = [id_ for id_ in ids if id_ not in known]
        if missing:
            raise DataError(f"benchmark {self.name!r} has no target {missing[0]!r}; its first: {[*known][:3]}")
        return Benchmark(self.name, [known[id_] for id_ in ids], self.notes)

    def load(self, id_: str) -> tuple[UInt8, UInt8]:
        """The image (H x W x 3 RGB) and mask (H x W: 0, 128, 255) of a target; DataError or ImageError."""
        (target,) = self.select([id_])
        image = target.image()
        return image, target.mask(image.shape[:2])

    @classmethod
    def of(cls, pairs: Iterable[tuple[UInt8, npt.NDArray[np.generic]]], name: str = "memory") -> "Benchmark":
        """A benchmark of (image, mask) arrays: H x W x 3 uint8 RGB, and H x W bool or uint8 (0, 128, 255).

        Pairs that hold the same image object count as one image. Unusable masks are reported when reached.
        """
        targets, images = [], dict[int, str]()
        for number, (image, mask) in enumerate(pairs):
            image_id = images.setdefault(id(image), f"{number}")
            check = partial(checked_mask, mask, f"mask {number}")
            digest = partial(_arrays_digest, image, np.asarray(mask))
            targets.append(Target(f"{number}", image_id, partial(np.asarray, image), check, digest))
        return cls(name, targets)


def load_group(group: list[Target], skipped: list[str]) -> tuple[UInt8 | None, list[tuple[Target, UInt8]]]:
    """The image of a group (None: unreadable) and its usable masks; `skipped` gets a line for each other target."""
    try:
        image = group[0].image()
    except (ImageError, DataError) as error:
        skipped += [f"target {target.id}: {error}" for target in group]
        return None, []
    masks = []
    for target in group:
        try:
            masks.append((target, target.mask(image.shape[:2])))
        except (ImageError, DataError) as error:
            skipped.append(f"target {target.id}: {error}")
    return image, masks


def load_benchmark(name: str, root: str | Path) -> Benchmark:
    """The benchmark in folder `root`; a known `name` picks its loader, any other the generic layout.

    Generic layout: `images/<id>.*` and `masks/<id>#<k>.png`, one PNG per target: 0 background, 128 ignore,
    255 object. Images and masks are loaded when they are reached; only names are read here, and for sets with
    several objects in a mask file (sbd, pascalvoc, sstem, oai-zib) the mask files, to count the objects. `notes` of
    the benchmark lists what was left out, and how the counts differ from the published ones.

    Raises:
        DataError: for another layout (the message shows the expected tree), or without targets.
    """
    root, layout = Path(root), LOADERS.get(name.lower().replace("_", "-"), GENERIC)
    expected = layout.tree + (f"\nto be had from: {layout.source}" if layout.source else "")
    if missing := layout.missing(root):
        kind = "file" if "." in missing[0] else "folder"
        reason = f"{root}: not benchmark {name!r}, there is no {kind} {missing[0]!r}; expected:\n{expected}"
        if layout is not GENERIC and not GENERIC.missing(root):
            reason += f"\nit has the generic layout: give it another name than {name!r}"
        raise DataError(reason)
    found, notes = layout.find(root)
    if not found:
        left_out = "".join(f"\n- {note}" for note in notes[:5])
        raise DataError(f"{root}: no target found for benchmark {name!r}; expected:\n{expected}{left_out}")
    images = len({one.image_id for one in found})
    counts = ("targets", len(found), layout.targets), ("images", images, layout.images)
    differing = [f"{name}: {have} of {all_} {what}" for what, have, all_ in counts if all_ not in (None, have)]
    return Benchmark(name, found, [*differing, *filter(None, [layout.remark]), *notes])


def data_hash(benchmark: Benchmark) -> str:
    """20 hex digits of ids and content of a whole benchmark, of ids alone where targets have no `digest`."""
    parts = [f"{target.id} {target.digest() if target.digest else ''}" for target in benchmark]
    return hash_bytes("\n".join(parts).encode())


def _arrays_digest(image: npt.NDArray[np.generic], mask: npt.NDArray[np.generic]) -> str:
    return hash_bytes(b"".join(f"{a.shape} {a.dtype} ".encode() + a.tobytes() for a in (image, mask)))
