import threading
from dataclasses import replace

import numpy as np
import pytest

from clickgrain.annotate.encoder import Encoder
from clickgrain.annotate.http_errors import RequestError
from clickgrain.errors import ImageError
from clickgrain.scene import Scene, size_of


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr("clickgrain.annotate.encoder.PAUSE", 0.0)


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


def test_a_damaged_image_is_reported_and_stops_no_one(encoder, kitchen):
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


class Growing:
    """A tensor whose dictionary gets another answer from a click while it is looked at."""

    def __init__(self, answers):
        self.answers = answers

    def element_size(self):
        self.answers[len(self.answers)] = np.zeros(5, np.uint8)
        return 4

    def numel(self):
        return 10


@pytest.mark.parametrize("kind", ["dict", "object"])
def test_what_clicks_add_while_it_is_measured_stops_no_one(kind):
    class Answers:
        pass

    answers, holder = {}, Answers()
    if kind == "object":
        answers, holder.__dict__ = holder.__dict__, answers
        answers = holder.__dict__
    answers["first"] = Growing(answers)
    assert size_of(holder if kind == "object" else answers) == 40
    assert size_of(holder if kind == "object" else answers) == 45


class Odd(Scene):
    """A scene that cannot be measured the first time."""

    @property
    def n_bytes(self):
        if self.stamp:
            object.__setattr__(self, "stamp", "")
            raise RuntimeError("dictionary changed size during iteration")
        return 1000


@pytest.fixture
def troubled(kitchen):
    """An encoder with things that fail: a dictionary of what is called; and the errors that it told."""
    calls, told = {"on_ready": kitchen.ready.append, "afterwards": lambda scene: None}, []
    encoder = Encoder(
        lambda key: calls["make"](key) if "make" in calls else kitchen.make(key),
        lambda key: calls["on_ready"](key),
        lambda scene: calls["afterwards"](scene),
        lambda error: told.append(error),
    )
    encoder.calls, encoder.told = calls, told
    yield encoder
    kitchen.gate.set()
    encoder.close()


def failing(error, then):
    """A function that fails the first time."""
    errors = [error]

    def call(*arguments):
        if errors:
            raise errors.pop()
        return then(*arguments)

    return call


@pytest.mark.parametrize("call", ["on_ready", "afterwards"])
@pytest.mark.parametrize("error", [RuntimeError("odd"), SystemExit(3), KeyboardInterrupt()])
def test_whatever_fails_around_an_image_those_who_wait_get_it_and_the_next_too(troubled, kitchen, call, error):
    troubled.calls[call] = failing(error, troubled.calls[call])
    assert troubled.get(1, timeout=20) is kitchen.scene
    assert troubled.get(2, timeout=20) is kitchen.scene
    assert troubled.told == [error]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_an_image_that_ends_the_thread_is_answered_and_it_begins_again(troubled, kitchen, error):
    troubled.calls["make"] = failing(error, kitchen.make)
    with pytest.raises(RequestError, match="encoding was ended"):
        troubled.get(1, timeout=20)
    assert troubled.get(1, timeout=20) is kitchen.scene
    assert troubled.told == [error]


def test_a_scene_that_cannot_be_measured_is_served_and_encoding_goes_on(troubled, kitchen, scene):
    odd = Odd(**{name: getattr(scene, name) for name in scene.__dataclass_fields__})
    kitchen.scene = replace(odd, stamp="odd")
    assert troubled.get(1, timeout=20) is kitchen.scene
    assert troubled.get(2, timeout=20) is kitchen.scene
    assert [type(error) for error in troubled.told] == [RuntimeError]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # its end is what is meant
def test_a_thread_that_is_gone_is_started_again(troubled, kitchen):
    def last_words(error):
        raise SystemExit

    troubled._on_trouble = last_words
    troubled.calls["on_ready"] = failing(RuntimeError("odd"), kitchen.ready.append)
    first = troubled._thread
    troubled.get(1, timeout=20)
    first.join()
    assert troubled.get(2, timeout=20) is kitchen.scene
    assert troubled._thread is not first


def test_many_wait_for_one_image_and_it_is_encoded_once(encoder, kitchen):
    kitchen.closed(encoder, 1)
    got, together = [], threading.Barrier(9)

    def wait():
        together.wait()
        got.append(encoder.get(2, timeout=20))

    threads = [threading.Thread(target=wait) for _ in range(8)]
    for thread in threads:
        thread.start()
    together.wait()
    kitchen.gate.set()
    for thread in threads:
        thread.join()
    assert got == 8 * [kitchen.scene]
    assert kitchen.orders == [1, 2]


def test_the_page_is_told_that_the_thread_began_again(project, client, monkeypatch):
    assert client.get("/api/state").json()["notice"] is None
    monkeypatch.setattr(project.encoder, "_on_ready", failing(RuntimeError("odd"), lambda key: None))
    assert client.get("/api/images/1/hover").status_code == 200
    assert client.get("/api/images/2/hover").status_code == 200  # only once it has begun again
    for path in ("/api/state", "/api/changes?since=0"):
        assert "RuntimeError('odd')" in client.get(path).json()["notice"]
