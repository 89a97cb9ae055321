"""What a click model learns from: cross-entropy, dice, smoothness, the score's error and what a click destroyed.

Shapes: `logits`, `target` and `weight` are B x 1 x h x w; targets are soft, in 0..1. `weight` (or `valid`)
weighs pixels, 0 leaves a pixel out. Every loss is a vector of B values, one per sample; a sample without a counting
pixel has 0. All arithmetic is float32 at least, whatever comes in.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from clickgrain.models.base import Decoded
from clickgrain.models.config import LossWeights

# BT.601; rows Y, U, V over columns R, G, B
RGB_TO_YUV = (
    (0.299, 0.587, 0.114),
    (-0.14714119, -0.28886916, 0.43601035),
    (0.61497538, -0.51496512, -0.10001026),
)
DILATION, SIGMA_POSITION = 2, 4.0  # pixels
SIGMA_Y, SIGMA_UV = 16.0, 8.0  # grey levels
# (dy, dx) of four of the eight neighbors; a pair seen from its other end is the same pair
HALF_WINDOW = ((0, DILATION), (DILATION, -DILATION), (DILATION, 0), (DILATION, DILATION))
TINY = 1e-12


def bce(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Binary cross-entropy, mean over weighted pixels."""
    weight = _weight(logits, weight)
    return _sum(weight * _cross_entropy(logits, target)) / _sum(weight).clamp_min(TINY)


def dice(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """1 - 2 sum(pt) / (sum(p^2) + sum(t^2)) (Milletari et al., V-Net, 2016), with 1 added above and below.

    The squares make p = t the minimum for soft targets too.
    """
    probability, target, weight = torch.sigmoid(_float(logits)), _float(target), _weight(logits, weight)
    both = _sum(weight * probability * target)
    each = _sum(weight * (probability.square() + target.square()))
    return 1.0 - (2.0 * both + 1.0) / (each + 1.0)


def smoothness(probabilities: Tensor, images: Tensor, valid: Tensor | None = None) -> Tensor:
    """Bilateral smoothness: neighbors of like color should get like probabilities.

    The mean of affinity x (difference)^2 over pairs of a pixel and its 8 neighbors in a 3 x 3 window with
    dilation 2; affinity = exp(-|dpos|^2 / (2 4^2) - dY^2 / (2 16^2) - |dUV|^2 / (2 8^2)). Pairs that reach
    outside the image do not count, others by the product of `valid` at their ends. Images are RGB in 0..255.
    """
    probabilities, valid = _float(probabilities), _weight(probabilities, valid)
    yuv = rgb_to_yuv(images)
    loss = count = torch.zeros_like(_sum(valid))
    for offset in HALF_WINDOW:
        p, q = _pair(probabilities, offset)
        v, w = _pair(valid, offset)
        near = _affinity(*_pair(yuv, offset), offset, var_y=SIGMA_Y**2, var_uv=SIGMA_UV**2)
        loss = loss + _sum(v * w * near * (p - q).square())
        count = count + _sum(v * w)
    return loss / count.clamp_min(TINY)


def smoothness_published(logits: Tensor, images: Tensor) -> Tensor:
    """The smoothness loss as the paper's implementation has it, for faithful reproduction.

    It differs from `smoothness` in that it compares unbounded logits; applies the YUV matrix transposed; uses
    16 and 8 as the variances of Y and UV (the affinity is nearly 0 at a step of 16 grey levels); counts padded
    pixels; and sees zeros, in logits and in colors, outside the image.
    """
    size = logits.shape[-2:]
    logits, yuv = _float(logits), rgb_to_yuv(images, tuple(zip(*RGB_TO_YUV)))
    outer_logits, outer_yuv = (functional.pad(x, (DILATION,) * 4) for x in (logits, yuv))
    loss = torch.zeros_like(logits)
    for offset in (*HALF_WINDOW, *((-dy, -dx) for dy, dx in HALF_WINDOW)):
        near = _affinity(yuv, _shifted(outer_yuv, offset, size), offset, var_y=16.0, var_uv=8.0)
        loss = loss + near * (logits - _shifted(outer_logits, offset, size)).square()
    return loss.mean((1, 2, 3)) / (2 * len(HALF_WINDOW))


def iou_error(score: Tensor, logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Squared error of `score` (B) against the IoU of `logits > 0` with `target > 0.5`; 1 where both are empty.

    The IoU is a constant in the gradient: only the score learns.
    """
    with torch.no_grad():
        weight = _weight(logits, weight)
        inside, truth = logits > 0, target > 0.5
        union = _sum(weight * (inside | truth))
        iou = torch.where(union > 0, _sum(weight * (inside & truth)) / union.clamp_min(TINY), 1.0)
    return (_float(score) - iou).square()


def kept(logits: Tensor, target: Tensor, right: Tensor | None, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy of the pixels that were right in the answer before and are wrong now, over all weighted pixels.

    A click must not destroy what was right: at weight w such a pixel costs 1 + w times what it costs in `bce`.
    """
    weight = _weight(logits, weight)
    if right is None:
        return torch.zeros_like(_sum(weight))
    lost = weight * (right & ((logits > 0) != (target > 0.5)))
    return _sum(lost * _cross_entropy(logits, target)) / _sum(weight).clamp_min(TINY)


def total_loss(
    decoded: Decoded,
    target: Tensor,  # B x 1 x H x W in 0..1
    images: Tensor,  # B x 3 x H x W RGB in 0..255
    weights: LossWeights,
    valid: Tensor | None = None,  # B x 1 x H x W in 0..1; 0 marks padding and pixels to ignore
    shares: Tensor | None = None,  # B, what each sample counts; 1 / B when None
    right: Tensor | None = None,  # B x 1 x H x W bool, for `kept`
) -> tuple[Tensor, dict[str, Tensor]]:
    """(Weighted sum of the terms whose weight is above 0, every computed term by name, unweighted and detached).

    Logits of another size are resized (bilinear) to the target's; smoothness is taken at the logits' own size,
    for which images and `valid` are resized (area).
    """
    logits = _resized(decoded.logits, target.shape[-2:], "bilinear")
    terms: dict[str, Callable[[], Tensor]] = {
        "bce": lambda: bce(logits, target, valid),
        "dice": lambda: dice(logits, target, valid),
        "smoothness": lambda: _smoothness(decoded.logits, images, valid, weights.smoothness_variant),
        "iou": lambda: iou_error(decoded.score, logits, target, valid),
        "kept": lambda: kept(logits, target, right, valid),
    }
    if shares is None:
        shares = logits.new_full((len(logits),), 1 / max(len(logits), 1))
    parts = {name: (shares * terms[name]()).sum() for name, weight in weights.terms().items() if weight > 0.0}
    total = torch.stack([weights.terms()[name] * part for name, part in parts.items()]).sum()
    return total, {name: part.detach() for name, part in parts.items()}


def rgb_to_yuv(images: Tensor, matrix: tuple[tuple[float, ...], ...] = RGB_TO_YUV) -> Tensor:
    """B x 3 x h x w RGB -> YUV (BT.601) on the same scale; U and V are around 0."""
    # not a matmul, which autocast would run in 16 bits
    r, g, b = _float(images).unbind(1)
    return torch.stack([x * r + y * g + z * b for x, y, z in matrix], 1)


def _smoothness(logits: Tensor, images: Tensor, valid: Tensor | None, variant: str) -> Tensor:
    size = logits.shape[-2:]
    images = _resized(images, size, "area")
    if variant == "published":
        return smoothness_published(logits, images)
    valid = None if valid is None else _resized(valid, size, "area")
    return smoothness(torch.sigmoid(_float(logits)), images, valid)


def _resized(planes: Tensor, size: tuple[int, ...], mode: str) -> Tensor:
    planes = _float(planes)
    return planes if planes.shape[-2:] == size else functional.interpolate(planes, size=size, mode=mode)


def _affinity(yuv: Tensor, other: Tensor, offset: tuple[int, int], *, var_y: float, var_uv: float) -> Tensor:
    squares = (yuv - other).square()
    distance = (offset[0] ** 2 + offset[1] ** 2) / (2 * SIGMA_POSITION**2)
    color = squares[:, :1] / (2 * var_y) + squares[:, 1:].sum(1, keepdim=True) / (2 * var_uv)
    return torch.exp(-distance - color)


def _pair(planes: Tensor, offset: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """`planes` where a neighbor at `offset` = (dy >= 0, dx) exists, and that neighbor."""
    dy, dx = offset
    h, w = planes.shape[-2:]
    here = planes[..., : max(h - dy, 0), max(-dx, 0) : max(w - max(dx, 0), 0)]
    return here, planes[..., dy:, max(dx, 0) : max(w - max(-dx, 0), 0)]


def _shifted(padded: Tensor, offset: tuple[int, int], size: tuple[int, ...]) -> Tensor:
    top, left = DILATION + offset[0], DILATION + offset[1]
    return padded[..., top : top + size[0], left : left + size[1]]


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(_float(logits), _float(target), reduction="none")


def _float(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _weight(like: Tensor, weight: Tensor | None) -> Tensor:
    return torch.ones_like(_float(like)) if weight is None else _float(weight)


def _sum(x: Tensor) -> Tensor:
    return x.sum((1, 2, 3))
