from pathlib import Path

import pytest

from clickgrain.commands.evaluate import EvaluateArgs, EvaluateTreeArgs
from clickgrain.commands.parsing import file_name, parse_data, save_json
from clickgrain.errors import ConfigError, DataError


def test_a_folder_may_hold_an_equals_sign():
    assert parse_data("mine=runs/lr=3/eval") == ("mine", Path("runs/lr=3/eval"))


def test_a_folder_may_start_at_home():
    assert parse_data("mine=~/eval") == ("mine", Path.home() / "eval")


@pytest.mark.parametrize("text", ["", "mine", "mine=", "=folder", " =folder"])
def test_what_is_no_name_and_folder_is_refused(text):
    with pytest.raises(ConfigError, match="not NAME=DIR"):
        parse_data(text)


@pytest.mark.parametrize(
    ("model", "data", "limit", "said"),
    [
        ((), ("a=b",), None, "--model is missing"),
        (("tree",), (), None, "--data is missing"),
        (("tree", "tree"), ("a=b",), None, "--model names 'tree' twice"),
        (("tree",), ("a=b", "a=c"), None, "--data names 'a' twice"),
        (("tree",), ("a",), None, "not NAME=DIR"),
        (("tree",), ("a=b",), 0, "--limit 0"),
    ],
)
def test_evaluate_says_what_is_missing(model, data, limit, said):
    with pytest.raises(ConfigError, match=said):
        EvaluateArgs(model=model, data=data, limit=limit)


@pytest.mark.parametrize("cuts", [(), (10, 0)])
def test_cuts_are_numbers_of_regions(cuts):
    with pytest.raises(ConfigError, match="--cuts"):
        EvaluateTreeArgs(extractor="color-texture", data="a=b", cuts=cuts)


@pytest.mark.parametrize("name", ["runs/a b", "../x", "C:\\m", "user/model@0f3", "tree", "über/größe"])
def test_a_file_name_holds_no_separator(name):
    made = file_name(name)
    assert made
    assert not set("/\\: ") & set(made)
    assert not made.startswith("-")


def test_a_result_that_cannot_be_written_names_the_file(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(DataError, match=r"file/result.json.*--out"):
        save_json(blocked / "result.json", "{}")
