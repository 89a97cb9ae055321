"""Images, objects and labels independent of any format, and what all readers share.

Readers leave out what they cannot use, with a line in `skipped`, and read the rest.
"""

import itertools
import reprlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from clickgrain.errors import DataError
from clickgrain.files import hash_bytes
from clickgrain.types import Bool, Size

UNLABELLED = "unlabelled"  # name of objects without a label in files
OURS = "clickgrain"  # key in JSON files for data that only clickgrain reads
LONGEST_NAME = 255  # bytes of a file name on all common file systems
LONGEST_LABEL = 200
MOST_NAMED = 1_000  # bad records named one by one; a file may hold millions


@dataclass(frozen=True)
class LabelRecord:
    """A class of objects; `colour` is "#rrggbb"."""

    id: int
    name: str
    colour: str = "#808080"


@dataclass(frozen=True)
class ObjectRecord:
    """An object."""

    mask: Bool  # H x W bool
    label: str | None = None  # name, None if unlabelled
    # our own JSON (steps, level, model), for formats that can hold it
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ImageRecord:
    """An image and its objects, the lowest first."""

    name: str  # path relative to the folder of images, with forward slashes; ends in `.*` if the suffix is unknown
    size: Size | None  # (H, W) of the file; None if the annotations do not have it
    # yields one object at a time, since all masks together may not fit into memory
    objects: Callable[[], Iterable[ObjectRecord]] = tuple
    file: str = ""  # of the annotations, for messages
    # if `size` is None: yields the objects of an image of (H, W)
    read: Callable[[Size], Iterable[ObjectRecord]] | None = None
    # (name, COCO category id or None) of all classes of its file, used here or not
    classes: tuple[tuple[str, int | None], ...] = ()

    def sized(self, size: Size | None) -> "ImageRecord":
        """The record for an image of (H, W); the same while that is unknown."""
        if size is None:
            return self
        assert self.read is not None
        return replace(self, size=size, objects=partial(self.read, size))


def name_for(image: str, suffix: str, taken: set[str], *, after: bool = False) -> str:
    """A file name for an image, which is added to `taken` (in lower case) and short enough for file systems.

    `a.png` for `a.jpg` and ".png", and `a.jpg.png` only where that is taken; with `after` always `a.jpg.png`.
    """
    path = PurePosixPath(image)
    usual = path.name if after and path.suffix.lower() != suffix else path.stem
    stems = itertools.chain([usual, path.name], (f"{path.name}-{number}" for number in itertools.count(2)))
    names = (str(path.with_name(_shortened(stem, suffix))) for stem in stems)
    name = next(one for one in names if one.lower() not in taken)
    taken.add(name.lower())
    return name


def _shortened(stem: str, suffix: str) -> str:
    raw = (stem + suffix).encode("utf-8", "replace")
    if len(raw) <= LONGEST_NAME:
        return stem + suffix
    mark = f"-{hash_bytes(raw)[:8]}{suffix}"  # two long names may begin alike
    return raw[: LONGEST_NAME - len(mark)].decode("utf-8", "ignore") + mark


def leave_out(lines: list[str], line: str) -> None:
    """Add a line about something left out; after a thousand lines, only say that there are more."""
    if len(lines) < MOST_NAMED:
        lines.append(line)
    elif len(lines) == MOST_NAMED:
        lines.append(f"... and more: the first {MOST_NAMED:,} are named")


def read_size(height: Any, width: Any) -> Size:
    """(H, W) from a file; compare it with the photo's size before allocating anything of that size."""
    for side, value in (("height", height), ("width", width)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value < 2**31 or value % 1:
            raise DataError(f"its {side} is {reprlib.repr(value)}, not a whole number of pixels")
    return int(height), int(width)


def read_text(record: Any, key: str) -> str:
    """A name in a file's record; numbers count as names. DataError for none, or an empty one."""
    value = record.get(key) if isinstance(record, dict) else None
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).strip():
        raise DataError(f"its {key} is {reprlib.repr(value)}, not a name")
    return str(value).encode("utf-8", "replace").decode()  # lone surrogates are not text


def solid(mask: Bool) -> Bool:
    """The mask, if it holds a pixel; DataError if it is empty."""
    if not mask.any():
        raise DataError("it covers no pixel: it is smaller than one, or outside the image")
    return mask


@contextmanager
def bad_left_out(skipped: list[str], where: str) -> Iterator[None]:
    """A bad record may raise anything, and must not stop the others: it becomes a line in `skipped`."""
    try:
        yield
    except Exception as error:
        why = f"{type(error).__name__}: {str(error)[:200]}"
        if isinstance(error, DataError | KeyError):
            why = f"no {error}" if isinstance(error, KeyError) else str(error)
        leave_out(skipped, f"{where} is left out: {why}")
