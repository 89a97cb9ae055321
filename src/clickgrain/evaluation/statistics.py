"""How far a mean over targets can be trusted."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

SAMPLES, SEED, CONFIDENCE = 2000, 0, 0.95

Values = npt.NDArray[np.float64]


def bootstrap_ratios(
    numerators: Values, denominators: Values, images: Sequence[str], *, samples: int = SAMPLES, seed: int = SEED
) -> Values | None:
    """Ratios of column sums in bootstrap samples of whole images (clusters).

    Targets of one image share its difficulties; resampling targets would make the intervals too narrow (Davison
    and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8). The same images and seed give the same
    samples, so that columns of two models can be subtracted: a paired comparison.

    Args:
        numerators, denominators: N x K, one row a target; ones below make a ratio a mean. 0 / 0 is 0.
        images: of each target.
        samples: how often the images are drawn, with replacement.
        seed: of the drawing.

    Returns:
        samples x K ratios; None for fewer than two images.
    """
    _, group = np.unique(np.asarray(images), return_inverse=True)
    count = int(group.max(initial=-1)) + 1
    if count < 2:
        return None
    above, below = np.zeros((2, count, numerators.shape[1]))
    np.add.at(above, group, numerators)
    np.add.at(below, group, denominators)
    times = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), samples).astype(float)
    return (times @ above) / np.maximum(times @ below, 1e-9)


def ends_of(samples: Values, confidence: float = CONFIDENCE) -> Values:
    """K x 2: lower and upper ends of the percentile intervals of S x K bootstrap samples."""
    tail = (1 - confidence) / 2
    return np.quantile(samples, [tail, 1 - tail], axis=0).T


def bootstrap_means(
    values: Values,
    images: Sequence[str],
    *,
    samples: int = SAMPLES,
    seed: int = SEED,
    confidence: float = CONFIDENCE,
) -> Values | None:
    """Percentile bootstrap intervals of column means, resampling whole images; see `bootstrap_ratios`.

    Args:
        values: N x K, one row a target.
        images: of each target.
        samples: how often the images are drawn, with replacement.
        seed: of the drawing.
        confidence: share of the samples inside the interval.

    Returns:
        K x 2: lower and upper ends; None for fewer than two images.
    """
    means = bootstrap_ratios(values, np.ones_like(values), images, samples=samples, seed=seed)
    return None if means is None else ends_of(means, confidence)
