import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from clickgrain.cut import obey
from clickgrain.types import Prompt


def flat(value, size=(30, 40)):
    return np.full(size, value, np.float32)


def prompt(points, labels, size=(30, 40)):
    return Prompt.of(points, labels, size=size)


def test_clicks_that_are_obeyed_change_nothing():
    probability = flat(0.9)
    assert obey(probability, prompt([[3, 3], [20, 20]], [1, 1]), 5) is probability


def test_a_disobeyed_click_changes_a_disk_around_it_and_leaves_the_argument_alone():
    probability = flat(0.1)
    changed = obey(probability, prompt([[20, 10]], [1]), 4)
    y, x = np.indices(changed.shape)
    distance = np.hypot(y - 10, x - 20)
    np.testing.assert_array_equal(changed > 0.5, distance <= 4)
    np.testing.assert_array_equal(changed[distance > 4], np.float32(0.1))
    assert changed[10, 20] == 1
    assert (probability == np.float32(0.1)).all()


def test_positive_and_negative_clicks_are_mirror_images():
    up = obey(flat(0.25), prompt([[20, 10]], [1]), 4)
    down = obey(flat(0.75), prompt([[20, 10]], [0]), 4)
    np.testing.assert_allclose(up, 1 - down, atol=1e-7)


def test_a_push_never_weakens_what_is_already_there():
    probability = np.random.default_rng(0).random((30, 40), np.float32)
    probability[15, 15] = 0.2
    changed = obey(probability, prompt([[15, 15]], [1]), 5)
    assert (changed >= probability).all()
    assert changed[15, 15] == 1


def test_of_two_opposite_clicks_on_one_pixel_the_last_counts():
    for labels in ([1, 0], [0, 1]):
        changed = obey(flat(0.3), prompt([[12, 12], [12, 12]], labels), 3)
        assert (changed[12, 12] > 0.5) == labels[-1]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_every_click_ends_on_its_own_side(data):
    height, width = data.draw(st.integers(1, 14)), data.draw(st.integers(1, 14))
    place = st.tuples(st.integers(0, width - 1), st.integers(0, height - 1))
    points = data.draw(st.lists(place, unique=True, min_size=1, max_size=8))
    labels = data.draw(st.lists(st.integers(0, 1), min_size=len(points), max_size=len(points)))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    probability = rng.random((height, width), np.float32)
    radius = data.draw(st.floats(0.5, 12))
    changed = obey(probability, prompt(points, labels, (height, width)), radius)
    assert [changed[y, x] > 0.5 for x, y in points] == [bool(label) for label in labels]
    assert changed.min() >= 0
    assert changed.max() <= 1


def test_clicks_between_pixels_and_on_the_rim():
    points = [[39.9, 29.7], [0.2, 0.4], [20.6, 10.2]]
    changed = obey(flat(0.0), prompt(points, [1, 1, 1]), 1)
    assert changed[29, 39] > 0.5
    assert changed[0, 0] > 0.5
    assert changed[10, 21] > 0.5
