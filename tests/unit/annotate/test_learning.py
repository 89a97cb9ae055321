"""Learning in the background: progress by files, comparison on the user's objects, switching."""

import json
import math
import threading
from pathlib import Path

import pytest

from clickgrain.annotate import learn_child
from clickgrain.annotate.http_errors import RequestError
from clickgrain.annotate.jobs import Cancelled, Job
from clickgrain.annotate.learn_child import PROGRESS, ProgressFile
from clickgrain.annotate.learning import Learner, progress_of
from clickgrain.annotate.models import describe_model


@pytest.fixture
def learner(project):
    return Learner(project)


def test_each_stage_is_told_as_it_is(tmp_path, monkeypatch):
    times = iter(range(0, 1000, 4))
    monkeypatch.setattr(learn_child.time, "monotonic", lambda: float(next(times)))

    def told():
        return progress_of(tmp_path)

    assert told() == (0, 0, "starting")
    bar = ProgressFile(tmp_path / PROGRESS)
    assert told() == (0, 0, "starting")
    with bar:
        assert told()[2] == "getting ready"
        bar.start("trees", 36)
        for _ in range(35):
            bar.advance()
        assert told() == (35, 36, "trees: 35 of 36")
        bar.start("objects", 35)  # one photo has no tree: the stage is another all the same
        assert told() == (0, 35, "objects: 0 of 35")
        bar.start("training", 100, 10)
        assert told() == (10, 100, "training: step 10 of 100")
        bar.advance("loss 0.5")
        bar.advance("loss 0.4")
        _, _, words = told()
        assert words.startswith("training: step 12 of 100, ")
        assert words.endswith("left; loss 0.4")
        assert words.count("s a step") == 1
        bar.advance("loss 0.4, 2.10 s a step")
        assert told()[2].count("s a step") == 1
        bar.note("validating")
        assert told()[2].endswith("; validating")
        bar.expect(14)
        bar.advance("loss 0.3")
        assert told()[:2] == (14, 14)


def test_steps_are_timed_without_what_is_done_between_them(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(learn_child.time, "monotonic", lambda: now[0])
    bar = ProgressFile(tmp_path / PROGRESS)
    bar.start("training", 100)
    for seconds, note in ((2, None), (2, "validating"), (600, None), (2, None)):
        now[0] += seconds
        bar.advance()
        if note:
            bar.note(note)
    assert progress_of(tmp_path)[2] == "training: step 4 of 100, 2 s a step, about 3 minutes left"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"stage": 1, "done": "x", "total": null}', b"\xff"])
def test_a_progress_file_of_anything_is_no_reason_to_fail(tmp_path, content):
    (tmp_path / PROGRESS).write_bytes(content)
    assert progress_of(tmp_path) == (0, 0, "starting")


def test_progress_beyond_all_numbers_is_no_reason_to_fail(tmp_path):
    said = {"stage": "training", "done": -1, "total": 10**400, "each": 1e308, "text": ""}
    for wrong in ({"done": math.inf}, {"total": math.nan}, {"each": 10**400}):
        (tmp_path / PROGRESS).write_text(json.dumps({**said, **wrong}))
        assert progress_of(tmp_path) == (0, 0, "starting")
    (tmp_path / PROGRESS).write_text(json.dumps(said))
    assert progress_of(tmp_path)[:2] == (0, 2**53)


def test_progress_that_cannot_be_written_stops_no_training(tmp_path):
    bar = ProgressFile(tmp_path / "nowhere" / PROGRESS)
    bar.start("training", 3)
    bar.advance()


def test_many_threads_tell_of_one_stage(tmp_path):
    bar = ProgressFile(tmp_path / PROGRESS)
    bar.start("photos", 400)
    together = threading.Barrier(4)

    def work():
        together.wait()
        for _ in range(100):
            bar.advance()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert progress_of(tmp_path)[:2] == (400, 400)


def test_the_user_s_objects_are_the_test(learner, act, tiny, project):
    region = {"type": "region", "x": 20, "y": 20, "level": 0.6}
    act(kind="object.add_steps", steps=[region])
    act(2, kind="object.add_steps", steps=[{**region, "x": 50, "y": 36}])
    job = Job("j1", "learn")
    report = learner.compare(job, project.model, describe_model(str(tiny)))
    assert report["objects"] == 2
    assert [row["id"] for row in report["rows"]] == ["a1.png#1", "a2.png#1"]
    for which in ("old", "new"):
        clicks = [row[which] for row in report["rows"]]
        assert all(1 <= count <= 20 for count in clicks)
        assert report[f"{which}_clicks"] == sum(clicks) / 2
    assert (report["old"]["kind"], report["new"]["kind"]) == ("tree", "grain")
    assert job.total == 2


def test_without_objects_there_is_nothing_to_compare(learner, project):
    report = learner.compare(Job("j1", "learn"), project.model, project.model)
    assert (report["objects"], report["old_clicks"], report["new_clicks"]) == (0, None, None)


def test_switching_models_keeps_masks_and_asks_the_new_one(client, act, click, tiny, project):
    act(kind="object.add_steps", steps=[click(20, 20)])
    before = project.logs.history(1).document.find(1)
    project.database.save_model(describe_model(str(tiny)), {"objects": 1})
    assert project.model.kind == "tree"  # it waits for the user's choice
    project.use_model(describe_model(str(tiny)))
    assert project.logs.history(1).document.find(1) == before
    models = client.get("/api/models").json()["models"]
    assert [(one["kind"], one["current"]) for one in models] == [("tree", False), ("grain", True)]
    assert models[1]["report"] == {"objects": 1}
    act(kind="object.add_steps", steps=[click(40, 36)])
    assert project.logs.history(1).document.find(2).model == describe_model(str(tiny)).hash
    back = client.post("/api/models/use", json={"model": "tree"}).json()
    assert back["model"]["kind"] == "tree"


def test_a_run_that_fails_says_why(learner, photos, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    (out / "run.json").write_text("no json")
    with pytest.raises(RequestError, match=r"run\.json"):
        learner.train(Job("j1", "learn"), out, 1.0)


def test_a_run_can_be_cancelled(learner, tmp_path):
    job = Job("j1", "learn")
    job.stop.set()
    with pytest.raises(Cancelled):
        learner.train(job, tmp_path, 1.0)


def test_photos_behind_another_user_s_links_are_not_learned_from(learner, project, tmp_path, monkeypatch):
    project.gallery.astray, project.gallery.ignore = [Path("sub/a[1].png")], ("*.tif",)
    started = []

    def start(arguments, log, place):
        started.extend(arguments)
        raise Cancelled

    monkeypatch.setattr("clickgrain.annotate.learning.start", start)
    with pytest.raises(Cancelled):
        learner.train(Job("j1", "learn"), tmp_path, 1.0)
    assert started[-2:] == ["*.tif", "sub/a[[]1].png"]
    assert Path(started[0]).is_absolute()


def test_the_log_is_written_through_no_link(learner, tmp_path):
    run, precious = tmp_path / "run", tmp_path / "precious.txt"
    run.mkdir()
    precious.write_text("precious")
    (run / "log.txt").symlink_to(precious)
    job = Job("j1", "learn")
    job.stop.set()
    with pytest.raises(Cancelled):
        learner.train(job, run, 1.0)
    assert precious.read_text() == "precious"
    assert not (run / "log.txt").is_symlink()
