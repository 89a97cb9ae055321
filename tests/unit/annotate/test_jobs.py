import threading

import pytest

from clickgrain.annotate.http_errors import RequestError
from clickgrain.annotate.jobs import Jobs
from clickgrain.errors import DataError


@pytest.fixture
def changed():
    return []


@pytest.fixture
def jobs(changed):
    jobs = Jobs(changed.append)
    yield jobs
    jobs.close()


def ended(job):
    event = threading.Event()
    while job.is_active:
        event.wait(0.005)
    return job


def test_a_job_tells_how_far_it_is_and_what_came_of_it(jobs, changed):
    def work(job):
        job.report(1, 2, "half")
        return {"answer": 42}

    job = ended(jobs.start("sum", work))
    assert (job.state, job.done, job.total, job.text, job.result) == ("done", 1, 2, "half", {"answer": 42})
    assert jobs.get(job.id) is job
    assert job.finished >= job.started
    assert set(changed) == {job.id}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (DataError("no photo here"), "no photo here"),
        (KeyError("x"), "should not happen"),
        (SystemExit(3), "should not happen"),
        (KeyboardInterrupt(), "should not happen"),
    ],
)
def test_a_job_that_fails_says_why(jobs, error, words):
    def work(job):
        raise error

    job = ended(jobs.start("sum", work))
    assert job.state == "failed"
    assert words in job.error


def test_a_job_can_be_stopped(jobs):
    def work(job):
        while True:
            job.report(0, 0)

    job = jobs.start("endless", work)
    jobs.cancel(job.id)
    assert ended(job).state == "cancelled"


def test_stop_is_answered_at_once_and_what_stops_still_counts_as_at_work(jobs):
    saving, saved = threading.Event(), threading.Event()

    def work(job):
        try:
            while True:
                job.report(1, 2, "training")
                job.stop.wait(20)
        finally:
            saving.set()
            assert saved.wait(20)

    job = jobs.start("learn", work, alone=True)
    told = jobs.cancel(job.id).to_json()
    assert (told["state"], told["text"]) == ("stopping", "stopping: what was done so far is being saved")
    assert saving.wait(20)
    assert job.state == "stopping"
    with pytest.raises(RequestError, match="runs already"):
        jobs.start("learn", work, alone=True)
    saved.set()
    assert ended(job).state == "cancelled"
    assert jobs.cancel(job.id).state == "cancelled"


def test_a_job_for_which_there_is_no_thread_has_failed(jobs, monkeypatch):
    def none_left(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none_left)
    assert jobs.start("learn", lambda job: 1, alone=True).state == "failed"
    monkeypatch.undo()
    assert ended(jobs.start("learn", lambda job: 1, alone=True)).result == 1


def test_some_must_be_alone(jobs):
    gate = threading.Event()
    first = jobs.start("learn", lambda job: gate.wait(20), alone=True)
    with pytest.raises(RequestError, match="runs already"):
        jobs.start("learn", lambda job: None, alone=True)
    jobs.start("same", lambda job: None, alone=True)
    gate.set()
    ended(first)
    assert ended(jobs.start("learn", lambda job: 1, alone=True)).result == 1


def test_unknown_jobs(jobs):
    with pytest.raises(RequestError, match="no job"):
        jobs.get("j77")


def test_work_that_a_request_waits_for_is_a_job_too(jobs, changed):
    def work(job):
        job.report(1, 3, "one")
        assert jobs.get(job.id).text == "one"
        return 7

    assert jobs.run("import", work, "Anna") == 7
    (job,) = jobs.all()
    assert (job.kind, job.user, job.state, job.result) == ("import", "Anna", "done", 7)
    assert job.to_json()["user"] == "Anna"
    assert set(changed) == {job.id}


def test_errors_of_such_work_reach_who_waits(jobs):
    def fail(job):
        raise DataError("no photo here")

    with pytest.raises(DataError, match="no photo"):
        jobs.run("import", fail)

    def stopped(job):
        jobs.cancel(job.id)
        job.report(1, 2)

    with pytest.raises(RequestError, match="import was stopped"):
        jobs.run("import", stopped)
    assert [job.state for job in jobs.all()] == ["failed", "cancelled"]
