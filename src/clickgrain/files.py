"""Our own files: atomic writes, the user's cache folder, content hashes as cache keys; and the core count."""

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

_PREFIX, _SUFFIX = ".clickgrain-", ".tmp"  # of temporary files
_HASH_LENGTH = 20  # hex digits: 80 bits keep accidental collisions out of reach


def atomic_write(path: str | Path, content: bytes) -> None:
    """Write `content` so that `path` holds either the old bytes or all of the new ones, whatever happens.

    A temporary file in the same folder is synced and renamed; missing parent folders are made. Raises OSError: the
    folder is read-only, the disk full ...; `path` is untouched and nothing is left behind.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = write_beside(target, content)
    try:
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_or_raise(path: str | Path, content: bytes, error: type[Exception], advice: str) -> None:
    """`atomic_write`; a full disk or a read-only folder becomes an `error` that says why and ends with `advice`."""
    try:
        atomic_write(path, content)
    except OSError as problem:
        raise error(f"{path}: cannot be written ({problem.strerror or problem}); {advice}") from problem


def write_beside(target: Path, content: bytes) -> Path:
    """Write `content` to a hidden temporary file in the folder of `target`; rename it with `.replace(target)`.

    Its name is short whatever the target's is, which may be as long as the file system allows. Raises OSError: it
    cannot be written; nothing is left behind.
    """
    handle, name = tempfile.mkstemp(prefix=_PREFIX, suffix=_SUFFIX, dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():  # mkstemp's files are private; ours are as the last version, or as any other
            mode = target.stat().st_mode & 0o777
        else:
            mask = os.umask(0)
            os.umask(mask)
            mode = 0o666 & ~mask
        temporary.chmod(mode)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    return temporary


def drop_temporary(folder: Path) -> None:
    """Delete temporary files of killed processes in a folder, and one level below; the caller holds its lock."""
    for pattern in (f"{_PREFIX}*{_SUFFIX}", f"*/{_PREFIX}*{_SUFFIX}"):
        for path in folder.glob(pattern):
            with suppress(OSError):
                path.unlink()


def cache_dir() -> Path:
    """The folder for what can be computed again, made if missing; OSError: it cannot be made.

    `CLICKGRAIN_CACHE` if set, else `clickgrain` in `XDG_CACHE_HOME` or `~/.cache`.
    """
    if own := os.environ.get("CLICKGRAIN_CACHE"):
        folder = Path(own).expanduser()
    else:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clickgrain"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def hash_bytes(content: bytes) -> str:
    """First 20 hex digits of the SHA-256 of `content`."""
    return hashlib.sha256(content).hexdigest()[:_HASH_LENGTH]


def hash_file(path: str | Path) -> str:
    """First 20 hex digits of the SHA-256 of a file's content."""
    with Path(path).open("rb") as file:
        return hash_open_file(file)


def hash_open_file(file: BinaryIO) -> str:
    """As `hash_file`, of an open file from where it stands to its end."""
    return hashlib.file_digest(file, "sha256").hexdigest()[:_HASH_LENGTH]  # type: ignore[arg-type]


def core_count() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
