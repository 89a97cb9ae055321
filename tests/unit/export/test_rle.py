"""COCO's run lengths: pycocotools is the oracle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pycocotools import mask as oracle

from clickgrain.errors import DataError
from clickgrain.export import rle

MASKS = arrays.arrays(bool, st.tuples(st.integers(1, 20), st.integers(1, 20)))


@settings(deadline=None)
@given(MASKS)
def test_strings_are_those_of_pycocotools_and_come_back(mask):
    theirs = oracle.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    assert rle.encode(mask) == theirs
    assert (rle.decode(theirs, mask.shape) == mask).all()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own
@settings(deadline=None)
@given(st.lists(st.integers(0, 300_000), min_size=1, max_size=8))
def test_long_runs_in_lists_and_strings_are_read_as_pycocotools_does(counts):
    size = (1, max(1, sum(counts)))
    counts = counts if sum(counts) else [1]
    coded = oracle.frPyObjects({"size": list(size), "counts": counts}, *size)
    expected = oracle.decode(coded).astype(bool)
    assert (rle.decode(counts, size) == expected).all()
    assert (rle.decode([float(count) for count in counts], size) == expected).all()
    assert (rle.decode(coded["counts"].decode(), size) == expected).all()
    assert rle.encode(expected) == oracle.encode(np.asfortranarray(expected.astype(np.uint8)))["counts"].decode()


@pytest.mark.parametrize(
    "counts",
    [
        *(
            [5],
            [3, -1, 4],
            [1, 2, 3, 4],
            [],
            [2.5, 3.5],
            [2**70, 6],
            [float("inf")],
            ["6"],
            [[6]],
            {"a": 6},
            None,
            6,
        ),
        *("6 7", "\x7f", "o", "", "5", "6oo", "é", "oooooooo06", "0" * 1_000, [2**62] * 4 + [6]),
    ],
)
def test_what_does_not_fill_the_image_is_refused(counts):
    with pytest.raises(DataError, match="export it again"):
        rle.decode(counts, (2, 3))
