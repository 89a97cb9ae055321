import numpy as np
import pytest
import tifffile
from PIL import Image
from tiff_files import read_pages

from clickgrain.errors import ImageError
from clickgrain.images import read_image


def noise(shape, dtype=np.uint8, seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(size=shape).astype(dtype)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype)


def scaled(values):
    values = values.astype(np.float64)
    low, high = np.percentile(values, (0.5, 99.5))
    return np.clip((values - low) / (high - low), 0, 1) * 255


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("mode", ["L", "RGB", "1", "P"])
def test_eight_bit_compressions_are_exact(tmp_path, compression, mode):
    picture = Image.fromarray(noise((20, 30, 3))).convert(mode)
    picture.save(tmp_path / "a.tif", compression=compression)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), np.asarray(picture.convert("RGB")))


def test_fax_compression(tmp_path):
    bits = noise((16, 24)) > 127
    Image.fromarray(bits).save(tmp_path / "a.tif", compression="group4")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[..., 0], bits * 255)


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.uint32, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3)])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_deep_pages_are_scaled_by_percentiles(tmp_path, dtype, shape, compression):
    values, notes = noise(shape, dtype), []
    photometric = "rgb" if len(shape) == 3 else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", values, photometric=photometric, compression=compression)
    image = read_image(tmp_path / "a.tif", notes=notes)
    expected = scaled(values.reshape(20, 30, -1))
    assert np.abs(image - expected).max() <= 0.51
    assert np.dtype(dtype).name in notes[0]


def test_deep_lzw_of_libtiff(tmp_path):
    values = noise((20, 30), np.uint16)
    Image.fromarray(values).save(tmp_path / "a.tif", compression="tiff_lzw")
    assert np.abs(read_image(tmp_path / "a.tif") - scaled(values)[..., None]).max() <= 0.51


def test_deep_lzw_of_opencv(tmp_path):
    import cv2

    values = noise((20, 30, 3), np.uint16)
    cv2.imwrite(str(tmp_path / "a.tif"), values[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, 5])
    assert np.abs(read_image(tmp_path / "a.tif") - scaled(values)).max() <= 0.51


def test_not_a_number_and_infinity(tmp_path):
    values = np.linspace(0, 1, 600, dtype=np.float32).reshape(20, 30)
    values[0, 0], values[0, 1], values[0, 2] = np.nan, np.inf, -np.inf
    tifffile.imwrite(tmp_path / "a.tif", values)
    image = read_image(tmp_path / "a.tif")
    assert image[0, :3, 0].tolist() == [0, 255, 0]
    tifffile.imwrite(tmp_path / "b.tif", np.full((4, 5), np.nan, np.float32))
    assert not read_image(tmp_path / "b.tif").any()


def test_a_sparse_deep_page_keeps_its_few_values(tmp_path):
    values = np.zeros((30, 30), np.uint16)
    values[3, 4] = 700
    tifffile.imwrite(tmp_path / "a.tif", values)
    assert read_image(tmp_path / "a.tif")[3, 4, 0] == 255


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_many_channels_show_the_first_three_with_a_note(tmp_path, planar):
    values, notes = noise((20, 30, 6)), []
    stored = values if planar == "contig" else values.transpose(2, 0, 1)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="minisblack", planarconfig=planar)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif", notes=notes), values[..., :3])
    assert "6 channels; the first 3 shown as RGB" in notes[0]


def test_separate_colour_planes(tmp_path):
    values = noise((20, 30, 3))
    tifffile.imwrite(tmp_path / "a.tif", values.transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), values)


def test_two_channels_show_the_first_as_grey(tmp_path):
    values, notes = noise((20, 30, 2), np.uint16), []
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack", planarconfig="contig")
    assert np.abs(read_image(tmp_path / "a.tif", notes=notes) - scaled(values[..., :1])).max() <= 0.51
    assert "2 channels" in notes[0]


def test_deep_alpha_is_composited_over_white(tmp_path):
    values = noise((20, 30, 4), np.uint16)
    values[..., 3] = 0
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", extrasamples=["unassalpha"])
    assert (read_image(tmp_path / "a.tif") == 255).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_white_is_zero(tmp_path, dtype):
    values = np.linspace(0, np.iinfo(dtype).max, 600).astype(dtype).reshape(20, 30)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="miniswhite")
    image = read_image(tmp_path / "a.tif")[..., 0].astype(int)
    assert image[0, 0] == 255
    assert image[-1, -1] == 0
    assert (np.diff(image.ravel()) <= 0).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_orientation_of_plain_and_deep_pages(tmp_path, dtype):
    values = np.zeros((20, 30), dtype)
    values[:10, :10] = np.iinfo(dtype).max  # top left before, top right after a quarter turn clockwise
    tifffile.imwrite(tmp_path / "a.tif", values, extratags=[(274, "H", 1, 6, True)])
    np.testing.assert_array_equal(
        read_image(tmp_path / "a.tif")[..., 0], np.rot90(values > 0, -1).astype(np.uint8) * 255
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_all_pages_on_request(tmp_path, dtype):
    values, notes = noise((3, 20, 30), dtype), []
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack")
    pages = list(read_pages(tmp_path / "a.tif"))
    assert len(pages) == 3
    for index, page in enumerate(pages):
        expected = values[index] if dtype == np.uint8 else scaled(values[index])
        assert np.abs(page[..., 0] - expected).max() <= 0.51
        np.testing.assert_array_equal(page, read_image(tmp_path / "a.tif", page=index))
    read_image(tmp_path / "a.tif", notes=notes)
    assert any("3 pages; the first was read" in note for note in notes)


def test_reduced_copies_are_not_pages(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(noise((32, 32, 3)), photometric="rgb")
        file.write(noise((16, 16, 3)), photometric="rgb", subfiletype=1)
    assert len(list(read_pages(tmp_path / "a.tif"))) == 1


@pytest.mark.parametrize("mode", ["P", "CMYK", "1", "L", "RGB", "RGBA"])
def test_pages_above_pillows_limit_are_read_alike(tmp_path, monkeypatch, mode):
    Image.fromarray(noise((20, 30, 3))).convert(mode).save(tmp_path / "a.tif")
    ordinary = read_image(tmp_path / "a.tif")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert np.abs(read_image(tmp_path / "a.tif").astype(int) - ordinary).max() <= 1


def test_a_page_that_is_not_there(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise((20, 30)))
    for page in (1, -1):
        with pytest.raises(ImageError, match=rf"a\.tif: no page {page}; it has 1"):
            read_image(tmp_path / "a.tif", page=page)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_pixel_limit(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "a.tif", noise((20, 30), dtype))
    with pytest.raises(ImageError, match="30 x 20"):
        read_image(tmp_path / "a.tif", max_pixels=599)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_truncated_pages_are_refused(tmp_path, compression, dtype):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise((64, 64), dtype), compression=compression)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ImageError, match="damaged or truncated"):
        read_image(path)


def test_complex_values_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.ones((4, 4), np.complex64))
    with pytest.raises(ImageError, match="complex64"):
        read_image(tmp_path / "a.tif")
