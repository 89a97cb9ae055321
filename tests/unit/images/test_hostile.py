"""Files that would never end, or fill the memory: a clear error (or the first page) at once."""

import os
import socket
import struct
import subprocess
import sys
import tracemalloc
import zlib
from contextlib import suppress
from io import BytesIO

import numpy as np
import pytest
import tifffile
from PIL import Image
from tiff_files import CODERS, DEFLATE, read_pages, tiff

from clickgrain.errors import ClickgrainError, ImageError
from clickgrain.images import find_images, read_image, read_images
from clickgrain.images.guard import check_regular, format_of

PIXELS = np.arange(100, dtype=np.uint8).reshape(10, 10)


def chain(count, back_to=None):
    """A TIFF of `count` tiny pages that share their pixels; the last page leads back to page `back_to`."""
    tags = {256: 10, 257: 10, 258: 8, 259: 1, 262: 1, 273: 8, 279: 100}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    start, size = 8 + PIXELS.size, 2 + len(entries) + 4
    ends = [start + page * size for page in range(1, count)] + [0 if back_to is None else start + back_to * size]
    pages = (struct.pack("<H", len(tags)) + entries + struct.pack("<I", end) for end in ends)
    return struct.pack("<2sHI", b"II", 42, start) + PIXELS.tobytes() + b"".join(pages)


@pytest.fixture
def file(tmp_path):
    def file(content, name="a.tif"):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return file


@pytest.mark.timeout(30)
@pytest.mark.parametrize(("count", "back_to"), [(1, 0), (2, 0), (2, 1), (110, 0), (110, 105), (100_000, None)])
def test_chains_of_pages_that_do_not_end(file, count, back_to):
    path, notes = file(chain(count, back_to)), []
    np.testing.assert_array_equal(read_image(path, notes=notes)[..., 0], PIXELS)
    wanted = {1: [], 100_000: [f"{path}: over 1000 pages; the first was read"]}
    assert notes == wanted.get(count, [f"{path}: {count} pages; the first was read"])
    if count < 1000:
        assert len(list(read_pages(path))) == count
        with pytest.raises(ImageError, match=f"no page {count}; it has {count}"):
            read_image(path, page=count)


def test_a_damaged_later_page_leaves_the_first(file):
    content, notes = bytearray(chain(3)), []
    second = 8 + PIXELS.size + 90
    content[second : second + 2] = b"\xff\xff"  # so many tags
    path = file(bytes(content))
    np.testing.assert_array_equal(read_image(path, notes=notes)[..., 0], PIXELS)
    assert notes[0].startswith(f"{path}: damaged after page 0 (")
    assert len(list(read_pages(path))) == 1
    content[108:110] = b"\xff\xff"
    with pytest.raises(ImageError, match="damaged or truncated"):
        read_image(file(bytes(content)))


@pytest.mark.timeout(30)
def test_a_late_page_of_very_many(file):
    np.testing.assert_array_equal(read_image(file(chain(3000)), page=2500)[..., 0], PIXELS)


@pytest.mark.timeout(30)
def test_a_chain_into_the_middle_of_a_page_ends(file):
    content = bytearray(chain(1))
    content[-4:] = struct.pack("<I", 16)  # where no page begins; and its own end leads on
    with suppress(ImageError):
        assert read_image(file(bytes(content))).shape == (10, 10, 3)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("type_", [np.uint8, np.uint16])
def test_sub_pages_that_lead_in_circles(file, type_):
    pixels = PIXELS.astype(type_)
    start = int.from_bytes(tiff(pixels, extra=[(330, 4, [0])])[4:8], "little")
    content = tiff(pixels, extra=[(330, 4, [start]), (34665, 4, [start])], end=struct.pack("<I", start))
    assert read_image(file(content)).shape == (10, 10, 3)


def header_only(width, height, *, channels=1, bits=8, compression=DEFLATE, depth=1, tile=0, rows=0):
    """A TIFF that claims a size and stores nothing (a sparse file, as GDAL writes them)."""
    tags = {256: width, 257: height, 258: bits, 259: compression, 262: 1, 277: channels, 32997: depth}
    tags |= {322: tile, 323: tile, 324: 0, 325: 0} if tile else {273: 0, 278: rows or height, 279: 0}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + bytes(4)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("compression", CODERS)
@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ({"channels": 30, "bits": 16}, r"30 channels of 2 bytes are 6 GB, over the limit of 1\.6"),
        ({"channels": 65535}, "over the limit"),
        ({"bits": 64, "channels": 3}, "3 channels of 8 bytes"),
        ({"depth": 1000}, "in 1000 layers"),
        ({"width": 65_000, "height": 65_000}, "megapixels are over the limit"),
        ({"width": 10, "height": 10, "tile": 65_520}, "over the limit"),
        ({"width": 14_000, "height": 14_000, "tile": 1, "bits": 16}, "strips or tiles"),
        ({"width": 1, "height": 190_000_000, "rows": 1, "bits": 16}, "strips or tiles"),
    ],
)
def test_what_a_header_claims_is_counted_before_anything_is_decoded(file, claim, message, compression):
    content = header_only(**{"width": 10_000, "height": 10_000, "compression": compression, **claim})
    with pytest.raises(ImageError, match=message):
        read_image(file(content))


def test_a_refusal_costs_no_memory(file):
    content = header_only(10_000, 10_000, channels=30, bits=16)
    script = (
        "import resource, sys; from clickgrain.images import read_image\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: read_image(sys.argv[1])\n"
        "except Exception as error: print(type(error).__name__)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000)"
    )
    done = subprocess.run([sys.executable, "-c", script, file(content)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["ImageError", "True"]


@pytest.mark.parametrize("compression", CODERS)
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(("bits", "tile"), [(1, 16), (8, 16), (8, 0), (16, 16), (32, 16), (16, 0)])
def test_sparse_files_of_ordinary_size_are_dark(file, compression, channels, bits, tile):
    content = header_only(100, 80, bits=bits, channels=channels, compression=compression, tile=tile)
    image = read_image(file(content))
    assert image.shape == (80, 100, 3)
    assert not image.any()


@pytest.mark.parametrize("compression", CODERS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("tile", [0, 16])
def test_a_missing_tile_leaves_the_others(file, compression, channels, tile):
    pixels = np.repeat(np.arange(32 * 32, dtype=np.uint8).reshape(32, 32, 1), channels, axis=2)
    content = bytearray(tiff(pixels, compression, tile=tile, rows=16))
    with tifffile.TiffFile(BytesIO(bytes(content))) as opened:
        tags = opened.pages.first.tags
        counts, offsets = (tags[tag].valueoffset for tag in ((325, 324) if tile else (279, 273)))
    content[counts : counts + 4] = content[offsets : offsets + 4] = bytes(4)
    expected = read_image(file(tiff(pixels))).copy()
    expected[:16, : tile or 32] = 0
    np.testing.assert_array_equal(read_image(file(bytes(content))), expected)


def test_missing_tiles_hold_the_value_for_no_data(file):
    pixels = np.arange(32 * 32, dtype=np.int16).reshape(32, 32)
    plain = tiff(pixels, DEFLATE, tile=16)
    with tifffile.TiffFile(BytesIO(plain)) as opened:
        counts = opened.pages.first.tags[325].valueoffset
    content = bytearray(tiff(pixels, DEFLATE, tile=16, extra=[(42113, 2, b"-9999\0")]))
    with tifffile.TiffFile(BytesIO(bytes(content))) as opened:
        counts, offsets = (opened.pages.first.tags[tag].valueoffset for tag in (325, 324))
    content[counts : counts + 4] = content[offsets : offsets + 4] = bytes(4)
    notes = []
    image = read_image(file(bytes(content)), notes=notes)
    assert not image[:16, :16].any()
    assert image.max() == 255
    assert any("25 % of the values are no data (-9999)" in note for note in notes)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("type_", [np.uint8, np.uint16])
def test_a_strip_that_swells_is_cut_where_the_image_ends(file, type_):
    bomb = zlib.compress(bytes(100_000_000), 1)
    content = tiff(PIXELS.astype(type_), DEFLATE)
    with tifffile.TiffFile(BytesIO(content)) as opened:
        tags = opened.pages.first.tags
        place, count = tags[273].valueoffset, tags[279].valueoffset
    content = bytearray(content + bomb)
    content[place : place + 4] = struct.pack("<I", len(content) - len(bomb))
    content[count : count + 4] = struct.pack("<I", len(bomb))
    path = file(bytes(content))
    tracemalloc.start()
    assert not read_image(path).any()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


def png_header(width, height, bits=8):
    data = struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    chunk = b"IHDR" + data
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def webp_header(width, height):
    size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + size
    return b"RIFF" + struct.pack("<I", len(body)) + body


def avif_claiming(width, height):
    file = BytesIO()
    Image.new("RGB", (16, 16)).save(file, "AVIF")
    return with_size(file.getvalue(), width, height)


def heic_claiming(width, height):
    file = BytesIO()
    pytest.importorskip("pillow_heif").from_pillow(Image.new("RGB", (64, 64))).save(file)
    return with_size(file.getvalue(), width, height)


def with_size(content, width, height):
    place = content.index(b"ispe") + 8
    return content[:place] + struct.pack(">II", width, height) + content[place + 8 :]


@pytest.mark.timeout(30)
@pytest.mark.parametrize("size", [(65_535, 65_535), (16_383, 16_383), (2**31 - 1, 2**31 - 1)])
@pytest.mark.parametrize(
    "make",
    [
        png_header,
        lambda width, height: png_header(width, height, 16),
        lambda width, height: webp_header(min(width, 1 << 24), min(height, 1 << 24)),
        avif_claiming,
        heic_claiming,
        lambda width, height: b"GIF89a" + struct.pack("<HHBBB", width & 65535, height & 65535, 0, 0, 0) + b",",
        lambda width, height: b"BM" + struct.pack("<IIIIiiHHIIIIII", 54, 0, 54, 40, width, height, 1, 24, *[0] * 6),
        lambda width, height: header_only(width, height),
    ],
    ids=["png", "deep png", "webp", "avif", "heic", "gif", "bmp", "tiff"],
)
def test_huge_headers_are_refused(file, make, size):
    with pytest.raises(ImageError, match=r"a\.x: "):
        read_image(file(make(*size), "a.x"))


@pytest.fixture
def special(tmp_path):
    """A pipe, a socket and a link to a device, named as images are."""
    os.mkfifo(tmp_path / "pipe.webp")
    with socket.socket(socket.AF_UNIX) as one:
        here = os.open(tmp_path, os.O_RDONLY)
        one.bind(f"/proc/self/fd/{here}/socket.png")  # the path itself may be too long for a socket
        os.close(here)
        (tmp_path / "device.jpg").symlink_to("/dev/zero")
        yield [tmp_path / "pipe.webp", tmp_path / "socket.png", tmp_path / "device.jpg"]


@pytest.mark.timeout(30)
def test_pipes_sockets_and_devices_are_refused_at_once(special):
    for path, kind in zip(special, ("a named pipe", "a socket", "a device")):
        for look in (read_image, format_of, lambda path: next(read_pages(path))):
            with pytest.raises(ImageError, match=f"{path.name}: {kind}, not an image file; copy"):
                look(path)
    assert list(read_images(special)) == []


@pytest.mark.timeout(30)
def test_a_pipe_that_takes_a_files_place_is_refused_without_waiting(special, monkeypatch):
    monkeypatch.setattr("clickgrain.images.guard.check_regular", lambda *_: None)  # as if it had just been a file
    with pytest.raises(ImageError, match=r"pipe\.webp: cannot be read"):
        read_image(special[0])
    monkeypatch.undo()
    descriptor = os.open(special[0], os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(ImageError, match="a named pipe"):
        check_regular(special[0], os.fstat(descriptor).st_mode)
    os.close(descriptor)


@pytest.mark.timeout(30)
def test_a_folder_names_them_and_takes_the_files(special, tmp_path):
    Image.new("RGB", (9, 8)).save(tmp_path / "a.png")
    left_out = []
    assert find_images(tmp_path, left_out=left_out) == [tmp_path / "a.png"]
    assert len(left_out) == 1
    assert "3 of the kinds pipe, socket and device: device.jpg, pipe.webp, socket.png" in left_out[0]
    with pytest.raises(ClickgrainError, match=r"pipe\.webp: a named pipe"):
        find_images(special[0])
