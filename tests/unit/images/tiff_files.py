"""TIFF files of any layout, byte by byte, since no library here writes them all."""

import struct
import zlib
from io import BytesIO

import numpy as np
from PIL import Image

from clickgrain.images import count_pages, read_image

NONE, LZW, DEFLATE, PACKBITS = 1, 5, 8, 32773
GREY, RGB = 1, 2


def read_pages(path):
    return (read_image(path, page=page) for page in range(count_pages(path)))


def lzw(data):
    """LZW as libtiff codes it: the only strip of a grey image of one row."""
    file = BytesIO()
    Image.frombytes("L", (len(data), 1), data).save(file, "TIFF", compression="tiff_lzw")
    file.seek(0)
    with Image.open(file) as picture:
        start, size = picture.tag_v2[273], picture.tag_v2[279]
    return file.getvalue()[start[0] : start[0] + size[0]]


def packbits(data):
    return b"".join(bytes([len(part) - 1]) + part for part in (data[i : i + 128] for i in range(0, len(data), 128)))


CODERS = {NONE: bytes, LZW: lzw, DEFLATE: zlib.compress, PACKBITS: packbits}


def tiff(
    values,
    compression=NONE,
    *,
    photometric=None,
    tile=0,
    rows=0,
    planar=False,
    predictor=1,
    bits=0,
    order="<",
    orientation=0,
    extra=(),
    end=b"\0\0\0\0",
):
    """Bytes of a TIFF of one page: H x W or H x W x C values.

    Args:
        tile: side of square tiles; 0 for strips.
        rows: of a strip; 0 for a single one.
        planar: channels stored one after the other.
        predictor: 1 none, 2 differences, 3 floating point.
        bits: of an integer, where they are fewer than the type has.
        extra: further (tag, type, count, value) entries; values of four bytes at most, or bytes.
        end: offset of the next page.
    """
    values = np.atleast_3d(values)
    height, width, channels = values.shape
    bits = bits or 8 * values.dtype.itemsize
    planes = [values[..., i : i + 1] for i in range(channels)] if planar else [values]
    size = (tile, tile) if tile else (rows or height, width)
    code = CODERS[compression]
    segments = [
        code(_stored(plane[y : y + size[0], x : x + size[1]], tile, predictor, bits, order))
        for plane in planes
        for y in range(0, height, size[0])
        for x in range(0, width, size[1])
    ]
    photometric = photometric if photometric is not None else RGB if channels > 2 else GREY
    tags = {
        256: (4, [width]), 257: (4, [height]), 258: (3, [bits] * channels), 259: (3, [compression]),
        262: (3, [photometric]), 277: (3, [channels]), 284: (3, [2 if planar else 1]),
        339: (3, [{"u": 1, "b": 1, "i": 2, "f": 3, "c": 6}[values.dtype.kind]] * channels),
    }  # fmt: skip
    if channels > 3 and photometric == RGB:
        tags[338] = (3, [2] * (channels - 3))
    if predictor > 1:
        tags[317] = (3, [predictor])
    if orientation:
        tags[274] = (3, [orientation])
    tags |= {322: (4, [tile]), 323: (4, [tile])} if tile else {278: (4, [size[0]])}
    tags |= {tag: (type_, value) for tag, type_, value in extra}
    return _file(tags, segments, (324, 325) if tile else (273, 279), order, end)


def _stored(part, tile, predictor, bits, order):
    if tile:
        part = np.pad(part, ((0, tile - part.shape[0]), (0, tile - part.shape[1]), (0, 0)))
    if predictor == 2:
        part = np.diff(part, axis=1, prepend=part[:, :1] * 0)
    if bits < 8 * part.dtype.itemsize:
        shifts = np.arange(bits - 1, -1, -1, dtype=part.dtype)
        return np.packbits(((part[..., None] >> shifts) & 1).reshape(len(part), -1).astype(bool), axis=1).tobytes()
    if predictor == 3:
        size = part.dtype.itemsize
        planes = part.astype(part.dtype.newbyteorder(">")).view(np.uint8).reshape(len(part), -1, size)
        planes = planes.transpose(0, 2, 1).reshape(len(part), -1, part.shape[2])
        return np.diff(planes, axis=1, prepend=planes[:, :1] * 0).tobytes()
    return part.astype(part.dtype.newbyteorder(order)).tobytes()


def _file(tags, segments, names, order, end):
    """Header, coded segments, values that do not fit into their entry, entries."""
    body, offsets = b"", []
    for segment in segments:
        offsets.append(8 + len(body))
        body += segment + bytes(len(segment) % 2)
    tags |= {names[0]: (4, offsets), names[1]: (4, [len(segment) for segment in segments])}
    entries = b""
    for tag, (type_, value) in sorted(tags.items()):
        data = value if type_ == 2 else struct.pack(f"{order}{len(value)}{'BxHI'[type_ - 1]}", *value)
        if len(data) > 4:
            place = struct.pack(f"{order}I", 8 + len(body))
            body += data + bytes(len(data) % 2)
        else:
            place = data.ljust(4, b"\0")
        entries += struct.pack(f"{order}HHI", tag, type_, len(value)) + place
    start = b"II*\0" if order == "<" else b"MM\0*"
    return (
        start + struct.pack(f"{order}I", 8 + len(body)) + body + struct.pack(f"{order}H", len(tags)) + entries + end
    )
