"""Color and texture per patch: features without weights."""

from collections.abc import Sequence

import cv2
import numpy as np

from clickgrain.images import check_image, fit_size, resize, to_lab
from clickgrain.types import Float, UInt8

ORIENTATIONS = 4
LAB_UNIT = 20.0  # a step of this many Lab units counts as 1


class ColorTexture:
    """Lab means, oriented gradients at two scales, and local standard deviations of Lab, per patch.

    Color tells regions apart, texture keeps a striped or leafy region together. Texture is measured over a
    window of patches, color on the patch alone, so that edges between colors stay where they are.
    """

    def __init__(
        self,
        *,
        patch_size: int = 4,  # side of a patch in pixels of the resized image
        long_side: int = 384,  # larger images are scaled down to this long side; smaller ones keep their size
        gradient_weight: float = 0.5,  # of the gradient channels against color
        deviation_weight: float = 1.0,  # of the standard deviations against color
        # vectors are shortened to their length to this power, so that contrast counts relative to brightness and
        # colorfulness; 1 leaves them alone. Best nodes and clicks on bsds favour 0.35 to 0.5.
        power: float = 0.4,
    ) -> None:
        self.patch_size, self.long_side, self.power = patch_size, long_side, power
        self.gradient_weight, self.deviation_weight = gradient_weight, deviation_weight
        self.dim = 3 + 2 * ORIENTATIONS + 3
        self.name = f"color-texture-p{patch_size}-s{long_side}-g{gradient_weight:g}-d{deviation_weight:g}"
        if power != 1:
            self.name += f"-l{power:g}"

    def __call__(self, image: UInt8) -> Float:
        """Features of one H x W x 3 uint8 RGB image: h x w x 14 float32."""
        check_image(image)
        height, width = fit_size(image.shape[:2], min(self.long_side, max(image.shape[:2])), self.patch_size)
        grid = (width // self.patch_size, height // self.patch_size)
        lab = to_lab(resize(image, (height, width)))
        lab /= np.float32(LAB_UNIT)
        gradients = [self.gradient_weight * _gradients(lab[..., 0], scale, grid) for scale in (1, 2)]
        color = _pool(lab, grid)
        mean, square = _window(color), _window(_pool(lab * lab, grid))
        deviation = self.deviation_weight * np.sqrt(np.maximum(square - mean * mean, 0))
        features = np.concatenate([color, *gradients, deviation], axis=-1)
        if self.power != 1:
            length = np.maximum(np.linalg.norm(features, axis=-1, keepdims=True), np.float32(1e-6))
            features = np.asarray(features * length ** np.float32(self.power - 1), np.float32)
        return features

    def batch(self, images: Sequence[UInt8]) -> list[Float]:
        """Features of several images; one after the other."""
        return [self(image) for image in images]


def _pool(values: Float, grid: tuple[int, int]) -> Float:
    """Means over patches; grid is (columns, rows)."""
    pooled: Float = cv2.resize(values, grid, interpolation=cv2.INTER_AREA)
    return pooled.reshape(grid[1], grid[0], -1)


def _gradients(luminance: Float, scale: int, grid: tuple[int, int]) -> Float:
    """h x w x ORIENTATIONS: mean magnitude of the derivative along each orientation."""
    blurred = cv2.GaussianBlur(luminance, (0, 0), float(scale))
    dx = cv2.Sobel(blurred, cv2.CV_32F, 1, 0, scale=scale / 8)
    dy = cv2.Sobel(blurred, cv2.CV_32F, 0, 1, scale=scale / 8)
    angles = np.arange(ORIENTATIONS) * np.pi / ORIENTATIONS
    along = [np.abs(np.float32(np.cos(a)) * dx + np.float32(np.sin(a)) * dy) for a in angles]
    return _window(_pool(cv2.merge(along), grid))


def _window(values: Float) -> Float:
    """Means over 3 x 3 patches."""
    blurred: Float = cv2.blur(values, (3, 3), borderType=cv2.BORDER_REFLECT)
    return blurred.reshape(values.shape)
