"""What is exported and imported, free of any format: images, their objects, and labels."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from clickgrain.types import Bool, Size

UNLABELLED = "unlabelled"
"""Name that files give to objects without a label."""


def name_beside(image: str, suffix: str, taken: set[str]) -> str:
    """Name of an image's file; it joins those `taken`. `a.txt` for `a.jpg`, `a.png.txt` for an `a.png` after it."""
    usual = str(PurePosixPath(image).with_suffix(suffix))
    name = usual if usual.lower() not in taken else image + suffix
    taken.add(name.lower())
    return name


@dataclass(frozen=True)
class LabelRecord:
    """A class of objects; `colour` is "#rrggbb"."""

    id: int
    name: str
    colour: str = "#808080"


@dataclass(frozen=True)
class ObjectRecord:
    """An object.

    Attributes:
        mask: H x W bool.
        label: name, None if unlabelled.
        extra: JSON of our own (steps, level, model), kept beside the mask where a format allows it.
    """

    mask: Bool
    label: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ImageRecord:
    """An image and its objects, the lowest first.

    Attributes:
        name: path relative to the folder of images, with forward slashes.
        size: (H, W) of the file.
        objects: decodes the objects' masks; a function, so that one image is in memory at a time.
    """

    name: str
    size: Size
    objects: Callable[[], list[ObjectRecord]]
