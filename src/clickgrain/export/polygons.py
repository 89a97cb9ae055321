"""Outlines of masks along pixel edges, exact, with holes distinguished from outer borders; and back to masks.

A corner (x, y) is the upper left corner of pixel (x, y), as in COCO: pixel centers lie at .5.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from clickgrain.errors import DataError
from clickgrain.types import Bool, Size

Loop = npt.NDArray[np.int64]  # N x 2 (x, y) corners of a closed loop, the first not repeated
NEAREST_FOR = 32  # more loops than this are joined at their first corners, without searching for near ones
FARTHEST = 1e7  # largest distance of a corner from the image's corner, in pixels; more is a mistake
AT_ONCE = 2_000_000


def loops(mask: Bool) -> list[Loop]:
    """Closed loops around an H x W mask; pixels that touch at a corner only belong to different loops.

    The object lies on the right: outer loops have a positive `area`, holes a negative one.
    """
    x, y, width, height = cv2.boundingRect(np.ascontiguousarray(mask).view(np.uint8))
    following = _edges(mask[y : y + height, x : x + width])
    found = []
    while following:
        loop = np.array(_walk(following, next(iter(following))), np.int64)
        before, after = loop - np.roll(loop, 1, axis=0), np.roll(loop, -1, axis=0) - loop
        found.append(loop[(before != after).any(1)] + np.array([x, y]))  # without corners on straight lines
    return found


def area(loop: Loop | npt.NDArray[np.float64]) -> float:
    """Signed area in pixels (shoelace formula)."""
    x, y = loop.astype(np.float64).T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def simplified(loop: Loop, tolerance: float) -> Loop:
    """The loop with fewer corners, none farther than `tolerance` pixels from it (Douglas & Peucker, 1973).

    One that would lose its area (under three corners left) stays as it is.
    """
    if tolerance <= 0:
        return loop
    fewer = cv2.approxPolyDP(loop.astype(np.int32)[:, None], tolerance, True)[:, 0].astype(np.int64)
    return fewer if len(fewer) >= 3 and area(fewer) * area(loop) > 0 else loop


def joined(parts: Sequence[Loop]) -> Loop:
    """One loop through all: every further loop is connected by a bridge of zero width.

    Filled by the even-odd or the non-zero rule it gives the same pixels, for formats with one polygon an object.
    """
    if len(parts) > NEAREST_FOR:  # a chain along the rows, back and forth, so that every bridge is short
        chain = sorted(parts, key=lambda loop: (loop[0, 1], (-1) ** int(loop[0, 1]) * loop[0, 0]))
        there = [part for loop in chain for part in (loop, loop[:1])]
        return np.concatenate([*there, *(loop[:1] for loop in chain[-2::-1])])
    order = sorted(parts, key=lambda loop: -abs(area(loop)))
    whole = order[0]
    for loop in order[1:]:
        # two corners that are close; of long loops, only every few corners are compared
        steps = max(1, len(whole) // 1000), max(1, len(loop) // 1000)
        distances = ((whole[:: steps[0], None] - loop[None, :: steps[1]]) ** 2).sum(-1)
        i, j = (int(n) * step for n, step in zip(np.unravel_index(int(distances.argmin()), distances.shape), steps))
        whole = np.concatenate([whole[: i + 1], np.roll(loop, -j, axis=0), loop[j : j + 1], whole[i:]])
    return whole


def fill(polygons: Sequence[npt.ArrayLike], size: Size) -> Bool:
    """H x W bool: pixels whose center lies inside an odd number of times, for polygons of N x 2 (x, y) corners.

    Each polygon is filled by itself, the results are joined: COCO's and labelme's reading of several polygons.
    Raises DataError: corners that are not numbers or far outside, or more row crossings than the image has pixels.
    """
    mask = np.zeros(size, bool)
    for polygon in polygons:
        _fill(mask, np.asarray(polygon, np.float64).reshape(-1, 2))
    return mask


def _fill(mask: Bool, polygon: npt.NDArray[np.float64]) -> None:
    """Where an edge crosses a row's pixel centers, all pixels to the right change sides (even-odd rule)."""
    height, width = mask.shape
    if not (np.abs(polygon) <= FARTHEST).all():  # NaN is not
        raise DataError(f"a corner of its polygon is no number, or over {FARTHEST:,.0f} pixels away")
    start, end = polygon, np.roll(polygon, -1, axis=0)
    # always from the top: both directions of a bridge must cross at the same place
    down = (start[:, 1] < end[:, 1])[:, None]
    x1, y1 = np.where(down, start, end).T
    x2, y2 = np.where(down, end, start).T
    first, last = (np.clip(np.ceil(y - 0.5), 0, height).astype(np.int64) for y in (y1, y2))
    ends = np.cumsum(last - first)
    if not len(ends) or not ends[-1]:
        return
    if ends[-1] > mask.size + 1_000_000:
        raise DataError(f"its polygon of {len(polygon):,} corners is too intricate for {width} x {height} pixels")
    top = first[last > first].min()
    changes = np.zeros((last.max() - top, width + 1), np.uint8)
    for begin in range(0, int(ends[-1]), AT_ONCE):
        crossing = np.arange(begin, min(begin + AT_ONCE, int(ends[-1])))
        edge = np.searchsorted(ends, crossing, side="right")
        row = crossing - ends[edge] + last[edge]
        a, b = y1[edge], y2[edge]
        at = x1[edge] + (row + 0.5 - a) / (b - a) * (x2[edge] - x1[edge])
        column = np.clip(np.ceil(at - 0.5), 0, width).astype(np.int64)
        np.add.at(changes, (row - top, column), np.uint8(1))
    np.add.accumulate(changes, axis=1, out=changes)  # wraps at 256, which is even
    mask[top : top + len(changes)] |= (changes[:, :width] & 1).astype(bool)


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
    """Follow edges back to the start; at a crossing turn right, to stay with the same pixel."""
    path, here, came = [start], start, (0, 0)
    while True:
        ways = following[here]
        if len(ways) == 1:
            nxt = ways[0]
            del following[here]
        else:
            # y is down
            right = (way for way in ways if came[0] * (way[1] - here[1]) > came[1] * (way[0] - here[0]))
            nxt = next(right, ways[0])
            ways.remove(nxt)
        came = (nxt[0] - here[0], nxt[1] - here[1])
        here = nxt
        if here == start:
            return path
        path.append(here)
