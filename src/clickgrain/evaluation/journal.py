"""The JSONL file that an evaluation writes as it goes, so that an interrupted one resumes."""

import errno
import json
import os
from collections.abc import Mapping
from io import RawIOBase
from pathlib import Path
from types import TracebackType
from typing import Any

from clickgrain import __version__
from clickgrain.errors import DataError
from clickgrain.evaluation.result import VERSION, TargetResult

_FORMAT = "clickgrain-evaluation"
_WORDS = {"data": "images or masks with the hash", "clickgrain": "clickgrain"}


def header(model: str, benchmark: str, settings: Mapping[str, Any], data: str | None = None) -> dict[str, Any]:
    """The first line: what the rows depend on; a file with another one is not resumed.

    Args:
        model, benchmark: names.
        settings: of the protocol and the user.
        data: hash of the benchmark's content (`data_hash`), or None where that is not known.
    """
    named = {"model": model, "benchmark": benchmark, "settings": dict(settings), "data": data}
    return {"format": _FORMAT, "version": VERSION, "clickgrain": __version__, **named}


class Journal:
    """A header line, then one line per target, each written when its target is done.

    Args:
        path: the file; None keeps nothing.
        head: `header(...)`; a file with another one is refused.
        resume: go on with an existing file; otherwise it is written anew.

    Attributes:
        done: id -> row of the targets in the file; rows with an error are left out, to be tried again.

    Raises:
        DataError: when the file is not an evaluation, belongs to another one, or cannot be read or written.
    """

    def __init__(self, path: Path | None, head: Mapping[str, Any], *, resume: bool = True) -> None:
        self._path = path
        self._file: RawIOBase | None = None
        self.done: dict[str, TargetResult] = {}
        if path is None:
            return
        try:
            lines = _whole_lines(path) if resume and path.exists() else []
            self._open(path, head, lines)
        except OSError as error:
            raise DataError(f"{path}: cannot be read or written ({error.strerror}); choose another file") from error

    def _open(self, path: Path, head: Mapping[str, Any], lines: list[bytes]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not lines:
            self._file = path.open("wb", buffering=0)
            self._write(head)
            return
        _check_header(path, _parsed(path, lines[0]), head)
        for line in lines[1:]:
            row = _row(path, line)
            if row.error is None:
                self.done[row.id] = row
        # A line cut short by a crash is dropped before more is appended.
        os.truncate(path, sum(map(len, lines)))
        self._file = path.open("ab", buffering=0)

    def add(self, row: TargetResult) -> None:
        """Write one row.

        Raises:
            DataError: when the disk refuses; the rows before it are kept.
        """
        self._write(row.to_dict())

    def _write(self, value: Mapping[str, Any]) -> None:
        if self._file is None:
            return
        line = json.dumps(value).encode() + b"\n"
        try:
            # Unbuffered: a full disk shows here, not when the file is closed.
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._file.close()
            raise DataError(
                f"{self._path}: cannot be written ({error.strerror}); make room and start again, finished"
                " targets are kept"
            ) from error

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()


def _whole_lines(path: Path) -> list[bytes]:
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def _parsed(path: Path, line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise DataError(f"{path}: not an evaluation, {line[:40]!r} is no JSON; give another file") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: not an evaluation, it holds {line[:40]!r}; give another file")
    return value


def _row(path: Path, line: bytes) -> TargetResult:
    try:
        return TargetResult.from_dict(_parsed(path, line))
    except DataError as error:
        raise DataError(f"{path}: {error}; give another file, or start over without resuming") from error


def _check_header(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    if found.get("format") != _FORMAT:
        raise DataError(f"{path}: not an evaluation, it lacks the header line; give another file")
    for key, value in wanted.items():
        if found.get(key) != value:
            raise DataError(
                f"{path}: its rows are of {_WORDS.get(key, key)} {found.get(key)!r}, not {value!r}, and both must"
                " not mix; give another file, or start over without resuming"
            )
