"""Label Studio's and CVAT's run lengths: their SDKs are the oracles where they are installed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from clickgrain.errors import DataError
from clickgrain.export import brush_rle

MASKS = arrays.arrays(bool, st.tuples(st.integers(1, 20), st.integers(1, 30)))
# label_studio_sdk 2.1.2: mask2rle of a 3 x 4 mask with 255 at (1, 1), (1, 2) and (2, 3)
MASK = np.array([[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]], bool)
GOLDEN = [0, 0, 0, 48, 57, 27, 254, 19, 0, 159, 254, 248, 4, 127, 224]


def read_slowly(rle):
    """Values of a stream, bit by bit, as the format describes it."""
    bits = "".join(f"{byte:08b}" for byte in rle)
    at = 0

    def take(count):
        nonlocal at
        at += count
        return int(bits[at - count : at], 2)

    total, word = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    values = []
    while len(values) < total:
        repeated, count = take(1), 1 + take(sizes[take(2)])
        values += [take(word)] * count if repeated else [take(word) for _ in range(count)]
    return values


@settings(deadline=None)
@given(MASKS)
def test_a_mask_comes_back_and_reads_as_the_format_says(mask):
    coded = brush_rle.encode(mask)
    assert read_slowly(coded) == np.repeat(mask.ravel() * 255, 4).tolist()
    assert (brush_rle.decode(coded, mask.shape) == mask).all()


def test_it_is_what_the_sdk_wrote():
    assert brush_rle.encode(MASK) == GOLDEN
    assert (brush_rle.decode(GOLDEN, (3, 4)) == MASK).all()


def test_long_runs_are_split():
    mask = np.zeros((300, 400), bool)
    mask[150:] = True
    assert read_slowly(brush_rle.encode(mask)) == np.repeat(mask.ravel() * 255, 4).tolist()
    assert (brush_rle.decode(brush_rle.encode(mask), mask.shape) == mask).all()


def test_literal_values_as_the_page_writes_them_are_read():
    values = [1, 2, 3, 255, 9, 9, 9, 100]
    bits = f"{8:032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    bits += "001" + f"{7:04b}" + "".join(f"{value:08b}" for value in values)
    bits += "0" * (-len(bits) % 8)
    coded = [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]
    assert read_slowly(coded) == values
    assert brush_rle.decode(coded, (1, 2)).tolist() == [[True, False]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda coded: coded[:-2], "truncated"),
        (lambda coded: [], "truncated"),
        (lambda coded: [255] * 40, "not the 4 x 4 x 3"),
        (lambda coded: ["a"], "no list of bytes"),
        (lambda coded: [300], "no list of bytes"),
        (lambda coded: None, "no list of bytes"),
        (lambda coded: [0, 0, 0, 48, 57, 27, 127, 255, 255, 255, 255], "more values"),
    ],
)
def test_what_is_no_such_stream_is_refused(change, words):
    with pytest.raises(DataError, match=words):
        brush_rle.decode(change(brush_rle.encode(MASK)), (3, 4))


@settings(deadline=None, max_examples=50)
@given(MASKS)
def test_label_studios_sdk_reads_and_writes_the_same(mask):
    brush = pytest.importorskip("label_studio_sdk.converter.brush", reason="label-studio-sdk is not installed")
    coded = brush_rle.encode(mask)
    assert (brush.decode_rle(coded).reshape(*mask.shape, 4)[..., 3] == mask * 255).all()
    theirs = brush.mask2rle((mask * 255).astype(np.uint8))
    assert coded == theirs[: len(coded)]
    assert theirs[len(coded) :] in ([], [0])  # it fills a whole byte where none is needed
    assert (brush_rle.decode(theirs, mask.shape) == mask).all()


@settings(deadline=None)
@given(MASKS)
def test_cvats_sdk_writes_the_same(mask):
    masks = pytest.importorskip("cvat_sdk.masks")
    assert brush_rle.encode_cvat(mask) == masks.encode_mask(mask)
    if mask.any():
        height, width = mask.shape
        coded = brush_rle.encode_cvat(mask)
        assert (masks.decode_mask(coded, image_width=width, image_height=height) == mask).all()
