"""Whatever bytes an image file has, it is an image or an `ImageError` that names it."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import strategies as st
from PIL import Image, features
from scipy.io import savemat

from clickgrain.errors import DataError, ImageError
from clickgrain.evaluation import masks
from clickgrain.export.geojson import georeference
from clickgrain.images import count_pages, read_image
from tests.fuzz.hostile import assert_named, changed_bytes

GREY = np.random.default_rng(0).integers(0, 255, (13, 17), np.uint8)
RGB = np.stack([GREY, GREY.T[:13, :13].repeat(2, 1)[:, :17], 255 - GREY], -1)
MODES = {"L": GREY, "RGB": RGB, "RGBA": np.dstack([RGB, GREY])}


def pillow(format_, mode, **how):
    content = io.BytesIO()
    Image.fromarray(MODES.get(mode, RGB)).convert(mode).save(content, format_, **how)
    return content.getvalue()


def tiff(image, **how):
    content = io.BytesIO()
    tifffile.imwrite(content, image, **how)
    return content.getvalue()


TURNED = Image.Exif()
TURNED[0x0112] = 6
DEEP = (RGB.astype(np.uint16) * 257)[..., ::-1]
FILES = {
    "png": [pillow("PNG", mode) for mode in ("1", "L", "P", "RGB", "RGBA")]
    + [pillow("PNG", "LA"), pillow("PNG", "I;16"), pillow("PNG", "P", transparency=3)]
    + [cv2.imencode(".png", image)[1].tobytes() for image in (DEEP, np.dstack([DEEP, DEEP[..., :1]]))],
    "jpeg": [pillow("JPEG", mode, **how) for mode in ("L", "RGB", "CMYK") for how in ({}, {"progressive": True})]
    + [pillow("JPEG", "RGB", exif=TURNED, restart_marker_rows=1, icc_profile=bytes(99))]
    + [pillow("MPO", "RGB", save_all=True, append_images=[Image.fromarray(RGB)])],
    "webp": [pillow("WEBP", "RGB"), pillow("WEBP", "RGBA", lossless=True)],
    "gif": [pillow("GIF", "P"), pillow("GIF", "L", save_all=True, append_images=[Image.fromarray(GREY)])],
    "bmp": [pillow("BMP", mode) for mode in ("1", "L", "P", "RGB", "RGBA")],
    "tiff": [
        tiff(RGB), tiff(GREY.astype(np.uint16) * 99), tiff(GREY.astype(np.float32) / 9), tiff(RGB, byteorder=">"),
        tiff(np.stack([RGB, RGB]), photometric="rgb"), tiff(RGB, bigtiff=True), tiff(GREY > 99),
        tiff(np.zeros((32, 32, 3), np.uint8), tile=(16, 16), compression="zlib", photometric="rgb"),
        tiff(GREY, compression="zlib", predictor=True), tiff(RGB, planarconfig="separate", photometric="rgb"),
        *(pillow("TIFF", mode, compression=way) for mode in ("L", "RGB", "P", "CMYK")
          for way in ("tiff_lzw", "packbits", "tiff_adobe_deflate", "jpeg") if way != "jpeg" or mode != "P"),
        pillow("TIFF", "1", compression="group4"), tiff(GREY, compression="lzma"),
        pillow("TIFF", "I;16", compression="tiff_lzw"), pillow("TIFF", "RGB", tiffinfo={274: 6}),
        tiff(GREY / np.float32(9), compression="zlib", extratags=[(317, "H", 1, 3)]),
        tiff(GREY.astype(np.int16) - 9, extratags=[(42113, "s", 0, "-9")]), tiff(GREY, photometric="miniswhite"),
        tiff(GREY, photometric="palette", colormap=np.arange(768, dtype=np.uint16).reshape(3, 256)),
        tiff(np.dstack([DEEP, DEEP[..., :1]]), photometric="rgb", extrasamples=["unassalpha"]),
        tiff(np.dstack([DEEP, DEEP[..., :1]]), photometric="separated"), tiff(GREY.astype(np.complex64)),
        tiff(np.zeros((4, 32, 32), np.uint16), photometric="minisblack", volumetric=True, tile=(2, 16, 16)),
        tiff(np.zeros((9, 9, 7), np.uint8), photometric="minisblack", planarconfig="contig"),
    ],
}  # fmt: skip
if features.check("avif"):
    FILES["avif"] = [pillow("AVIF", "RGB"), pillow("AVIF", "RGBA")]


NUMBERS = st.sampled_from([*range(10), 12, 16, 32, 64, 255, 5000, 32773, 32946, 2**16 - 1, 2**31, 2**32 - 1])
CODES = st.sampled_from([
    254, 256, 257, 258, 259, 262, 266, 270, 273, 274, 277, 278, 279, 284, 292, 317, 320, 322, 323, 324, 325, 330,
    338, 339, 347, 513, 530, 532, 32997, 33550, 33922, 34264, 34735, 34737, 42112, 42113, 50838,
])  # fmt: skip


@st.composite
def changed_fields(draw, files):
    """One of these TIFF files, with the code, type, count or value of some fields of its directories replaced."""
    content = bytearray(draw(st.sampled_from(files)))
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        fields = [tag.offset for page in file.pages for tag in page.tags]
        order, wide = {"<": "little", ">": "big"}[file.byteorder], 8 if file.is_bigtiff else 4
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.sampled_from(fields))
        place, size = draw(st.sampled_from([(0, 2), (2, 2), (4, wide), (4 + wide, wide), (4 + wide, 2)]))
        number = draw(CODES if place == 0 else NUMBERS | st.integers(0, 2**32 - 1))
        content[at + place : at + place + size] = (number % 256**size).to_bytes(size, order)
    return bytes(content)


@st.composite
def cut_short(draw, files):
    """One of these files without some of its last bytes, which in a JPEG may be missing."""
    content = draw(st.sampled_from(files))
    return content[: len(content) - draw(st.integers(0, len(content) // 4))]


def mended(content):
    """A PNG with right check sums, so that changes come as far as the decoder."""
    if content[:8] != b"\x89PNG\r\n\x1a\n":
        return content
    out, at = content[:8], 8
    while at + 12 <= len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        body = content[at + 4 : at + 8 + length]
        out += content[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + length
    return out + content[at:]


@pytest.fixture
def check(tmp_path):
    """Read bytes as an image file in every way that there is."""
    path = tmp_path / "fuzzed.img"

    def pages():
        return (read_image(path, page=page, max_pixels=1_000_000) for page in range(count_pages(path)))

    def run(content):
        path.write_bytes(content)
        assert_named(str(path), lambda: look([read_image(path, max_pixels=1_000_000)]), ImageError)
        assert_named(str(path), lambda: look([read_image(path, max_pixels=1_000_000, window=(9, 99))]), ImageError)
        assert_named(str(path), lambda: look(pages()), ImageError)

    return run


def look(images):
    for image in images:
        assert (image.dtype, image.ndim, image.shape[2]) == (np.uint8, 3, 3)


@pytest.mark.timeout(0)
@pytest.mark.parametrize("format_", FILES)
def test_image_files(search, check, format_):
    search(changed_bytes(FILES[format_]) | cut_short(FILES[format_]), lambda content: check(mended(content)))


@pytest.mark.timeout(0)
def test_fields_of_a_tiff(search, check):
    search(changed_fields(FILES["tiff"]), check)


KEYS = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 2, 3072, 0, 1, 32633)
SCALED = [(33550, "d", 3, (1.0, 1.0, 0.0)), (33922, "d", 6, (0.0, 0.0, 0.0, 100.0, 200.0, 0.0))]
ROTATED = [(34264, "d", 16, tuple(map(float, range(16))))]
GEOREFERENCED = [tiff(RGB, extratags=[*how, (34735, "H", 16, KEYS)]) for how in (SCALED, ROTATED)]


@pytest.mark.timeout(0)
def test_places_on_the_map(search, tmp_path):
    """Whatever its tags say, a TIFF lies somewhere or nowhere; an export goes on."""

    def check(content):
        (tmp_path / "map.tif").write_bytes(content)
        found = georeference(tmp_path / "map.tif")
        assert found is None or np.isfinite(found.matrix).all()

    search(changed_bytes([*GEOREFERENCED, FILES["tiff"][0]]) | changed_fields(GEOREFERENCED), check)


@pytest.mark.timeout(0)
def test_label_maps(search, tmp_path):
    """Masks of benchmarks and of VOC."""
    readers = {
        "exact": masks.read_exact, "trimap": masks.read_trimap, "half": masks.read_half, "any": masks.read_any,
        "labels": lambda path, size: masks.read_labels(path),
        "components": lambda path, size: masks.read_components(path),
    }  # fmt: skip

    def check(drawn):
        content, name = drawn
        (tmp_path / "mask.png").write_bytes(mended(content))
        assert_named("mask.png", lambda: readers[name](tmp_path / "mask.png", GREY.shape), DataError, ImageError)

    search(st.tuples(changed_bytes(FILES["png"]), st.sampled_from(sorted(readers))), check)


@pytest.mark.timeout(0)
def test_instances_of_sbd(search, tmp_path):
    """MATLAB files: bytes of plain ones, and of their packed part."""
    path = tmp_path / "instances.mat"
    struct_ = {"Segmentation": GREY % 4, "Categories": np.arange(3), "Boundaries": np.zeros((2, 1), object)}
    files = []
    for packed in (False, True):
        savemat(path, {"GTinst": struct_}, do_compression=packed)
        files.append(path.read_bytes())

    def check(content):
        path.write_bytes(content)
        assert_named("instances.mat", lambda: masks.read_sbd(path), DataError)

    search(changed_bytes(files), check)
