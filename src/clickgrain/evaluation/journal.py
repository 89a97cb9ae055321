"""The JSONL file that an evaluation writes as it runs, from which an interrupted one resumes."""

import errno
import json
import os
from collections.abc import Mapping
from io import RawIOBase
from pathlib import Path
from typing import Any

from clickgrain import __version__
from clickgrain.errors import DataError
from clickgrain.evaluation.result import VERSION, TargetResult

_FORMAT = "clickgrain-evaluation"
_WORDS = {"data": "images or masks with the hash"}


def header(model: str, benchmark: str, settings: Mapping[str, Any], data: str | None = None) -> dict[str, Any]:
    """The first line: everything that the rows depend on; a file with another header is not resumed."""
    named = {"model": model, "benchmark": benchmark, "settings": dict(settings), "data": data}
    return {"format": _FORMAT, "version": VERSION, "clickgrain": __version__, **named}


class Journal:
    """A header line, then one line per target, each written when its target is done.

    `done` are the rows in the file by id, without those with an error, which are tried again. Raises DataError:
    when the file is not an evaluation, belongs to another one, or cannot be read or written.
    """

    def __init__(self, path: Path | None, head: Mapping[str, Any], *, resume: bool = True) -> None:
        self._path = path
        self._file: RawIOBase | None = None
        self.done: dict[str, TargetResult] = {}
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # A line cut short by a crash is dropped before more is appended.
            lines = path.read_bytes().splitlines(keepends=True) if resume and path.exists() else []
            lines = [line for line in lines if line.endswith(b"\n")]
            if lines:
                self._check(lines[0], head)
                rows = [self._row(line) for line in lines[1:]]
                self.done = {row.id: row for row in rows if row.error is None}
                os.truncate(path, sum(map(len, lines)))
            # Unbuffered: a full disk raises when a line is written, not when the file is closed.
            self._file = path.open("ab" if lines else "wb", buffering=0)
            if not lines:
                self._write(head)
        except OSError as error:
            raise DataError(f"{path}: cannot be read or written ({error.strerror}); choose another file") from error

    def add(self, row: TargetResult) -> None:
        """Write one row; DataError when it cannot be written, earlier rows are kept."""
        self._write(row.to_dict())

    def _write(self, value: Mapping[str, Any]) -> None:
        if self._file is None:
            return
        line = json.dumps(value).encode() + b"\n"
        try:
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._file.close()
            raise DataError(
                f"{self._path}: cannot be written ({error.strerror}); make room and start again, finished targets"
                " are kept"
            ) from error

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.close()

    def _check(self, line: bytes, wanted: Mapping[str, Any]) -> None:
        """Refuse the header line of another evaluation."""
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or found.get("format") != _FORMAT:
            raise DataError(
                f"{self._path}: not an evaluation, it begins with {line[:40]!r} instead of a header line; give"
                " another file"
            )
        for key, value in wanted.items():
            if found.get(key) != value:
                raise DataError(
                    f"{self._path}: its rows are of {_WORDS.get(key, key)} {found.get(key)!r}, not {value!r}, and"
                    " both must not mix; give another file, or start over without resuming"
                )

    def _row(self, line: bytes) -> TargetResult:
        try:
            return TargetResult.from_dict(json.loads(line))
        except (DataError, ValueError, TypeError, RecursionError) as error:
            raise DataError(f"{self._path}: {error}; give another file, or start over without resuming") from error
