"""How drawn cells are painted: three ways of looking through a microscope, and its camera."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from clickgrain.types import Float, Size, UInt8

Labels = npt.NDArray[np.int32]
Rng = np.random.Generator


@dataclass(frozen=True)
class Scene:
    """What is to be painted; `unit` is the size of a fine structure in pixels."""

    size: Size
    cells: Labels
    nuclei: Labels
    unit: float

    def depth(self, labels: Labels) -> Float:
        """Distance in pixels of every labelled pixel to the border of its region; 0 elsewhere."""
        found = np.zeros(self.size, np.float32)
        for k in np.unique(labels[labels > 0]):
            region = np.pad(labels == k, 1, mode="edge").astype(np.uint8)
            distance = cv2.distanceTransform(region, cv2.DIST_L2, 5)[1:-1, 1:-1]
            found = np.where(labels == k, distance, found)
        return found

    def outside(self) -> Float:
        """Distance in pixels of the ground to the nearest cell; 0 in cells."""
        if not self.cells.any():
            return np.full(self.size, 1e3, np.float32)
        return np.asarray(cv2.distanceTransform((self.cells == 0).astype(np.uint8), cv2.DIST_L2, 5))

    def tones(self, spread: float, rng: Rng) -> Float:
        """A random tone for every cell, 0 on the ground."""
        tones = rng.normal(0, spread, int(self.cells.max()) + 1)
        tones[0] = 0
        return np.asarray(tones[self.cells], np.float32)

    def noise(self, scale: float, rng: Rng) -> Float:
        """Smooth noise of unit variance; `scale` in fine structures."""
        return _smooth(rng.normal(size=self.size).astype(np.float32), scale * self.unit)

    def fibres(self, rng: Rng) -> Float:
        """Noise of unit variance, drawn out along a direction that bends a little."""
        height, width = self.size
        side = int(1.5 * max(height, width))
        noise = rng.normal(size=(side, side)).astype(np.float32)
        drawn = cv2.GaussianBlur(noise, (0, 0), sigmaX=9 * self.unit, sigmaY=1.1 * self.unit)
        turn = cv2.getRotationMatrix2D((side / 2, side / 2), float(rng.uniform(0, 180)), 1.0)
        y, x = np.mgrid[:side, :side].astype(np.float32)
        bend = 9 * self.unit * _smooth(rng.normal(size=(side, side)).astype(np.float32), 25 * self.unit)
        turned = cv2.warpAffine(cv2.remap(drawn, x, y + bend, cv2.INTER_LINEAR), turn, (side, side))
        top, left = (side - height) // 2, (side - width) // 2
        return _unit(turned[top : top + height, left : left + width])

    def ground(self, rng: Rng) -> Float:
        """The ground's texture, unit variance: patches and fibres, some of each."""
        mix = rng.uniform(0.2, 0.8)
        rough = self.noise(2.5, rng) + self.noise(7, rng) + 0.6 * self.noise(20, rng)
        return _unit(mix * _unit(rough) + (1 - mix) * self.fibres(rng))

    def grain(self, rng: Rng) -> Float:
        """The cells' texture, unit variance: granules of one size."""
        size = rng.uniform(0.9, 1.5)
        return _unit(self.noise(size, rng) - 0.7 * self.noise(2 * size, rng))

    def light(self, rng: Rng) -> Float:
        """Uneven light, about -0.5 to 0.5: a slope and a smooth spot."""
        y, x = np.mgrid[-0.5 : 0.5 : self.size[0] * 1j, -0.5 : 0.5 : self.size[1] * 1j]
        turn, (cx, cy) = rng.uniform(0, 2 * np.pi), rng.uniform(-0.4, 0.4, 2)
        slope = (x * np.cos(turn) + y * np.sin(turn)) * 0.6
        return np.asarray(slope + 0.5 - np.hypot(x - cx, y - cy), np.float32)


def _phase(scene: Scene, rng: Rng) -> Float:
    inside, depth = scene.cells > 0, scene.depth(scene.cells)
    unit, strength = scene.unit, rng.uniform(0.8, 1.5)
    uneven = np.clip(0.8 + 0.35 * scene.noise(10, rng), 0.15, 1.5)
    grey = 0.5 + 0.2 * scene.light(rng) + np.where(inside, scene.tones(0.03, rng), 0.045 * scene.ground(rng))
    grey += np.where(inside, rng.uniform(0.03, 0.06) * scene.grain(rng), 0)
    grey -= np.where(inside, 0.25 * strength * uneven * np.exp(-((depth / (2 * unit)) ** 2)), 0)
    grey += np.where(inside, 0, 0.13 * strength * uneven * np.exp(-scene.outside() / (3 * unit)))
    within = scene.nuclei > 0
    rim = np.exp(-((scene.depth(scene.nuclei) / (1.3 * unit)) ** 2))
    grey += np.where(within, rng.uniform(-0.1, -0.03) - 0.2 * strength * uneven * rim, 0)
    grey -= np.where(within & (scene.noise(2, rng) > 1.6), 0.12, 0)
    return _tinted(np.asarray(grey, np.float32), rng)


def _relief(scene: Scene, rng: Rng) -> Float:
    unit, turn = scene.unit, rng.uniform(0, 2 * np.pi)
    inside, within = scene.cells > 0, scene.nuclei > 0
    round_off = rng.uniform(3, 7) * unit
    dome = 1 - np.exp(-scene.depth(scene.cells) / round_off)
    core = 1 - np.exp(-scene.depth(scene.nuclei) / (0.5 * round_off))
    height = round_off * (dome + rng.uniform(0.5, 0.9) * core)
    height += unit * np.where(inside, 0.28 * scene.grain(rng), 0.3 * scene.ground(rng))
    slope = cv2.Sobel(height.astype(np.float32), cv2.CV_32F, 1, 0) * np.cos(turn)
    slope += cv2.Sobel(height.astype(np.float32), cv2.CV_32F, 0, 1) * np.sin(turn)
    grey = 0.5 + 0.15 * scene.light(rng) + rng.uniform(0.035, 0.06) * slope
    grey += scene.tones(0.015, rng) + np.where(within, rng.uniform(0.01, 0.04), 0)
    return _tinted(np.asarray(grey, np.float32), rng)


def _stained(scene: Scene, rng: Rng) -> Float:
    inside, within, unit = scene.cells > 0, scene.nuclei > 0, scene.unit
    pink, ground = rng.uniform(0.13, 0.28), scene.ground(rng)
    rim = np.exp(-((scene.depth(scene.cells) / (1.4 * unit)) ** 2)) * np.clip(
        1 + 0.4 * scene.noise(10, rng), 0.2, 2
    )
    body = scene.tones(0.05, rng) + rng.uniform(-0.05, 0.05) + 0.05 * scene.grain(rng)
    first = pink * np.exp(np.where(inside, body + rng.uniform(0.6, 1.1) * rim, 0.22 * ground))
    chromatin = rng.uniform(0.15, 0.45) * np.exp(scene.tones(0.2, rng)) * np.exp(0.25 * scene.noise(1.5, rng))
    second = np.where(within, chromatin, rng.uniform(0.02, 0.06))
    dyes = np.array([[0.10, 0.95, 0.40], [0.75, 0.75, 0.35]]) * np.exp(rng.normal(0, 0.12, (2, 3)))
    light = rng.uniform(0.85, 0.98, 3) * (1 + 0.15 * scene.light(rng))[..., None]
    density = first[..., None] * dyes[0] + second[..., None] * dyes[1]
    return np.asarray(light * 10.0**-density, np.float32)


STYLES: dict[str, Callable[[Scene, Rng], Float]] = {"phase": _phase, "relief": _relief, "stained": _stained}


def _tinted(grey: Float, rng: Rng) -> Float:
    """H x W grey to H x W x 3 of a weak tint."""
    return np.asarray(grey[..., None] * (1 + rng.normal(0, 0.012, 3)), np.float32)


def exposed(picture: Float, unit: float, rng: Rng) -> UInt8:
    """Blur of the lens, dust, noise of the sensor; 0..1 to uint8."""
    height, width = picture.shape[:2]
    dust = np.zeros((height, width), np.float32)
    for _ in range(int(rng.integers(0, 12))):
        at = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.circle(dust, at, max(round(float(rng.uniform(1, 3)) * unit), 1), float(rng.uniform(-0.3, 0.2)), -1)
    seen = cv2.GaussianBlur(picture + dust[..., None], (0, 0), float(rng.uniform(0.5, 1.2)) * unit)
    seen = (
        seen + rng.uniform(0.008, 0.03) * rng.normal(size=(height, width, 1)) + 0.006 * rng.normal(size=seen.shape)
    )
    return np.round(np.clip(seen, 0, 1) * 255).astype(np.uint8)


def _smooth(noise: Float, sigma: float) -> Float:
    return _unit(cv2.GaussianBlur(noise, (0, 0), sigma))


def _unit(values: Float) -> Float:
    return np.asarray((values - values.mean()) / max(float(values.std()), 1e-6), np.float32)
