import numba
import numpy as np
import pytest

from clickgrain.tree.kernel import prefetch


@numba.njit
def _touch(array, index):
    prefetch(array, index)
    return array.shape[0]


@pytest.mark.parametrize("index", [0, 3, -1, 10**6, np.int32(2), np.uint8(1), np.int64(2**40)])
@pytest.mark.parametrize(
    "array", [np.zeros(4), np.zeros((4, 7), np.float32), np.zeros(4, [("a", "f8"), ("b", "i4")])[::2]]
)
def test_any_index_is_safe_and_nothing_changes(array, index):
    before = array.copy()
    assert _touch(array, index) == len(array)
    np.testing.assert_array_equal(array, before)
