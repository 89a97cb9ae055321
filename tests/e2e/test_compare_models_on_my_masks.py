"""I have a few photos with masks and want to know which model needs the fewest clicks on them."""

import json
import re
import shlex

import pytest

from clickgrain.evaluation import BASELINES, OpenCVGrabCut, Result

QUICK = ["--max-clicks", "4"]


def test_one_line_a_pair_on_stdout(clickgrain, eval_set):
    models = ["--model", "tree", "--model", "opencv-grabcut"]
    data = ["--data", f"mine={eval_set}", "--data", f"my own={eval_set}"]
    status, printed, said = clickgrain("evaluate", *models, *data, *QUICK, "--limit", "1")
    assert (status, len(said.splitlines())) == (0, 2)
    lines = [line.split() for line in printed.splitlines()]
    names = [("tree", "mine"), ("tree", "my_own"), ("opencv-grabcut", "mine"), ("opencv-grabcut", "my_own")]
    assert [tuple(line[:2]) for line in lines] == names
    for line in lines:
        noc85, noc90 = map(float, line[2:4])
        assert 1 <= noc85 <= noc90 <= 4
        assert all(re.fullmatch(r"\S+=\S+", word) for word in line[4:])
        assert "targets=1" in line


def test_the_results_are_kept(clickgrain, eval_set, tmp_path):
    arguments = ["--model", "tree", "--data", f"mine={eval_set}", *QUICK, "--threshold", "0.4"]
    _, printed, _ = clickgrain("evaluate", *arguments, "--out", tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["report.html", "tree--mine.json", "tree--mine.jsonl"]
    result = Result.from_json((tmp_path / "out" / "tree--mine.json").read_text())
    assert result.line() == printed.strip()
    assert [row.id for row in result.rows] == ["disk0#0", "disk1#0", "disk2#0"]
    assert (result.settings.max_clicks, result.settings.threshold) == (4, 0.4)


def test_two_models_are_compared_target_by_target(clickgrain, eval_set, tmp_path):
    models = ["--model", "tree", "--model", "opencv-grabcut"]
    status, printed, said = clickgrain("evaluate", *models, "--data", f"mine={eval_set}", *QUICK, "--out", tmp_path)
    tree, grabcut = (float(line.split()[3]) for line in printed.splitlines())
    assert status == 0
    assert "opencv-grabcut minus tree on mine: NoC85 " in said
    (kept,) = json.loads((tmp_path / "differences.json").read_text())
    assert (kept["benchmark"], kept["model"], kept["minus"]) == ("mine", "opencv-grabcut", "tree")
    low, high = kept["NoC90"]["interval"]
    assert kept["NoC90"]["value"] == pytest.approx(grabcut - tree, abs=0.011)
    assert low <= kept["NoC90"]["value"] <= high
    assert {"NoC85", "drops05", "drops20"} < set(kept)
    assert "minus tree" in (tmp_path / "report.html").read_text()


class Interrupted(OpenCVGrabCut):
    """The user loses patience at the third image, once."""

    images = 0
    patience = 2

    def set_image(self, image):
        Interrupted.images += 1
        if Interrupted.images == Interrupted.patience + 1:
            raise KeyboardInterrupt
        super().set_image(image)


@pytest.fixture
def interrupted(monkeypatch):
    monkeypatch.setattr(Interrupted, "images", 0)
    monkeypatch.setitem(BASELINES, "interrupted", Interrupted)


def test_i_stop_it_and_it_goes_on_later(clickgrain, eval_set, tmp_path, interrupted):
    arguments = ["--model", "interrupted", "--data", f"mine={eval_set}", *QUICK, "--out", tmp_path]
    status, printed, said = clickgrain("evaluate", *arguments)
    assert (status, printed, said) == (130, "", "interrupted; finished work is kept\n")
    journal = tmp_path / "interrupted--mine.jsonl"
    kept = journal.read_text().splitlines()
    assert [json.loads(line)["id"] for line in kept[1:]] == ["disk0#0", "disk1#0"]

    status, printed, _ = clickgrain("evaluate", *arguments)
    assert status == 0
    assert "targets=3" in printed
    assert Interrupted.images == 4 + 3  # only the third image was done again; the report draws all three
    assert journal.read_text().splitlines()[:3] == kept


def test_other_settings_never_mix_with_kept_results(clickgrain, eval_set, tmp_path):
    arguments = ["--model", "tree", "--data", f"mine={eval_set}", "--limit", "1", "--out", tmp_path]
    assert clickgrain("evaluate", *arguments, "--max-clicks", "3")[0] == 0
    status, printed, said = clickgrain("evaluate", *arguments, "--max-clicks", "2")
    assert (status, printed) == (1, "")
    assert "tree--mine.jsonl" in said
    status, printed, _ = clickgrain("evaluate", *arguments, "--max-clicks", "2", "--no-resume")
    assert status == 0
    assert "targets=1" in printed


def test_bad_files_are_named_at_the_end_and_cost_nobody_else(clickgrain, eval_set):
    (eval_set / "images" / "disk1.png").write_bytes(b"no picture")
    (eval_set / "masks" / "disk2#0.png").rename(eval_set / "masks" / "other#0.png")
    status, printed, said = clickgrain("evaluate", "--model", "tree", "--data", f"mine={eval_set}", *QUICK)
    assert status == 0
    assert "targets=1" in printed
    assert "skipped=1" in printed
    assert said.startswith("mine:\n")
    assert "disk1.png" in said
    assert "other#0.png: left out" in said


class Broken(OpenCVGrabCut):
    def predict(self, *arguments, **settings):
        raise RuntimeError("out of luck")


def test_a_model_that_fails_is_named_and_the_next_one_runs(clickgrain, eval_set, monkeypatch):
    monkeypatch.setitem(BASELINES, "broken", Broken)
    models = ["--model", "broken", "--model", "tree"]
    status, printed, said = clickgrain("evaluate", *models, "--data", f"mine={eval_set}", *QUICK, "--limit", "1")
    assert status == 0
    assert [line.split()[0] for line in printed.splitlines()] == ["broken", "tree"]
    assert "broken mine 4.00 4.00" in printed
    assert "broken on mine:\ncounted as never reached: target disk0#0: RuntimeError: out of luck" in said


def test_a_set_without_a_usable_target_leaves_the_other_sets_alone(clickgrain, eval_set, tmp_path, save, disk):
    empty = tmp_path / "empty"
    save(empty / "images" / "disk.png", disk()[0])
    save(empty / "masks" / "disk#0.png", disk()[1] & False)
    data = ["--data", f"empty={empty}", "--data", f"mine={eval_set}"]
    status, printed, said = clickgrain("evaluate", "--model", "tree", *data, *QUICK, "--limit", "1")
    assert status == 1
    assert printed.startswith("tree mine ")
    assert "not evaluated:\ntree on empty: " in said


@pytest.mark.parametrize(
    ("arguments", "wrong", "message"),
    [
        (["--model", "tree", "--data", "mine=nowhere"], 1, "nowhere: not benchmark 'mine'"),
        (["--model", "tree", "--data", "nowhere"], 2, "not NAME=DIR"),
        (["--model", "tree"], 2, "--data is missing"),
    ],
)
def test_a_mistake_is_found_before_any_work(clickgrain, arguments, wrong, message):
    status, printed, said = clickgrain("evaluate", *arguments)
    assert (status, printed) == (wrong, "")
    assert message in said


def test_a_misspelt_model_is_found_before_any_work(clickgrain, eval_set):
    models = ["--model", "tree", "--model", "opencv-grabcat"]
    status, printed, said = clickgrain("evaluate", *models, "--data", f"mine={eval_set}")
    assert (status, printed) == (1, "")
    assert "opencv-grabcat" in said


def test_two_processes_give_the_lines_of_one(clickgrain, eval_set):
    arguments = ["evaluate", "--model", "opencv-grabcut", "--data", f"mine={eval_set}", *QUICK]

    def without_seconds(printed):
        return [word for word in printed.split() if not word.startswith("s/")]

    alone = clickgrain(*arguments)
    shared = clickgrain(*arguments, "--processes", "2")
    assert (alone[0], shared[0]) == (0, 0)
    assert without_seconds(alone[1]) == without_seconds(shared[1])


@pytest.mark.parametrize("user", ["noisy", "box-first", "scribble"])
def test_another_user_clicks_and_has_files_of_its_own(clickgrain, eval_set, tmp_path, user):
    arguments = ["--model", "opencv-grabcut", "--data", f"mine={eval_set}", *QUICK, "--limit", "1"]
    flags = ["--user", user, "--user-seed", "3", "--out", tmp_path / "out"]
    assert clickgrain("evaluate", *arguments, *flags)[0] == 0
    path = tmp_path / "out" / f"opencv-grabcut--mine--{user}-3.json"
    result = Result.from_json(path.read_text())
    assert (result.user, len(result.failed)) == (f"{user}-3", 0)
    page = (tmp_path / "out" / "report.html").read_text()
    assert f"--user {user} --user-seed 3" in page


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--processes", "-1"], "--processes -1 is negative"),
        (["--processes", "2", "--device", "cuda"], "--processes 2 is for --device cpu"),
        (["--user-seed", "1"], "--user-seed 1: the robot user"),
    ],
)
def test_flags_that_make_no_sense_together(clickgrain, eval_set, flags, message):
    status, printed, said = clickgrain("evaluate", "--model", "tree", "--data", f"mine={eval_set}", *flags)
    assert (status, printed) == (2, "")
    assert message in said


def test_the_report_says_how_to_make_it_again(clickgrain, eval_set, tmp_path):
    data, flags = ["--data", f"mine={eval_set}"], ["--limit", "1", "--max-clicks", "2", "--threshold", "0.4"]
    arguments = ["evaluate", "--model", "opencv-grabcut", *data, *flags, "--full-curves"]
    status, _, said = clickgrain(*arguments, "--out", tmp_path)
    assert (status, said) == (0, f"report: {tmp_path / 'report.html'}\n")
    page = (tmp_path / "report.html").read_text()
    assert shlex.join(["clickgrain", *map(str, arguments)]) in page
