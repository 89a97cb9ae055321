"""Learning in the background: progress by files, comparison on the user's objects, switching."""

import json
import sqlite3
import threading

import pytest

from clickgrain.annotate.jobs import Cancelled, Job
from clickgrain.annotate.learning import Learner, _progress
from clickgrain.annotate.models import describe_model
from clickgrain.annotate.project import Project
from clickgrain.annotate.refusals import RequestError


@pytest.fixture
def learner(project):
    return Learner(project)


def test_progress_is_read_from_what_the_run_writes(tmp_path):
    assert _progress(tmp_path, 9) == (0, 9, "building trees: 0 of 9 photos")
    store = sqlite3.connect(tmp_path / "proposals.db")
    store.execute("CREATE TABLE trees (path)")
    store.executemany("INSERT INTO trees VALUES (?)", [("a",), ("b",)])
    store.commit()
    store.close()
    assert _progress(tmp_path, 9)[0] == 2
    (tmp_path / "run.json").write_text(json.dumps({"steps": 40}))
    assert _progress(tmp_path, 9) == (0, 40, "training: step 0 of 40")
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 1}\n{"step": 20, "loss": 1}\n')
    assert _progress(tmp_path, 9)[0] == 20
    (tmp_path / "metrics.jsonl").write_text('{"step": 21, "loss": 1, "planned": 33}\n')  # by the clock
    assert _progress(tmp_path, 9) == (21, 33, "training: step 21 of 33")


@pytest.fixture
def choose(learner):
    """The folder that a run of so many minutes goes to, let go of at once."""

    def folder(minutes):
        with learner._claimed(minutes) as out:
            return out

    return folder


def test_the_folder_is_hidden_from_the_photos_and_a_stopped_run_goes_on(choose, project, photos):
    first = choose(5)
    assert first == photos / ".clickgrain-models" / "run-001"
    (first / "run.json").write_text(json.dumps({"asked": {"minutes": 5}, "steps": 3}))
    assert choose(5) == first
    assert choose(6).name == "run-002"
    (first / "run.json").write_text(json.dumps({"asked": {"minutes": 5}, "steps": 3, "finished": "x"}))
    assert choose(5).name == "run-003"
    (first / "a.png").write_bytes((photos / "a1.png").read_bytes())
    assert project.gallery.rescan() == (0, 0)


def test_a_number_that_another_server_has_just_taken_is_passed_over(choose, photos):
    root = photos / ".clickgrain-models"
    (root / "run-002").mkdir(parents=True)  # it was there first, and run-001 was thrown away
    assert choose(5).name == "run-003"


def test_a_run_that_another_server_is_at_is_not_taken_up(learner, photos):
    with learner._claimed(5) as first:
        (first / "run.json").write_text(json.dumps({"asked": {"minutes": 5}, "steps": 3}))
        other = Project(photos, model="tree")  # a second server on the same folder
        with Learner(other)._claimed(5) as second:
            assert (first.name, second.name) == ("run-001", "run-002")
        other.close()


def test_many_servers_that_start_at_once_take_a_folder_each(learner):
    taken, together = [], threading.Barrier(8)

    def start():
        together.wait()
        with learner._claimed(5) as out:
            taken.append(out.name)
            together.wait()

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [f"run-{number:03d}" for number in range(1, 9)]


def test_the_user_s_objects_are_the_test(learner, act, tiny, project):
    region = {"type": "region", "x": 20, "y": 20, "level": 0.6}
    act(kind="object.add_steps", steps=[region])
    act(2, kind="object.add_steps", steps=[{**region, "x": 50, "y": 36}])
    job = Job("j1", "learn")
    report = learner.compare(job, project.model, describe_model(str(tiny)))
    assert report["objects"] == 2
    assert [(row["image"], row["object"]) for row in report["rows"]] == [(1, 1), (2, 1)]
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
    before = project.history(1).document.find(1)
    project.use_model(describe_model(str(tiny)), {"objects": 1})
    assert project.history(1).document.find(1) == before
    models = client.get("/api/models").json()["models"]
    assert [(one["kind"], one["current"]) for one in models] == [("tree", False), ("grain", True)]
    assert models[1]["report"] == {"objects": 1}
    act(kind="object.add_steps", steps=[click(40, 36)])
    assert project.history(1).document.find(2).model == describe_model(str(tiny)).hash
    back = client.post("/api/models/use", json={"model": "tree"}).json()
    assert back["model"]["kind"] == "tree"


def test_a_run_that_fails_says_why(learner, photos, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    (out / "run.json").write_text("no json")
    with pytest.raises(RequestError, match=r"run\.json"):
        learner._train(Job("j1", "learn"), out, 1.0)


def test_a_run_can_be_cancelled(learner, tmp_path):
    job = Job("j1", "learn")
    job.stop.set()
    with pytest.raises(Cancelled):
        learner._train(job, tmp_path / "run", 1.0)
