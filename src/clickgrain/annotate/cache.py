"""What can be computed again, on disk: thumbnails, trees, features. Bounded in bytes; the oldest use goes first."""

import hashlib
import os
import threading
from contextlib import suppress
from pathlib import Path

from clickgrain.files import atomic_write

LIMIT = 2_000_000_000


class DiskCache:
    """Bytes by name in a folder; a cache that cannot be written is no error.

    Args:
        folder: made when first written to.
        limit: bytes.
    """

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        self.folder, self.limit = folder, limit
        self._lock = threading.Lock()
        self._total: int | None = None

    def get(self, name: str) -> bytes | None:
        """What was put, if it is still there; counts as use."""
        path = self._path(name)
        try:
            content = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        return content

    def has(self, name: str) -> bool:
        """Whether `get` would find something."""
        return self._path(name).exists()

    def put(self, name: str, content: bytes) -> None:
        """Keep some bytes, and let the longest unused go where the limit is passed."""
        if len(content) > self.limit:
            return
        with self._lock, suppress(OSError):
            path = self._path(name)
            before = path.stat().st_size if path.exists() else 0
            atomic_write(path, content)
            self._total = (self._measured() if self._total is None else self._total) + len(content) - before
            if self._total > self.limit:
                self._let_go()

    def _path(self, name: str) -> Path:
        digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        return self.folder / digest[:2] / digest

    def _files(self) -> list[tuple[float, int, Path]]:
        found = []
        for path in self.folder.glob("??/*"):
            with suppress(OSError):
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        return sorted(found)

    def _measured(self) -> int:
        return sum(size for _, size, _ in self._files())

    def _let_go(self) -> None:
        files = self._files()
        total = sum(size for _, size, _ in files)
        for _, size, path in files:
            if total <= 0.9 * self.limit:
                break
            with suppress(OSError):
                path.unlink()
                total -= size
        self._total = total
