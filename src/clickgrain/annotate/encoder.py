"""Encoding in a thread: the image somebody waits for first, then the next ones; a bounded number of bytes kept."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as WaitedTooLong

from clickgrain.annotate.refusals import RequestError
from clickgrain.annotate.scenes import Scene
from clickgrain.errors import ClickgrainError

KEPT_BYTES = 128_000_000
FRESH = 30.0
"""Seconds for which what somebody looks at, or will soon, is not let go for what others may look at later."""


class Encoder:
    """Scenes by image number.

    Args:
        make: reads and encodes an image; raises ClickgrainError for one that cannot be used.
        on_ready: called (from the thread) with the number of every image that became ready.
        afterwards: called (from the thread) with every new scene, when those who waited for it have it.
        kept_bytes: scenes beyond this are let go, the longest unused first; the last one always stays.
    """

    def __init__(
        self,
        make: Callable[[int], Scene],
        on_ready: Callable[[int], None],
        afterwards: Callable[[Scene], None] = lambda scene: None,
        *,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        self._make, self._on_ready, self._afterwards, self._most = make, on_ready, afterwards, kept_bytes
        self._scenes: OrderedDict[int, Scene] = OrderedDict()
        self._waiting: OrderedDict[int, Future[Scene]] = OrderedDict()
        self._ahead: list[int] = []
        self._used: dict[int, float] = {}
        self._failed: set[int] = set()
        self._epoch, self._closed = 0, False
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="encoder", daemon=True)
        self._thread.start()

    def get(self, image: int, timeout: float = 60.0) -> Scene:
        """The scene of an image; waits until it is encoded.

        Raises:
            ClickgrainError: the image cannot be read.
            RequestError: not ready within `timeout` seconds.
        """
        with self._change:
            if image in self._scenes:
                self._touch(image)
                return self._scenes[image]
            future = self._waiting.setdefault(image, Future())
            self._waiting.move_to_end(image)
            self._change.notify()
        try:
            return future.result(timeout)
        except WaitedTooLong:
            raise RequestError("busy", "the image is still being encoded; try again in a moment") from None

    def look_ahead(self, images: Iterable[int]) -> None:
        """Images to encode when nobody waits, in this order, the first being looked at; replaces those before."""
        wanted = list(images)
        with self._change:
            if wanted and wanted[0] in self._scenes:
                self._touch(wanted[0])
            self._ahead = [image for image in wanted if image not in self._scenes and image not in self._failed]
            self._change.notify()

    def _touch(self, image: int) -> None:
        self._scenes.move_to_end(image)
        self._used[image] = time.monotonic()

    def ready(self) -> set[int]:
        """Numbers of the images that are encoded."""
        with self._change:
            return set(self._scenes)

    def clear(self) -> None:
        """Forget everything: another model answers from now on."""
        with self._change:
            self._scenes.clear()
            self._failed.clear()
            self._epoch += 1

    def close(self) -> None:
        """Stop the thread after the image at hand."""
        with self._change:
            self._closed = True
            self._change.notify()
        self._thread.join()

    def _run(self) -> None:
        while (task := self._next()) is not None:
            image, epoch = task
            try:
                scene = self._make(image)
            except ClickgrainError as error:
                self._finish(image, epoch, error)
            except Exception as error:
                self._finish(image, epoch, RequestError("internal", f"encoding failed: {error!r}"))
            else:
                self._finish(image, epoch, scene)
                self._afterwards(scene)

    def _next(self) -> tuple[int, int] | None:
        with self._change:
            while not self._closed:
                if self._waiting:
                    return next(reversed(self._waiting)), self._epoch
                self._ahead = [image for image in self._ahead if image not in self._scenes]
                if self._ahead and self._has_room():
                    return self._ahead.pop(0), self._epoch
                self._change.wait()
        return None

    def _has_room(self) -> bool:
        """Whether one more can be kept without letting go of a fresh one: ten tabs must not chase each other."""
        sizes = [scene.n_bytes for scene in self._scenes.values()]
        if not sizes or sum(sizes) + max(sizes) <= self._most:
            return True
        oldest = next(iter(self._scenes))
        if time.monotonic() - self._used.get(oldest, 0.0) > FRESH:
            return True
        self._ahead.clear()
        return False

    def _finish(self, image: int, epoch: int, result: Scene | ClickgrainError) -> None:
        with self._change:
            if epoch != self._epoch:
                return  # of a model that is gone: those who wait get the new one's
            future = self._waiting.pop(image, None)
            if isinstance(result, Scene):
                self._scenes[image] = result
                self._touch(image)
                self._let_go()
            else:
                self._failed.add(image)
        if isinstance(result, Scene):
            self._on_ready(image)
        if future is not None and isinstance(result, Scene):
            future.set_result(result)
        elif future is not None:
            assert isinstance(result, ClickgrainError)
            future.set_exception(result)

    def _let_go(self) -> None:
        total = sum(scene.n_bytes for scene in self._scenes.values())
        while total > self._most and len(self._scenes) > 1:
            image, scene = self._scenes.popitem(last=False)
            self._used.pop(image, None)
            total -= scene.n_bytes
