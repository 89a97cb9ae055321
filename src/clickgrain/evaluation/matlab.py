"""Reads a numeric array in a struct of a MATLAB 5 file, as SBD's; a damaged file is an error.

scipy's `loadmat` ends the process on some (tests/fuzz/corpus has one). The format: MathWorks, "MAT-File Format".
"""

import struct
import zlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

HEADER = 128  # bytes; the last two say in which order bytes come
MATRIX, COMPRESSED = 14, 15  # kinds of elements
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
STRUCT = 2  # class of a matrix
MOST_BYTES = 1 << 28  # unpacked

Numbers = npt.NDArray[np.generic]


def field_of(content: bytes, variable: str, field: str) -> Numbers:
    """The array in a field of a struct of 1 x 1. Raises ValueError, LookupError or zlib.error: it is not there."""
    order = {b"IM": "<", b"MI": ">"}.get(content[HEADER - 2 : HEADER])
    if order is None:
        raise ValueError("it is no MATLAB 5 file")
    for kind, data in _elements(content[HEADER:], order):
        if kind == COMPRESSED:
            (kind, data), *_ = _elements(zlib.decompressobj().decompress(data, MOST_BYTES), order)
        class_, shape, name, others = _matrix(kind, data, order)
        if name != variable:
            continue
        if class_ != STRUCT or shape != (1, 1) or len(others) < 2:
            raise ValueError(f"{variable} is no struct")
        length, names, *fields = others
        width = max(int(_numbers(*length, order)[0]), 1)
        cells = [names[1][start : start + width] for start in range(0, len(names[1]), width)]
        found = dict(zip((cell.partition(b"\0")[0].decode("latin-1") for cell in cells), fields))
        _, shape, _, (values, *_) = _matrix(*found[field], order)
        return _numbers(*values, order).reshape(shape, order="F")
    raise KeyError(variable)


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """(kind, bytes) of the elements, which follow one another."""
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from(f"{order}II", data, at)
        start = at + 8
        if kind >> 16:  # at most four bytes, in the place of their number
            kind, size, start = kind & 0xFFFF, min(kind >> 16, 4), at + 4
        if start + size > len(data):
            raise ValueError("it ends too early")
        yield kind, data[start : start + size]
        at = max(at + 8, start + size)
        at += 0 if kind == COMPRESSED else -at % 8


def _matrix(kind: int, data: bytes, order: str) -> tuple[int, tuple[int, ...], str, list[tuple[int, bytes]]]:
    """Class, shape, name and the other elements of a matrix."""
    if kind != MATRIX:
        raise ValueError(f"an element of kind {kind} where a matrix is expected")
    flags, shape, name, *others = _elements(data, order)
    class_ = int(_numbers(*flags, order)[0]) & 0xFF
    return class_, tuple(map(int, _numbers(*shape, order))), name[1].decode("latin-1"), others


def _numbers(kind: int, data: bytes, order: str) -> Numbers:
    dtype = np.dtype(order + NUMBERS[kind])
    return np.frombuffer(data[: len(data) // dtype.itemsize * dtype.itemsize], dtype)
