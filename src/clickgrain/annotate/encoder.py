"""Encoding in a thread: the image somebody waits for first, then the next ones; a bounded number of bytes kept."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as WaitedTooLong
from contextlib import suppress

from clickgrain.annotate.refusals import RequestError
from clickgrain.annotate.scenes import Scene
from clickgrain.errors import ClickgrainError

KEPT_BYTES = 128_000_000
FRESH = 30.0
"""Seconds for which what a user looks at, or will soon, is not evicted for what others may look at later."""
PAUSE = 0.5
"""Seconds before a thread that has failed goes on: what fails for good must not take a whole core."""


class Encoder:
    """Scenes by key: whatever names an image and its content.

    Args:
        make: reads and encodes an image; raises ClickgrainError for one that cannot be used.
        on_ready: called (from the thread) with the key of every image that became ready.
        afterwards: called (from the thread) with every new scene, when those who waited for it have it.
        on_trouble: called (from the thread) with an error that ended the thread's work, which then begins again.
        kept_bytes: scenes beyond this are evicted, the longest unused first; the last one always stays.
    """

    def __init__(
        self,
        make: Callable[..., Scene],
        on_ready: Callable[..., None],
        afterwards: Callable[[Scene], None] = lambda scene: None,
        on_trouble: Callable[[BaseException], None] = lambda error: None,
        *,
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
        self._thread = self._started()

    def get(self, key: Hashable, timeout: float = 60.0) -> Scene:
        """The scene of an image; waits until it is encoded.

        Raises:
            ClickgrainError: the image cannot be read.
            RequestError: not ready within `timeout` seconds.
        """
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
        """Images to encode when nobody waits, in this order, the first being looked at; replaces those before."""
        wanted = list(keys)
        with self._change:
            if wanted and wanted[0] in self._scenes:
                self._touch(wanted[0])
            self._ahead = [key for key in wanted if key not in self._scenes and key not in self._failed]
            self._wake()

    def _touch(self, key: Hashable) -> None:
        self._scenes.move_to_end(key)
        self._used[key] = time.monotonic()

    def ready(self) -> set[Hashable]:
        """Keys of the images that are encoded."""
        with self._change:
            return set(self._scenes)

    def clear(self) -> None:
        """Forget everything: another model answers from now on."""
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

    def _started(self) -> threading.Thread:
        thread = threading.Thread(target=self._run, name="encoder", daemon=True)
        thread.start()
        return thread

    def _wake(self) -> None:
        if not self._thread.is_alive() and not self._closed:  # whatever ended it, none may wait in vain
            self._thread = self._started()
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

    def _encode(self, key: Hashable, epoch: int) -> None:
        try:
            scene = self._make(key)
        except ClickgrainError as error:
            self._finish(key, epoch, error)
        except Exception as error:
            self._finish(key, epoch, RequestError("internal", f"encoding failed: {error!r}"))
        except BaseException as error:
            self._finish(key, epoch, RequestError("internal", f"encoding was ended: {error!r}; try again"))
            raise
        else:
            self._finish(key, epoch, scene)
            self._afterwards(scene)

    def _next(self) -> tuple[Hashable, int] | None:
        with self._change:
            while not self._closed:
                if self._waiting:
                    return next(reversed(self._waiting)), self._epoch
                self._ahead = [key for key in self._ahead if key not in self._scenes]
                if self._ahead and self._has_room():
                    return self._ahead.pop(0), self._epoch
                self._change.wait()
        return None

    def _has_room(self) -> bool:
        """Whether one more can be kept without evicting a fresh one: ten tabs must not chase each other."""
        sizes = [scene.n_bytes for scene in self._scenes.values()]
        if not sizes or sum(sizes) + max(sizes) <= self._most:
            return True
        oldest = next(iter(self._scenes))
        if time.monotonic() - self._used.get(oldest, 0.0) > FRESH:
            return True
        self._ahead.clear()
        return False

    def _finish(self, key: Hashable, epoch: int, result: Scene | ClickgrainError) -> None:
        with self._change:
            if epoch != self._epoch:
                return  # of a model that is gone: those who wait get the new one's
            future = self._waiting.pop(key, None)
            if isinstance(result, Scene):
                self._scenes[key] = result
                self._touch(key)
            else:
                self._failed.add(key)
        if future is not None and isinstance(result, Scene):
            future.set_result(result)
        elif future is not None:
            assert isinstance(result, ClickgrainError)
            future.set_exception(result)
        if isinstance(result, Scene):
            with self._change:
                self._evict()
            self._on_ready(key)

    def _evict(self) -> None:
        total = sum(scene.n_bytes for scene in self._scenes.values())
        while total > self._most and len(self._scenes) > 1:
            key, scene = self._scenes.popitem(last=False)
            self._used.pop(key, None)
            total -= scene.n_bytes
