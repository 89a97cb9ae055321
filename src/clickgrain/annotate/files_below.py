"""Files below a folder, by number: checks paths, opens each file once, and knows its content.

Another user who may write to the folder can put links there, swap a photo for a link at any moment, or hand over a
project file whose rows lead elsewhere. So names are checked on entry (`checked`), and a file is opened component by
component without following links; what is read is the descriptor, whatever its name leads to later. A link out of
the folder is followed only if the server's user, root, or the owner of its target made it, as with Apache's
SymLinksIfOwnerMatch.
"""

import errno
import os
import shutil
import stat
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from clickgrain.annotate.http_errors import RequestError
from clickgrain.errors import DataError, ImageError
from clickgrain.files import hash_file

OPEN_FILES = Path("/proc/self/fd")  # where Linux lets a process open its own descriptors by name
BY_PLACE = os.open in os.supports_dir_fd
"""Whether names can be opened relative to an open folder; not on Windows, where links need a privilege."""
MOST_LINKS = 40  # as Linux allows
NOT_REGULAR = "a folder, device, socket or pipe, no file"
_ONCE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_FILE = os.O_RDONLY | _ONCE | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_FOLDER = os.O_RDONLY | _ONCE | getattr(os, "O_DIRECTORY", 0)
_ON_THE_WAY = getattr(os, "O_PATH", os.O_RDONLY) | _ONCE | getattr(os, "O_DIRECTORY", 0)  # need not be readable


class AstrayError(OSError):
    """A link that another user made leads out of the folder."""


@dataclass(frozen=True)
class OpenFile:
    """A regular file that is open."""

    descriptor: int
    path: Path  # reads this very file, any number of times while it is open
    stamp: str  # changes when the file is written to or replaced, even by one of the same size and time

    @property
    def has_changed(self) -> bool:
        """Whether it was written to since it was opened."""
        return _stamp(os.fstat(self.descriptor)) != self.stamp


def checked(name: str | bytes | Path) -> Path:
    """The path that a name means, if it stays below the folder that it is relative to.

    Raises DataError: it is absolute, climbs (`..`, in Windows' way too: archives travel), or is not in normal form.
    """
    text = name if isinstance(name, str) else os.fsdecode(name)
    path = Path(text)
    foreign = PureWindowsPath(text)
    plain = bool(path.parts) and "\0" not in text and path.as_posix() == text.replace(os.sep, "/")
    climbs = ".." in (*path.parts, *foreign.parts) or bool(foreign.root) or bool(path.anchor)
    if not plain or climbs:
        raise DataError(f"{text!r} is no path below a folder; names are relative, without '..'")
    return path


@contextmanager
def opened(folder: Path, below: Path, *, trusted: bool = False) -> Iterator[OpenFile]:
    """A regular file below a folder (whose own path is trusted), open for reading.

    `below` is `checked`; a `trusted` file was named by the user, so every link is followed. Raises AstrayError: see
    there. OSError: it cannot be opened, or is no regular file.
    """
    plain = trusted or not BY_PLACE
    descriptor = os.open(folder / below, _FILE & ~_ONCE) if plain else open_below(folder, below)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, NOT_REGULAR)
        path = OPEN_FILES / str(descriptor) if BY_PLACE else folder / below  # Windows replaces no open file
        if path.exists():
            yield OpenFile(descriptor, path, _stamp(status))
            return
        with tempfile.TemporaryDirectory() as private, open(descriptor, "rb", closefd=False) as file:
            copy = Path(private) / below.name
            with copy.open("wb") as out:
                shutil.copyfileobj(file, out)
            yield OpenFile(descriptor, copy, _stamp(status))
    finally:
        os.close(descriptor)


class NumberedFiles:
    """Files below a folder, by number; `trusted` as of `opened`."""

    def __init__(self, folder: Path, *, trusted: bool) -> None:
        self.folder, self.trusted = folder, trusted
        self.paths: dict[int, Path] = {}  # relative to the folder; replaced as a whole
        self._contents: dict[str, str] = {}

    def path(self, image: int) -> Path:
        """The path of an image, relative to the folder; RequestError if there is none of this number."""
        if (found := self.paths.get(image)) is None:
            raise RequestError("not_found", f"there is no image {image} in this project")
        return found

    def name(self, image: int) -> str:
        """Path relative to the folder as text."""
        return self.path(image).as_posix().encode("utf-8", "surrogateescape").decode("utf-8", "replace")

    @contextmanager
    def open(self, image: int) -> Iterator[OpenFile]:
        """The file of an image, opened once and without following other users' links out of the folder.

        Raises ImageError: it is gone, cannot be opened, or is no regular file. Raised inside, it names the photo.
        """
        below = self.path(image)
        name = self.folder / below
        try:
            with opened(self.folder, below, trusted=self.trusted) as file:
                try:
                    yield file
                except ImageError as error:
                    raise ImageError(str(error).replace(str(file.path), str(name))) from error
        except AstrayError as error:
            raise ImageError(f"{name}: {error.strerror}; put the file there, or link again") from error
        except OSError as error:
            raise ImageError(f"{name}: {error.strerror}; put the file back, or look for new files") from error

    def stamp(self, image: int) -> str:
        """Changes when the file may have changed; part of every cache key. Raises ImageError: as `open`."""
        with self.open(image) as file:
            return f"{image} {file.stamp}"

    def n_bytes(self, image: int) -> int | None:
        """Size of an image's file; None where it cannot be opened."""
        with suppress(ImageError, RequestError), self.open(image) as file:
            return os.fstat(file.descriptor).st_size
        return None

    def content(self, image: int) -> str | None:
        """Hash of the bytes of an image's file, which objects remember; None where it cannot be read."""
        with suppress(ImageError, RequestError), self.open(image) as file:
            return self._content(file)
        return None

    def _content(self, file: OpenFile) -> str:
        if file.stamp not in self._contents:
            self._contents[file.stamp] = hash_file(file.path)
        return self._contents[file.stamp]


def open_below(folder: Path, below: Path, *, directory: bool = False) -> int:
    """A descriptor of a regular file (or directory) below a folder, opened part by part; errors as of `opened`."""
    parts, strangers, links = deque(below.parts or (".",)), set[int](), 0
    place = os.open(folder, _ON_THE_WAY & ~getattr(os, "O_NOFOLLOW", 0))
    try:
        while True:
            part = parts.popleft()
            status = os.stat(part, dir_fd=place, follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                if (links := links + 1) > MOST_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
                parts.extendleft(reversed(Path(_target(part, place, status)).parts or (".",)))
                if not is_trusted(status):
                    strangers.add(_maker(status))
                continue
            if not parts:
                break
            following = os.open(part, _ON_THE_WAY, dir_fd=place)
            os.close(place)
            place = following
        if directory and not stat.S_ISDIR(status.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "not a folder")
        if not directory and not stat.S_ISREG(status.st_mode):  # opening a device may have effects
            raise OSError(errno.EINVAL, NOT_REGULAR)
        found = os.open(part, _FOLDER if directory else _FILE, dir_fd=place)
        if strangers and strangers != {os.fstat(found).st_uid} and not _is_inside(place, folder):
            os.close(found)
            raise AstrayError(errno.EACCES, "a link that another user made to a place outside")
        return found
    except OSError as error:
        if strangers and not isinstance(error, AstrayError):  # it leads nowhere, or in a circle
            raise AstrayError(error.errno, "a link that another user made and that leads nowhere") from error
        raise
    finally:
        os.close(place)


def is_trusted(status: os.stat_result) -> bool:
    """Whether the server's user or root made a file or link."""
    return not hasattr(os, "geteuid") or _maker(status) in (os.geteuid(), 0)


def is_strange_link(path: Path) -> bool:
    """Whether a path is a link of a user who does not own what it leads to either."""
    try:
        status = path.lstat()
        return stat.S_ISLNK(status.st_mode) and not is_trusted(status) and path.stat().st_uid != _maker(status)
    except OSError:
        return path.is_symlink()


def leads_astray(folder: Path, below: Path) -> bool:
    """Whether `opened` would refuse a path; quick where there are no links: ten thousand photos in 100 ms."""
    place = str(folder)
    for part in below.parts:
        place = os.path.join(place, part)  # noqa: PTH118 - see above
        if os.path.islink(place):  # noqa: PTH114
            break
    else:
        return False
    try:
        with opened(folder, below):
            return False
    except AstrayError:
        return True
    except OSError:
        return False


def _maker(status: os.stat_result) -> int:
    """User id of who made a file or link."""
    return status.st_uid


def _target(part: str, place: int, status: os.stat_result) -> str:
    """Where a link leads, if it is still the one whose maker is known: renaming changes the time of change."""
    target = os.readlink(part, dir_fd=place)
    again = os.stat(part, dir_fd=place, follow_symlinks=False)
    if (again.st_ino, again.st_ctime_ns) != (status.st_ino, status.st_ctime_ns):
        raise OSError(errno.ESTALE, "it was replaced while it was opened; try again")
    return target


def _is_inside(place: int, folder: Path) -> bool:
    """Whether an open directory is a folder or lies below it, by climbing up from it."""
    wanted, here = folder.stat(), os.dup(place)
    try:
        while True:
            status = os.fstat(here)
            if os.path.samestat(status, wanted):
                return True
            above = os.open("..", _ON_THE_WAY, dir_fd=here)
            os.close(here)
            here = above
            if os.path.samestat(status, os.fstat(here)):
                return False
    finally:
        os.close(here)


def _stamp(status: os.stat_result) -> str:
    return f"{status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
