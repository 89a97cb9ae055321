"""Colour models of the clicks: Lab, histogram bins, and the posterior of object given colour."""

import torch
from torch import Tensor
from torch.nn import functional

BINS = (12, 14, 14)
"""Bins of L, a, b."""
LOW, HIGH = (0.0, -70.0, -70.0), (100.0, 70.0, 70.0)
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

    A pixel counts for the object by its closeness to the positive clicks in the tree and by the previous mask,
    for the background by what is left of both, by its closeness to negative clicks, and outside the box.

    Args:
        bins: M x h x w int64.
        near, far: M x h x w closeness in the tree to positive and to negative clicks, 0..1.
        previous: M x h x w previous probability (all zero: none yet).
        box: M x h x w, 1 inside, -1 outside, 0 without a box.

    Returns:
        M x h x w float32 in 0..1; 0.5 where a colour has not been seen at all.
    """
    m, h, w = bins.shape
    given = (previous.flatten(1).amax(1) > 0.5).float()[:, None, None]
    inside = (box >= 0).float()
    object_ = (near**SEED_POWER + given * previous) * (1 - far) * inside
    background = (1 - near) ** SEED_POWER * (1 - given * previous) + far**SEED_POWER + (1 - inside)
    seen = torch.stack([object_, background], dim=1).flatten(2)
    histogram = seen.new_zeros(m, 2, BINS[0] * BINS[1] * BINS[2])
    histogram.scatter_add_(2, bins.flatten(1)[:, None].expand_as(seen), seen)
    histogram = _smoothed(histogram)
    share = histogram / histogram.sum(2, keepdim=True).clamp_min(1e-6) + 1e-6
    probability = share[:, 0] / share.sum(1)
    return probability.gather(1, bins.flatten(1)).view(m, h, w)


def _smoothed(histogram: Tensor) -> Tensor:
    """1-2-1 smoothing along L, a and b."""
    volume = histogram.view(-1, 1, *BINS)
    for axis in range(3):
        shape, padding = [1, 1, 1, 1, 1], [0, 0, 0]
        shape[2 + axis], padding[axis] = 3, 1
        kernel = volume.new_tensor([0.25, 0.5, 0.25]).view(shape)
        volume = functional.conv3d(volume, kernel, padding=tuple(padding))
    return volume.view(histogram.shape)
