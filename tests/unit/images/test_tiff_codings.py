"""However a TIFF is coded, it gives what the same pixels and tag give uncompressed."""

from itertools import product

import numpy as np
import pytest
from PIL import Image
from tiff_files import CODERS, DEFLATE, LZW, NONE, lzw, tiff

from clickgrain.errors import ImageError
from clickgrain.images import read_image
from clickgrain.images.codecs import lzw_decode

UPRIGHT = {
    0: lambda a: a,  # no tag
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}
LAYOUTS = {
    "one strip": {},
    "strips": {"rows": 10},
    "tiles": {"tile": 16},
    "planes": {"planar": True},
    "planes in strips": {"planar": True, "rows": 10},
    "planes in tiles": {"planar": True, "tile": 16},
}
TYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "f2", "f4", "f8"]


def values(type_, channels=1, bits=0):
    """37 x 50 x C values that are no two alike in a row, so that a shift or a wrong byte shows."""
    y, x = np.mgrid[:37, :50]
    grown = np.stack([y * 7 + x * 3, x * 11 + y, (x * y) % 251, 255 - x, x ^ y][:channels], axis=-1)
    dtype = np.dtype(type_)
    if dtype.kind == "f":
        return (grown / 13 - 3).astype(dtype)
    if bits or dtype.itemsize == 1:
        return (grown * 23 % (1 << (bits or 8))).astype(dtype)
    return (grown * 23 - (3000 if dtype.kind == "i" else 0)).astype(dtype)


@pytest.fixture
def read(tmp_path):
    def read(content, notes=None):
        (tmp_path / "a.tif").write_bytes(content)
        return read_image(tmp_path / "a.tif", notes=notes)

    return read


def turns(case):
    """Two of the nine orientations and one byte order for each case, all of them over the cases."""
    return [case % 9, (case * 5 + 4) % 9], "<>"[case // 2 % 2]


@pytest.mark.parametrize("compression", CODERS)
@pytest.mark.parametrize("type_", TYPES)
def test_every_layout_orientation_and_predictor_gives_the_same_image(read, type_, compression):
    predictors = (1, 3) if type_[0] == "f" else (1, 2)
    case = TYPES.index(type_)
    for channels in (1, 3, 4, 5):
        pixels = values(type_, channels)
        plain = read(tiff(pixels))
        for layout, predictor in product(LAYOUTS, predictors if compression in (LZW, DEFLATE) else (1,)):
            case += 1
            orientations, order = turns(case)
            for orientation in orientations:
                content = tiff(
                    pixels,
                    compression,
                    predictor=predictor,
                    orientation=orientation,
                    order=order,
                    **LAYOUTS[layout],
                )
                np.testing.assert_array_equal(
                    read(content),
                    UPRIGHT[orientation](plain),
                    err_msg=f"{channels} channels in {layout}, predictor {predictor}, {orientation=}, {order=}",
                )


@pytest.mark.parametrize("compression", CODERS)
@pytest.mark.parametrize("white_is_zero", [True, False])
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 6, 8, 10, 12, 16])
def test_grey_of_any_depth_and_either_photometry(read, bits, white_is_zero, compression):
    pixels, top = values("u1" if bits <= 8 else "u2", bits=bits), (1 << bits) - 1
    seen = (top - pixels if white_is_zero else pixels).astype(float)
    low, high = (0, top) if bits <= 8 else np.percentile(seen, (0.5, 99.5))
    expected = np.clip((seen - low) / (high - low), 0, 1) * 255
    for case, layout in enumerate(("one strip", "strips", "tiles")):
        for channels in (1, 3):  # three grey channels are shown as RGB
            orientations, order = turns(case + bits + channels)
            for orientation in orientations:
                content = tiff(
                    np.repeat(pixels, channels, axis=2),
                    compression,
                    bits=bits,
                    photometric=0 if white_is_zero else 1,
                    orientation=orientation,
                    order=order,
                    **LAYOUTS[layout],
                )
                found = read(content)
                assert found.shape == (*UPRIGHT[orientation](expected).shape[:2], 3)
                assert np.abs(found - UPRIGHT[orientation](expected)).max() < 1, (layout, channels, orientation)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("mode", "compression"),
    [("L", "jpeg"), ("RGB", "jpeg"), ("CMYK", "jpeg"), ("1", "group4"), ("P", "tiff_lzw"), ("LA", "packbits")],
)
def test_codings_of_libtiff_stand_upright(tmp_path, mode, compression, orientation):
    picture = Image.fromarray(values("u1", 3)).convert(mode)
    picture.save(tmp_path / "plain.tif", compression=compression)
    picture.save(tmp_path / "turned.tif", compression=compression, tiffinfo={274: orientation})
    expected = UPRIGHT[orientation](read_image(tmp_path / "plain.tif"))
    np.testing.assert_array_equal(read_image(tmp_path / "turned.tif"), expected)


@pytest.mark.parametrize("compression", [NONE, LZW, DEFLATE])
@pytest.mark.parametrize(
    ("type_", "no_data", "tag"),
    [
        ("i2", -9999, b"-9999\0"),
        ("i2", -9999, b"-9999.0 \0"),
        ("u2", 0, b"0\0"),
        ("i4", -2147483648, b"-2147483648\0"),
        ("f2", -9999, b"-9999\0"),
        ("f4", -9999, b"-9999\0"),
        ("f4", -3.4028234663852886e38, b"-3.40282346638529e+38\0"),
        ("f4", np.nan, b"nan\0"),
        ("f8", -1e308, b"-1e+308\0"),
    ],
)
@pytest.mark.parametrize("photometric", [0, 1])
def test_values_that_stand_for_none_are_black_and_count_nowhere(
    read, type_, no_data, tag, compression, photometric
):
    pixels = values(type_) + np.dtype(type_).type(3001)
    plain = read(tiff(pixels[10:], photometric=photometric))
    pixels[:10] = no_data
    notes = []
    found = read(tiff(pixels, compression, photometric=photometric, extra=[(42113, 2, tag)], rows=7), notes)
    np.testing.assert_array_equal(found[10:], plain)
    assert not found[:10].any()
    assert found.max() == 255
    assert "27 % of the values are no data" in notes[1]


def test_not_a_number_needs_no_tag_and_other_tags_change_nothing(read):
    pixels, notes = values("f4"), []
    plain = read(tiff(pixels))
    np.testing.assert_array_equal(read(tiff(pixels, extra=[(42113, 2, b"none\0")])), plain)
    np.testing.assert_array_equal(read(tiff(pixels, extra=[(42113, 2, b"-9999\0")])), plain)
    pixels[:10] = np.nan
    assert not read(tiff(pixels), notes)[:10].any()
    assert "27 % of the values are not a number; shown black" in notes[1]


def test_few_valid_values_are_found_between_many_others(read, monkeypatch):
    monkeypatch.setattr("clickgrain.images.pixels._SAMPLE", 10)
    pixels = np.full((37, 50), -9999, np.float32)
    pixels[5, 6], pixels[7, 8] = 3, 5
    found = read(tiff(pixels, extra=[(42113, 2, b"-9999\0")]))
    assert (found[5, 6, 0], found[7, 8, 0], np.count_nonzero(found)) == (0, 255, 3)


def test_percentiles_look_at_every_channel(read, monkeypatch):
    monkeypatch.setattr("clickgrain.images.pixels._SAMPLE", 37 * 50)  # every third value would be red alone
    pixels = np.full((37, 50, 3), 100, np.uint16)
    pixels[..., 2] = 60000
    assert read(tiff(pixels))[0, 0].tolist() == [0, 0, 255]


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 5000, 70_000])
@pytest.mark.parametrize("letters", [1, 2, 40, 256])
def test_lzw_is_undone(size, letters):
    data = np.random.default_rng(size).integers(0, letters, size, dtype=np.uint8).tobytes()
    coded = lzw(data)
    assert lzw_decode(coded, out=size) == data
    assert lzw_decode(coded, out=size + 9) == data
    assert lzw_decode(coded, out=size // 2) == data[: size // 2]


def test_damaged_lzw_ends_within_its_bytes():
    rng = np.random.default_rng(0)
    coded = np.frombuffer(lzw(rng.integers(0, 30, 400, dtype=np.uint8).tobytes()), np.uint8)
    for _ in range(300):
        damaged = coded.copy()
        damaged[rng.integers(len(coded), size=3)] = rng.integers(0, 256, 3)
        assert len(lzw_decode(damaged.tobytes(), out=400)) <= 400


@pytest.mark.parametrize("compression", CODERS)
@pytest.mark.parametrize("type_", ["u1", "u2", "f4"])
def test_pages_cut_short_are_refused(read, type_, compression):
    content = tiff(np.random.default_rng(0).integers(0, 200, (60, 60)).astype(type_), compression)
    start = int.from_bytes(content[4:8], "little")
    with pytest.raises(ImageError, match="damaged or truncated"):
        read(content[:8] + bytes(1500) + content[8 + 1500 : start - 1500] + b"\xff" * 1500 + content[start:][:40])


@pytest.mark.parametrize("type_", ["c8", "c16"])
@pytest.mark.parametrize("compression", CODERS)
def test_complex_numbers_are_called_so(read, type_, compression):
    with pytest.raises(ImageError, match=rf"complex numbers \(complex{64 * int(type_[1:]) // 8}\); save"):
        read(tiff(np.ones((9, 8), type_), compression))


@pytest.mark.parametrize("code", [34712, 50000, 34887])
def test_a_coding_that_is_not_read_is_named_with_what_to_do(read, code, monkeypatch):
    monkeypatch.setitem(CODERS, code, bytes)
    with pytest.raises(
        ImageError, match=r"its coding is not supported \(.*\); save it uncompressed or with deflate"
    ):
        read(tiff(values("u2"), code))
