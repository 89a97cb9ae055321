"""COCO's run-length encoding: runs down the columns of the whole image, beginning with background.

Source: `cocoapi/common/maskApi.c` (the format alone): counts as a list, or as a string of 5-bit groups, from the
fourth count on as differences to the count two before. pycocotools is only the oracle of the tests: it
accepts counts that end before the image does, and leaves the rest of the mask uninitialized.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from clickgrain.errors import DataError
from clickgrain.types import Bool, Size

Counts = npt.NDArray[np.int64]
MOST_GROUPS = 7  # of 5 bits, for one number: 35 bits count more pixels than any image has


def counts(mask: Bool) -> Counts:
    """Run lengths of an H x W bool mask down its columns; the first, of background, may be 0."""
    flat = mask.ravel(order="F")
    runs = np.diff(np.flatnonzero(flat[1:] != flat[:-1]) + 1, prepend=0, append=flat.size)
    return np.concatenate([np.zeros(int(flat[:1].any()), np.int64), runs])


def encode(mask: Bool) -> str:
    """COCO's compact string of an H x W bool mask."""
    rest = counts(mask)
    rest[3:] = rest[3:] - rest[1:-2]
    codes = np.zeros((len(rest), MOST_GROUPS), np.uint8)
    going = np.ones(len(rest), bool)
    for place in range(MOST_GROUPS):
        group = rest & 31
        rest >>= 5
        more = rest != np.where(group & 16, -1, 0)
        codes[going, place] = (group + 32 * more + 48)[going]
        going &= more
    return codes[codes > 0].tobytes().decode("ascii")


def decode(coded: Sequence[Any] | str, size: Size) -> Bool:
    """The H x W bool mask of coded counts (a list or COCO's string); DataError if they do not fill the image."""
    height, width = size
    if isinstance(coded, str):
        runs = _of_string(coded, height * width)
    else:
        numbers = np.asarray(coded)
        are_numbers = numbers.ndim == 1 and numbers.dtype.kind in "iuf" and (np.abs(numbers) < 2**53).all()
        if not are_numbers or (numbers % 1 != 0).any():
            raise DataError("the counts of its RLE are not whole numbers; export it again")
        runs = numbers.astype(np.int64)
    if (runs < 0).any() or (runs > height * width).any() or runs.sum() != height * width:
        raise DataError(
            f"its RLE does not fill an image of {width} x {height} = {height * width} pixels; export it again"
        )
    values = (np.arange(len(runs)) % 2).astype(bool)
    return np.repeat(values, runs).reshape((height, width), order="F")


def _of_string(text: str, pixels: int) -> Counts:
    """Counts of COCO's compact string; time and memory grow with its length alone."""
    codes = np.frombuffer(text.encode("ascii", "replace"), np.uint8) - np.uint8(48)  # below "0": wraps to over 200
    if not len(codes) or codes.max() >= 64 or codes[-1] >= 32:
        raise DataError("its RLE string is truncated or holds an invalid character; export it again")
    if np.count_nonzero(codes < 32) > 2 * pixels + 2:
        raise DataError(f"its RLE string has more runs than an image of {pixels} pixels; export it again")
    ends = np.flatnonzero(codes < 32)
    lengths = np.diff(ends, prepend=-1)
    if lengths.max() > MOST_GROUPS:
        raise DataError("its RLE string holds a number larger than any image; export it again")
    runs = np.where(codes[ends] & 16, -1 << (5 * lengths), 0)
    for place in range(int(lengths.max())):
        at = lengths > place
        runs[at] += (codes[(ends - lengths + 1)[at] + place].astype(np.int64) & 31) << (5 * place)
    runs[1::2], runs[2::2] = np.cumsum(runs[1::2]), np.cumsum(runs[2::2])
    return runs
