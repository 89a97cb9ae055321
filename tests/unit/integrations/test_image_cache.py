"""Images are encoded once and kept within a bound."""

import threading

import numpy as np
import pytest

from clickgrain.errors import ImageError
from clickgrain.integrations.image_cache import ImageCache


class Counting:
    """A segmenter that counts what it encodes, 1 MB each."""

    def __init__(self):
        self.count = 0

    def encode(self, image):
        self.count += 1

        class Encoded:
            pass

        encoded = Encoded()
        encoded.image = np.zeros(1_000_000, np.uint8)
        return encoded


def test_one_image_is_encoded_once_for_many_requests():
    segmenter = Counting()
    cache, gate, found = ImageCache(segmenter, 16), threading.Event(), []

    def read():
        gate.wait(10)
        return np.zeros((2, 2, 3), np.uint8)

    threads = [threading.Thread(target=lambda: found.append(cache.get("a", read))) for _ in range(4)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()
    assert segmenter.count == 1
    assert len({id(encoded) for encoded in found}) == 1


def test_the_least_recently_used_are_evicted():
    segmenter = Counting()
    cache = ImageCache(segmenter, 2)
    for key in ("a", "b", "a", "c", "a"):
        cache.get(key, lambda: None)
    assert segmenter.count == 3
    cache.get("b", lambda: None)
    assert segmenter.count == 4


def test_an_image_larger_than_the_bound_is_kept_until_the_next():
    segmenter = Counting()
    cache = ImageCache(segmenter, 0)
    cache.get("a", lambda: None)
    cache.get("a", lambda: None)
    assert segmenter.count == 1
    cache.get("b", lambda: None)
    cache.get("a", lambda: None)
    assert segmenter.count == 3


def test_a_failure_is_told_and_tried_again():
    segmenter = Counting()
    cache = ImageCache(segmenter, 16)

    def fail():
        raise ImageError("unreachable")

    for _ in range(2):
        with pytest.raises(ImageError, match="unreachable"):
            cache.get("a", fail)
    cache.get("a", lambda: None)
    assert segmenter.count == 1
