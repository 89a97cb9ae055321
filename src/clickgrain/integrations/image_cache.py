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
            with self._lock:  # evicted: what was used longest ago
                ready = [(key, one) for key, one in self._kept.items() if one.done() and not one.exception()]
                sizes = {key: size_of(vars(one.result())) for key, one in ready}
                for old in list(sizes)[:-1]:
                    if sum(sizes.values()) <= self._most:
                        break
                    del self._kept[old], sizes[old]
        return future.result()
