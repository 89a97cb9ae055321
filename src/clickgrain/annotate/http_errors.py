"""Errors of requests, as the page receives them: a code, a status and a message."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clickgrain.errors import ClickgrainError
from clickgrain.sqlite import trouble

STATUS = {  # of HTTP, by code
    "bad_request": 400, "token": 401, "forbidden": 403, "not_found": 404, "timeout": 408, "conflict": 409,
    "running": 409, "replaced": 409, "too_large": 413, "invalid": 422, "taken": 423, "internal": 500, "image": 503,
    "busy": 503, "database": 503, "database_locked": 503, "disk_full": 507,
}  # fmt: skip
FULL = "its disk is full; nothing was written: free some space and try again"


class RequestError(ClickgrainError):
    """A request that was not carried out: a code and its status of HTTP."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.status = code, STATUS[code]


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn errors of SQLite and the disk into a `RequestError` that names the project file and the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise RequestError("database", f"{path}: {error.strerror or error}; check the disk") from error
        raise RequestError("disk_full", f"{path}: {FULL}") from error
    except sqlite3.Error as error:
        damage = f"is damaged or no project file ({error}); restore a copy of it"
        code, words = {
            "full": ("disk_full", FULL),
            "locked": ("database_locked", "in use by another program; nothing was written, try again"),
            "readonly": ("database", "cannot be written to; check its permissions, or give --project"),
            "foreign": ("database", damage),
            "damaged": ("database", damage),
            "unopenable": ("database", "cannot be opened; check its permissions, or give --project elsewhere"),
        }.get(trouble(str(error)), ("database", f"{error}; nothing was written"))
        raise RequestError(code, f"{path}: {words}") from error
