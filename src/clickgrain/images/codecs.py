"""What tifffile leaves to the package imagecodecs and deep TIFFs commonly need: LZW, packed bits, float predictor.

Without that package, tifffile asks its small stand-in module for codecs by name; `supply` puts these there. With it
(`pip install imagecodecs`), nothing changes here and many more compressions are read.
"""

import lzma
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

Values = npt.NDArray[Any]


def supply() -> None:
    """Add the codecs to tifffile, once, unless it has better ones."""
    module = tifffile.tifffile.imagecodecs
    if not module.__name__.endswith("_imagecodecs"):
        return
    for codec in (lzw_decode, zlib_decode, lzma_decode, packints_decode, floatpred_decode):
        setattr(module, codec.__name__, codec)


def lzw_decode(data: bytes, /, *, out: int) -> bytes:
    """The first `out` bytes of an LZW strip or tile; fewer where it ends early."""
    from clickgrain.images.lzw import decode  # only here: numba takes a while to import

    decoded = np.empty(out, np.uint8)
    return decoded[: decode(np.frombuffer(data, np.uint8), decoded)].tobytes()


def zlib_decode(data: bytes, /, *, out: int) -> bytes:
    """The first `out` bytes of a deflated strip or tile, however many more it would make."""
    return zlib.decompressobj().decompress(data, out)


def lzma_decode(data: bytes, /, *, out: int) -> bytes:
    """The first `out` bytes of an LZMA strip or tile, however many more it would make."""
    return lzma.LZMADecompressor().decompress(data, out)


def packints_decode(data: bytes, dtype: npt.DTypeLike, bitspersample: int, /, runlen: int) -> Values:
    """Integers of 1 to 31 bits, most significant bit first, in rows of `runlen` that begin at a byte (TIFF 6.0)."""
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    row = -(-runlen * bitspersample // 8) * 8
    rows = bits[: bits.size // row * row].reshape(-1, row)[:, : runlen * bitspersample]
    if bitspersample == 1:
        return rows.reshape(-1).astype(dtype)
    values = np.zeros(rows.size // bitspersample, dtype)
    for bit in rows.reshape(-1, bitspersample).T:
        values = (values << 1) | bit
    return values.astype(dtype)


def floatpred_decode(values: Values, /, axis: int = -2, out: Values | None = None) -> Values:
    """Undo Predictor 3 (Adobe Photoshop TIFF technical note 3): ... x width x samples floats, as stored.

    A row holds the most significant bytes of all its values, then the next ones; each byte is the difference to the
    byte one pixel before.
    """
    width, samples = values.shape[-2:]
    size = values.dtype.itemsize
    planes = np.ascontiguousarray(values).view(np.uint8).reshape(-1, width * size, samples)
    planes = np.cumsum(planes, axis=1, dtype=np.uint8).reshape(-1, size, width * samples)
    return planes.transpose(0, 2, 1).copy().view(f">f{size}").reshape(values.shape).astype(values.dtype)
