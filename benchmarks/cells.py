"""A foreign domain with exact masks: cells on textured ground, drawn as a microscope might show them.

Three ways of looking, one per image: `phase` (grey, dark membranes with a bright halo), `relief` (grey, lit from
one side, so that a cell is as bright as its ground on average) and `stained` (two dyes that also colour the
ground's fibres). Light, blur, noise, sizes and contrasts differ from image to image. A cell has about the mean
colour of the ground; its membrane, its grain and its nucleus tell it apart.

    python -m benchmarks.cells contact-sheet.png
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.cell_styles import STYLES, Labels, Rng, Scene, exposed
from clickgrain.types import Bool, Size, UInt8

SIDES = (256, 512)
TRIES = 400
LEAST_VISIBLE = 0.7
"""Share of a cell that later cells leave uncovered."""


@dataclass(frozen=True)
class Micrograph:
    """A drawn picture and what is in it.

    Attributes:
        image: H x W x 3 uint8 RGB.
        cells: H x W int32: 0 ground, k the visible part of cell k (nucleus included), 1 .. K. Every pixel belongs
            to one cell at most, so that the cells' masks are disjoint.
        nuclei: H x W int32: k the visible part of the nucleus of cell k, everywhere inside of it.
        style: how it is looked at.
    """

    image: UInt8
    cells: Labels
    nuclei: Labels
    style: str


def draw(
    seed: int | Sequence[int], *, side: int | None = None, style: str | None = None, fields: int = 1
) -> Micrograph:
    """A micrograph; the same for the same arguments.

    Args:
        seed: of everything random.
        side: height and width in pixels; 256 to 512, height and width apart, when None.
        style: a key of `STYLES`; any of them when None.
        fields: so many times as high and wide, with cells as large in pixels and so many times as many each way.
    """
    rng = np.random.default_rng(seed)
    height, width = (int(n) for n in rng.integers(SIDES[0], SIDES[1] + 1, 2))
    field = (height, width) if side is None else (side, side)
    size = (fields * field[0], fields * field[1])
    drawn = [*STYLES][int(rng.integers(len(STYLES)))]
    style = style or drawn
    cells, nuclei = _place(size, rng, fields)
    picture = STYLES[style](Scene(size, cells, nuclei, min(field) / 384), rng)
    return Micrograph(exposed(picture, min(field) / 384, rng), cells, nuclei, style)


@dataclass(frozen=True)
class _Outline:
    """A deformed ellipse: centre (x, y) and radius in pixels, length over width, angle, and waves of its rim."""

    centre: tuple[float, float]
    radius: float
    aspect: float
    angle: float
    waves: npt.NDArray[np.complex128]

    @classmethod
    def random(
        cls, centre: tuple[float, float], radius: float, aspect: float, angle: float, rng: Rng
    ) -> "_Outline":
        roughness = rng.uniform(0.03, 0.22) / np.arange(1, 5)
        return cls(centre, radius, aspect, angle, roughness * np.exp(2j * np.pi * rng.random(4)))

    def mask(self, size: Size) -> Bool:
        t = np.linspace(0, 2 * np.pi, 120, endpoint=False)
        rim = 1 + np.real(np.exp(1j * np.outer(t, np.arange(2, 6))) @ self.waves)
        stretch = np.sqrt(self.aspect)
        points = self.radius * rim * (np.cos(t) * stretch + 1j * np.sin(t) / stretch) * np.exp(1j * self.angle)
        shifted = np.stack([points.real + self.centre[0], points.imag + self.centre[1]], 1)
        filled = np.zeros(size, np.uint8)
        cv2.fillPoly(filled, [np.round(shifted * 16).astype(np.int32)], 1, shift=4)
        return filled > 0


def _place(size: Size, rng: Rng, fields: int) -> tuple[Labels, Labels]:
    """Cells one over the other until a share of the picture is covered; half of them beside one that is there."""
    cells, nuclei = np.zeros(size, np.int32), np.zeros(size, np.int32)
    share, typical = rng.uniform(0.15, 0.5), min(size) / fields * np.exp(rng.uniform(*np.log([0.06, 0.14])))
    stretched, crowded = rng.uniform(0, 0.6), rng.uniform(0.2, 0.8)
    outlines: list[_Outline] = []
    areas: list[int] = []
    for _ in range(TRIES * fields**2):
        if (cells > 0).mean() >= share:
            break
        outline = _next_outline(size, outlines, typical, stretched, crowded, rng)
        mask = outline.mask(size)
        hidden = np.bincount(cells[mask], minlength=len(areas) + 1)[1:]
        left = np.bincount(cells.ravel(), minlength=len(areas) + 1)[1:] - hidden
        if not mask.any() or (left < LEAST_VISIBLE * np.array(areas)).any():
            continue
        outlines.append(outline)
        areas.append(int(mask.sum()))
        cells[mask], nuclei[mask] = len(areas), 0
        nuclei[_nucleus(outline, rng).mask(size) & mask] = len(areas)
    return cells, nuclei


def _next_outline(
    size: Size, there: Sequence[_Outline], typical: float, stretched: float, crowded: float, rng: Rng
) -> _Outline:
    radius = typical * float(np.exp(rng.normal(0, 0.25)))
    aspect, angle = float(np.exp(abs(rng.normal(0, stretched)))), float(rng.uniform(0, np.pi))
    x, y = rng.uniform(0, size[1]), rng.uniform(0, size[0])
    if there and rng.random() < crowded:
        other = there[int(rng.integers(len(there)))]
        away, turn = (radius + other.radius) * rng.uniform(0.75, 1.05), rng.uniform(0, 2 * np.pi)
        x, y = other.centre[0] + away * np.cos(turn), other.centre[1] + away * np.sin(turn)
    centre = float(np.clip(x, 0, size[1] - 1)), float(np.clip(y, 0, size[0] - 1))
    return _Outline.random(centre, radius, aspect, angle, rng)


def _nucleus(cell: _Outline, rng: Rng) -> _Outline:
    radius = cell.radius * rng.uniform(0.32, 0.5)
    shift = rng.uniform(-0.2, 0.2, 2) * cell.radius
    centre = cell.centre[0] + float(shift[0]), cell.centre[1] + float(shift[1])
    return _Outline.random(centre, radius, cell.aspect**0.7, cell.angle + float(rng.normal(0, 0.2)), rng)


def contact_sheet(seeds: Sequence[int], side: int = 320) -> UInt8:
    """Pictures in a row per style, each above itself with the rims of cells (yellow) and nuclei (cyan)."""
    rows = []
    for style in STYLES:
        drawn = [draw([seed], side=side, style=style) for seed in seeds]
        rows += [np.hstack([one.image for one in drawn]), np.hstack([_outlined(one) for one in drawn])]
    return np.vstack(rows)


def _outlined(one: Micrograph) -> UInt8:
    picture = one.image.copy()
    for labels, color in ((one.cells, (255, 230, 0)), (one.nuclei, (0, 230, 255))):
        wide = cv2.dilate(labels.astype(np.float32), np.ones((3, 3))) != labels
        picture[wide] = color
    return picture


if __name__ == "__main__":
    cv2.imwrite(str(Path(sys.argv[1])), contact_sheet(range(6))[..., ::-1])
