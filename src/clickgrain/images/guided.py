"""Edge-snapped upsampling by the fast guided filter with a color guide.

Source: He, Sun, Tang, "Guided Image Filtering" (TPAMI 2013), equations 14, 19 and 20, and He, Sun, "Fast Guided
Filter" (2015), algorithm 2: linear coefficients are computed at the low resolution and applied at the native one.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from clickgrain.errors import ImageError
from clickgrain.images.arrays import check_image
from clickgrain.types import Float, Size, UInt8

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
    if low.ndim != 2 or low.size == 0:
        raise ImageError(f"a low-resolution probability is h x w, not of shape {low.shape}; drop its other axes")
    return Guide.of(guide, (low.shape[0], low.shape[1]), radius=radius, eps=eps).upsample(low)


@dataclass(frozen=True)
class Guide:
    """What `guided_upsample` needs of a guide, computed once for all probabilities of one size.

    In float64, since the 3 x 3 systems are near singular wherever the guide is grey.
    """

    image: UInt8  # H x W x 3
    planes: list[_Double]  # red, green, blue in 0..1, h x w each
    means: list[_Double]  # of their windows
    inverse: list[_Double]  # of the windows' covariances: rr, rg, rb, gg, gb, bb
    radius: int

    @classmethod
    def of(cls, image: UInt8, size: Size, *, radius: int, eps: float) -> "Guide":
        """Of an H x W x 3 image, for h x w probabilities; arguments and errors as in `guided_upsample`."""
        image = check_image(image)
        if radius < 0 or not eps > 0:
            raise ImageError(f"radius {radius} and eps {eps} do not work; give radius >= 0 and eps > 0")
        small = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA).astype(np.float64) / 255.0
        planes = [np.ascontiguousarray(small[..., channel]) for channel in range(3)]
        means = [_mean(plane, radius) for plane in planes]
        rr, rg, rb, gg, gb, bb = (
            _mean(planes[i] * planes[j], radius) - means[i] * means[j] + (eps if i == j else 0.0)
            for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
        )
        # the symmetric 3 x 3 system of every pixel, by the adjugate (equation 19)
        c00, c01, c02 = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
        determinant = rr * c00 + rg * c01 + rb * c02
        adjugate = (c00, c01, c02, rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg)
        return cls(image, planes, means, [value / determinant for value in adjugate], radius)

    @property
    def own_bytes(self) -> int:
        """Memory of all but the image."""
        return sum(plane.nbytes for plane in (*self.planes, *self.means, *self.inverse))

    def upsample(self, low: Float) -> Float:
        """H x W float32 in 0..1 of h x w probabilities."""
        p = low.astype(np.float64)
        mean_p = _mean(p, self.radius)
        r, g, b = (_mean(plane * p, self.radius) - mean * mean_p for plane, mean in zip(self.planes, self.means))
        c00, c01, c02, c11, c12, c22 = self.inverse
        slopes = [c00 * r + c01 * g + c02 * b, c01 * r + c11 * g + c12 * b, c02 * r + c12 * g + c22 * b]
        red, green, blue = (slope * mean for slope, mean in zip(slopes, self.means))
        offset = mean_p - red - green - blue
        averaged = [_mean(plane, self.radius) for plane in (*slopes, offset)]
        return _applied(np.stack(averaged).astype(np.float32), self.image)


def _mean(values: _Double, radius: int) -> _Double:
    side = 2 * radius + 1
    return np.asarray(cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT))


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
