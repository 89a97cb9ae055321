"""Structured logs: one JSON object a line, on stderr alone."""

import json
import logging
import warnings

import pytest

from clickgrain import cli, events
from clickgrain.commands.console import say, say_all
from clickgrain.errors import ClickgrainError
from clickgrain.progress import Bar


@pytest.fixture
def lines(capsys):
    """The events that were written since the last call."""
    events.use(True)
    yield lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    events.use(False)


def test_words_become_events_with_a_level(lines):
    say("photos/[bold] café \udcff\nsecond line")
    say_all(["one is damaged"])
    say("broken", style="red")
    found = lines()
    assert [(one["event"], one["level"]) for one in found] == [
        ("message", "info"),
        ("message", "warning"),
        ("message", "error"),
    ]
    assert found[0]["message"] == "photos/[bold] café ?\nsecond line"
    assert all(one["time"].endswith("+00:00") for one in found)


def test_progress_tells_the_start_and_the_end_of_a_stage(lines):
    with Bar(transient=True) as bar:
        bar.start("trees", 3)
        for _ in range(3):
            bar.advance("fine")
        bar.note("a remark")
    found = lines()
    assert found[0] | {"time": ""} == {
        "time": "",
        "event": "progress",
        "stage": "trees",
        "done": 0,
        "total": 3,
        "text": "",
    }
    assert [one["message"] for one in found if one["event"] == "message"] == ["a remark"]
    assert (found[-1]["done"], found[-1]["text"]) == (3, "fine")
    assert len(found) < 5  # not one for every step


def test_what_libraries_say_is_an_event(lines):
    logging.getLogger("library.part").warning("too %s", "slow")
    try:
        raise ValueError("inside")
    except ValueError:
        logging.getLogger("x").exception("outside")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    one, two, three = lines()
    assert (one["level"], one["logger"], one["message"]) == ("warning", "library.part", "too slow")
    assert "ValueError: inside" in two["trace"]
    assert "DeprecationWarning: old" in three["message"]


def test_the_flag_counts_for_one_run_of_any_command(monkeypatch, capsys):
    def fail(function, arguments, prog):
        assert arguments == ["photos"]
        print("a result")
        raise ClickgrainError("no such folder")

    monkeypatch.setattr("clickgrain.commands.parsing.run", fail)
    assert cli.main(["replay", "photos", "--log-json"]) == 1
    printed, said = capsys.readouterr()
    assert printed == "a result\n"
    event = json.loads(said)
    assert (event["level"], event["message"]) == ("error", "no such folder")
    assert cli.main(["replay", "photos"]) == 1
    assert capsys.readouterr().err == "no such folder\n"
