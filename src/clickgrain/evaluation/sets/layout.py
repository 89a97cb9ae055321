"""What a benchmark's layout is, and the searching that layouts share."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

from clickgrain.errors import DataError
from clickgrain.files import hash_bytes, hash_file
from clickgrain.images import read_image
from clickgrain.types import Size, UInt8

MaskReader = Callable[[Path, Size], UInt8]
"""(mask file, (height, width) of its image) -> H x W uint8 of 0, 128 and 255; raises ImageError or DataError."""


@dataclass(frozen=True)
class Target:
    """One object to be found in one image.

    Attributes:
        id: unique in its benchmark.
        image_id: shared by the targets of one image.
        image: loads the H x W x 3 uint8 RGB image; raises ImageError.
        mask: given the image's (height, width), loads the H x W uint8 target (0 background, 128 ignore, 255
            object); raises ImageError or DataError, naming the file, when it cannot be used.
        digest: hashes the content of image and mask, if that is cheap.
    """

    id: str
    image_id: str
    image: Callable[[], UInt8] = field(repr=False)
    mask: Callable[[Size], UInt8] = field(repr=False)
    digest: Callable[[], str] | None = field(default=None, repr=False)


def target_of(id_: str, image: Path, read: Callable[..., UInt8], mask: Path, *how: object) -> Target:
    """The target in two files; `read(mask, *how, size)` loads its mask."""
    named = " ".join(str(getattr(value, "__name__", value)) for value in (read, *how))
    return Target(
        id_, image.stem, partial(read_image, image), partial(read, mask, *how), partial(_digest, named, image, mask)
    )


def _digest(how: str, *paths: Path) -> str:
    """Hash of files and of the way to read them."""
    return hash_bytes(" ".join([how, *map(_content, paths)]).encode())


def _content(path: Path) -> str:
    try:
        state = path.stat()
        return _hashed(path, state.st_size, state.st_mtime_ns)
    except OSError:
        return "unreadable"  # said when the target is reached


@cache
def _hashed(path: Path, size: int, changed: int) -> str:
    return hash_file(path)


Search = Callable[[Path], tuple[list[Target], list[str]]]
"""root -> (targets in a stable order, notes about files left out)."""


@dataclass(frozen=True)
class Layout:
    """How one benchmark lies on disk.

    Attributes:
        needs: folders and files below the root that must be there.
        tree: the expected layout, for people.
        find: lists the targets. Sets of one mask per file are listed by their names alone; where a file holds
            several objects, all mask files are read once, one at a time.
        source: where the set is obtained, for people.
        images: number of images of the complete set, where that is published.
        targets: number of targets of the complete set, where that is published.
        remark: what must be said beside every figure on this set.
    """

    needs: tuple[str, ...]
    tree: str
    find: Search
    source: str = ""
    images: int | None = None
    targets: int | None = None
    remark: str = ""

    def missing(self, root: Path) -> list[str]:
        """The needed folders and files that are not there."""
        return [name for name in self.needs if not (root / name).exists()]

    def counted(self, name: str, found: list[Target]) -> list[str]:
        """A note for every published count that was not found."""
        images = len({one.image_id for one in found})
        counts = (("targets", len(found), self.targets), ("images", images, self.images))
        return [f"{name}: {have} of {all_} {what}" for what, have, all_ in counts if all_ not in (None, have)]


def files_of(folder: Path) -> list[Path]:
    """The files of a folder, hidden ones left out, in order of their names.

    Raises:
        DataError: when the folder cannot be listed.
    """
    try:
        return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error}); give a folder that can be read") from error


def same_stem(mask: Path, images: Iterable[str]) -> str:
    """A mask is called as its image."""
    return mask.stem


def pair(
    images: Iterable[Path],
    masks: Iterable[Path],
    read: MaskReader,
    image_stem: Callable[[Path, Iterable[str]], str] = same_stem,
) -> tuple[list[Target], list[str]]:
    """Match every mask to the one image called `image_stem(mask, all stems)`; the rest becomes notes."""
    by_stem: dict[str, list[Path]] = defaultdict(list)
    for image in images:
        by_stem[image.stem].append(image)
    found, notes, used = [], [], set()
    for mask in masks:
        stem = image_stem(mask, by_stem.keys())
        used.add(stem)
        candidates = by_stem.get(stem, [])
        if len(candidates) == 1:
            found.append(target_of(mask.stem, candidates[0], read, mask))
        else:
            what = f"are {len(candidates)} images" if candidates else "is no image"
            notes.append(f"{mask}: left out, there {what} called {stem!r}")
    return found, notes + [f"{by_stem[stem][0]}: left out, it has no mask" for stem in sorted({*by_stem} - used)]


def listed(path: Path) -> list[str]:
    """The stems in a list file: the first word of every line that has one.

    Raises:
        DataError: when the file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a list of image names ({error}); give one name a line") from error
    return list(dict.fromkeys(line.split()[0] for line in lines if line.strip()))
