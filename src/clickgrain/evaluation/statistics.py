"""How far a mean over targets can be trusted."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

SAMPLES, SEED, CONFIDENCE = 2000, 0, 0.95

Values = npt.NDArray[np.float64]


def bootstrap_means(
    values: Values,
    images: Sequence[str],
    *,
    samples: int = SAMPLES,
    seed: int = SEED,
    confidence: float = CONFIDENCE,
) -> Values | None:
    """Percentile bootstrap intervals of column means, resampling whole images (clusters).

    Targets of one image share its difficulties; resampling targets would make the intervals too narrow (Davison
    and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8).

    Args:
        values: N x K, one row a target.
        images: of each target.
        samples: how often the images are drawn, with replacement.
        seed: of the drawing.
        confidence: share of the samples inside the interval.

    Returns:
        K x 2: lower and upper ends; None for fewer than two images.
    """
    _, group = np.unique(np.asarray(images), return_inverse=True)
    count = int(group.max(initial=-1)) + 1
    if count < 2:
        return None
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, group, values)
    sizes = np.bincount(group, minlength=count).astype(float)
    times = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), samples).astype(float)
    means = (times @ sums) / (times @ sizes)[:, None]
    tail = (1 - confidence) / 2
    return np.quantile(means, [tail, 1 - tail], axis=0).T
