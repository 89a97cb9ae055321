"""NumPy arrays and torch tensors by the same calls, those of the array API standard that both know.

Training draws click maps of many images on a GPU; a click on one image draws them with numpy and needs no torch.
"""

import sys
from typing import Any

import numpy as np

from clickgrain.types import Float

Array = Any
"""A numpy array or a torch tensor."""


def library(array: Array) -> Any:
    """The module whose functions take an array: numpy, or torch, which is loaded already if there is a tensor."""
    return np if isinstance(array, np.ndarray) else sys.modules["torch"]


def plain(array: Array) -> Array:
    """The same values, without gradients."""
    return array if isinstance(array, np.ndarray) else array.detach()


def to_numpy(array: Array) -> Float:
    """A float32 array in main memory."""
    return array if isinstance(array, np.ndarray) else array.detach().float().cpu().numpy()
