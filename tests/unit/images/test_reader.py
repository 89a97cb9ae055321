import os
import struct
import sys
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from clickgrain.errors import ImageError
from clickgrain.images import read_image, reader
from clickgrain.images.pixels import orientation_of

SUFFIXES = ["jpg", "png", "webp", "tif", "bmp", "gif", "avif"]


def noise(height=20, width=30, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def smooth(height=20, width=30):
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 8, y * 12, x * 2 + y * 2], axis=2).astype(np.uint8)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_gives_writable_rgb(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(smooth()).save(path)
    image = read_image(path)
    assert image.shape == (20, 30, 3)
    assert image.dtype == np.uint8
    assert image.flags.writeable
    assert image.flags.c_contiguous
    assert np.abs(image.astype(int) - smooth()).mean() < (0.5 if suffix in ("png", "tif", "bmp") else 12)


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
def test_lossless_formats_are_exact_and_the_suffix_does_not_decide(tmp_path, suffix):
    Image.fromarray(noise()).save(tmp_path / f"a.{suffix}")
    path = (tmp_path / f"a.{suffix}").rename(tmp_path / "a.jpg")
    np.testing.assert_array_equal(read_image(str(path)), noise())


UPRIGHT = {  # EXIF 2.32, tag 0x0112: what the first row and column of the stored image are when it stands upright
    1: lambda a: a,  # top, left
    2: lambda a: np.fliplr(a),  # top, right
    3: lambda a: np.rot90(a, 2),  # bottom, right
    4: lambda a: np.flipud(a),  # bottom, left
    5: lambda a: a.transpose(1, 0, 2),  # left, top
    6: lambda a: np.rot90(a, -1),  # right, top
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),  # right, bottom
    8: lambda a: np.rot90(a, 1),  # left, bottom
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif"])
def test_exif_orientation_stands_upright(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(smooth()).save(tmp_path / f"plain.{suffix}")
    Image.fromarray(smooth()).save(tmp_path / f"turned.{suffix}", exif=exif)
    expected = UPRIGHT[orientation](read_image(tmp_path / f"plain.{suffix}"))
    np.testing.assert_array_equal(read_image(tmp_path / f"turned.{suffix}"), expected)


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_heic_stands_upright_without_pillows_list_of_plugins(tmp_path, orientation):
    heif, exif, before = pytest.importorskip("pillow_heif"), Image.Exif(), set(Image.OPEN)
    exif[0x0112] = orientation
    for name, options in (("plain", {}), ("turned", {"exif": exif.tobytes()})):
        heif.from_pillow(Image.fromarray(smooth())).save(tmp_path / f"{name}.heic", quality=95, **options)
    plain = read_image(tmp_path / "plain.heic")
    assert np.abs(plain.astype(int) - smooth()).mean() < 4
    np.testing.assert_array_equal(read_image(tmp_path / "turned.heic"), UPRIGHT[orientation](plain))
    assert set(Image.OPEN) == before  # imageio puts it there, if a test before has loaded that


def test_of_several_heic_images_the_main_one_is_read(tmp_path):
    heif, notes = pytest.importorskip("pillow_heif"), []
    file = heif.from_pillow(Image.new("RGB", (64, 48), "red"))
    file.add_from_pillow(Image.new("RGB", (80, 64), "blue"))
    file.save(tmp_path / "a.heic", primary_index=1)
    image = read_image(tmp_path / "a.heic", notes=notes)
    assert image.shape == (64, 80, 3)
    assert np.abs(image.astype(int) - [0, 0, 255]).max() < 16
    assert notes == [f"{tmp_path / 'a.heic'}: several images; the main one was read"]


def test_heic_and_avif_that_nothing_reads_say_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic")
    (tmp_path / "b.jpg").write_bytes(b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif")
    for package in reader.HEIF_PACKAGES:
        monkeypatch.setitem(sys.modules, f"{package}.as_plugin", None)
    monkeypatch.setattr(reader.features, "check", lambda _: False)
    with pytest.raises(
        ImageError, match=r"a\.jpg: a HEIC image; `pip install 'clickgrain\[heif\]'`, or convert it"
    ):
        read_image(tmp_path / "a.jpg")
    with pytest.raises(ImageError, match=r"b\.jpg: an AVIF image, .*; update it, or convert the file to PNG"):
        read_image(tmp_path / "b.jpg")


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bit_png_stands_upright(tmp_path, orientation, channels):
    values = (smooth()[..., :channels].astype(np.uint16) + 1) * 200
    content = cv2.imencode(".png", values)[1].tobytes()
    exif = b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 0x0112, 3, 1, orientation) + bytes(4)
    chunk = struct.pack(">I", len(exif)) + b"eXIf" + exif + struct.pack(">I", zlib.crc32(b"eXIf" + exif))
    (tmp_path / "plain.png").write_bytes(content)
    (tmp_path / "turned.png").write_bytes(content[:33] + chunk + content[33:])
    expected = UPRIGHT[orientation](read_image(tmp_path / "plain.png"))
    np.testing.assert_array_equal(read_image(tmp_path / "turned.png"), expected)


@pytest.mark.parametrize("exif", [b"", b"Exif\0\0", b"Exif\0\0XX*\0", b"Exif\0\0II*\0\xff\xff\xff\xff"])
def test_orientation_of_damaged_exif_is_upright(exif):
    assert orientation_of(exif) == 1


@given(st.binary(max_size=80))
def test_orientation_is_always_1_to_8(tail):
    assert 1 <= orientation_of(b"MM\0*\0\0\0\x08" + tail) <= 8


def test_grey_and_one_bit(tmp_path):
    grey = noise()[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey > 127).save(tmp_path / "bit.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png"), np.repeat(grey[..., None], 3, axis=2))
    np.testing.assert_array_equal(read_image(tmp_path / "bit.png")[..., 1], (grey > 127) * 255)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_composited_over_white(tmp_path, mode):
    values = noise(channels=len(mode), seed=1)
    Image.fromarray(values, mode=None).save(tmp_path / "a.png")
    share = values[..., -1:].astype(float) / 255
    expected = values[..., :-1] * share + 255 * (1 - share)
    assert np.abs(read_image(tmp_path / "a.png") - expected).max() <= 0.51


def test_palettes_with_and_without_transparency(tmp_path):
    picture = Image.fromarray(smooth()).quantize(16)
    picture.save(tmp_path / "opaque.png")
    picture.save(tmp_path / "clear.png", transparency=0)
    picture.save(tmp_path / "bytes.png", transparency=bytes([0, 128] + [255] * 14))
    expected, index = np.asarray(picture.convert("RGB")), np.asarray(picture)
    np.testing.assert_array_equal(read_image(tmp_path / "opaque.png"), expected)
    clear = read_image(tmp_path / "clear.png")
    assert (clear[index == 0] == 255).all()
    np.testing.assert_array_equal(clear[index != 0], expected[index != 0])
    half = read_image(tmp_path / "bytes.png")[index == 1]
    assert np.abs(half - (255 + (expected[index == 1].astype(float) - 255) * 128 / 255)).max() <= 0.51


def test_cmyk_jpeg(tmp_path):
    flat = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    flat.save(tmp_path / "a.jpg", quality=95)
    image = read_image(tmp_path / "a.jpg").astype(int)
    assert np.abs(image - [0, 255, 255]).max() < 6


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bit_png_is_scaled_by_percentiles_with_a_note(tmp_path, channels):
    values = np.random.default_rng(0).integers(1000, 5000, (40, 50, channels), dtype=np.uint16)
    if channels == 4:
        values[..., 3] = 65535
    assert cv2.imwrite(str(tmp_path / "a.png"), values[..., 0] if channels == 1 else values)
    notes = []
    image = read_image(tmp_path / "a.png", notes=notes)
    colour = values[..., :1] if channels == 1 else values[..., 2::-1]
    low, high = np.percentile(colour, (0.5, 99.5))
    expected = np.clip((colour - low) / (high - low), 0, 1) * 255
    assert np.abs(image - expected).max() <= 0.51
    assert len(notes) == 1
    assert "a.png: uint16 values" in notes[0]
    assert "percentiles" in notes[0]


def grey_alpha_16(values):
    """A 16-bit grey + alpha PNG, byte by byte, since no library here writes one."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = values.shape
    header = struct.pack(">IIBBBBB", width, height, 16, 4, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def test_sixteen_bit_grey_with_alpha(tmp_path):
    values = np.zeros((10, 20, 2), np.uint16)
    values[:, :10, 0], values[..., 1] = 40000, 65535
    values[:5, :, 1] = 0
    (tmp_path / "a.png").write_bytes(grey_alpha_16(values))
    image = read_image(tmp_path / "a.png")
    assert (image[:5] == 255).all()
    assert (image[5:, :10] == 255).all()
    assert (image[5:, 10:] == 0).all()


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_animations_give_their_first_frame_with_a_note(tmp_path, suffix):
    frames = [Image.new("RGB", (12, 8), colour) for colour in ("red", "blue", "lime")]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], duration=50)
    notes = []
    image = read_image(tmp_path / f"a.{suffix}", notes=notes)
    assert np.abs(image.astype(int) - [255, 0, 0]).max() < 6
    assert notes == [f"{tmp_path / f'a.{suffix}'}: animated; its first frame was read"]


def test_phone_jpegs_with_several_pictures_give_the_first(tmp_path):
    first, second = Image.new("RGB", (16, 8), "red"), Image.new("RGB", (4, 4), "blue")
    first.save(tmp_path / "a.mpo", save_all=True, append_images=[second])
    assert read_image(tmp_path / "a.mpo").shape == (8, 16, 3)


def test_no_note_for_ordinary_files(tmp_path):
    Image.fromarray(noise()).save(tmp_path / "a.png")
    notes = []
    read_image(tmp_path / "a.png", notes=notes)
    assert notes == []


def header_only_png(width, height):
    data = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + data
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def test_the_pixel_limit_is_checked_before_decoding_and_can_be_set(tmp_path):
    # Also above twice Pillow's own limit, where Image.open would refuse by itself.
    (tmp_path / "huge.png").write_bytes(header_only_png(60000, 50000) + b"\0\0\0\0IEND\xaeB`\x82")
    with pytest.raises(ImageError, match=r"huge.png: 60000 x 50000 = 3e\+03 megapixels .* raise max_pixels"):
        read_image(tmp_path / "huge.png")
    Image.fromarray(noise()).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", max_pixels=600).shape == (20, 30, 3)
    with pytest.raises(ImageError, match="over the limit"):
        read_image(tmp_path / "a.png", max_pixels=599)


def test_pillows_global_limit_neither_warns_nor_refuses_nor_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    for suffix in ("jpg", "png", "tif", "bmp", "gif"):
        Image.fromarray(noise()).save(tmp_path / f"a.{suffix}")
        assert read_image(tmp_path / f"a.{suffix}").shape == (20, 30, 3)
    Image.fromarray(noise()).save(tmp_path / "a.webp")
    with pytest.raises(ImageError, match="too large for its format's decoder; convert it"):
        read_image(tmp_path / "a.webp")
    assert Image.MAX_IMAGE_PIXELS == 10


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"not an image at all", "not an image"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "damaged or truncated"),
        (b"\0\0\0\x18ftypavif\0\0\0\0", "damaged or truncated"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "a video file"),
        (b"\xff\xd8\xff", "damaged or truncated"),
        (b"\x89PNG\r\n\x1a\n", "damaged or truncated"),
        (b"GIF89a", "damaged or truncated"),
        (b"BM", "damaged or truncated"),
        (b"RIFF\0\0\0\0WEBP", "damaged or truncated"),
        (b"II*\0", "damaged or truncated"),
    ],
)
def test_files_that_are_no_image_name_file_cause_and_fix(tmp_path, content, message):
    (tmp_path / "bad.jpg").write_bytes(content)
    with pytest.raises(ImageError, match=rf"bad\.jpg: .*{message}.*; (copy|convert)"):
        read_image(tmp_path / "bad.jpg")


def test_missing_files_folders_and_closed_files(tmp_path, monkeypatch):
    with pytest.raises(ImageError, match="no such file; check the path"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(ImageError, match="a folder, not an image"):
        read_image(tmp_path)
    with pytest.raises(ImageError, match="cannot be opened"):
        read_image("a\0.jpg")

    def refuse(*_args, **_kwargs):
        raise PermissionError

    (tmp_path / "a.jpg").touch()
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ImageError, match="permission denied; make the file readable"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_truncated_files_are_refused(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(noise(64, 64)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageError, match="damaged or truncated"):
        read_image(path)


def textured(mode):
    """300 x 400 with detail everywhere, and nowhere the grey that stands for what is missing."""
    rng = np.random.default_rng(0)
    blurred = cv2.GaussianBlur(rng.integers(0, 256, (300, 400, 3), dtype=np.uint8), (0, 0), 2)
    return Image.fromarray(np.where(np.abs(blurred.astype(int) - 128) < 3, 132, blurred).astype(np.uint8)).convert(
        mode
    )


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("cut", [1, 2, 3, 10, 100, 700])
def test_a_jpeg_without_its_last_bytes_is_shown_with_a_note(tmp_path, mode, progressive, cut):
    path, notes = tmp_path / "a.jpg", []
    textured(mode).save(path, quality=90, progressive=progressive)
    whole = read_image(path, notes=notes)
    assert notes == []
    path.write_bytes(path.read_bytes()[:-cut])
    found = read_image(path, notes=notes)
    assert found.shape == whole.shape
    upper = found[:260].astype(int) - whole[:260]
    assert np.abs(upper).max() < (80 if progressive else 1)  # of a progressive one the last scan refines it all
    assert np.abs(upper).mean() < 2
    assert len(notes) == 1
    assert f"{path}: its last bytes are missing" in notes[0]


def test_what_is_missing_of_a_jpeg_is_counted(tmp_path):
    path, notes = tmp_path / "a.jpg", []
    textured("RGB").save(path, quality=90)
    path.write_bytes(path.read_bytes()[: int(0.93 * path.stat().st_size)])
    image = read_image(path, notes=notes)
    assert (image[-1, -100:] == 128).all()
    share = float(notes[0].split()[-7])
    assert 3 < share < 10
    assert abs(100 * (image == 128).all(axis=2).mean() - share) < 1.5


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("kept", [0.02, 0.2, 0.5])
def test_a_jpeg_that_lacks_more_is_refused(tmp_path, mode, progressive, kept):
    path = tmp_path / "a.jpg"
    textured(mode).save(path, quality=90, progressive=progressive)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(ImageError, match=r"a\.jpg: damaged or truncated"):
        read_image(path)


def test_a_thumbnails_scans_are_not_those_of_the_image(tmp_path):
    thumbnail, path = BytesIO(), tmp_path / "a.jpg"
    textured("RGB").resize((40, 30)).save(thumbnail, "JPEG")
    exif = b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0" + thumbnail.getvalue()
    textured("RGB").save(path, quality=90, progressive=True, exif=exif)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageError, match="its finer scans are missing"):
        read_image(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), suffix=st.sampled_from([*SUFFIXES, "deep.png"]))
def test_damaged_files_give_an_image_or_an_image_error(tmp_path, data, suffix):
    path = tmp_path / f"a.{suffix}"
    if suffix == "deep.png":
        cv2.imwrite(str(path), np.full((9, 9, 3), 999, np.uint16))
    else:
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(noise(16, 16)).save(path, exif=exif)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, min(len(content), 300) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content[: data.draw(st.integers(1, len(content)))]))
    try:
        image = read_image(path, max_pixels=100_000)
    except ImageError:
        return  # anything else that is raised, or warned, fails the test
    assert image.dtype == np.uint8
    assert image.shape[2] == 3


def test_corrupt_exif_does_not_warn(tmp_path):
    exif = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01" * 8
    Image.fromarray(noise()).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").shape == (20, 30, 3)


def test_many_threads_read_alike_and_leave_the_warning_filters_alone(tmp_path):
    paths = []
    for index in range(24):
        paths.append(tmp_path / f"{index}.{SUFFIXES[index % 7]}")
        Image.fromarray(noise(seed=index)).save(paths[-1])
    alone, before = [read_image(path) for path in paths], list(warnings.filters)
    barrier = threading.Barrier(4)

    def read(path):
        barrier.wait(timeout=10)
        return read_image(path)

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(read, paths))
    for one, other in zip(alone, together):
        np.testing.assert_array_equal(one, other)
    assert warnings.filters == before


def test_only_tiff_has_pages(tmp_path):
    Image.fromarray(noise()).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="a PNG file has page 0 only"):
        read_image(tmp_path / "a.png", page=1)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", page=0), noise())
