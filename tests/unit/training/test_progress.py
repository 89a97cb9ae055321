"""Progress bars."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from clickgrain.training import progress
from clickgrain.training.progress import PROGRESS, Bar, ProgressFile, Quiet


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


def test_text_without_a_step(bar, capsys):
    with bar:
        bar.start("training", 4)
        bar.say("clicking the held-out targets")
    said = capsys.readouterr().err
    assert "0/4" in said
    assert "clicking the held-out targets" in said


class TestFile:
    @pytest.fixture
    def now(self, monkeypatch):
        """A clock that a test moves."""

        class Clock:
            seconds = 1000.0

            def time(self):
                return self.seconds

        clock = Clock()
        monkeypatch.setattr(progress, "time", clock)
        return clock

    @staticmethod
    def kept(folder):
        return json.loads((folder / PROGRESS).read_text())

    def test_another_process_reads_stage_count_and_text(self, now, tmp_path):
        with ProgressFile(Quiet(), tmp_path / "run") as bar:
            assert self.kept(tmp_path / "run")["stage"] == "starting"
            bar.start("training", 30, 12)
            now.seconds += 5
            bar.advance("loss 0.312, 11.02 s a step")
            bar.note("proposals NoC85 7.25")
            assert self.kept(tmp_path / "run") == {
                "stage": "training", "done": 13, "total": 30, "text": "loss 0.312, 11.02 s a step",
                "note": "proposals NoC85 7.25", "updated": 1005.0,
            }  # fmt: skip
            bar.expect(40)
            bar.say("clicking the held-out targets")
            assert self.kept(tmp_path / "run")["total"] == 40
            assert self.kept(tmp_path / "run")["text"] == "clicking the held-out targets"

    def test_it_is_written_once_a_second_and_when_a_stage_begins_or_ends(self, now, tmp_path):
        bar = ProgressFile(Quiet(), tmp_path)
        bar.start("trees", 3)
        bar.advance()
        assert self.kept(tmp_path)["done"] == 0
        now.seconds += 1
        bar.advance()
        assert self.kept(tmp_path)["done"] == 2
        bar.advance()
        assert self.kept(tmp_path)["done"] == 3
        bar.start("photos", 5)
        assert (self.kept(tmp_path)["stage"], self.kept(tmp_path)["done"]) == ("photos", 0)

    def test_threads_lose_no_step(self, tmp_path):
        bar = ProgressFile(Quiet(), tmp_path)
        bar.start("composites", 400)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda i: bar.advance(), range(400)))
        assert self.kept(tmp_path)["done"] == 400

    def test_the_bar_is_told_the_same(self, bar, capsys, tmp_path):
        with ProgressFile(bar, tmp_path) as both:
            both.start("training", 4, 2)
            both.advance("loss 0.5")
            both.note("proposals NoC85 7.25")
        said = capsys.readouterr().err
        assert all(text in said for text in ("training", "3/4", "loss 0.5", "proposals NoC85 7.25"))

    def test_a_folder_that_cannot_be_written_stops_nothing(self, tmp_path):
        (tmp_path / "file").write_text("mine")
        with ProgressFile(Quiet(), tmp_path / "file") as bar:
            bar.start("trees", 1)
            bar.advance()
        assert (tmp_path / "file").read_text() == "mine"
