"""Results that are kept with the code, one .jsonl a pair, so that slow baselines need not run again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clickgrain.errors import DataError
from clickgrain.evaluation.journal import read_header, read_rows
from clickgrain.evaluation.rows import TargetResult
from clickgrain.files import atomic_write

FOLDER = Path("benchmarks/results")
"""Where the repository keeps them, below its root."""
MATCHED = ("version", "model", "settings_hash", "method", "data")
"""What must be equal in the headers; the benchmark may go by another name, its content may not differ."""
DIGITS = {"ious": 5, "boundary_ious": 5, "area": 5, "click_seconds": 4, "encode_seconds": 6}
"""Decimals kept."""
LIMITS = (0.8, 0.85, 0.9, 0.95)
"""No IoU is rounded over one of these: NoC stays as it was."""


@dataclass(frozen=True)
class Kept:
    """Rows found in a folder.

    Attributes:
        path: their file.
        rows: by target.
    """

    path: Path
    rows: Mapping[str, TargetResult]


def find_kept(folder: Path, head: Mapping[str, Any]) -> tuple[Kept | None, str]:
    """The rows in a folder that belong to the evaluation with this header, and why there are none.

    Args:
        folder: of .jsonl files; it need not exist.
        head: `journal.header` with `method` and `data`.

    Returns:
        (rows, "") or (None, reason); the reason is empty where nothing is kept of this model with these settings
        on a benchmark of this name.
    """
    reason = ""
    for path in sorted(folder.glob("*.jsonl")) if folder.is_dir() else []:
        try:
            found = read_header(path)
            if all(found.get(key) == head[key] for key in MATCHED):
                return Kept(path, read_rows(path)), ""
        except DataError as error:
            reason = str(error)
            continue
        if all(found.get(key) == head[key] for key in ("model", "benchmark", "settings_hash")):
            changed = [key for key in ("version", "method", "data") if found.get(key) != head[key]]
            reason = f"{path}: not reused, another {' and '.join(changed)} hash"
    return None, reason


def keep(source: Path, folder: Path, changes: Mapping[str, Any] | None = None) -> Path:
    """Write a finished .jsonl of an evaluation into a folder, its numbers rounded.

    Args:
        source: the file.
        folder: where to.
        changes: entries of the header that are replaced, such as the hashes of a file that has none.

    Returns:
        The file that was written: `<model>--<benchmark>.jsonl`.

    Raises:
        DataError: when the header lacks a hash, some target has an error, or a file cannot be read or written.
    """
    head = {**read_header(source), **(changes or {})}
    missing = [key for key in ("method", "data") if not head.get(key)]
    if missing:
        raise DataError(f"{source}: its header lacks the hash of {' and '.join(missing)}; give --data NAME=DIR")
    rows = read_rows(source)
    lines = [_compact(head), *(_compact(rounded(row.to_dict())) for row in rows.values())]
    path = folder / f"{head['model']}--{head['benchmark']}.jsonl"
    try:
        atomic_write(path, ("\n".join(lines) + "\n").encode())
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror}); choose another folder") from error
    return path


def rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with fewer decimals; its NoC at 80, 85, 90 and 95 % stays the same."""
    return {name: _rounded(value, DIGITS[name]) if name in DIGITS else value for name, value in row.items()}


def _rounded(value: Any, digits: int) -> Any:
    if isinstance(value, (list, tuple)):
        return [_rounded(one, digits) for one in value]
    short = round(value, digits)
    return value if any((value >= limit) != (short >= limit) for limit in LIMITS) else short


def _compact(value: Mapping[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))
