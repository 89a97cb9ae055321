"""Color models of the clicks: Lab, histogram bins, and the posterior of object given color.

Everything works on numpy arrays and torch tensors alike, by the calls of the array API standard that both know:
training draws click maps of many images on a GPU; a click on one image draws them with numpy and needs no torch.
"""

import sys
from typing import Any

import numpy as np

from clickgrain.types import Float

Array = Any  # a numpy array or a torch tensor

BINS = (20, 20, 20)  # of L, a, b: 5 units each; doubling the width costs 0.03 of the posterior AUC on real objects
LOW, HIGH = (0.0, -50.0, -50.0), (100.0, 50.0, 50.0)  # stronger colors share the outer bins
PREVIOUS_DOUBT = 0.5  # part of a pixel's weight as background that the previous mask cannot take: masks may leak
SEED_POWER = 3.0  # closeness in the tree is raised to this power: it down-weights distant leaves
XYZ = (  # from linear sRGB, rows divided by the D65 white point
    (0.412453 / 0.950456, 0.357580 / 0.950456, 0.180423 / 0.950456),
    (0.212671, 0.715160, 0.072169),
    (0.019334 / 1.088754, 0.119193 / 1.088754, 0.950227 / 1.088754),
)


def library(array: Array) -> Any:
    """The module whose functions take an array: numpy, or torch, which is loaded already if there is a tensor."""
    return np if isinstance(array, np.ndarray) else sys.modules["torch"]


def plain(array: Array) -> Array:
    """The same values, without gradients."""
    return array if isinstance(array, np.ndarray) else array.detach()


def to_numpy(array: Array) -> Float:
    """A float32 array in main memory."""
    return array if isinstance(array, np.ndarray) else array.detach().float().cpu().numpy()


def lab_of(images: Array) -> Array:
    """CIE Lab (D65) of B x 3 x h x w sRGB images in 0..255: L in 0..100, a and b about -100..100."""
    xp = library(images)
    rgb = xp.clip(xp.asarray(images, dtype=xp.float32), 0, 255) / 255
    linear = xp.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    channels = []
    for red, green, blue in XYZ:  # no matmul, which autocast would run in 16 bits
        t = red * linear[:, 0] + green * linear[:, 1] + blue * linear[:, 2]
        channels.append(xp.where(t > 0.008856, xp.clip(t, 1e-8, None) ** (1 / 3), 7.787 * t + 16 / 116))
    x, y, z = channels
    return xp.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def lab_bins(lab: Array) -> Array:
    """B x h x w int64: number of the histogram bin of each pixel of B x 3 x h x w Lab."""
    xp = library(lab)
    light, green_red, blue_yellow = (
        xp.clip(xp.floor((lab[:, c] - LOW[c]) / (HIGH[c] - LOW[c]) * BINS[c]), 0, BINS[c] - 1) for c in range(3)
    )
    return xp.asarray((light * BINS[1] + green_red) * BINS[2] + blue_yellow, dtype=xp.int64)


def posterior(
    bins: Array,  # M x h x w int64
    near: Array,  # M x h x w closeness in the tree to positive clicks, 0..1
    far: Array,  # and to negative clicks
    previous: Array,  # M x h x w previous probability (all zero: none yet)
    box: Array,  # M x h x w, 1 inside, -1 outside, 0 without a box
) -> Array:
    """M x h x w probability of object given color, nearer to 0.5 the rarer it is: two histograms, equal priors.

    A pixel counts for the object by its closeness to the positive clicks in the tree, and by the previous mask
    as far as it is close to them; for the background by what is left of both, by its closeness to negative
    clicks, and outside the box. Without positive clicks the whole box counts as close, or else the previous mask.
    """
    xp = library(bins)
    m, h, w = bins.shape
    given = (xp.amax(previous.reshape(m, h * w), 1) > 0.5)[:, None, None]
    clicked = (xp.amax(near.reshape(m, h * w), 1) > 0)[:, None, None]
    outside = xp.asarray(box < 0, dtype=xp.float32)
    near = xp.where(clicked, near, xp.asarray(box > 0, dtype=xp.float32))
    trusted = previous * given
    object_ = (near**SEED_POWER + trusted * xp.where(clicked, near, 1.0)) * (1 - far) * (1 - outside)
    background = (1 - near) ** SEED_POWER * (1 - PREVIOUS_DOUBT * trusted) + far**SEED_POWER + outside
    flat = bins.reshape(m, h * w)
    weights = xp.stack([object_, background], 1).reshape(m, 2, h * w)
    count = BINS[0] * BINS[1] * BINS[2]  # sums of the weights over the pixels of each bin: M x 2 x bins
    if isinstance(flat, np.ndarray):
        sums = [[np.bincount(row, weight, count) for weight in pair] for row, pair in zip(flat, weights)]
        histogram = np.array(sums, np.float32).reshape(m, 2, count)
    else:
        histogram = weights.new_zeros(m, 2, count).scatter_add_(2, flat[:, None].expand_as(weights), weights)
    histogram = _smoothed(histogram)
    share = histogram / xp.clip(histogram.sum(2), 1e-6, None)[..., None] + 1e-6
    probability = share[:, 0] / share.sum(1)
    return probability[xp.arange(m, device=bins.device)[:, None], flat].reshape(m, h, w)


def _smoothed(histogram: Array) -> Array:
    """1-2-1 smoothing along L, a and b."""
    volume = histogram.reshape(-1, *BINS)
    for axis in (1, 2, 3):  # slices: a convolution of one channel takes 30 times as long on a CPU
        around = (slice(None),) * axis
        first, last = (*around, slice(None, -1)), (*around, slice(1, None))
        smooth = 0.5 * volume
        smooth[last] += 0.25 * volume[first]
        smooth[first] += 0.25 * volume[last]
        volume = smooth
    return volume.reshape(histogram.shape)
