from clickgrain.commands.console import SHOWN, bar, say_all


def test_a_long_list_is_cut(capsys):
    say_all([f"line {i}" for i in range(SHOWN + 5)])
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"line {i}" for i in range(SHOWN)] + ["... and 5 more"]


def test_no_bar_without_a_terminal(capsys):
    with bar("work [1]") as progress:
        progress(1, 2)
    assert capsys.readouterr() == ("", "")


def test_a_bar_leaves_stdout_alone(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes stderr for a terminal
    with bar("work [1]") as progress:
        progress(1, 2)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "work [1]" in captured.err
    assert "1/2" in captured.err
