"""What hostile files and requests are made of: good ones with bytes and values changed."""

import copy

import cv2
import numpy as np
from hypothesis import strategies as st

NASTY = [None, True, False, 0, -1, 1, 2, 0.5, 1e308, -1e308, float("inf"), float("nan"), 2**63, 2**70, 10**400]
NASTY += [
    "",
    " ",
    "1",
    "x",
    "\ud800",
    "\x00",
    "é" * 300,
    "../../b.png",
    "/etc/passwd",
    "b.png",
    "a.*",
    "~" * 99,
    "%",
]
NASTY += [
    [],
    {},
    [[]],
    [None],
    [1],
    ["1"],
    {"a": 1},
    [[1, 2], [3]],
    [[[[[1]]]]],
    {"size": [20, 30]},
    {"counts": "5"},
]
VALUES = st.recursive(
    st.one_of(st.sampled_from(NASTY), st.floats(), st.integers(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=6),
        st.dictionaries(st.text(max_size=5) | st.sampled_from(["size", "counts", "id"]), inner),
    ),
    max_leaves=8,
)
PIECES = st.one_of(
    st.sampled_from([b"\0", b"\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0", b"\xff" * 8, b"\x80"]),
    st.binary(min_size=1, max_size=6),
)


@st.composite
def changed_bytes(draw, files):
    """One of these files, with bytes replaced, put in, left out or cut off; more often near the beginning."""
    content = bytearray(draw(st.sampled_from(files)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, min(len(content), 100)) | st.integers(0, len(content)))
        piece = draw(PIECES)
        way = draw(st.sampled_from(["replace", "replace", "replace", "put in", "leave out", "repeat", "cut"]))
        if way == "replace":
            content[at : at + len(piece)] = piece
        elif way == "put in":
            content[at:at] = piece
        elif way == "leave out":
            del content[at : at + len(piece)]
        elif way == "repeat":
            content[at:at] = content[at : at + 20 * len(piece)]
        else:
            del content[at:]
    return bytes(content)


def assert_named(name, call, *kinds):
    """Either the call returns, or it raises one of these errors, whose message has the name and an end."""
    said = f"{name}"
    try:
        call()
    except kinds as error:
        said = str(error)
    assert name in said
    assert len(said) < 3_000


def places(value, path=()):
    """Every path to a value inside a JSON value, itself included."""
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in inside:
        yield from places(inner, (*path, key))


@st.composite
def changed_json(draw, documents):
    """One of these JSON documents, with one to three values replaced, added or left out."""
    document = copy.deepcopy(draw(st.sampled_from(documents)))
    for _ in range(draw(st.integers(1, 3))):
        *path, last = draw(st.sampled_from([*places(document)][1:] or [(0,)]))
        at = document
        for key in path:
            at = at[key]
        if not isinstance(at, dict | list) or (isinstance(at, list) and last >= len(at)):
            continue
        if draw(st.integers(0, 5)) == 0:
            at.pop(last, None) if isinstance(at, dict) else at.pop(last)
        else:
            at[last] = copy.deepcopy(draw(VALUES))
    return document


def write_photos(folder):
    """Two photos of 24 x 32 pixels with a rectangle on each."""
    for name in ("a.png", "b.png"):
        image = np.full((24, 32, 3), 90, np.uint8)
        image[5:15, 6:20] = (30, 200, 90)
        assert cv2.imwrite(str(folder / name), image)
