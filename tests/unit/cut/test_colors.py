import numpy as np
from scipy.stats import multivariate_normal

from clickgrain.cut.colors import CODES, COMPONENTS, NOISE, color_codes, fit_mixture, log_odds

RED, BLUE = (200, 40, 40), (30, 60, 190)


def around(color, n=800, spread=8, seed=0):
    noise = np.random.default_rng(seed).normal(0, spread, (n, 3))
    return np.clip(np.array(color) + noise, 0, 255).astype(np.uint8)


def empty_table():
    return np.full(CODES, np.nan, np.float32)


def test_a_color_is_likelier_where_it_comes_from():
    red, blue = fit_mixture(around(RED)), fit_mixture(around(BLUE))
    codes = color_codes(np.array([[RED, BLUE]], np.uint8)).ravel()
    odds = log_odds(codes, red, blue, empty_table(), 5.0)
    assert odds.tolist() == [5.0, -5.0]
    assert log_odds(codes, red, red, empty_table(), 5.0).tolist() == [0.0, 0.0]


def test_a_mixture_is_that_of_its_clusters():
    """Five clusters far apart: every component is the normal distribution of one of them."""
    centers = [(30, 30, 30), (220, 30, 30), (30, 220, 30), (30, 30, 220), (220, 220, 220)]
    clusters = [around(center, 300, seed=k) for k, center in enumerate(centers)]
    mixture = fit_mixture(np.random.default_rng(1).permutation(np.concatenate(clusters)))
    assert len(mixture) == COMPONENTS
    for cluster in clusters:
        points = cluster.astype(float)
        normal = multivariate_normal(points.mean(0), np.cov(points.T, bias=True) + NOISE * np.eye(3))
        weight, mean, inverse = (
            (m := mixture[np.argmin(((mixture[:, 1:4] - points.mean(0)) ** 2).sum(1))])[0],
            m[1:4],
            m[4:],
        )
        full = np.array(
            [
                [inverse[0], inverse[1], inverse[2]],
                [inverse[1], inverse[3], inverse[4]],
                [inverse[2], inverse[4], inverse[5]],
            ]
        )
        offset = points[0] - mean
        found = weight - 0.5 * offset @ full @ offset - 1.5 * np.log(2 * np.pi)
        np.testing.assert_allclose(found, np.log(0.2) + normal.logpdf(points[0]), atol=0.02)


def test_one_color_only():
    flat = fit_mixture(np.full((500, 3), 90, np.uint8))
    odds = log_odds(
        color_codes(np.full((1, 1, 3), 90, np.uint8)).ravel(), flat, fit_mixture(around(BLUE)), empty_table(), 5.0
    )
    assert odds[0] == 5.0


def test_codes_hold_five_bits_a_channel():
    image = np.array([[[0, 0, 0], [7, 7, 7], [8, 0, 0], [255, 255, 255]]], np.uint8)
    assert color_codes(image).tolist() == [[0, 0, 1024, CODES - 1]]
