"""Edge-snapped upsampling by the fast guided filter with a color guide.

Source: He, Sun, Tang, "Guided Image Filtering" (TPAMI 2013), equations 14, 19 and 20, and He, Sun, "Fast Guided
Filter" (2015), algorithm 2: the linear coefficients are computed at the low resolution and applied at the
native one.
"""

import cv2
import numpy as np
import numpy.typing as npt

from clickgrain.errors import ImageError
from clickgrain.images.arrays import check_image
from clickgrain.types import Float, UInt8

_Double = npt.NDArray[np.float64]
_STRIP = 131_072  # pixels worked on at a time at native resolution: the buffers stay in the second-level cache


def guided_upsample(low: Float, guide: UInt8, *, radius: int = 2, eps: float = 1e-3) -> Float:
    """Upsample a low-resolution probability so that its borders follow the color edges of `guide`.

    Args:
        low: h x w float in 0..1; covers the same field of view as the guide.
        guide: H x W x 3 uint8 RGB, the image at native resolution.
        radius: of the square window, in pixels of `low`; 0 looks at single pixels (plain bilinear upsampling).
        eps: regularization in squared units of a guide in 0..1: smaller follows weaker edges (and texture).

    Returns:
        H x W float32 in 0..1. Besides it, memory grows with h x w only.

    Raises:
        ImageError: `low` is not h x w, `guide` not an H x W x 3 uint8 image, radius negative, or eps not positive.
    """
    guide = check_image(guide)
    if low.ndim != 2 or low.size == 0:
        raise ImageError(f"a low-resolution probability is h x w, not of shape {low.shape}; drop its other axes")
    if radius < 0 or not eps > 0:
        raise ImageError(f"radius {radius} and eps {eps} do not work; give radius >= 0 and eps > 0")
    small = cv2.resize(guide, low.shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float64) / 255.0
    return _applied(_coefficients(low.astype(np.float64), small, radius, eps).astype(np.float32), guide)


def _coefficients(p: _Double, image: _Double, radius: int, eps: float) -> _Double:
    """4 x h x w: the box-averaged slopes for red, green, blue (per unit of 0..1), and the offset.

    In float64, since the 3 x 3 systems are near singular wherever the guide is grey.
    """

    def mean(values: _Double) -> _Double:
        side = 2 * radius + 1
        return np.asarray(cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT))

    planes = [np.ascontiguousarray(image[..., channel]) for channel in range(3)]
    means, mean_p = [mean(plane) for plane in planes], mean(p)
    cov_ip = [mean(plane * p) - mean_i * mean_p for plane, mean_i in zip(planes, means)]
    sigma = {
        (i, j): mean(planes[i] * planes[j]) - means[i] * means[j] + (eps if i == j else 0.0)
        for i in range(3)
        for j in range(i, 3)
    }
    # the symmetric 3 x 3 system of every pixel, by the adjugate (equation 19)
    rr, rg, rb, gg, gb, bb = (sigma[key] for key in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)))
    c00, c01, c02 = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
    c11, c12, c22 = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    determinant = rr * c00 + rg * c01 + rb * c02
    red, green, blue = (value / determinant for value in cov_ip)
    a = [
        c00 * red + c01 * green + c02 * blue,
        c01 * red + c11 * green + c12 * blue,
        c02 * red + c12 * green + c22 * blue,
    ]
    b = mean_p - sum(a_i * mean_i for a_i, mean_i in zip(a, means))
    return np.stack([mean(plane) for plane in (*a, b)])


def _applied(slopes: Float, guide: UInt8) -> Float:
    """Equation 20 at native resolution, strip by strip: bilinear slopes times guide, plus offset."""
    h, (height, width) = slopes.shape[1], guide.shape[:2]
    slopes[:3] /= 255.0
    # for each native row the low-resolution rows above and below its center, and the share of the lower one
    center = np.clip((np.arange(height) + 0.5) * (h / height) - 0.5, 0, h - 1)
    above = np.floor(center).astype(np.intp)
    below, share = np.minimum(above + 1, h - 1), (center - above).astype(np.float32)
    result = np.empty((height, width), np.float32)
    strip = max(1, _STRIP // width)
    for top in range(0, height, strip):
        rows = slice(top, min(top + strip, height))
        weight = share[rows, None]
        out = result[rows]
        for channel in (3, 0, 1, 2):
            plane = slopes[channel]
            mixed = plane[above[rows]] * (1 - weight) + plane[below[rows]] * weight
            wide = cv2.resize(mixed, (width, len(mixed)), interpolation=cv2.INTER_LINEAR)
            if channel == 3:
                out[:] = wide
            else:
                wide *= guide[rows, :, channel]
                out += wide
        np.clip(out, 0.0, 1.0, out=out)
    return result
