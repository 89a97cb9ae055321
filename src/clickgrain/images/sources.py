"""The images of a source: a folder, a list of addresses, or WebDataset tars, on this machine or at a URL."""

import csv
import json
import re
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from clickgrain.errors import ClickgrainError, ConfigError, DataError
from clickgrain.files import atomic_write, cache_dir, hash_bytes
from clickgrain.images.remote import ImageFile, file_system, is_url, retried, state_of
from clickgrain.images.walk import OTHERS, SUFFIXES, find_images, natural, passed_over, wanted

TAR, LISTS = ".tar", (".txt", ".csv", ".tsv")
COLUMNS = ("url", "image_url", "path", "file", "image")  # of a CSV list, the first that it has; else its first one
BLOCK = 4 << 20  # bytes of one request for the list of a tar
AT_ONCE = 16  # tars that are listed at once


def list_images(
    source: str | Path, *, ignore: Sequence[str] = (), left_out: list[str] | None = None
) -> list[ImageFile]:
    """The images of a source, listed once.

    Args:
        source: a folder or an image, as in `find_images`, or an s3://, gs:// or other folder that fsspec lists; a
            list (.txt with an address or path a line, .csv or .tsv with a column "url" or "path"); a tar, whose
            images are read in place; names with `*`, or with a range such as `shard-{0000..0099}.tar`. A folder
            may hold tars, too.
        ignore: as in `find_images`, matched against the key.
        left_out: as in `find_images`.

    Raises:
        DataError: there is no such place, or no image in it, or a list or tar cannot be read.
        ConfigError: an unknown kind of address, or one whose package is not installed.
    """
    text, said = str(source), [] if left_out is None else left_out
    try:
        name = (urlsplit(text).path if is_url(text) else text).lower()
    except ValueError as error:  # brackets that hold no IPv6 address
        raise ConfigError(f"{text}: {error}; give a path, or an address with s3://, gs:// or https://") from error
    if name.endswith(LISTS) and not Path(text).is_dir():
        found = list(_of_list(text, said))
    elif is_url(text) or (not Path(text).exists() and re.search(r"[*?\[{]", text)):
        found = _at(text, said, ignore)
    else:
        root = Path(text)
        paths = find_images(root, ignore=ignore, left_out=said, also=(TAR,))
        found = [ImageFile(p.relative_to(root).as_posix() if p != root else p.name, str(p)) for p in paths]
    tars = [file for file in found if file.key.partition("?")[0].lower().endswith(TAR)]
    if tars:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            members = dict(zip((tar.key for tar in tars), pool.map(partial(_members, said=said), tars)))
        found = [one for file in found for one in members.get(file.key, [file])]
    unique = {file.key: file for file in reversed(found) if _all_wanted(file.key, ignore)}
    if not unique:
        raise DataError(f"{text}: no images found" + (f", leaving out {', '.join(ignore)}" if ignore else ""))
    return [unique[key] for key in dict.fromkeys(file.key for file in found) if key in unique]


def _at(text: str, said: list[str], ignore: Sequence[str]) -> list[ImageFile]:
    """Images and tars below a URL, or those that a pattern means."""
    marks = r"[{]" if text.startswith(("http://", "https://")) else r"[*?\[{]"
    mark = re.search(marks, text)
    fixed = text if mark is None else text[: mark.start()].rpartition("/")[0] or "."
    found = dict[str, tuple[str, dict[str, Any]]]()
    for place in _in_ranges(text):
        try:
            system, path = file_system(place)
            web, root = "http" in system.protocol, system._strip_protocol(fixed).rstrip("/")
            if web and not place.lower().partition("?")[0].endswith((*SUFFIXES, TAR)):
                reason = "web servers list no folders; give a list of addresses (.txt, .csv) or a tar"
                raise DataError(f"{place}: {reason}")
            if web:
                entries: dict[str, Any] = {place: {}}
            else:
                entries = retried(system.glob if re.search(r"[*?\[]", path) else system.find, path, detail=True)
        except ClickgrainError:
            raise
        except Exception as error:
            raise DataError(f"{place}: cannot be listed ({error}); check the address and the connection") from error
        for name, info in entries.items():
            key = name[len(root) + 1 :] if name.startswith(root + "/") else PurePosixPath(urlsplit(name).path).name
            local = "file" in system.protocol
            found[key] = (name if local else system.unstrip_protocol(name), info)
    known = [PurePosixPath(key) for key in found if key and _all_wanted(key, ignore)]
    said += passed_over(text, (), [path for path in known if path.name.lower().endswith(OTHERS)])
    taken = sorted((p for p in known if p.name.lower().endswith((*SUFFIXES, TAR))), key=natural)
    return [ImageFile(str(p), found[str(p)][0], state_of(found[str(p)][1])) for p in taken]


def _of_list(place: str, said: list[str]) -> Iterator[ImageFile]:
    """The addresses in a list; paths are relative to its folder. `said` takes a line about rows without one."""
    try:
        system, path = file_system(place)
        text = retried(system.cat_file, path).decode("utf-8-sig")
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
        if not place.lower().partition("?")[0].endswith(".txt"):
            rows = list(csv.reader(lines, csv.excel_tab if ".tsv" in place.lower() else csv.excel))
            named = [rows[0].index(name) for name in COLUMNS if rows and name in rows[0]]
            first, column = (1, named[0]) if named else (0, 0)
            lines = ["".join(row[column : column + 1]) for row in rows[first:]]
            if empty := [row for row, line in enumerate(lines, first + 1) if not line.strip()]:
                said.append(
                    f"{place}: {len(empty)} lines without an address are left out, the first is row {empty[0]}"
                )
    except ClickgrainError:
        raise
    except Exception as error:
        raise DataError(f"{place}: the list cannot be read ({error}); check the address") from error
    folder = place.rpartition("/")[0] + "/" if "/" in place else ""
    for line in filter(None, map(str.strip, lines)):
        address = line if is_url(line) or line.startswith("/") else folder + line
        key = address.partition("://")[2] if is_url(line) else line.lstrip("/")
        yield ImageFile(key, address)


def _members(tar: ImageFile, said: list[str]) -> list[ImageFile]:
    """The images in a tar; places are remembered, since listing reads most of it. DataError if unreadable."""
    try:
        system, path = file_system(tar.place)
        state = tar.state or state_of(retried(system.info, path))
        known = cache_dir() / "tars" / f"{hash_bytes(f'{tar.place} {state}'.encode())}.json"
        rows = None if state is None else _remembered(known)
        if rows is None:
            rows = retried(_index, system, path)
            if state is not None:
                with suppress(OSError):
                    atomic_write(known, json.dumps(rows).encode())
    except Exception as error:
        raise DataError(f"{tar.place}: the tar cannot be read ({error}); make it again, uncompressed") from error
    others = [PurePosixPath(name) for name, _, _ in rows if name.lower().endswith(OTHERS)]
    said += passed_over(tar.place, (), others)
    version = 0 if state is None else state[1]
    return [
        ImageFile(f"{tar.key}/{name}", tar.place, (size, version), start)
        for name, start, size in rows
        if name.lower().endswith(SUFFIXES)
    ]


def _index(system: Any, path: str) -> list[tuple[str, int, int]]:
    """(name, first byte, bytes) of every file in a tar."""
    with system.open(path, "rb", block_size=BLOCK) as file, tarfile.open(fileobj=file, mode="r:") as tar:
        return [(one.name.removeprefix("./"), one.offset_data, one.size) for one in tar if one.isreg()]


def _remembered(path: Path) -> list[tuple[str, int, int]] | None:
    """What `_index` gave, as written down; None where that is missing or damaged."""
    try:
        rows = [(name, start, size) for name, start, size in json.loads(path.read_bytes())]
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return rows if all([*map(type, row)] == [str, int, int] for row in rows) else None


def _in_ranges(text: str) -> list[str]:
    """One text for each number of a range: "{00..10}" counts with as many digits as its first number has."""
    found = re.search(r"\{(\d+)\.\.(\d+)\}", text)
    if found is None:
        return [text]
    first, last = found.groups()
    numbers = (str(number).zfill(len(first)) for number in range(int(first), int(last) + 1))
    return [one for n in numbers for one in _in_ranges(text[: found.start()] + n + text[found.end() :])]


def _all_wanted(key: str, ignore: Sequence[str]) -> bool:
    """Whether neither a file nor a folder above it is to be left out."""
    path = PurePosixPath(key)
    return all(wanted(one, tuple(ignore)) for one in (path, *path.parents[:-1]))
