"""Folders of training runs: one's own only, and reached by descriptor, whatever is put in the place of their names.

Who may write to the folder of photos may also write to where its models go. A run of another user may hold links
that training would write through, so it is never gone on with.
"""

import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from clickgrain.annotate.files_below import BY_PLACE, OPEN_FILES, open_below
from clickgrain.annotate.refusals import RequestError

LOCK = ".server.lock"
NAME = re.compile(r"run-\d{3,}")


@dataclass(frozen=True)
class RunFolder:
    """A run's folder.

    Attributes:
        path: its name, for people and for the list of models.
        place: reaches the very folder, whatever its name leads to by now.
    """

    path: Path
    place: Path


@contextmanager
def claimed(root: Path, goes_on: Callable[[Path], bool]) -> Iterator[RunFolder]:
    """The newest of one's own runs below `root` if `goes_on` (given its place), else a new one.

    No other server works there meanwhile; the lock ends with this process, however that ends.

    Raises:
        RequestError: the folder cannot be made, or is another user's link.
    """
    with ExitStack() as stack:
        try:
            run = _taken(stack, root, goes_on)
        except OSError as error:
            raise RequestError(
                "database",
                f"{root}: no place for a model ({error.strerror or error}); remove it, or check its owner",
            ) from error
        yield run


def _taken(stack: ExitStack, root: Path, goes_on: Callable[[Path], bool]) -> RunFolder:
    root.mkdir(parents=True, exist_ok=True)
    place = _opened(stack, root.parent, root.name)
    numbers = sorted(int(path.name[4:]) for path in place.iterdir() if NAME.fullmatch(path.name))
    owned = ((number, _own(stack, place, f"run-{number:03d}")) for number in reversed(numbers))
    number, last = next(((number, own) for number, own in owned if own is not None), (0, None))
    name = f"run-{number:03d}"
    if last is None or not goes_on(last):
        name = _made(place, len(numbers) + 1)
        last = _opened(stack, place, name)
    while True:
        with suppress(Timeout):  # another server is at it, even at one that was made a moment ago
            stack.enter_context(FileLock(last / LOCK, blocking=False))
            return RunFolder(root / name, last)
        name = _made(place, len(numbers) + 1)
        last = _opened(stack, place, name)


def _opened(stack: ExitStack, folder: Path, name: str) -> Path:
    """A way to a folder that stays with it until the stack is left."""
    if not BY_PLACE:
        return folder / name
    descriptor = open_below(folder, Path(name), directory=True)
    stack.callback(os.close, descriptor)
    way = OPEN_FILES / str(descriptor)
    return way if way.exists() else folder / name


def _own(stack: ExitStack, root: Path, name: str) -> Path | None:
    """The way to a run's folder in which only its owner, who is us, can have put anything; else None."""
    try:
        if (root / name).is_symlink():
            return None
        place = _opened(stack, root, name)
        if not hasattr(os, "geteuid"):
            return place
        for found in (place, *place.rglob("*")):
            status = found.stat() if found == place else found.lstat()
            closed = stat.S_ISDIR(status.st_mode) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            if status.st_uid != os.geteuid() or not (closed or stat.S_ISREG(status.st_mode)):
                return None
    except OSError:
        return None
    return place


def _made(root: Path, number: int) -> str:
    """Name of a folder that did not exist before, with the first free number from `number` on."""
    while True:
        name = f"run-{number:03d}"
        with suppress(FileExistsError):
            (root / name).mkdir(0o755)
            return name
        number += 1
