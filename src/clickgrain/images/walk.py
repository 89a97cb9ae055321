"""Many images: folders walked in a stable order, files read ahead by threads, bad ones reported at the end."""

import os
import re
import stat
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import TypeVar

from clickgrain.errors import DataError, ImageError
from clickgrain.images.guard import check_regular, explained
from clickgrain.images.reader import HEIF_PACKAGES, MAX_PIXELS, decode, read_image
from clickgrain.images.remote import ImageFile
from clickgrain.types import UInt8

_HEIC = (".heic", ".heif", ".hif")
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".gif"),
    *(_HEIC if any(map(find_spec, HEIF_PACKAGES)) else ()),
)
"""Files with these suffixes, in any case, are taken for images by `find_images`."""
OTHERS = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".dng", ".erf", ".iiq", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw"),
    *(".rw2", ".srw", ".x3f", ".dcm", ".exr", ".fits", ".hdr", ".j2k", ".jp2", ".jpf", ".jpx", ".jxl", ".pbm"),
    *(".pcx", ".pgm", ".pnm", ".ppm", ".psd", ".svg", ".tga", ".xcf", ".czi", ".lif", ".lsm", ".ndpi", ".svs"),
    *_HEIC,
)
"""Images of formats that are not read here: `find_images` names those that it leaves out."""
NAMED = 20
FETCHED = 32  # encoded images of other machines that wait in memory; half as many connections
File = TypeVar("File", Path, ImageFile)
DIGITS = re.compile(r"(\d{1,18})")  # of a number in a name; int() refuses thousands of them
_OWN = re.compile(r"(^|/)previews/step-\d{6,}\.png$")  # how `learn` shows its progress, in the folder of a run


def find_images(
    folder: str | Path,
    *,
    ignore: Sequence[str] = (),
    left_out: list[str] | None = None,
    also: tuple[str, ...] = (),
) -> list[Path]:
    """List the image files under `folder` in natural order: `b2.jpg` before `b10.jpg`, ignoring case.

    Links are followed, each folder is entered once. Skipped are names that begin with a dot, sub-folders that may
    not be read, and the previews in folders of runs (`learn`).

    Args:
        folder: walked recursively; or one file, which is returned as it is.
        ignore: shell patterns (`*`, `?`, `[a-z]`; case counts) for what to leave out, matched against the path
            below `folder` with forward slashes and against each name in it: `"masks"`, `"*_mask.png"`, `"raw/*"`.
        left_out: takes a line with number and names of files that look like images and are not taken, and why.
        also: other suffixes to take, in lower case.

    Raises:
        DataError: the folder does not exist, may not be read, or holds no image.
        ImageError: `folder` is a pipe, a socket or a device.
    """
    root = Path(folder)
    if root.is_file():
        return [root]
    if not root.is_dir():
        if root.exists():
            check_regular(root, root.stat().st_mode)
        raise DataError(f"{root}: no such folder or file; check the path")
    if not os.access(root, os.R_OK | os.X_OK):
        raise DataError(f"{root}: permission denied; make the folder readable for this user")
    suffixes = SUFFIXES + also
    walked = sorted(_walk(root, tuple(ignore), suffixes + OTHERS), key=natural)
    found = [path for path in walked if path.name.lower().endswith(suffixes)]
    strange = {path for path in found if _is_special(root / path)}
    found = [path for path in found if path not in strange]
    others = passed_over(root, strange, [path for path in walked if not path.name.lower().endswith(suffixes)])
    if not found:
        raise DataError(
            f"{root}: no images found; looked for {', '.join(suffixes)} in it and below"
            + (f", leaving out {', '.join(ignore)}" if ignore else "")
            + "".join(f"; {line}" for line in others)
        )
    if left_out is not None:
        left_out += others
    return [root / path for path in found]


@dataclass
class ReadReport:
    """What became of the files given to `read_images`."""

    read: int = 0  # number of images read so far
    # (path, or key in a source; message that names file, cause and fix) of every file that could not be read
    bad: list[tuple[str, str]] = field(default_factory=list)
    # what a user should know about files that were read (scaled, first frame only ...)
    notes: list[str] = field(default_factory=list)


def read_images(
    files: Iterable[File],
    *,
    workers: int = 2,
    max_pixels: int = MAX_PIXELS,
    report: ReadReport | None = None,
) -> Iterator[tuple[File, UInt8]]:
    """Yield (file, H x W x 3 uint8 image) in the order of `files`, reading ahead in `workers` threads.

    `ImageFile`s come back with the hash of what was read. Files that cannot be read are left out and noted in
    `report`. At most 2 x `workers` images wait in memory, and 32 encoded ones of other machines; an iterator that
    is closed early stops its threads.
    """
    report = ReadReport() if report is None else report
    queue, workers = iter(files), max(1, workers)
    fetching = ThreadPoolExecutor(FETCHED // 2, thread_name_prefix="read_images")
    decoding = ThreadPoolExecutor(workers, thread_name_prefix="read_images")
    try:
        coming: deque[tuple[File, Future[bytes] | None]] = deque()
        ahead: deque[tuple[File, list[str], Future[tuple[File, UInt8]]]] = deque()
        while True:
            while len(ahead) < 2 * workers:
                # Only what is far away is fetched long before its turn: the state of a near file may change.
                while len(coming) < (FETCHED if coming and coming[-1][1] else 1):
                    file = next(queue, None)
                    if file is None:
                        break
                    if isinstance(file, ImageFile) and not file.is_plain:
                        coming.append((file, fetching.submit(file.content)))
                    else:
                        coming.append((file, None))
                if not coming:
                    break
                file, content = coming.popleft()
                notes: list[str] = []
                ahead.append((file, notes, decoding.submit(_read, file, content, max_pixels, notes)))
                del content
            if not ahead:
                return
            file, notes, pending = ahead.popleft()
            try:
                read, image = pending.result()
            except ImageError as error:
                report.bad.append((file.key if isinstance(file, ImageFile) else str(file), str(error)))
                continue
            finally:
                del pending  # so that no image outlives its turn
            report.read += 1
            report.notes.extend(notes)
            yield read, image
    finally:
        for pool in (fetching, decoding):
            pool.shutdown(wait=False, cancel_futures=True)
        for pool in (fetching, decoding):
            pool.shutdown(wait=True)


def _read(file: File, content: "Future[bytes] | None", max_pixels: int, notes: list[str]) -> "tuple[File, UInt8]":
    if isinstance(file, Path):
        return file, read_image(file, max_pixels=max_pixels, notes=notes)
    with file.opened(None if content is None else content.result()) as stream:
        with explained(file):
            file = file.read_as(stream)
        return file, decode(stream, file, max_pixels=max_pixels, notes=notes)


def _walk(root: Path, ignore: tuple[str, ...], suffixes: tuple[str, ...]) -> Iterator[PurePosixPath]:
    """Paths relative to `root`, each real folder entered once (so links may form loops)."""
    seen: set[tuple[int, int]] = set()
    for current, folders, files in os.walk(root, followlinks=True):
        status = Path(current).stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        below = PurePosixPath(Path(current).relative_to(root).as_posix())
        # In place and sorted: prunes the walk and settles which of two ways to a folder comes first.
        folders[:] = sorted(name for name in folders if wanted(below / name, ignore))
        for name in files:
            path = below / name
            if name.lower().endswith(suffixes) and wanted(path, ignore) and not _OWN.search(str(path)):
                yield path


def _is_special(path: Path) -> bool:
    """A pipe, a socket or a device; a file that is gone is none, and is told of where it is read."""
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def passed_over(root: Path | str, special: Iterable[PurePosixPath], others: Sequence[PurePosixPath]) -> list[str]:
    """A line for each reason why files that look like images are not taken."""
    reasons = {
        "of the kinds pipe, socket and device": sorted(special),
        "in HEIC, which needs `pip install 'clickgrain[heif]'`": [p for p in others if p.suffix.lower() in _HEIC],
        "in formats that are not read (convert them to JPEG, PNG or TIFF)": [
            p for p in others if p.suffix.lower() not in _HEIC
        ],
    }
    return [
        f"{root}: left out, though named like images: {len(paths)} {reason}: {', '.join(map(str, paths[:NAMED]))}"
        + (f" and {len(paths) - NAMED} more" if len(paths) > NAMED else "")
        for reason, paths in reasons.items()
        if paths
    ]


def wanted(path: PurePosixPath, ignore: tuple[str, ...]) -> bool:
    """Whether a file or folder is neither hidden nor meant by one of the patterns."""
    if path.name.startswith("."):
        return False
    texts = (path.name, str(path))
    return not any(fnmatchcase(text, pattern.rstrip("/")) for pattern in ignore for text in texts)


def natural(path: PurePosixPath) -> tuple[list[list[tuple[int, int, str]]], str]:
    """Sort key: per folder level, runs of digits by their value; the path itself settles ties."""
    levels = [
        [(1, 0, run) if not run.isdecimal() else (0, int(run), "") for run in DIGITS.split(part) if run]
        for part in path.as_posix().casefold().split("/")
    ]
    return levels, str(path)
