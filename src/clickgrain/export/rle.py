"""COCO's run-length encoding: runs down the columns of the whole image, beginning with background.

Source: `cocoapi/common/maskApi.c` (the format alone): counts as a list, or as a string of 5-bit groups, from the
fourth count on as differences to the count two before.
"""

from collections.abc import Sequence

import numpy as np

from clickgrain.errors import DataError
from clickgrain.types import Bool, Size


def encode(mask: Bool) -> list[int]:
    """Counts of an H x W bool mask."""
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff(np.concatenate([[0], edges, [flat.size]]))
    return [0, *counts.tolist()] if flat.size and flat[0] else counts.tolist()


def decode(counts: Sequence[int] | str, size: Size) -> Bool:
    """The H x W bool mask of counts (a list or COCO's string).

    Raises:
        DataError: the counts do not fill the image.
    """
    numbers = from_string(counts) if isinstance(counts, str) else list(counts)
    height, width = size
    if any(number < 0 for number in numbers) or sum(numbers) != height * width:
        raise DataError(
            f"an RLE of {sum(numbers)} pixels does not fill an image of {width} x {height} = {width * height};"
            " export it again"
        )
    values = (np.arange(len(numbers)) % 2).astype(bool)
    return np.repeat(values, numbers).reshape((height, width), order="F")


def to_string(counts: Sequence[int]) -> str:
    """Counts as COCO's compact string."""
    text = bytearray()
    for i, count in enumerate(counts):
        value = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            group = value & 0x1F
            value >>= 5
            more = value != (-1 if group & 0x10 else 0)
            text.append((group | 0x20 if more else group) + 48)
    return text.decode("ascii")


def from_string(text: str) -> list[int]:
    """Counts of COCO's compact string.

    Raises:
        DataError: a character that the format does not have, or an end in the middle of a number.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        group = ord(character) - 48
        if not 0 <= group < 64:
            raise DataError(f"an RLE string holds {character!r}, which the format does not have; export it again")
        value |= (group & 0x1F) << shift
        shift += 5
        if not group & 0x20:
            if group & 0x10:
                value |= -1 << shift
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    if shift:
        raise DataError("an RLE string ends in the middle of a number; export it again")
    return counts
