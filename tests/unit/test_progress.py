"""Progress bars."""

import pytest

from clickgrain.progress import Bar, Quiet


@pytest.fixture
def bar(monkeypatch):
    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "120")
    return Bar()


def test_stages_and_notes_go_to_stderr(bar, capsys):
    with bar:
        bar.start("training", 4, 2)
        bar.advance("loss 0.5")
        bar.note("proposals NoC85 7.25")
    printed, said = capsys.readouterr()
    assert printed == ""
    assert "training" in said
    assert "3/4" in said
    assert "loss 0.5" in said
    assert "proposals NoC85 7.25" in said


def test_notes_are_shown_as_they_are(bar, capsys):
    bar.note("photos [red]holiday[/] [1] :smile:")
    assert "photos [red]holiday[/] [1] :smile:" in capsys.readouterr().err


def test_a_long_path_in_a_note_stays_in_one_piece(bar, capsys):
    path = "/".join(["folder"] * 40)
    with bar:
        bar.start("training", 4)
        bar.note(f"{path} is damaged")
    assert f"{path} is damaged\n" in capsys.readouterr().err


def test_it_may_be_entered_again_inside_itself(bar):
    with bar, bar:
        bar.start("one", 1)
        bar.advance()
        assert bar._bar.live.is_started
    assert not bar._bar.live.is_started


def test_quiet_says_nothing(capsys):
    with Quiet() as quiet:
        quiet.start("training", 4)
        quiet.advance("loss")
        quiet.note("note")
    assert capsys.readouterr() == ("", "")


def test_a_stage_that_did_less_than_expected_is_over_with_the_next(bar, capsys):
    with bar:
        bar.start("photos", 36)
        for _ in range(35):
            bar.advance()  # one photo could not be read
        bar.start("objects", 35)
    said = capsys.readouterr().err
    assert "35/35" in said
    assert "35/36" not in said
