"""The images of a project: found by name only, numbered for good, opened when asked for."""

import os
import threading
from collections import OrderedDict
from pathlib import Path

from clickgrain.annotate.database import Database, ImageRow, Summary
from clickgrain.annotate.links import leads_astray
from clickgrain.annotate.refusals import RequestError
from clickgrain.annotate.scenes import read_at_work
from clickgrain.errors import ImageError
from clickgrain.images import find_images
from clickgrain.types import Size, UInt8

KEPT = 3
"""Decoded images."""


class Gallery:
    """Images by number; nothing outside the folder has a number.

    Args:
        photos: a folder, walked recursively, or one image.
        database: remembers numbers and sizes.
        ignore: patterns of files and folders to leave out.

    Raises:
        DataError: no such folder, or no image in it.
    """

    def __init__(self, photos: Path, database: Database, ignore: tuple[str, ...] = ()) -> None:
        self.photos, self.database, self.ignore = photos, database, ignore
        self.folder = photos if photos.is_dir() else photos.parent
        self._lock, self._reading = threading.Lock(), threading.Lock()
        self._read: OrderedDict[str, UInt8] = OrderedDict()
        self._notes: dict[int, list[str]] = {}
        self._rows: dict[int, ImageRow] = {}
        self._ids: dict[Path, int] = {}
        self._by_name: dict[str, list[Path]] = {}
        self.order: list[int] = []
        """Numbers in natural order of the names; missing files come last."""
        self.order_set: frozenset[int] = frozenset()
        self.missing: set[int] = set()
        """Images with annotations whose files are gone."""
        self.left_out = 0
        """Photos behind links out of the folder that somebody else made."""
        self.rescan()

    def rescan(self) -> tuple[int, int]:
        """(new images, missing images) after a look at the folder."""
        listed = [path.relative_to(self.folder) for path in find_images(self.photos, ignore=self.ignore)]
        found = [path for path in listed if not self._leads_astray(path)]
        added = self.database.add_images(found)
        rows = {row.id: row for row in self.database.images()}
        ids = {row.path: row.id for row in rows.values()}
        present = [ids[path] for path in found]
        logged = set(self.database.logged_images()) - set(present)
        by_name: dict[str, list[Path]] = {}
        for image in (*present, *sorted(logged)):
            path = rows[image].path
            for key in {path.name, f"{path.name}.*", f"{path.stem}.*"}:
                by_name.setdefault(key, []).append(path)
        with self._lock:
            self._by_name = by_name
            self._rows, self._ids, self.left_out = rows, ids, len(listed) - len(found)
            self.order, self.missing = [*present, *sorted(logged)], logged
            self.order_set = frozenset(self.order)
        return added, len(logged)

    def row(self, image: int) -> ImageRow:
        """What is known of an image.

        Raises:
            RequestError: there is none of this number.
        """
        with self._lock:
            found = self._rows.get(image)
        if found is None:
            raise RequestError("not_found", f"there is no image {image} in this project")
        return found

    def find(self, name: str) -> int | None:
        """The number of the image that a file means.

        By its path, whole or below the folder, else by its name and as much of the path before it as fits an image;
        None where that is in several folders. `a.*` means the first image in the list that is called so.
        """
        folder = self.folder.resolve()
        wanted = Path(os.path.normpath(folder / name[:4096].replace("\\", "/")))
        wanted = wanted.relative_to(folder) if wanted.is_relative_to(folder) else wanted
        before = wanted.parent.parts[-40:]
        with self._lock:
            if (known := self._ids.get(Path(name))) is not None:
                return known
            named = self._by_name.get(wanted.name, [])
            found = [path for path in named if path.parent == wanted.parent]
            for start in range(len(before) + 1):
                ends = len(before) - start
                found = found or [
                    p for p in named if p.parent.parts[max(0, len(p.parts) - 1 - ends) :] == before[start:]
                ]
            return self._ids[found[0]] if len({path.parent for path in found}) == 1 else None

    def name(self, image: int) -> str:
        """Path relative to the folder as text, for people and JSON."""
        return self.row(image).path.as_posix().encode("utf-8", "surrogateescape").decode("utf-8", "replace")

    def _leads_astray(self, below: Path) -> bool:
        return self.photos.is_dir() and leads_astray(self.folder, below)  # a single photo was named by the user

    def complaint(self) -> str | None:
        """What the user should know about the folder: photos that were left out."""
        if not self.left_out:
            return None
        photos = "1 photo is" if self.left_out == 1 else f"{self.left_out} photos are"
        return (
            f"{photos} left out: links that somebody else made in {self.folder}; put the files there, or link anew"
        )

    def path(self, image: int) -> Path:
        """The file.

        Raises:
            ImageError: somebody else's link leads out of the folder there.
        """
        below = self.row(image).path
        if self._leads_astray(below):
            raise ImageError(
                f"{self.folder / below}: a link that somebody else made to a place outside; put the file there, or"
                " link anew"
            )
        return self.folder / below

    def stamp(self, image: int) -> str:
        """Changes when the file does; part of every cache key.

        Raises:
            ImageError: the file is gone.
        """
        path = self.path(image)
        try:
            status = path.stat()
        except OSError as error:
            raise ImageError(f"{path}: {error.strerror}; put the file back, or look for new files") from error
        return f"{image} {status.st_size} {status.st_mtime_ns}"

    def read(self, image: int) -> UInt8:
        """H x W x 3 uint8 RGB at working size, which is settled when an image is read for the first time.

        The last few are kept: an image that is opened is wanted by the encoder and by the page at once.

        Raises:
            ImageError: it cannot be read, or has another size than when it was annotated.
        """
        stamp = self.stamp(image)
        with self._reading:
            if stamp not in self._read:
                self._read[stamp] = self._fresh(image)
                while len(self._read) > KEPT:
                    self._read.popitem(last=False)
            return self._read[stamp]

    def notes(self, image: int) -> list[str]:
        """What a user should know about a file that was read: scaled, first page only."""
        return self._notes.get(image, [])

    def _fresh(self, image: int) -> UInt8:
        notes: list[str] = []
        pixels, native = read_at_work(self.path(image), notes)
        if notes:
            self._notes[image] = [note.removeprefix(f"{self.path(image)}: ") for note in notes]
        size = (pixels.shape[0], pixels.shape[1])
        known = self.database.size(image)
        if known is None:
            self.database.set_size(image, size, native)
        elif known != (size, native):
            (height, width), (new_height, new_width) = known[1], native
            raise ImageError(
                f"{self.path(image)}: was {width} x {height} pixels when it was annotated, now it is {new_width} x"
                f" {new_height}; put the old file back, or give the new one another name"
            )
        return pixels

    def sizes(self, image: int) -> tuple[Size, Size]:
        """((H, W) at work, (H, W) of the file); reads the file if nobody has."""
        known = self.database.size(image)
        if known is None:
            self.read(image)
            known = self.database.size(image)
        assert known is not None
        return known

    def first(self) -> int:
        """The image that the page opens with: one that is being worked on, else one to do, else the first."""
        summaries = self.database.summaries()
        for status in ("doing", "todo"):
            for image in self.order:
                if summaries.get(image, Summary()).status == status:
                    return image
        return self.order[0]

    def neighbours(self, image: int) -> tuple[int | None, int | None]:
        """(previous, next) in the list."""
        place = self.order.index(image) if image in self.order else -1
        before = self.order[place - 1] if place > 0 else None
        after = self.order[place + 1] if 0 <= place < len(self.order) - 1 else None
        return before, after

    def following(self, image: int, count: int) -> list[int]:
        """The image and the next ones, then the one before."""
        place = self.order.index(image) if image in self.order else 0
        before = self.order[max(place - 1, 0) : place]
        return [*self.order[place : place + 1 + count], *before]
