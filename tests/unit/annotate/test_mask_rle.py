import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from clickgrain.annotate import masks
from clickgrain.errors import DataError

MASKS = arrays.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


@settings(deadline=None, max_examples=50)
@given(MASKS)
def test_a_mask_comes_back_and_its_header_tells_the_truth(mask):
    coded = masks.encode(mask)
    assert (masks.decode(coded.data) == mask).all()
    assert masks.parts(coded.data)[:2] == (coded.size, coded.bbox or (0, 0, 0, 0))
    assert coded.area == mask.sum()
    if mask.any():
        x1, y1, x2, y2 = coded.bbox
        assert mask[y1:y2, x1:x2].sum() == mask.sum()
        assert mask[y1].any()
        assert mask[:, x2 - 1].any()
    else:
        assert coded.bbox is None


def test_the_layout_is_the_documented_one():
    mask = np.zeros((4, 6), bool)
    mask[1, 2:4] = mask[2, 3] = True
    data = masks.encode(mask).data
    assert data[:4] == b"CGM1"
    assert np.frombuffer(data, "<u4", offset=4).tolist() == [4, 6, 2, 1, 4, 3, 4, 0, 2, 1, 1]


def test_equal_masks_have_one_name_and_others_another():
    mask = np.eye(5, dtype=bool)
    assert masks.encode(mask).hash == masks.encode(mask.copy()).hash
    assert masks.encode(mask).hash != masks.encode(~mask).hash
    assert masks.encode(np.zeros((2, 3), bool)).hash != masks.encode(np.zeros((3, 2), bool)).hash


@pytest.mark.parametrize(
    "change", [lambda d: d[:-4], lambda d: d[:10], lambda d: b"CGX1" + d[4:], lambda d: d + d[-4:]]
)
def test_damaged_masks_are_refused(change):
    data = masks.encode(np.eye(5, dtype=bool)).data
    with pytest.raises(DataError):
        masks.decode(change(data))
