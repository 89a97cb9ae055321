"""What changed since: a counter, so that a page asks once a second and is told little."""

import threading


class Changes:
    """Things by name, each with the number of its last change."""

    def __init__(self) -> None:
        self._at: dict[tuple[str, int | str], int] = {}
        self._now = 0
        self._lock = threading.Lock()

    @property
    def now(self) -> int:
        """Number of the last change."""
        return self._now

    def mark(self, kind: str, key: int | str = 0) -> None:
        """Something has changed."""
        with self._lock:
            self._now += 1
            self._at[kind, key] = self._now

    def since(self, number: int) -> dict[str, list[int | str]]:
        """Keys by kind, of what changed after a number."""
        with self._lock:
            found: dict[str, list[int | str]] = {}
            for (kind, key), at in self._at.items():
                if at > number:
                    found.setdefault(kind, []).append(key)
            return found
