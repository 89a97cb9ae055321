"""Colour models of the clicks: Lab, histogram bins, and the posterior of object given colour."""

import torch
from torch import Tensor
from torch.nn import functional

BINS = (20, 20, 20)
"""Bins of L, a, b: 5 units each. Doubling the width costs 0.03 of the posterior's AUC on real objects."""
LOW, HIGH = (0.0, -50.0, -50.0), (100.0, 50.0, 50.0)
"""Stronger colours share the outer bins."""
PREVIOUS_DOUBT = 0.5
"""Part of a pixel's weight as background that the previous mask cannot take away: masks of few clicks leak."""
SEED_POWER = 3.0
"""Closeness in the tree is raised to this power: leaves near the click speak, distant ones whisper."""


def lab_of(images: Tensor) -> Tensor:
    """CIE Lab (D65) of B x 3 x h x w sRGB images in 0..255: L in 0..100, a and b about -100..100."""
    rgb = images.float().clamp(0, 255) / 255
    linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    # sRGB to XYZ, rows divided by the D65 white point
    matrix = linear.new_tensor(
        [
            [0.412453 / 0.950456, 0.357580 / 0.950456, 0.180423 / 0.950456],
            [0.212671, 0.715160, 0.072169],
            [0.019334 / 1.088754, 0.119193 / 1.088754, 0.950227 / 1.088754],
        ]
    )
    with torch.autocast(images.device.type, enabled=False):  # in bfloat16 Lab would be off by whole units
        xyz = torch.einsum("ij,bjhw->bihw", matrix, linear)
    f = torch.where(xyz > 0.008856, xyz.clamp_min(1e-8) ** (1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = f.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def lab_bins(lab: Tensor) -> Tensor:
    """B x h x w int64: number of the histogram bin of each pixel of B x 3 x h x w Lab."""
    shape = (1, 3, 1, 1)
    low, high = lab.new_tensor(LOW).view(shape), lab.new_tensor(HIGH).view(shape)
    bins = lab.new_tensor(BINS).view(shape)
    index = ((lab - low) / (high - low) * bins).floor().clamp_min(0).minimum(bins - 1).long()
    return (index[:, 0] * BINS[1] + index[:, 1]) * BINS[2] + index[:, 2]


def posterior(bins: Tensor, near: Tensor, far: Tensor, previous: Tensor, box: Tensor) -> Tensor:
    """Probability of object given colour, from two histograms with equal priors.

    A pixel counts for the object by its closeness to the positive clicks in the tree, and by the previous mask
    as far as it is close to them; for the background by what is left of both, by its closeness to negative
    clicks, and outside the box. Without positive clicks the whole box, or else the previous mask, speaks for them.

    Args:
        bins: M x h x w int64.
        near, far: M x h x w closeness in the tree to positive and to negative clicks, 0..1.
        previous: M x h x w previous probability (all zero: none yet).
        box: M x h x w, 1 inside, -1 outside, 0 without a box.

    Returns:
        M x h x w float32 in 0..1; nearer to 0.5 the rarer the colour.
    """
    m, h, w = bins.shape
    given = (previous.flatten(1).amax(1) > 0.5)[:, None, None]
    clicked = (near.flatten(1).amax(1) > 0)[:, None, None]
    outside = (box < 0).float()
    near = torch.where(clicked, near, (box > 0).float())
    trusted = previous * given
    object_ = (near**SEED_POWER + trusted * torch.where(clicked, near, 1.0)) * (1 - far) * (1 - outside)
    background = (1 - near) ** SEED_POWER * (1 - PREVIOUS_DOUBT * trusted) + far**SEED_POWER + outside
    seen = torch.stack([object_, background], dim=1).flatten(2)
    histogram = seen.new_zeros(m, 2, BINS[0] * BINS[1] * BINS[2])
    histogram.scatter_add_(2, bins.flatten(1)[:, None].expand_as(seen), seen)
    histogram = _smoothed(histogram)
    share = histogram / histogram.sum(2, keepdim=True).clamp_min(1e-6) + 1e-6
    probability = share[:, 0] / share.sum(1)
    return probability.gather(1, bins.flatten(1)).view(m, h, w)


def _smoothed(histogram: Tensor) -> Tensor:
    """1-2-1 smoothing along L, a and b."""
    volume = histogram.view(-1, *BINS)
    for axis in (1, 2, 3):  # slices: a convolution of one channel takes 30 times as long on a CPU
        size = volume.shape[axis]
        padded = functional.pad(volume, [int(a == axis) for a in (3, 3, 2, 2, 1, 1)])
        volume = 0.5 * volume + 0.25 * (padded.narrow(axis, 0, size) + padded.narrow(axis, 2, size))
    return volume.reshape(histogram.shape)
