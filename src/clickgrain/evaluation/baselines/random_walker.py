"""Random walker."""

import warnings

import numpy as np
from skimage.segmentation import random_walker

from clickgrain.evaluation.baselines.seeds import SeededBaseline
from clickgrain.types import Float, UInt8


class RandomWalker(SeededBaseline):
    """Random walks for image segmentation (Grady, TPAMI 2006), as in scikit-image.

    The probability that a walker, kept back by colour edges, reaches an object seed first.
    """

    name = "random-walker"
    long_side = 256
    beta = 500
    """How much an edge keeps the walker back; of 130 (scikit-image's), 500, 1500 the best on 10 targets of bsds."""

    tolerance = 1e-3
    """Of the linear solver; 1e-5 took three times as long and gave no better masks at beta 130."""

    def _study(self, image: UInt8) -> None:
        self._colour = image / 255.0
        if self._colour.std() == 0:  # scikit-image divides by it
            self._colour[0, 0] += 1e-3

    def _spread(self, seeds: UInt8) -> Float:
        with warnings.catch_warnings():  # of the solver's error, which is clipped below
            warnings.filterwarnings("ignore", message="The probability range is outside")
            probability = random_walker(
                self._colour,
                seeds.astype(np.int32),
                beta=self.beta,
                mode="cg_j",  # conjugate gradients, Jacobi preconditioner: needs no further package
                tol=self.tolerance,
                return_full_prob=True,
                channel_axis=-1,
            )
        return np.clip(probability[0], 0, 1).astype(np.float32)
