"""The corpus: what breaks a target lands in it, is tried first from then on, and stays readable."""

import importlib
import math

import pytest
from hypothesis import strategies as st

from tests.fuzz.corpus import FOLDER, Corpus, as_text
from tests.fuzz.hostile import NASTY


@pytest.fixture
def own(tmp_path, monkeypatch, request):
    """The corpus of the test that runs, in a folder of its own."""
    monkeypatch.setattr(Corpus.__init__, "__defaults__", (tmp_path,))
    return Corpus(request.node.nodeid)


def test_what_breaks_is_kept_made_small_and_tried_first(own, search, monkeypatch):
    monkeypatch.setitem(search.__globals__, "MINUTES", 0)  # whatever else runs, and however slow that is

    def check(value):
        tried.append(value)
        if value[0] > 99:
            raise ValueError(f"{value[0]} are too many \n \u00e9")

    tried = []
    values = st.tuples(st.integers(0, 10_000), st.binary())
    with pytest.raises(ValueError, match="too many") as first:
        search(values, check)
    assert f"kept in {own.path}" in "".join(first.value.__notes__)
    assert [value for _, value in own.inputs()] == [(100, b"")]

    tried = []
    with pytest.raises(ValueError, match="100 are too many") as second:
        search(values, check)
    assert tried == [(100, b"")]
    assert f"{own.path}, line 3" in "".join(second.value.__notes__)
    assert len(own.lines()) == 1


@pytest.mark.parametrize(
    "value", [*NASTY, ({"a": [b"x", (1,)]}, b"\xff\0" * 5_000, ()), "\n#", b""], ids=lambda _: ""
)
def test_an_input_is_the_same_when_it_is_read_again(own, value):
    assert own.add(value)
    assert own.add(value) is False
    ((_, found),) = own.inputs()
    assert type(found) is type(value)
    assert found == value or (math.isnan(value) and math.isnan(found))
    assert len(own.path.read_text("ascii").splitlines()) == 2


def test_inputs_belong_to_targets_and_are_small():
    files = sorted(FOLDER.rglob("*.txt"))
    assert len(files) > 10
    for path in files:
        module = importlib.import_module(f"tests.fuzz.{path.parent.name}")
        assert callable(getattr(module, path.stem.partition("-")[0], None)), f"{path} belongs to no target"
    assert sum(path.stat().st_size for path in files) < 300_000


def test_numbers_that_are_none_are_written_by_name():
    assert as_text([math.nan, -math.inf, "\ud800"]) == "[nan, -inf, '\\ud800']"
