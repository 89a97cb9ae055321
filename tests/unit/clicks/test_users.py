import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label as components

from clickgrain.clicks.robot import Drawn, RobotUser, next_click
from clickgrain.clicks.users import BoxFirstUser, NoisyUser, ScribbleUser, make_user, middle_line
from clickgrain.errors import ConfigError

NOTHING = np.zeros((40, 60), bool)


def blob(seed, shape=(40, 60)):
    """A smooth random region with holes, never empty."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    wave = sum(np.sin(x * a + b) * np.cos(y * c + d) for a, b, c, d in rng.uniform(0, 1, (4, 4)) * 0.6)
    return wave > np.quantile(wave, rng.uniform(0.3, 0.9))


def started(user, target_id="a"):
    user.start(target_id)
    return user


class TestBoxFirst:
    def test_the_box_is_that_of_the_object_and_clicks_follow(self):
        target = np.zeros((40, 60), np.uint8)
        target[10:20, 30:45] = 255
        target[5:8, 3:8] = 128  # ignored pixels are no object
        user = started(BoxFirstUser())
        assert user(target, NOTHING, []) == Drawn("box", ((30.0, 10.0), (45.0, 20.0)))
        assert user(target, NOTHING, []) == next_click(target, NOTHING, [])
        user.start("b")
        assert user(target, NOTHING, []).kind == "box"

    @settings(max_examples=60, deadline=None)
    @given(seed=st.integers(1, 1000), top=st.integers(0, 39), left=st.integers(0, 59), length=st.integers(1, 60))
    def test_a_jittered_box_is_never_empty_or_outside_and_moves_little(self, seed, top, left, length):
        target = NOTHING.copy()
        target[top : top + length, left : left + length] = True
        exact = np.array(started(BoxFirstUser())(target, NOTHING, []).points).ravel()
        box = np.array(started(BoxFirstUser(seed))(target, NOTHING, []).points).ravel()
        assert (box[:2] >= 0).all()
        assert (box[2:] <= (60, 40)).all()
        assert (box[2:] > box[:2]).all()
        assert (np.abs(box - exact) <= 21).all()

    def test_the_jitter_depends_on_seed_and_target_alone(self):
        target = NOTHING.copy()
        target[5:35, 10:50] = True
        draws = {
            key: started(BoxFirstUser(key[0]), key[1])(target, NOTHING, []).points
            for key in [(1, "a"), (1, "b"), (2, "a")]
        }
        assert len({*draws.values()}) == 3
        other = started(BoxFirstUser(1), "z")
        other(target, NOTHING, [])
        assert started(other, "a")(target, NOTHING, []).points == draws[1, "a"]

    def test_no_object_no_box(self):
        assert started(BoxFirstUser())(NOTHING, NOTHING, []) is None


class TestScribble:
    @settings(max_examples=40, deadline=None)
    @given(seed=st.integers(0, 10_000), user_seed=st.integers(0, 3))
    def test_strokes_lie_in_the_error_part_that_the_robot_would_click(self, seed, user_seed):
        target, prediction = blob(seed), blob(seed + 1) if seed % 2 else NOTHING
        stroke = started(ScribbleUser(user_seed))(target, prediction, [])
        x, y, label = next_click(target, prediction, [])
        wrong = target & ~prediction if label else prediction & ~target
        parts, _ = components(wrong, np.ones((3, 3)))
        assert (stroke.kind, stroke.label) == ("scribble", label)
        assert 1 <= len(stroke.points) <= 32
        assert {parts[int(py), int(px)] for px, py in stroke.points} == {parts[y, x]}

    def test_a_bar_is_crossed_along_its_middle(self):
        target = NOTHING.copy()
        target[18:23, 5:55] = True
        points = np.array(started(ScribbleUser())(target, NOTHING, []).points)
        assert set(points[:, 1]) <= {19, 20, 21}
        assert np.ptp(points[:, 0]) >= 20  # half its length at least, less the skeleton's ends
        assert (np.diff(points[:, 0]) > 0).all() or (np.diff(points[:, 0]) < 0).all()

    def test_one_pixel_is_a_stroke_and_nothing_is_none(self):
        target = NOTHING.copy()
        target[7, 9] = True
        user = started(ScribbleUser())
        assert user(target, NOTHING, []) == Drawn("scribble", ((9.0, 7.0),), 1)
        assert user(target, NOTHING, [(9, 7)]) is None
        assert user(target, target, []) is None

    def test_it_depends_on_seed_and_target_alone(self):
        target = blob(5)
        strokes = [
            started(ScribbleUser(seed), name)(target, NOTHING, []) for seed, name in [(0, "a"), (0, "b"), (1, "a")]
        ]
        again = started(ScribbleUser(0), "b")
        again(target, NOTHING, [])
        assert started(again, "a")(target, NOTHING, []) == strokes[0]
        assert len({stroke.points for stroke in strokes}) > 1


def test_the_middle_line_of_a_ring_and_of_an_l():
    ring = NOTHING.copy()
    ring[5:35, 10:50] = True
    ring[10:30, 15:45] = False
    line = middle_line(ring, (11, 20))
    assert (np.abs(np.diff(line, axis=0)).max(1) == 1).all()  # connected
    assert len(line) > 40  # halfway round
    ell = NOTHING.copy()
    ell[2:38, 5:9] = True
    ell[34:38, 5:55] = True
    assert len(middle_line(ell, (6, 3))) > 60


@pytest.mark.parametrize(
    ("name", "seed", "kind", "called"),
    [
        ("robot", 0, RobotUser, "robot"),
        ("noisy", 2, NoisyUser, "noisy-2"),
        ("box-first", 0, BoxFirstUser, "box-first"),
        ("box-first", 3, BoxFirstUser, "box-first-3"),
        ("scribble", 1, ScribbleUser, "scribble-1"),
    ],
)
def test_users_by_name(name, seed, kind, called):
    user = make_user(name, seed)
    assert isinstance(user, kind)
    assert user.name == called


@pytest.mark.parametrize(
    ("name", "seed", "message"),
    [("robot", 1, "--user noisy"), ("nobody", 0, "choose from: robot"), ("noisy", -1, "negative")],
)
def test_users_that_are_not_there(name, seed, message):
    with pytest.raises(ConfigError, match=message):
        make_user(name, seed)
