"""Undo and redo as actions of the log: against a plain list of states, for random sequences."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clickgrain.annotate.documents import Action, History
from clickgrain.annotate.http_errors import RequestError


def action(seq, kind, patch=None):
    return Action(seq, kind, 0.0, "", "", None, {}, patch or {})


def new():
    return History((), lambda state, patch: (*state, patch["value"]))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.one_of(st.integers(0, 9), st.sampled_from(["undo", "redo"])), max_size=40))
def test_any_sequence_leads_where_an_editor_would(sequence):
    history, done, undone, log = new(), [()], [], []
    for wanted in sequence:
        kind = wanted if isinstance(wanted, str) else "add"
        possible = (kind != "undo" or len(done) > 1) and (kind != "redo" or undone)
        if not possible:
            with pytest.raises(RequestError, match="nothing to"):
                history.preview(action(history.seq + 1, kind))
            continue
        if kind == "undo":
            undone.append(done.pop())
        elif kind == "redo":
            done.append(undone.pop())
        else:
            done.append((*done[-1], wanted))
            undone.clear()
        log.append(action(history.seq + 1, kind, {"value": wanted}))
        assert history.preview(log[-1]) == done[-1]
        history.add(log[-1])
        assert history.document == done[-1]
        assert tuple(history.next_to(kind) is not None for kind in ("undo", "redo")) == (
            len(done) > 1,
            bool(undone),
        )
    again = new()
    for entry in log:
        again.add(entry)
    assert again.document == history.document


def test_a_gap_in_the_log_is_noticed():
    with pytest.raises(RequestError, match="does not follow"):
        new().add(action(2, "add", {"value": 1}))


def test_numbers_are_not_used_again_after_undo():
    history = History((), lambda state, patch: (*state, 1))
    history.add(action(1, "add", {"put": [{"id": 7}]}))
    history.add(action(2, "undo"))
    assert history.last_id == 7


def test_a_reader_sees_no_action_half_taken():
    history = History(0, lambda state, patch: state + patch["by"])
    seen = []

    class Watched(list):
        def append(self, value):
            super().append(value)
            reader = threading.Thread(target=lambda: seen.append(history.now()))
            reader.start()
            readers.append(reader)
            reader.join(0.05)  # it must wait until the action is taken

    readers = []
    history.add(Action(1, "more", 0.0, "", "", None, {}, {"by": 5}))
    history._undone = Watched()
    history.add(Action(2, "undo", 0.0, "", "", None, {}, {}))
    for reader in readers:
        reader.join()
    assert [(moves["seq"], document, moves["can_redo"]) for document, moves in seen] == [(2, 0, True)]
