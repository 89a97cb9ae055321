"""The images of a project: found by name alone, numbered permanently, opened on demand."""

import os
import threading
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from clickgrain.annotate.database import Database, Summary
from clickgrain.annotate.files_below import NumberedFiles, OpenFile, checked, leads_astray
from clickgrain.errors import DataError, ImageError
from clickgrain.images import find_images, read_image, resize_long_side, rotation_hint
from clickgrain.images.pixels import Window
from clickgrain.images.reader import MAX_PIXELS
from clickgrain.types import Size, UInt8

KEPT = 3  # decoded images in memory
WORK_SIDE = 2560  # long side that larger images are reduced to for annotation; export scales masks back


def read_at_work(path: Path, notes: list[str] | None = None, window: Window | None = None) -> tuple[UInt8, Size]:
    """(H x W x 3 uint8 RGB at working size, (H, W) of the file); arguments and ImageError as of `read_image`."""
    image = read_image(path, notes=notes, window=window)
    native = (image.shape[0], image.shape[1])
    return (resize_long_side(image, WORK_SIDE) if max(native) > WORK_SIDE else image), native


class Loaded(NamedTuple):
    """An image that was read."""

    pixels: UInt8  # H x W x 3 uint8 RGB at working size
    stamp: str  # of the file; see `Gallery.stamp`
    content: str  # hash of the file's bytes


class Gallery(NumberedFiles):
    """Images of a folder, or one, by number; files outside the folder have none. DataError if there is none."""

    def __init__(self, photos: Path, database: Database, ignore: tuple[str, ...] = ()) -> None:
        self.photos, self.database, self.ignore = photos, database, ignore
        self.is_folder = photos.is_dir()
        super().__init__(photos if self.is_folder else photos.parent, trusted=not self.is_folder)
        self._lock, self._reading = threading.Lock(), threading.Lock()
        self._read: OrderedDict[str, Loaded] = OrderedDict()
        self._settled: set[str] = set()
        self._notes: dict[int, list[str]] = {}
        self._ids: dict[Path, int] = {}
        self._by_name: dict[str, list[Path]] = {}
        self.order: list[int] = []  # numbers in natural order of the names, missing files last
        self.missing: set[int] = set()  # annotated images whose files are gone
        self.astray: list[Path] = []
        """Photos behind links out of the folder that another user made, which are left out."""
        self.strange: list[str] = []  # why files that look like images were left out: a line for each reason
        self.outside: list[str] = []  # names in the project file that are no path below the folder
        self.rescan()

    def rescan(self) -> tuple[int, int]:
        """Walk the folder again; returns (new images, missing images)."""
        strange: list[str] = []
        images = find_images(self.photos, ignore=self.ignore, left_out=strange)
        listed = [path.relative_to(self.folder) for path in images]
        # a single photo was named by the user
        astray = [path for path in listed if self.is_folder and leads_astray(self.folder, path)]
        found = [path for path in listed if path not in astray] if astray else listed
        rows = self.database.rows("SELECT path FROM images")
        new = {os.fsencode(path) for path in found} - {row[0] for row in rows}
        if new:
            with self.database.writing() as db:
                names = ((name,) for name in map(os.fsencode, found) if name in new)
                db.executemany("INSERT OR IGNORE INTO images (path) VALUES (?)", names)
        paths, outside = dict[int, Path](), list[str]()
        for id_, name in self.database.rows("SELECT id, path FROM images"):
            try:
                paths[id_] = checked(name)
            except (DataError, TypeError):
                outside.append(repr(name))
        ids = {path: image for image, path in paths.items()}
        present = [ids[path] for path in found if path in ids]
        logged = (set(self.database.logged_images()) & paths.keys()) - set(present)
        order, by_name = [*present, *sorted(logged)], dict[str, list[Path]]()
        for path in (paths[image] for image in order):
            for key in {path.name, f"{path.name}.*", f"{path.stem}.*"}:
                by_name.setdefault(key, []).append(path)
        with self._lock:
            self._by_name, self.paths, self._ids = by_name, paths, ids
            self.astray, self.strange, self.outside, self.missing = astray, strange, outside, logged
            self.order = order
        return len(new), len(logged)

    def find(self, name: str) -> int | None:
        """The number of the image that a file name means.

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
                n = len(before) - start
                found = found or [p for p in named if p.parts[max(0, len(p.parts) - 1 - n) : -1] == before[start:]]
            return self._ids[found[0]] if len({path.parent for path in found}) == 1 else None

    def logged(self) -> list[int]:
        """Images that have a log, in the order of their numbers."""
        with self._lock:
            return [image for image in self.database.logged_images() if image in self.paths]

    def complaint(self) -> str | None:
        """Photos and rows that were left out, in words for the user."""
        said = list(self.strange)
        if count := len(self.astray):
            photos = "1 photo is" if count == 1 else f"{count} photos are"
            links = f"links that another user made in {self.folder}"
            said.append(f"{photos} left out: {links}; put the files there, or link again")
        if self.outside:
            some = f"{len(self.outside)} images outside of the folder, such as {self.outside[0][:200]}"
            said.append(f"{self.database.path} names {some}; they are left out: who gave you this file?")
        return "\n".join(said) or None

    def load(self, image: int) -> Loaded:
        """An image at working size, the last few cached; ImageError: unreadable, or of another size than before."""
        with self.open(image) as file:
            stamp = f"{image} {file.stamp}"
            if (known := self._read.get(stamp)) is not None:
                return known
            with self._reading:  # one at a time, to save memory
                if (known := self._read.get(stamp)) is not None:
                    return known
                loaded = Loaded(self._fresh(image, file), stamp, self._content(file))
                if file.has_changed:
                    raise ImageError(f"{file.path}: was written to while it was read; try again in a moment")
                self._settled.add(stamp)
                self._read[stamp] = loaded
                while len(self._read) > KEPT:
                    self._read.popitem(last=False)
            return loaded

    def notes(self, image: int) -> list[str]:
        """Notes for the user on a file, which is read for it if it was not before: scaled, first page only."""
        if image not in self._notes:
            with suppress(ImageError):  # opening it says so
                self.load(image)
        return self._notes.get(image, [])

    def _fresh(self, image: int, file: OpenFile) -> UInt8:
        notes: list[str] = []
        pixels, native = read_at_work(file.path, notes)
        self._notes[image] = [note.removeprefix(f"{file.path}: ") for note in notes]
        if any("pages; the first was read" in note for note in notes):
            self._notes[image].append(f"`clickgrain annotate {self.path(image).name}` makes images of all pages")
        size = (pixels.shape[0], pixels.shape[1])
        if self.size(image) != (size, native):
            self.set_size(image, size, native)
        known = self.size(image)
        if known is not None and known != (size, native):
            was, now = (f"{width} x {height}" for height, width in (known[1], native))
            changed = f"{file.path}: was {was} pixels when it was annotated, now it is {now}"
            fix = f"put the old file back, or give the new one another name{rotation_hint(known[1], native)}"
            raise ImageError(f"{changed}; {fix}")
        return pixels

    def set_size(self, image: int, size: Size, native: Size) -> None:
        """Set the working and native (H, W) of an image, unless it is annotated and has them already."""
        with self.database.writing() as db:
            if self.size(image) is not None and self.database.is_logged(image):
                return
            update = "UPDATE images SET height = ?, width = ?, native_height = ?, native_width = ? WHERE id = ?"
            db.execute(update, (*size, *native, image))

    def size(self, image: int) -> tuple[Size, Size] | None:
        """(working (H, W), (H, W) of the file), if the image was opened before."""
        query = "SELECT height, width, native_height, native_width FROM images WHERE id = ?"
        for row in self.database.rows(query, image):
            if all(isinstance(side, int) and side > 0 for side in row):
                height, width, *native = row
                if max(height * width, native[0] * native[1]) <= MAX_PIXELS:
                    return (height, width), (native[0], native[1])
        return None

    def sizes(self, image: int) -> tuple[Size, Size]:
        """((H, W) at work, (H, W) of the file), which is read if it is new; ImageError if it cannot be."""
        self.path(image)
        known = self.size(image)
        if known is not None and self.database.is_logged(image):
            return known  # settled for good
        try:
            if known is None or self.stamp(image) not in self._settled:
                self.load(image)
                known = self.size(image)
        except ImageError:
            if known is None:
                raise
        assert known is not None
        return known

    def first(self) -> int:
        """The image that the page opens first: one sent back, else begun, else to do, else the first."""
        summaries, ranks = self.database.summaries(), {"sent_back": 0, "doing": 1, "todo": 2}
        return min(self.order, key=lambda image: ranks.get(summaries.get(image, Summary()).status, 3))

    def neighbours(self, image: int) -> tuple[int | None, int | None]:
        """(previous, next) in the list."""
        if image not in self.order:
            return None, None
        place, row = self.order.index(image), [None, *self.order, None]
        return row[place], row[place + 2]

    def following(self, image: int, count: int) -> list[int]:
        """The image and the next ones, then the one before."""
        place = self.order.index(image) if image in self.order else 0
        before = self.order[max(place - 1, 0) : place]
        return [*self.order[place : place + 1 + count], *before]
