import numpy as np
import pytest
from scipy.stats import bootstrap

from clickgrain.evaluation.result import bootstrap_means


def test_one_target_an_image_is_the_ordinary_bootstrap():
    values = np.random.default_rng(0).gamma(2.0, 3.0, (60, 1))
    ours = bootstrap_means(values, [f"{i}" for i in range(60)], samples=8000)
    known = bootstrap((values[:, 0],), np.mean, method="percentile", n_resamples=8000, rng=1).confidence_interval
    assert ours[0] == pytest.approx([known.low, known.high], rel=0.02)


def test_targets_that_repeat_their_image_add_no_certainty():
    values = np.random.default_rng(0).normal(size=(30, 1))
    images = [f"{i}" for i in range(30)]
    one = bootstrap_means(values, images)
    ten = bootstrap_means(np.repeat(values, 10, axis=0), list(np.repeat(images, 10)))
    assert ten == pytest.approx(one)
    apart = bootstrap_means(np.repeat(values, 10, axis=0), [f"{i}" for i in range(300)])
    assert np.ptp(apart) < 0.5 * np.ptp(ten)


def test_images_with_many_targets_weigh_more():
    values = np.array([[0.0], [1.0], [1.0], [1.0]])
    low, high = bootstrap_means(values, ["a", "b", "b", "b"])[0]
    assert (low, high) == (0, 1)
    shifted = bootstrap_means(np.full((4, 2), 3.0), ["a", "b", "b", "b"])
    assert shifted == pytest.approx(np.full((2, 2), 3.0))


def test_seeded_and_none_for_one_image():
    values = np.random.default_rng(0).normal(size=(90, 2))
    images = [f"{i // 2}" for i in range(90)]
    assert (bootstrap_means(values, images) == bootstrap_means(values, images)).all()
    assert (bootstrap_means(values, images) != bootstrap_means(values, images, seed=1)).any()
    assert bootstrap_means(values, ["a"] * 90) is None
