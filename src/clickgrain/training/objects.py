"""The salient objects of an image set's photos, remembered in a file so that a resumed run need not look again."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from clickgrain.files import atomic_write
from clickgrain.proposals import salient_object
from clickgrain.training.image_set import ImageSet
from clickgrain.types import UInt8

OBJECTS = "objects.safetensors"
"""Its name in a run's folder."""
VERSION = "1"
"""Raised when the same photo would give another object."""
SAVE_EVERY = 500

Found = dict[str, UInt8]
"""Photo -> its mask as the bytes of a PNG file; none where the photo has no object."""


def find_objects(
    image_set: ImageSet, *, cache: Path | None = None, threads: int = 1, advance: Callable[[], None] = lambda: None
) -> None:
    """Note in the image set the objects that `salient_object` finds in its photos.

    Args:
        image_set: of photos with trees.
        cache: file of an earlier call, continued, or begun where there is none; a damaged one is begun anew.
        threads: that look.
        advance: called once per photo.
    """
    found = {} if cache is None else _load(cache)
    keys = [_key(image_set, i) for i in range(image_set.photos)]
    todo = [i for i in range(image_set.photos) if keys[i] not in found]
    for _ in range(image_set.photos - len(todo)):
        advance()
    with ThreadPoolExecutor(threads) as pool:
        for part in _parts(todo, SAVE_EVERY):
            for i, mask in zip(part, pool.map(lambda i: _object(image_set, i), part)):
                found[keys[i]] = mask
                advance()
            if cache is not None:
                _save(cache, {key: found[key] for key in keys if key in found})
    image_set.objects.update((i, found[key]) for i, key in enumerate(keys) if found[key].size)


def _key(image_set: ImageSet, i: int) -> str:
    """Name and content: another picture of the same name is looked at anew."""
    return f"{image_set.names[i]}:{zlib.crc32(image_set.image(i).tobytes()):08x}"


def _object(image_set: ImageSet, i: int) -> UInt8:
    mask = salient_object(image_set.image(i), image_set.tree(i))
    return np.zeros(0, np.uint8) if mask is None else cv2.imencode(".png", (mask * 255).astype(np.uint8))[1].ravel()


def _parts(items: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _load(path: Path) -> Found:
    try:
        with safe_open(path, "numpy") as file:
            if (file.metadata() or {}).get("version") != VERSION:
                return {}
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        return {}


def _save(path: Path, found: Found) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(path, save(found, {"version": VERSION}))
