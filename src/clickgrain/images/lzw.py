"""LZW as TIFF 6.0 (section 13) has it: codes of 9 to 12 bits, most significant bit first."""

from typing import Any

import numpy as np
import numpy.typing as npt

from clickgrain.jit import njit

CLEAR, END, FIRST = 256, 257, 258


@njit(nogil=True)
def decode(data: npt.NDArray[np.uint8], out: npt.NDArray[np.uint8]) -> Any:
    """Fill `out` from coded bytes; gives how many were written, fewer where the code ends early or is damaged.

    Every string of the table has been written before, so its place and length in `out` stand for it.
    """
    starts, sizes = np.zeros(4096, np.int64), np.zeros(4096, np.int64)
    written, waiting, bits, width, following = 0, 0, 0, 9, FIRST
    start, size = 0, 0  # of the string before; 0 after a clear code
    for byte in data:
        waiting, bits = ((waiting << 8) | byte) & 0xFFFFF, bits + 8
        if bits < width:
            continue
        bits -= width
        code = (waiting >> bits) & ((1 << width) - 1)
        if code == END or written == out.size:
            break
        if code == CLEAR:
            width, following, size = 9, FIRST, 0
            continue
        if size and following < 4096:
            starts[following], sizes[following] = start, size + 1  # with the first byte of this one
            following += 1
        if code >= following:
            break
        start, size = written, min(sizes[code] if code > END else 1, out.size - written)
        for i in range(size):  # forward, since a string may run into the bytes that it makes
            out[written + i] = out[starts[code] + i] if code > END else code
        written += size
        width = 9 + (following >= 511) + (following >= 1023) + (following >= 2047)  # one code early
    return written
