"""Masks as the project stores them and the page reads them: run lengths over the bounding box ("CGM1").

Layout, little endian: magic "CGM1", uint32 H, W, x1, y1, x2, y2 (XYXY box, all 0 for an empty mask), uint32 count,
then count uint32 lengths of alternating runs over the box in row-major order, background first.
"""

import base64
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from clickgrain.errors import DataError
from clickgrain.files import hash_bytes
from clickgrain.images.reader import MAX_PIXELS
from clickgrain.types import Bool, Size

MAGIC = b"CGM1"
HEADER = 4 + 7 * 4


@dataclass(frozen=True)
class Coded:
    """A mask of an image of `size` = (H, W), coded; `hash` names it."""

    data: bytes
    hash: str
    size: Size
    bbox: tuple[int, int, int, int] | None  # XYXY pixels, None when empty
    area: int  # pixels

    @property
    def text(self) -> str:
        """The data in base64, for JSON."""
        return base64.b64encode(self.data).decode()


def encode(mask: Bool) -> Coded:
    """Code an H x W bool mask."""
    x, y, width, height = cv2.boundingRect(np.ascontiguousarray(mask).view(np.uint8))
    flat = mask[y : y + height, x : x + width].ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    starts = np.concatenate([[0], edges, [flat.size]])
    runs = np.diff(starts).astype("<u4") if flat.size else np.zeros(0, "<u4")
    if flat.size and flat[0]:
        runs = np.concatenate([np.zeros(1, "<u4"), runs])
    box = (x, y, x + width, y + height) if flat.size else (0, 0, 0, 0)
    head = np.array([*mask.shape, *box, len(runs)], "<u4")
    data = MAGIC + head.tobytes() + runs.astype("<u4").tobytes()
    size = (mask.shape[0], mask.shape[1])
    return Coded(data, hash_bytes(data), size, box if flat.size else None, int(np.count_nonzero(flat)))


def decode(data: bytes) -> Bool:
    """The H x W bool mask. Raises DataError: not what `encode` writes."""
    (height, width), (x1, y1, x2, y2), runs = _parts(data)
    mask = np.zeros((height, width), bool)
    values = (np.arange(len(runs)) % 2).astype(bool)
    mask[y1:y2, x1:x2] = np.repeat(values, runs).reshape(y2 - y1, x2 - x1)
    return mask


def describe(data: bytes) -> Coded:
    """A coded mask with size, box and area, without decoding it. Raises DataError: not what `encode` writes."""
    size, box, runs = _parts(data)
    return Coded(data, hash_bytes(data), size, box if box[2] > box[0] else None, int(runs[1::2].sum()))


def _parts(data: bytes) -> tuple[Size, tuple[int, int, int, int], npt.NDArray[np.int64]]:
    """((H, W), XYXY box, runs), checked against each other."""
    if not isinstance(data, bytes) or len(data) < HEADER or data[:4] != MAGIC or len(data) % 4:
        raise DataError(f"{len(data)} bytes beginning with {data[:4]!r} are no whole coded mask")
    height, width, x1, y1, x2, y2, count = (int(v) for v in np.frombuffer(data, "<u4", 7, 4))
    runs = np.frombuffer(data, "<u4", offset=HEADER).astype(np.int64)
    inside = x1 <= x2 <= width and y1 <= y2 <= height and height * width <= MAX_PIXELS
    if not inside or len(runs) != count or runs.sum() != (x2 - x1) * (y2 - y1):
        raise DataError(f"a coded mask of {width} x {height} pixels is damaged: its runs do not fill its box")
    return (height, width), (x1, y1, x2, y2), runs
