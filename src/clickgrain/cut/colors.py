"""How much likelier a color is inside the object than around it: two small Gaussian mixtures.

Source: Rother, Kolmogorov and Blake, "GrabCut" (SIGGRAPH 2004), section 3.1, with five components a class.
"""

from typing import Any

import numpy as np

from clickgrain.cut.flow import compiled
from clickgrain.types import UInt8

COMPONENTS = 5
SAMPLE = 1500  # a mixture is fitted to at most twice as many pixels a class
ROUNDS = 6  # of k-means
NOISE = 12.0
"""Variance in grey levels² that every component has at least: JPEG blocks and flat skies are no exact colors."""
CODES = 32**3  # colors of five bits a channel; the odds are computed once for each that occurs


def color_codes(image: UInt8) -> Any:
    """Codes of uint8 colors (last axis 3), five bits a channel: int32, without that axis."""
    high = (image >> 3).astype(np.int32)
    return (high[..., 0] << 10) | (high[..., 1] << 5) | high[..., 2]


@compiled
def fit_mixture(pixels: Any) -> Any:
    """Mixture of N x 3 uint8 colors: 5 x 10, log weight with the normalization, mean, inverse covariance (6)."""
    sample = pixels.astype(np.float32)
    n = len(sample)
    center = np.empty((COMPONENTS, 3), np.float32)
    nearest = np.full(n, np.float32(1e12))
    group = np.zeros(n, np.int32)
    center[0] = sample[n // 2]
    for k in range(COMPONENTS):  # k-means from the points that lie farthest from those before
        if k > 0:
            center[k] = sample[np.argmax(nearest)]
        for i in range(n):
            square = np.float32(0)
            for c in range(3):
                square += (sample[i, c] - center[k, c]) ** 2
            if square < nearest[i]:
                nearest[i], group[i] = square, k
    count = np.zeros(COMPONENTS)
    total = np.zeros((COMPONENTS, 3))
    for _ in range(ROUNDS):
        count[:], total[:] = 0, 0
        for i in range(n):
            count[group[i]] += 1
            for c in range(3):
                total[group[i], c] += sample[i, c]
        for k in range(COMPONENTS):
            if count[k] > 0:
                for c in range(3):
                    center[k, c] = total[k, c] / count[k]
        for i in range(n):
            best = np.float32(1e12)
            for k in range(COMPONENTS):
                square = np.float32(0)
                for c in range(3):
                    square += (sample[i, c] - center[k, c]) ** 2
                if square < best:
                    best, group[i] = square, k
    count[:], total[:] = 0, 0
    spread = np.zeros((COMPONENTS, 3, 3))
    for i in range(n):
        k = group[i]
        count[k] += 1
        for c in range(3):
            offset = sample[i, c] - center[k, c]
            total[k, c] += offset
            for j in range(c, 3):
                spread[k, c, j] += offset * (sample[i, j] - center[k, j])
    mixture = np.zeros((COMPONENTS, 10), np.float32)
    for k in range(COMPONENTS):
        if count[k] == 0:
            mixture[k, 0] = -1e9
            continue
        x, y, z = total[k] / count[k]
        (a, b, c), (_, d, e), (_, _, f) = spread[k] / count[k]
        a, b, c = a - x * x + NOISE, b - x * y, c - x * z
        d, e, f = d - y * y + NOISE, e - y * z, f - z * z + NOISE
        determinant = a * (d * f - e * e) - b * (b * f - c * e) + c * (b * e - c * d)
        mixture[k, 0] = np.log(count[k] / n) - 0.5 * np.log(determinant)
        mixture[k, 1], mixture[k, 2], mixture[k, 3] = center[k, 0] + x, center[k, 1] + y, center[k, 2] + z
        mixture[k, 4], mixture[k, 5] = (d * f - e * e) / determinant, (c * e - b * f) / determinant
        mixture[k, 6], mixture[k, 7] = (b * e - c * d) / determinant, (a * f - c * c) / determinant
        mixture[k, 8], mixture[k, 9] = (b * c - a * e) / determinant, (a * d - b * b) / determinant
    return mixture


@compiled
def log_odds(codes: Any, inside: Any, outside: Any, table: Any, limit: float) -> Any:
    """N float32: log likelihood ratio of N color codes, within ±limit; `table` caches them (NaN: not yet)."""
    odds = np.empty(len(codes), np.float32)
    for i in range(len(codes)):
        code = codes[i]
        if np.isnan(table[code]):
            x, y, z = (code >> 10) * 8 + 4.0, ((code >> 5) & 31) * 8 + 4.0, (code & 31) * 8 + 4.0
            ratio = _log_likelihood(inside, x, y, z) - _log_likelihood(outside, x, y, z)
            table[code] = min(max(ratio, -limit), limit)
        odds[i] = table[code]
    return odds


@compiled
def _log_likelihood(mixture: Any, x: float, y: float, z: float) -> float:
    """Of the best component: the others change next to nothing."""
    best = -1e9
    for k in range(len(mixture)):
        m = mixture[k]
        u, v, w = x - m[1], y - m[2], z - m[3]
        form = m[4] * u * u + m[7] * v * v + m[9] * w * w + 2 * (m[5] * u * v + m[6] * u * w + m[8] * v * w)
        best = max(best, m[0] - 0.5 * form)
    return best
