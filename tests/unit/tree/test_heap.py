import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from clickgrain.tree.kernel import new_heap, order, pop, replace

COSTS = st.sampled_from([0.0, 0.5, 1.0, 2.0])
ENTRIES = st.lists(st.tuples(COSTS, st.integers(0, 3), st.integers(0, 9)), min_size=1, max_size=60)


def filled(entries):
    costs, records = new_heap(len(entries))
    for i, (cost, older, newer) in enumerate(entries):
        costs[i], records[i] = cost, (older, newer, 100 + older, 100 + newer)
    order(costs, records, len(entries))
    return costs, records


def top(costs, records):
    older, newer, older_slot, newer_slot = records[0].item()
    assert (older_slot, newer_slot) == (100 + older, 100 + newer)  # slots travel with their entry
    return costs[0], older, newer


@settings(max_examples=60, deadline=None)
@given(ENTRIES)
def test_entries_leave_in_order_ties_by_id(entries):
    costs, records = filled(entries)
    size, left = len(entries), []
    while size:
        left.append(top(costs, records))
        size = pop(costs, records, size)
    assert left == sorted(entries)


@settings(max_examples=60, deadline=None)
@given(ENTRIES, st.lists(st.tuples(COSTS, st.integers(0, 3), st.integers(0, 9)), max_size=40))
def test_a_replaced_top_finds_its_place(entries, later):
    costs, records = filled(entries)
    expected = sorted(entries)
    for cost, older, newer in later:
        assert top(costs, records) == expected[0]
        entry = max(expected[0], (cost, older, newer))
        replace(costs, records, len(entries), 0, entry[0], (*entry[1:], 100 + entry[1], 100 + entry[2]))
        expected = sorted([*expected[1:], entry])
    assert top(costs, records) == expected[0]


def test_costs_beyond_the_last_entry_stay_infinite():
    costs, records = filled([(1.0, 0, 1), (2.0, 0, 2), (3.0, 0, 3)])
    size = pop(costs, records, 3)
    assert size == 2
    assert np.isinf(costs[size:]).all()
