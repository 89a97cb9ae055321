"""Outlines of masks along the edges of pixels: exact, with holes told from outer borders; and back to masks.

A corner (x, y) is the upper left corner of pixel (x, y), as in COCO: pixel centres lie at .5.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from clickgrain.types import Bool, Size

Loop = npt.NDArray[np.int64]
"""N x 2 (x, y) corners of a closed loop, the first not repeated."""
NEAREST_FOR = 32
"""More loops than this are joined wherever they begin."""


def loops(mask: Bool) -> list[Loop]:
    """Closed loops around an H x W mask; pixels that touch at a corner only belong to different loops.

    The object lies to the right of the way: outer loops have a positive `area`, holes a negative one.
    """
    following = _edges(mask)
    found = []
    while following:
        start = next(iter(following))
        found.append(_straightened(_walk(following, start)))
    return found


def area(loop: Loop) -> float:
    """Signed area in pixels (shoelace formula)."""
    x, y = loop[:, 0].astype(np.float64), loop[:, 1].astype(np.float64)
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def has_holes(mask: Bool) -> bool:
    """Whether a polygon per piece cannot hold the mask."""
    return any(area(loop) < 0 for loop in loops(mask))


def joined(parts: Sequence[Loop]) -> Loop:
    """One loop that runs through all: every further loop hangs on a two-way bridge of no width.

    Filled by the even-odd or the non-zero rule it gives the same pixels, for formats with one polygon an object.
    """
    order = sorted(parts, key=lambda loop: -abs(area(loop)))
    whole = order[0]
    for loop in order[1:]:
        i, j = _nearest(whole, loop) if len(parts) <= NEAREST_FOR else (0, 0)
        bridge = [whole[: i + 1], np.roll(loop, -j, axis=0), loop[j : j + 1], whole[i:]]
        whole = np.concatenate(bridge)
    return whole


def _nearest(a: Loop, b: Loop) -> tuple[int, int]:
    """Indices of two corners that are close, so that the bridge is short: every few corners are looked at."""
    steps = max(1, len(a) // 1000), max(1, len(b) // 1000)
    distances = ((a[:: steps[0], None] - b[None, :: steps[1]]) ** 2).sum(-1)
    i, j = np.unravel_index(int(distances.argmin()), distances.shape)
    return int(i) * steps[0], int(j) * steps[1]


def fill(polygons: Sequence[npt.ArrayLike], size: Size) -> Bool:
    """H x W bool: pixels whose centre lies inside an odd number of polygons of N x 2 (x, y) corners.

    Each polygon is filled by itself, the results are joined: COCO's and labelme's reading of several polygons.
    """
    mask = np.zeros(size, bool)
    for polygon in polygons:
        mask |= _filled(np.asarray(polygon, np.float64).reshape(-1, 2), size)
    return mask


def _filled(polygon: npt.NDArray[np.float64], size: Size) -> Bool:
    """Scanlines through pixel centres, even-odd rule."""
    height, width = size
    mask = np.zeros(size, bool)
    start, end = polygon, np.roll(polygon, -1, axis=0)
    down = (start[:, 1] < end[:, 1])[:, None]  # always from the top: the two ways over a bridge must cross alike
    x1, y1 = np.where(down, start, end).T
    x2, y2 = np.where(down, end, start).T
    top, bottom = polygon[:, 1].min(), polygon[:, 1].max()
    for row in range(max(0, int(np.floor(top - 0.5))), min(height, int(np.ceil(bottom + 0.5)))):
        y = row + 0.5
        crossing = (y1 <= y) != (y2 <= y)
        if not crossing.any():
            continue
        a, b = y1[crossing], y2[crossing]
        at = np.sort(x1[crossing] + (y - a) / (b - a) * (x2[crossing] - x1[crossing]))
        for left, right in zip(at[::2], at[1::2]):
            first, last = max(0, int(np.ceil(left - 0.5))), min(width, int(np.ceil(right - 0.5)))
            mask[row, first:last] ^= True
    return mask


def _edges(mask: Bool) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """Corner -> corners that a unit edge leads to; the object is on the right of every edge (y down)."""
    padded = np.pad(mask, 1)
    inside = padded[1:-1, 1:-1]
    following: dict[tuple[int, int], list[tuple[int, int]]] = {}
    sides = (
        (inside & ~padded[:-2, 1:-1], (0, 0), (1, 0)),
        (inside & ~padded[1:-1, 2:], (1, 0), (1, 1)),
        (inside & ~padded[2:, 1:-1], (1, 1), (0, 1)),
        (inside & ~padded[1:-1, :-2], (0, 1), (0, 0)),
    )
    for border, start, end in sides:
        for y, x in np.argwhere(border).tolist():
            following.setdefault((x + start[0], y + start[1]), []).append((x + end[0], y + end[1]))
    return following


def _walk(following: dict[tuple[int, int], list[tuple[int, int]]], start: tuple[int, int]) -> list[tuple[int, int]]:
    """Follow edges until the start is reached; where two ways part, turn right and stay with the same pixel."""
    path, here, came = [start], start, (0, 0)
    while True:
        ways = following[here]
        if len(ways) == 1:
            nxt = ways[0]
            del following[here]
        else:
            nxt = next((way for way in ways if _turn(came, here, way) > 0), ways[0])
            ways.remove(nxt)
        came = (nxt[0] - here[0], nxt[1] - here[1])
        here = nxt
        if here == start:
            return path
        path.append(here)


def _turn(came: tuple[int, int], here: tuple[int, int], way: tuple[int, int]) -> int:
    """Positive for a right turn on a picture whose y points down."""
    return came[0] * (way[1] - here[1]) - came[1] * (way[0] - here[0])


def _straightened(path: list[tuple[int, int]]) -> Loop:
    """The loop without corners at which it goes straight on."""
    loop = np.array(path, np.int64)
    before, after = loop - np.roll(loop, 1, axis=0), np.roll(loop, -1, axis=0) - loop
    return loop[(before != after).any(1)]
