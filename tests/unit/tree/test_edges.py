import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from clickgrain.tree.kernel import EDGE, grown, sort


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 400), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_edges_are_sorted_by_cost_then_id(n, values, seed):
    rng = np.random.default_rng(seed)
    pool = np.zeros(n + 7, EDGE)
    pool["cost"], pool["slot"] = rng.integers(values, size=n + 7), np.arange(n + 7)
    pool["node"] = rng.permutation(n + 7)
    before, run = pool.copy(), slice(3, 3 + n)
    sort(pool, 3, 3 + n)
    np.testing.assert_array_equal(pool[run], np.sort(before[run], order=("cost", "node")))
    np.testing.assert_array_equal(np.delete(pool, run), np.delete(before, run))


def test_a_pool_that_is_too_small_doubles_and_keeps_its_edges():
    pool = np.zeros(5, EDGE)
    pool["cost"] = np.arange(5)
    assert len(grown(pool, 3, 5)) == 5
    bigger = grown(pool, 3, 6)
    assert len(bigger) == 12
    np.testing.assert_array_equal(bigger[:3], pool[:3])
