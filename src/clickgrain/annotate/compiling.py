"""Whether numba compiles right now. It does so once on a machine, and the first image waits for it."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from numba.core import event

KIND = "numba:compile"
"""Broadcast while a function is compiled, and not when it is loaded from numba's cache."""
LINGERS = 0.5
"""Seconds: the next function follows at once as a rule, and nobody should see the gap."""


class Compiling(event.Listener):
    """Listens to the compiler of this process until it is closed.

    Attributes:
        on_first: called once, from the thread that compiles, when something compiles for the first time.
    """

    def __init__(self) -> None:
        self.on_first: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._depth, self._told, self._ended = 0, False, float("-inf")
        self._closed = False
        event.register(KIND, self)

    @property
    def is_on(self) -> bool:
        """Whether something compiles, or did a moment ago."""
        return self._depth > 0 or time.monotonic() - self._ended < LINGERS

    def on_start(self, event: Any) -> None:
        """A function compiles, perhaps for another one that does."""
        with self._lock:
            self._depth += 1
            first, self._told = not self._told, True
        if first:
            with suppress(Exception):  # a terminal that is gone must not stop the compiler
                self.on_first()

    def on_end(self, event: Any) -> None:
        """It is compiled."""
        with self._lock:
            self._depth, self._ended = max(self._depth - 1, 0), time.monotonic()

    def close(self) -> None:
        """Listen no longer."""
        with self._lock:
            closed, self._closed = self._closed, True
        if not closed:
            event.unregister(KIND, self)
