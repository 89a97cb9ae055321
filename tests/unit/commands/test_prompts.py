import pytest
from hypothesis import given
from hypothesis import strategies as st

from clickgrain.commands.parsing import parse_box, parse_click, parse_scribble
from clickgrain.errors import ConfigError

NUMBERS = st.floats(0, 10_000, allow_nan=False)
POINTS = st.tuples(NUMBERS, NUMBERS)
SIGNS = st.sampled_from([("", 1), (",+", 1), (",-", 0), (" , -", 0)])


@given(POINTS, SIGNS)
def test_a_click_is_read_as_it_was_written(point, sign):
    assert parse_click(f"{point[0]},{point[1]}{sign[0]}") == (point, sign[1])


@given(st.lists(POINTS, min_size=1, max_size=6), SIGNS)
def test_a_stroke_is_read_as_it_was_written(points, sign):
    text = " ".join(f"{x},{y}" for x, y in points)
    assert parse_scribble(text + sign[0]) == (tuple(points), sign[1])


@given(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS))
def test_a_box_is_read_as_it_was_written(box):
    assert parse_box(",".join(map(str, box))) == box


@pytest.mark.parametrize("text", ["", "10", "10,", "a,b", "1,2,3", "1,2,*", "nan,3", "1,inf", ",-", "1 2"])
def test_what_is_no_click_is_refused_with_an_example(text):
    with pytest.raises(ConfigError, match=r"--click .* write e.g. 120,80"):
        parse_click(text)


@pytest.mark.parametrize("text", ["", "10,10 20", "1,2;3,4", ",-", "1,2 3,4,5"])
def test_what_is_no_stroke_is_refused_with_an_example(text):
    with pytest.raises(ConfigError, match=r"--scribble .* write e.g."):
        parse_scribble(text)


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5", "1,2,3,x", "1 2 3 4", "1,2,3,nan"])
def test_what_is_no_box_is_refused_with_an_example(text):
    with pytest.raises(ConfigError, match=r"--box .* write e.g. 10,20,110,90"):
        parse_box(text)
