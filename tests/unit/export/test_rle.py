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
    counts = rle.encode(mask)
    theirs = oracle.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    assert rle.to_string(counts) == theirs
    assert rle.from_string(theirs) == counts
    assert (rle.decode(theirs, mask.shape) == mask).all()
    assert (rle.decode(counts, mask.shape) == mask).all()


@given(st.lists(st.integers(0, 2**31), min_size=1, max_size=8))
def test_any_counts_survive_the_string(counts):
    assert rle.from_string(rle.to_string(counts)) == counts


@pytest.mark.parametrize("counts", [[5], [3, -1, 4], "6 7", "\x7f", "o", [1, 2, 3, 4]])
def test_what_does_not_fill_the_image_is_refused(counts):
    with pytest.raises(DataError, match="export it again"):
        rle.decode(counts, (2, 3))
