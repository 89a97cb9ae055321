"""How far a mean over targets can be trusted."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

SAMPLES, SEED = 2000, 0

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


def ends_of(samples: Values) -> Values:
    """K x 2: lower and upper ends of the 95 % percentile intervals of S x K bootstrap samples."""
    return np.quantile(samples, [0.025, 0.975], axis=0).T


def bootstrap_means(
    values: Values, images: Sequence[str], *, samples: int = SAMPLES, seed: int = SEED
) -> Values | None:
    """K x 2 ends of the 95 % intervals of the column means of N x K `values`; None for fewer than two images."""
    means = bootstrap_ratios(values, np.ones_like(values), images, samples=samples, seed=seed)
    return None if means is None else ends_of(means)
