"""Encoded images by key, within a bound of memory; one that several requests want is encoded once."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future

from clickgrain.scene import size_of
from clickgrain.segmenter import Encoded, Segmenter
from clickgrain.types import UInt8


class ImageCache:
    """Args: the segmenter that encodes; megabytes to keep, the image used last always included."""

    def __init__(self, segmenter: Segmenter, megabytes: int = 256) -> None:
        self.segmenter, self._most = segmenter, 1_000_000 * megabytes
        self._kept: OrderedDict[str, Future[Encoded]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str, read: Callable[[], UInt8]) -> Encoded:
        """The encoded image of a key; `read` gives its H x W x 3 uint8 RGB when it is not kept. Thread-safe.

        Raises ClickgrainError: what `read` raises; it is tried again by the next request.
        """
        with self._lock:
            future = self._kept.get(key)
            is_new = future is None
            if future is None:
                future = self._kept[key] = Future()
            self._kept.move_to_end(key)
        if is_new:
            try:
                future.set_result(self.segmenter.encode(read()))
            except BaseException as error:
                with self._lock:
                    self._kept.pop(key, None)
                future.set_exception(error)
            self._evict()
        return future.result()

    def _evict(self) -> None:
        with self._lock:
            ready = {key: future for key, future in self._kept.items() if future.done()}
            sizes = {key: size_of(vars(future.result())) for key, future in ready.items() if not future.exception()}
            for key in list(sizes)[:-1]:
                if sum(sizes.values()) <= self._most:
                    break
                del self._kept[key], sizes[key]
