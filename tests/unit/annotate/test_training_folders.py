"""Where models go: a folder for each run, one's own stopped run gone on with, nothing written through links."""

import json
import os
import shutil
import threading

import pytest

from clickgrain.annotate import files_below
from clickgrain.annotate.http_errors import RequestError
from clickgrain.annotate.learn_child import PROGRESS
from clickgrain.annotate.learning import Learner, claimed, is_unfinished
from clickgrain.evaluation.datasets import data_hash

STRANGER = 12_345


@pytest.fixture
def root(photos):
    return photos / ".clickgrain-models"


@pytest.fixture
def choose(root):
    """The folder that a run of so many minutes goes to, free again at once."""

    def folder(minutes=5):
        with claimed(root, lambda place: is_unfinished(place, minutes)) as run:
            return run.path

    return folder


@pytest.fixture
def begun(choose):
    """A run of five minutes that was stopped half-way."""
    run = choose()
    (run / "run.json").write_text(json.dumps({"asked": {"minutes": 5}, "steps": 3}))
    return run


def test_the_folder_is_hidden_from_the_photos_and_a_stopped_run_goes_on(begun, choose, project, root, photos):
    assert begun == root / "run-001"
    assert choose(5) == begun
    assert choose(6).name == "run-002"
    (begun / "a.png").write_bytes((photos / "a1.png").read_bytes())
    assert project.gallery.rescan() == (0, 0)


def test_a_finished_run_is_left_as_it_is(begun, choose):
    (begun / "run.json").write_text(json.dumps({"asked": {"minutes": 5}, "steps": 3, "finished": "x"}))
    assert choose(5).name == "run-002"


def test_a_number_that_another_server_has_just_taken_is_passed_over(choose, root):
    (root / "run-002").mkdir(parents=True)  # it was there first, and run-001 was thrown away
    assert choose().name == "run-003"


def test_a_run_that_another_server_is_at_is_not_taken_up(begun, root):
    def goes_on(place):
        return is_unfinished(place, 5)

    with claimed(root, goes_on) as first, claimed(root, goes_on) as second:
        assert (first.path.name, second.path.name) == ("run-001", "run-002")


def test_many_servers_that_start_at_once_take_a_folder_each(root):
    taken, together = [], threading.Barrier(8)

    def start():
        together.wait()
        with claimed(root, lambda place: True) as run:
            taken.append(run.path.name)
            together.wait()

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [f"run-{number:03d}" for number in range(1, 9)]


@pytest.mark.parametrize("where", ["log.txt", "metrics.jsonl", "proposals.db", ".server.lock", "previews/a.png"])
def test_a_run_with_links_in_it_is_not_gone_on_with(begun, choose, tmp_path, where):
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (begun / where).parent.mkdir(exist_ok=True)
    (begun / where).unlink(missing_ok=True)
    (begun / where).symlink_to(precious)
    assert choose().name == "run-002"
    assert precious.read_text() == "precious"


def test_a_pipe_in_a_run_keeps_no_one_waiting(begun, choose):
    (begun / "run.json").unlink()
    os.mkfifo(begun / "run.json")
    assert choose().name == "run-002"


def test_a_run_that_is_a_link_is_not_gone_on_with(begun, choose, root, tmp_path):
    begun.rename(tmp_path / "elsewhere")
    begun.symlink_to(tmp_path / "elsewhere")
    assert choose().name == "run-002"


@pytest.mark.parametrize("way", ["another owner", "others may write", "something of another owner"])
def test_a_run_of_another_user_is_not_gone_on_with(begun, choose, monkeypatch, way):
    if way == "others may write":
        begun.chmod(0o777)
    elif os.geteuid() != 0:
        pytest.skip("only root gives files away")
    else:
        os.chown(begun / "run.json" if "something" in way else begun, STRANGER, STRANGER)
    assert choose().name == "run-002"


def test_the_newest_of_one_s_own_runs_is_gone_on_with(begun, choose, root):
    (root / "run-002").mkdir()
    (root / "run-002").chmod(0o777)
    assert choose() == begun


def test_models_do_not_go_through_another_user_s_link(choose, root, tmp_path, monkeypatch):
    (tmp_path / "target").mkdir()
    root.symlink_to(tmp_path / "target")
    assert choose().name == "run-001"  # one's own link to a larger disk
    monkeypatch.setattr(files_below, "_maker", lambda status: STRANGER)
    with pytest.raises(RequestError, match="no place for a model"):
        choose()
    root.unlink()
    root.symlink_to(tmp_path / "nowhere")
    with pytest.raises(RequestError, match="no place for a model"):
        choose()
    assert not (tmp_path / "nowhere").exists()


def test_what_is_put_in_the_place_of_a_run_is_not_written_to(root, tmp_path):
    (tmp_path / "target").mkdir()
    with claimed(root, lambda place: False) as run:
        run.path.rename(root / "was")
        run.path.symlink_to(tmp_path / "target")
        (run.place / "a.txt").write_text("x")
    assert (root / "was" / "a.txt").exists()
    assert not (tmp_path / "target" / "a.txt").exists()


class TestWhatLearnWouldContinue:
    @pytest.fixture
    def stopped(self, project):
        return Learner(project).stopped

    def test_a_run_that_was_stopped_is_told_with_its_minutes(self, begun, stopped, client):
        (begun / PROGRESS).write_text(
            json.dumps({"stage": "training", "done": 3, "total": 90, "each": 2, "text": "loss 1"})
        )
        told = {"minutes": 5, "objects": False, "text": "training: step 3 of 90"}
        assert stopped() == told
        assert client.get("/api/learn").json()["stopped"] == told

    def test_there_is_none_without_a_run_or_after_its_end(self, begun, stopped, root):
        saved = json.loads((begun / "run.json").read_text())
        for other in (
            {**saved, "finished": "x"},
            {**saved, "asked": {"minutes": None}},
            {**saved, "labels": "x"},
            [],
        ):
            (begun / "run.json").write_text(json.dumps(other))
            assert stopped() is None
        shutil.rmtree(root)
        assert stopped() is None

    def test_a_run_that_goes_on_now_is_not_stopped(self, begun, stopped, root):
        with claimed(root, lambda place: True) as run:
            assert run.path == begun
            assert stopped() is None
        assert stopped() is not None

    def test_objects_count_as_long_as_they_are_the_same(self, begun, stopped, act, project):
        for x in range(3, 58, 5):
            act(kind="object.add_steps", steps=[{"type": "brush", "points": [[x, 20]], "radius": 1}])
        labels = data_hash(Learner(project).objects().split().objects)
        (begun / "run.json").write_text(json.dumps({"asked": {"minutes": 5}, "steps": 3, "labels": labels}))
        assert stopped()["objects"] is True
        act(kind="object.delete", objects=[1])
        assert stopped() is None
