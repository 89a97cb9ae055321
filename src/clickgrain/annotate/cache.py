"""A disk cache of thumbnails, trees and features, bounded in bytes; the least recently used are evicted first."""

import hashlib
import os
import threading
from contextlib import suppress
from pathlib import Path

from clickgrain.files import atomic_write, hash_bytes

LIMIT = 2_000_000_000
HEAD = len(hash_bytes(b""))


class DiskCache:
    """Bytes by name in a folder, at most `limit`, behind their hash: damaged files are deleted; writes may fail."""

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        self.folder, self.limit = folder, limit
        self._lock = threading.Lock()
        self._total: int | None = None

    def get(self, name: str) -> bytes | None:
        """The bytes of a name, if they are cached; counts as use."""
        path = self._path(name)
        try:
            stored = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        if hash_bytes(stored[HEAD:]).encode() != stored[:HEAD]:
            self.drop(name)
            return None
        return stored[HEAD:]

    def drop(self, name: str) -> None:
        """Delete the bytes of a name."""
        with suppress(OSError):
            self._path(name).unlink()

    def put(self, name: str, content: bytes) -> None:
        """Cache some bytes; beyond the limit, evict the least recently used."""
        content = hash_bytes(content).encode() + content
        if len(content) > self.limit:
            return
        with self._lock, suppress(OSError):
            path = self._path(name)
            before = path.stat().st_size if path.exists() else 0
            atomic_write(path, content)
            if self._total is None:
                self._total = sum(size for _, size, _ in self._files())
            else:
                self._total += len(content) - before
            if self._total <= self.limit:
                return
            files = self._files()
            self._total = sum(size for _, size, _ in files)
            for _, size, file in files:
                if self._total <= 0.9 * self.limit:
                    break
                with suppress(OSError):
                    file.unlink()
                    self._total -= size

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
