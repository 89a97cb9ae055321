import threading

import pytest

from clickgrain.annotate.encoder import Encoder
from clickgrain.annotate.refusals import RequestError
from clickgrain.errors import ImageError


class Kitchen:
    """Makes the test's one scene for any number; waits while the gate is closed; keeps the order of orders."""

    def __init__(self, scene):
        self.scene, self.orders, self.ready = scene, [], []
        self.gate, self.started = threading.Event(), threading.Event()
        self.gate.set()

    def make(self, image):
        self.orders.append(image)
        self.started.set()
        assert self.gate.wait(20)
        if image < 0:
            raise ImageError(f"image {image} is damaged")
        return self.scene

    def closed(self, encoder, image):
        """Close the gate with the thread inside, busy with an image."""
        self.gate.clear()
        self.started.clear()
        encoder.look_ahead([image])
        assert self.started.wait(20)


@pytest.fixture
def kitchen(scene):
    return Kitchen(scene)


@pytest.fixture
def encoder(kitchen):
    encoder = Encoder(kitchen.make, kitchen.ready.append)
    yield encoder
    kitchen.gate.set()
    encoder.close()


def test_an_image_is_encoded_once(encoder, kitchen):
    assert encoder.get(1) is encoder.get(1) is kitchen.scene
    assert kitchen.orders == [1]
    assert kitchen.ready == [1]
    assert encoder.ready() == {1}


def test_whoever_waits_comes_before_those_ahead(encoder, kitchen):
    kitchen.closed(encoder, 1)
    encoder.look_ahead([2, 3, 4])
    waiting = threading.Thread(target=encoder.get, args=(4,))
    waiting.start()
    while not encoder._waiting:
        pass
    kitchen.gate.set()
    waiting.join()
    encoder.get(3)
    assert kitchen.orders[:2] == [1, 4]
    assert sorted(kitchen.orders) == sorted(set(kitchen.orders))


def test_a_damaged_image_is_reported_and_stops_nobody(encoder, kitchen):
    with pytest.raises(ImageError, match="damaged"):
        encoder.get(-1)
    assert encoder.get(2) is kitchen.scene
    encoder.look_ahead([-1, 3])
    encoder.get(3)
    assert kitchen.orders.count(-1) == 1


def test_waiting_too_long_says_so(encoder, kitchen):
    kitchen.closed(encoder, 1)
    with pytest.raises(RequestError, match="still being encoded"):
        encoder.get(2, timeout=0.01)


def test_memory_is_bounded_and_the_last_used_stay(kitchen, scene):
    encoder = Encoder(kitchen.make, kitchen.ready.append, kept_bytes=2 * scene.n_bytes)
    for image in (1, 2, 1, 3):
        encoder.get(image)
    assert encoder.ready() == {1, 3}
    encoder.close()


def test_looking_ahead_takes_nothing_from_those_who_look(kitchen, scene):
    encoder = Encoder(kitchen.make, kitchen.ready.append, kept_bytes=3 * scene.n_bytes)
    for image in (1, 2, 3):
        encoder.get(image)
    encoder.look_ahead([3, 4, 5, 6])
    encoder.get(7)  # whoever waits is served all the same
    assert kitchen.orders == [1, 2, 3, 7]
    assert encoder.ready() == {2, 3, 7}
    encoder.close()


def test_what_another_model_had_begun_is_done_again(encoder, kitchen):
    kitchen.closed(encoder, 1)
    encoder.clear()
    kitchen.gate.set()
    encoder.get(1)
    assert kitchen.orders == [1, 1]
