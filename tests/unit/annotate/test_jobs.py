import threading

import pytest

from clickgrain.annotate.jobs import Jobs
from clickgrain.annotate.refusals import RequestError
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
    while job.state == "running":
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
    ("error", "words"), [(DataError("no photo here"), "no photo here"), (KeyError("x"), "should not happen")]
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
    job.stop.set()
    assert ended(job).state == "cancelled"


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
