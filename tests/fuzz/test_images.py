"""Whatever bytes an image file has, it is an image or an `ImageError` that names it."""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from hypothesis import strategies as st
from PIL import Image, features

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


FILES = {
    "png": [pillow("PNG", mode) for mode in ("1", "L", "P", "RGB", "RGBA")]
    + [pillow("PNG", "LA"), pillow("PNG", "I;16")],
    "jpeg": [pillow("JPEG", mode, **how) for mode in ("L", "RGB", "CMYK") for how in ({}, {"progressive": True})],
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
        pillow("TIFF", "1", compression="group4"),
    ],
}  # fmt: skip
if features.check("avif"):
    FILES["avif"] = [pillow("AVIF", "RGB"), pillow("AVIF", "RGBA")]


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
        assert_named(str(path), lambda: look(pages()), ImageError)

    return run


def look(images):
    for image in images:
        assert (image.dtype, image.ndim, image.shape[2]) == (np.uint8, 3, 3)


@pytest.mark.timeout(0)
@pytest.mark.parametrize("format_", FILES)
def test_image_files(search, check, format_):
    search(changed_bytes(FILES[format_]), lambda content: check(mended(content)))


KEYS = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 2, 3072, 0, 1, 32633)
SCALED = [(33550, "d", 3, (1.0, 1.0, 0.0)), (33922, "d", 6, (0.0, 0.0, 0.0, 100.0, 200.0, 0.0))]
TURNED = [(34264, "d", 16, tuple(map(float, range(16))))]
GEOREFERENCED = [tiff(RGB, extratags=[*how, (34735, "H", 16, KEYS)]) for how in (SCALED, TURNED)]


@pytest.mark.timeout(0)
def test_places_on_the_map(search, tmp_path):
    """Whatever its tags say, a TIFF lies somewhere or nowhere; an export goes on."""

    def check(content):
        (tmp_path / "map.tif").write_bytes(content)
        found = georeference(tmp_path / "map.tif")
        assert found is None or np.isfinite(found.matrix).all()

    search(changed_bytes([*GEOREFERENCED, FILES["tiff"][0]]), check)


@pytest.mark.timeout(0)
def test_label_maps(search, tmp_path):
    """Masks of benchmarks and of VOC."""
    readers = [masks.read_exact, masks.read_trimap, masks.read_half, masks.read_any]

    def check(drawn):
        content, read = drawn
        (tmp_path / "mask.png").write_bytes(mended(content))
        assert_named("mask.png", lambda: read(tmp_path / "mask.png", GREY.shape), DataError, ImageError)

    labels = [lambda path, size: masks.read_labels(path), lambda path, size: masks.read_components(path)]
    search(st.tuples(changed_bytes(FILES["png"]), st.sampled_from(readers + labels)), check)
