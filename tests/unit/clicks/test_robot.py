import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import distance_transform_edt, gaussian_filter

from clickgrain.clicks.robot import ErrorDepth, RobotUser, error_masks, next_click
from clickgrain.clicks.users import NoisyUser
from clickgrain.errors import DataError


def oracle_depth(error, clicked):
    """Squared exact distances of the whole padded image, as integers: nothing rounds."""
    distance = distance_transform_edt(np.pad(error, 1))[1:-1, 1:-1]
    squared = np.rint(distance**2).astype(np.int64)
    for x, y in clicked:
        squared[y, x] = 0
    return squared


def oracle(target, prediction, clicked):
    missed = oracle_depth((target > 128) & ~prediction, clicked)
    spurious = oracle_depth((target < 128) & prediction, clicked)
    if max(missed.max(), spurious.max()) == 0:
        return None
    label = int(missed.max() > spurious.max())
    depth = missed if label else spurious
    y, x = np.unravel_index(depth.argmax(), depth.shape)
    return int(x), int(y), label


def blobs(seed, shape):
    """A target with an ignored band, and a prediction; both of smooth random blobs."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    waves = [
        sum(np.sin(x * a + b) * np.cos(y * c + d) for a, b, c, d in rng.uniform(0, 1, (4, 4))) for _ in range(2)
    ]
    target = np.where(waves[0] > 0.6, 255, np.where(waves[0] > 0.4, 128, 0)).astype(np.uint8)
    return target, waves[1] > 0.5


class TestNextClick:
    @settings(max_examples=150, deadline=None)
    @given(data=st.data())
    def test_equals_brute_force_on_the_padded_image(self, data):
        shape = data.draw(st.tuples(st.integers(1, 14), st.integers(1, 14)))
        target = data.draw(hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 0, 128, 255, 255])))
        prediction = data.draw(hnp.arrays(np.bool_, shape))
        pixel = st.tuples(st.integers(0, shape[1] - 1), st.integers(0, shape[0] - 1))
        clicked = data.draw(st.lists(pixel, max_size=6))
        assert next_click(target, prediction, clicked) == oracle(target, prediction, clicked)

    @settings(max_examples=40, deadline=None)
    @given(seed=st.integers(0, 2**32 - 1), shape=st.tuples(st.integers(20, 90), st.integers(20, 90)))
    def test_equals_brute_force_over_a_sequence_on_blobs(self, seed, shape):
        target, prediction = blobs(seed, shape)
        clicked = []
        for _ in range(4):
            click = next_click(target, prediction, clicked)
            assert click == oracle(target, prediction, clicked)
            if click is None:
                break
            clicked.append(click[:2])

    def test_first_click_is_the_deepest_object_pixel(self):
        target = np.zeros((9, 11), np.uint8)
        target[2:7, 3:8] = 255
        assert next_click(target, np.zeros((9, 11), bool), []) == (5, 4, 1)

    def test_the_image_border_counts_as_outside(self):
        target = np.full((5, 7), 255, np.uint8)
        assert next_click(target, np.zeros((5, 7), bool), []) == (2, 2, 1)

    def test_a_tie_is_negative(self):
        target = np.zeros((5, 10), bool)
        target[1:4, 1:4] = True
        prediction = np.zeros((5, 10), bool)
        prediction[1:4, 6:9] = True
        assert next_click(target, prediction, []) == (7, 2, 0)

    def test_ignored_pixels_are_no_error(self):
        target = np.full((4, 4), 128, np.uint8)
        assert next_click(target, np.ones((4, 4), bool), []) is None

    def test_no_error_left_gives_none(self):
        target = np.eye(4, dtype=bool)
        assert next_click(target, target.copy(), [(0, 0)]) is None

    def test_all_error_pixels_clicked_gives_none(self):
        target = np.zeros((3, 3), bool)
        target[1, 1:] = True
        assert next_click(target, np.zeros((3, 3), bool), [(1, 1), (2, 1)]) is None

    def test_leaves_its_arguments_alone(self):
        target, prediction = blobs(3, (30, 40))
        before = target.copy(), prediction.copy()
        next_click(target, prediction, np.array([[5, 5]]))
        assert (target == before[0]).all()
        assert (prediction == before[1]).all()

    @pytest.mark.parametrize("shape", [(4, 5), (4, 4, 1)])
    def test_refuses_a_prediction_of_another_shape(self, shape):
        with pytest.raises(DataError, match="prediction has shape"):
            next_click(np.zeros((4, 4), bool), np.zeros(shape, bool), [])

    def test_refuses_a_probability(self):
        with pytest.raises(DataError, match="float32"):
            next_click(np.zeros((4, 4), bool), np.zeros((4, 4), np.float32), [])

    def test_refuses_a_target_of_another_kind(self):
        with pytest.raises(DataError, match="int64"):
            next_click(np.zeros((4, 4), np.int64), np.zeros((4, 4), bool), [])


def test_error_depth_of_nothing_is_zero():
    assert ErrorDepth(np.zeros((4, 4), bool), []).maximum == 0


@pytest.mark.parametrize("seed", range(20))
def test_depths_are_roots_of_whole_numbers_to_the_last_bit(seed):
    """OpenCV's own differ in the last bit with the array's place in memory, and ties with them."""
    error = gaussian_filter(np.random.default_rng(seed).random((60, 80)), 3) > 0.5
    found = ErrorDepth(error, [])
    whole = np.zeros(error.shape, np.float32)
    height, width = found.depth.shape
    whole[found.top : found.top + height, found.left : found.left + width] = found.depth
    assert np.array_equal(whole, np.sqrt(oracle_depth(error, []).astype(np.float32)))


class TestNoisyUser:
    def test_clicks_deeper_than_half_the_maximum_of_the_larger_error(self):
        target, prediction = blobs(1, (60, 80))
        user = NoisyUser(3)
        label = RobotUser()(target, prediction, [])[2]
        depth = np.sqrt(oracle_depth(error_masks(target, prediction)[1 - label], []))
        clicks = [user(target, prediction, []) for _ in range(200)]
        assert {click[2] for click in clicks} == {label}
        assert all(depth[y, x] > depth.max() / 2 for x, y, _ in clicks)
        assert len(set(clicks)) > 20

    def test_depends_on_seed_and_target_only(self):
        target, prediction = blobs(1, (60, 80))

        def run(seed, target_id, warm_up):
            user = NoisyUser(seed)
            for _ in range(warm_up):
                user(target, prediction, [])
            user.start(target_id)
            return [user(target, prediction, []) for _ in range(5)]

        assert run(3, "a", 0) == run(3, "a", 4)
        assert run(3, "a", 0) != run(3, "b", 0)
        assert run(3, "a", 0) != run(4, "a", 0)

    def test_never_repeats_a_click_and_ends(self):
        target = np.zeros((6, 6), bool)
        target[2:5, 2:5] = True
        user, clicked = NoisyUser(0), []
        while (click := user(target, np.zeros((6, 6), bool), clicked)) is not None:
            clicked.append(click[:2])
        assert sorted(clicked) == sorted({(x, y) for x in (2, 3, 4) for y in (2, 3, 4)})
