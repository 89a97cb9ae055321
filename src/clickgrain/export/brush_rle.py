"""Label Studio's run-length encoding of brush masks, and CVAT's of masks.

Label Studio: every pixel four times (R, G, B, alpha: 0 or 255), row by row, as a bit stream of thi.ng's rle-pack:
32 bits the number of values, 5 bits the word size less 1, four times 4 bits the sizes of counts less 1; then runs:
one bit (1: a repeated value, 0: literal ones), 2 bits for which size, the count less 1, the value or values.
CVAT: run lengths over the bounding box, row by row, background first, then left, top, right, bottom inclusive.
The SDKs of both are the oracles of the tests.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from clickgrain.errors import DataError
from clickgrain.export import rle as coco_rle
from clickgrain.types import Bool, Size

SIZES = (3, 4, 8, 16)  # bits of a count that our streams declare


def encode(mask: Bool) -> list[int]:
    """The bytes of an H x W bool mask, as numbers for JSON."""
    flat = mask.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    lengths = 4 * np.diff(edges, prepend=0, append=flat.size)
    values = 255 * flat[np.concatenate([[0], edges])].astype(np.int64)
    most = 1 << SIZES[-1]
    pieces = -(-lengths // most)  # a run that is too long is several
    values, last = np.repeat(values, pieces), np.cumsum(pieces) - 1
    counts = np.full(len(values), most)
    counts[last] = lengths - (pieces - 1) * most
    which = np.searchsorted(1 << np.array(SIZES), counts)
    size = np.array(SIZES)[which]
    words = ((4 + which) << size | (counts - 1)) << 8 | values
    words = np.concatenate([[4 * flat.size, 7, *(size - 1 for size in SIZES)], words])
    widths = np.concatenate([[32, 5, 4, 4, 4, 4], 3 + size + 8])
    ends = np.cumsum(widths)
    below = np.repeat(ends, widths) - 1 - np.arange(ends[-1])
    return np.packbits((np.repeat(words, widths) >> below & 1).astype(np.uint8)).tolist()


def decode(rle: Sequence[int], size: Size) -> Bool:
    """The H x W bool mask of a stream: where alpha is above one half; DataError if it is none of this size."""
    height, width = size
    try:
        data = bytes(rle) + bytes(8)
    except (TypeError, ValueError):
        raise DataError("a brush's rle is no list of bytes (0..255); draw the stroke again") from None
    end, at = 8 * (len(data) - 8), 0

    def read(bits: int) -> int:
        nonlocal at
        if (at := at + bits) > end:
            raise DataError("a brush's rle is truncated; draw the stroke again")
        window = int.from_bytes(data[(at - bits) >> 3 : (at + 7) >> 3])
        return window >> (-at & 7) & ((1 << bits) - 1)

    count, word = read(32), read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    if count != 4 * height * width or word != 8:
        raise DataError(
            f"a brush's rle holds {count} values of {word} bits, not the 4 x {width} x {height} of 8 bits wanted"
        )
    out, i = np.empty(count, np.uint8), 0
    while i < count:
        repeated, j = read(1), i + 1 + read(sizes[read(2)])
        if j > count:
            raise DataError("a brush's rle holds more values than its image; draw the stroke again")
        out[i:j] = read(8) if repeated else [read(8) for _ in range(j - i)]
        i = j
    return out[3::4].reshape(size) > 127


def encode_cvat(mask: Bool) -> list[float]:
    """CVAT's numbers for an H x W bool mask; an empty one is its first pixel, not set."""
    x, y, width, height = cv2.boundingRect(np.ascontiguousarray(mask).view(np.uint8))
    right, bottom = x + max(width, 1) - 1, y + max(height, 1) - 1
    runs = coco_rle.counts(mask[y : bottom + 1, x : right + 1].T)
    return [float(number) for number in (*runs.tolist(), x, y, right, bottom)]
