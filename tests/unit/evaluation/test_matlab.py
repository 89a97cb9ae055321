"""Arrays in MATLAB files: as scipy reads them, and errors where it ends the process."""

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.io import loadmat, savemat
from scipy.sparse import csc_array

from clickgrain.evaluation.matlab import field_of

DTYPES = st.sampled_from([np.uint8, np.int8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.float64])


@given(
    values=DTYPES.flatmap(lambda dtype: arrays(dtype, array_shapes(min_dims=2, max_dims=3, max_side=6))),
    packed=st.booleans(),
)
def test_as_scipy_reads_it(tmp_path_factory, values, packed):
    path = tmp_path_factory.mktemp("matlab") / "a.mat"
    boundaries = np.empty((2, 1), object)
    boundaries[0, 0], boundaries[1, 0] = csc_array(np.eye(5)), csc_array(np.eye(3))
    struct = {"Segmentation": values, "Boundaries": boundaries, "Categories": np.arange(3)}
    savemat(path, {"other": 3, "GTinst": struct}, do_compression=packed)
    found, expected = field_of(path.read_bytes(), "GTinst", "Segmentation"), loadmat(path)["GTinst"]
    np.testing.assert_array_equal(found, expected["Segmentation"][0, 0])


@pytest.mark.parametrize(
    ("saved", "said"),
    [({"y": 1}, "GTinst"), ({"GTinst": 1}, "GTinst is no struct"), ({"GTinst": {"Other": 1}}, "Segmentation")],
)
def test_what_is_missing_is_named(tmp_path, saved, said):
    savemat(tmp_path / "a.mat", saved)
    with pytest.raises((KeyError, ValueError), match=said):
        field_of((tmp_path / "a.mat").read_bytes(), "GTinst", "Segmentation")


def test_no_part_of_a_file_is_read_as_another(tmp_path):
    savemat(tmp_path / "a.mat", {"GTinst": {"Segmentation": np.arange(12, dtype=np.uint8).reshape(3, 4)}})
    content = (tmp_path / "a.mat").read_bytes()
    for length in range(len(content)):
        with pytest.raises((LookupError, ValueError, zlib.error)):
            field_of(content[:length], "GTinst", "Segmentation")
