"""Where the files of each benchmark lie. A new set is one entry in `LOADERS`."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Found:
    """One target's files; nothing has been read yet."""

    id: str
    image: Path
    mask: Path


@dataclass(frozen=True)
class Layout:
    """How one benchmark lies on disk.

    Attributes:
        folders: sub-folders that must be there.
        tree: the expected layout, for people.
        find: root -> (targets in a stable order, notes about files left out).
        strict: masks hold 0, 128 and 255 only; otherwise below 128 is background and above is object.
        expected: number of targets of the complete set, if there is such a number.
    """

    folders: tuple[str, ...]
    tree: str
    find: Callable[[Path], tuple[list[Found], list[str]]]
    strict: bool = True
    expected: int | None = None


def files_of(folder: Path) -> list[Path]:
    """The files of a folder, hidden ones left out, in order of their names."""
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def pair(
    images: Iterable[Path], masks: Iterable[Path], image_stem: Callable[[Path], str]
) -> tuple[list[Found], list[str]]:
    """Match every mask to the one image whose stem is `image_stem(mask)`; the rest becomes notes."""
    by_stem: dict[str, list[Path]] = defaultdict(list)
    for image in images:
        by_stem[image.stem].append(image)
    found, notes, used = [], [], set()
    for mask in masks:
        candidates = by_stem.get(stem := image_stem(mask), [])
        used.add(stem)
        if len(candidates) == 1:
            found.append(Found(mask.stem, candidates[0], mask))
        else:
            what = f"are {len(candidates)} images" if candidates else "is no image"
            notes.append(f"{mask}: left out, there {what} called {stem!r}")
    return found, notes + [f"{by_stem[stem][0]}: left out, it has no mask" for stem in sorted({*by_stem} - used)]


def _generic(root: Path) -> tuple[list[Found], list[str]]:
    masks, notes = [], []
    for path in files_of(root / "masks"):
        if path.suffix.lower() == ".png" and "#" in path.stem:
            masks.append(path)
        else:
            notes.append(f"{path}: left out, a mask is called <id>#<k>.png")
    found, more = pair(files_of(root / "images"), sorted(masks, key=_by_number), _before_hash)
    return found, notes + more


def _before_hash(mask: Path) -> str:
    return mask.stem.rpartition("#")[0]


def _by_number(mask: Path) -> tuple[str, int, str]:
    stem, _, number = mask.stem.rpartition("#")
    return stem, int(number) if number.isdecimal() else 0, number


def _grabcut(root: Path) -> tuple[list[Found], list[str]]:
    return pair(files_of(root / "data_GT"), files_of(root / "boundary_GT"), _same_stem)


def _same_stem(mask: Path) -> str:
    return mask.stem


GENERIC = Layout(
    folders=("images", "masks"),
    tree="""\
  images/<id>.*         one file per image: .jpg, .png, .webp, .tif, .bmp
  masks/<id>#<k>.png    one per target, k = 0, 1, ...: 0 background, 128 ignore, 255 object""",
    find=_generic,
)

LOADERS: Mapping[str, Layout] = {
    "grabcut": Layout(
        folders=("data_GT", "boundary_GT"),
        tree="""\
  data_GT/<id>.*        50 images
  boundary_GT/<id>.*    their trimaps: 128 ignore, above 128 object, below background""",
        find=_grabcut,
        strict=False,
        expected=50,
    ),
}
"""Benchmark name -> layout; any other name has the generic layout."""
