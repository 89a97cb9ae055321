"""Encoding images in a thread: the one that is waited for first, then the next ones; a bounded number is cached."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as WaitedTooLong
from contextlib import suppress
from typing import Any

from numba.core import event

from clickgrain.annotate.http_errors import RequestError
from clickgrain.errors import ClickgrainError
from clickgrain.scene import Scene

KEPT_BYTES = 128_000_000
FRESH = 30.0  # recently viewed images are protected from eviction by images encoded ahead for this many seconds
PAUSE = 0.5  # seconds before a failed thread is restarted: a permanent fault must not use a whole core
JIT_EVENT = "numba:compile"  # broadcast while numba compiles a function, and not when it loads one from its cache
LINGERS = 0.5  # seconds that the JIT counts as running after a function: usually the next one follows at once


class JitStatus(event.Listener):
    """Whether numba compiles in this process: once per machine, and the first image waits for it."""

    def __init__(self) -> None:
        self.on_first: Callable[[], None] = lambda: None  # called once, from the thread that compiles first
        self._lock = threading.Lock()
        self._depth, self._told, self._ended = 0, False, float("-inf")
        event.register(JIT_EVENT, self)

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
            with suppress(Exception):  # a closed terminal must not stop the compiler
                self.on_first()

    def on_end(self, event: Any) -> None:
        """A function is compiled."""
        with self._lock:
            self._depth, self._ended = max(self._depth - 1, 0), time.monotonic()

    def close(self) -> None:
        """Stop listening."""
        with suppress(ValueError):  # closed before
            event.unregister(JIT_EVENT, self)


class Encoder:
    """Scenes by key, which names an image and its content. Its thread calls what it is given."""

    def __init__(
        self,
        make: Callable[..., Scene],  # reads and encodes an image; raises ClickgrainError for one that is of no use
        on_ready: Callable[..., None],  # is told the key of every image that became ready
        afterwards: Callable[[Scene], None] = lambda scene: None,  # is given new scenes after those who wait
        # is told of an error that ended the thread's work, which is then restarted
        on_trouble: Callable[[BaseException], None] = lambda error: None,
        *,
        # scenes beyond this are evicted, the least recently used first; the last one always stays
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        self._make, self._on_ready, self._afterwards, self._most = make, on_ready, afterwards, kept_bytes
        self._on_trouble = on_trouble
        self._scenes: OrderedDict[Hashable, Scene] = OrderedDict()
        self._waiting: OrderedDict[Hashable, Future[Scene]] = OrderedDict()
        self._ahead: list[Hashable] = []
        self._used: dict[Hashable, float] = {}
        self._failed: set[Hashable] = set()
        self._epoch, self._closed = 0, False
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="encoder", daemon=True)
        self._thread.start()

    def get(self, key: Hashable, timeout: float = 60.0) -> Scene:
        """The scene of an image, once encoded; ClickgrainError: it cannot be read. RequestError: not in time."""
        with self._change:
            if key in self._scenes:
                self._touch(key)
                return self._scenes[key]
            future = self._waiting.setdefault(key, Future())
            self._waiting.move_to_end(key)
            self._wake()
        try:
            return future.result(timeout)
        except WaitedTooLong:
            raise RequestError("busy", "the image is still being encoded; try again in a moment") from None

    def look_ahead(self, keys: Iterable[Hashable]) -> None:
        """Images to encode when no request waits, in this order, the first being viewed; replaces those before."""
        wanted = list(keys)
        with self._change:
            if wanted and wanted[0] in self._scenes:
                self._touch(wanted[0])
            self._ahead = [key for key in wanted if key not in self._scenes and key not in self._failed]
            self._wake()

    def ready(self) -> set[Hashable]:
        """Keys of the images that are encoded."""
        with self._change:
            return set(self._scenes)

    def waiting(self) -> int:
        """How many images requests wait for."""
        with self._change:
            return len(self._waiting)

    def clear(self) -> None:
        """Evict everything: another model answers from now on."""
        with self._change:
            self._scenes.clear()
            self._used.clear()
            self._failed.clear()
            self._epoch += 1

    def close(self) -> None:
        """Stop the thread after the image at hand."""
        with self._change:
            self._closed = True
            self._change.notify_all()
        self._thread.join()

    def _touch(self, key: Hashable) -> None:
        self._scenes.move_to_end(key)
        self._used[key] = time.monotonic()

    def _wake(self) -> None:
        if not self._thread.is_alive() and not self._closed:  # whatever ended it, no request may wait in vain
            self._thread = threading.Thread(target=self._run, name="encoder", daemon=True)
            self._thread.start()
        self._change.notify_all()

    def _run(self) -> None:
        while not self._closed:
            try:
                while (task := self._next()) is not None:
                    self._encode(*task)
            except BaseException as error:
                with suppress(Exception):
                    self._on_trouble(error)
                with self._change:
                    self._change.wait_for(lambda: self._closed, PAUSE)

    def _next(self) -> tuple[Hashable, int] | None:
        """The latest image that is waited for, else the next one ahead; None once closed."""
        with self._change:
            while not self._closed:
                if self._waiting:
                    return next(reversed(self._waiting)), self._epoch
                self._ahead = [key for key in self._ahead if key not in self._scenes]
                # one more must fit without evicting a fresh one: ten tabs must not evict each other's images
                sizes = [scene.n_bytes for scene in self._scenes.values()]
                fits = not sizes or sum(sizes) + max(sizes) <= self._most
                if self._ahead and (fits or time.monotonic() - self._used[next(iter(self._scenes))] > FRESH):
                    return self._ahead.pop(0), self._epoch
                self._ahead.clear()
                self._change.wait()
        return None

    def _encode(self, key: Hashable, epoch: int) -> None:
        try:
            scene = self._make(key)
        except BaseException as error:
            told = error
            if not isinstance(error, ClickgrainError):
                how = "failed" if isinstance(error, Exception) else "was ended"
                told = RequestError("internal", f"encoding {how}: {error!r}; try again")
            with self._change:
                if epoch == self._epoch:
                    self._failed.add(key)
                    self._waiting.pop(key, Future()).set_exception(told)
            if not isinstance(error, Exception):
                raise
            return
        with self._change:
            current = epoch == self._epoch  # else of the model before: those who wait get the new one's
            if current:
                self._scenes[key] = scene
                self._touch(key)
                self._waiting.pop(key, Future()).set_result(scene)
                total = sum(scene.n_bytes for scene in self._scenes.values())
                while total > self._most and len(self._scenes) > 1:
                    old, evicted = self._scenes.popitem(last=False)
                    self._used.pop(old, None)
                    total -= evicted.n_bytes
        if current:
            self._on_ready(key)
        self._afterwards(scene)
