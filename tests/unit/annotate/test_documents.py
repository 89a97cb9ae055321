from hypothesis import given, settings
from hypothesis import strategies as st

from clickgrain.annotate.documents import (
    BoxStep,
    BrushStep,
    ChooseStep,
    Click,
    Document,
    Item,
    LevelStep,
    count_clicks,
    patch_between,
    patched,
)

CLICKS = st.builds(Click, x=st.integers(0, 50), y=st.integers(0, 50), label=st.integers(0, 1))
STEPS = st.lists(st.one_of(CLICKS, st.builds(LevelStep, level=st.sampled_from([None, 0.5]))), max_size=4).map(tuple)
ITEMS = st.builds(
    Item,
    id=st.integers(1, 6),
    label=st.none() | st.integers(1, 3),
    locked=st.booleans(),
    steps=STEPS,
    mask=st.sampled_from([None, "0" * 20, "1" * 20]),
)
DOCUMENTS = st.builds(
    Document,
    objects=st.lists(ITEMS, max_size=6, unique_by=lambda item: item.id).map(tuple),
    status=st.sampled_from(["todo", "doing", "done"]),
)


@settings(deadline=None, max_examples=50)
@given(DOCUMENTS, DOCUMENTS)
def test_a_patch_leads_from_one_document_to_the_other(before, after):
    assert patched(before, patch_between(before, after)) == after


@settings(deadline=None, max_examples=50)
@given(DOCUMENTS)
def test_nothing_changed_is_an_empty_patch(document):
    assert patch_between(document, document) == {}


def test_steps_that_stay_are_not_written_again():
    brush = BrushStep(points=((1, 2),) * 50, radius=3)
    before = Document(objects=(Item(id=1, steps=(brush,)),))
    after = Document(objects=(Item(id=1, steps=(brush, Click(x=1, y=2))),))
    (put,) = patch_between(before, after)["put"]
    assert put["steps"]["keep"] == 1
    assert len(put["steps"]["add"]) == 1


def test_a_level_is_no_click():
    steps = (Click(x=1, y=1), LevelStep(level=0.5), BoxStep(box=(0, 0, 2, 2)), ChooseStep(alternative=1))
    assert count_clicks(steps) == 3
