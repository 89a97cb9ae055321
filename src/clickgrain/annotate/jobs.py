"""Long work in threads: progress, result, cancellation."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from clickgrain.annotate.http_errors import RequestError
from clickgrain.errors import ClickgrainError

KEPT = 50


class Cancelled(Exception):  # noqa: N818 - no error: the user asked for it
    """Raised inside a job that was cancelled."""


@dataclass
class Job:
    """One piece of long work."""

    id: str
    kind: str
    user: str = ""  # whose it is; "" if unknown
    state: str = "running"  # or "stopping", and in the end "done", "failed" or "cancelled"
    done: int = 0  # steps
    total: int = 0  # steps; 0 when unknown
    text: str = ""
    error: str | None = None
    started: float = field(default_factory=time.time)
    finished: float | None = None
    result: Any = None  # JSON, once finished
    stop: threading.Event = field(default_factory=threading.Event, repr=False)
    changed: Callable[[], None] = field(default=lambda: None, repr=False)

    @property
    def is_active(self) -> bool:
        """Whether its thread still runs."""
        return self.state in ("running", "stopping")

    def report(self, done: int, total: int, text: str = "") -> None:
        """Say how far it is. Raises Cancelled: it was cancelled."""
        if self.stop.is_set():
            raise Cancelled
        self.done, self.total, self.text = done, total, text or self.text
        self.changed()

    def to_json(self) -> dict[str, Any]:
        """As the page receives it."""
        return {key: value for key, value in vars(self).items() if key not in ("stop", "changed")}


class Jobs:
    """Jobs by id; at most one of a kind that must not run twice. `on_change` is told the id of one that changed."""

    def __init__(self, on_change: Callable[[str], None]) -> None:
        self._on_change, self._jobs, self._count = on_change, dict[str, Job](), 0
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def start(self, kind: str, work: Callable[[Job], Any], user: str = "", *, alone: bool = False) -> Job:
        """Run `work` in a thread for its result; RequestError: one of a kind that must be `alone` runs already."""
        with self._lock:
            if alone and any(job.kind == kind and job.is_active for job in self._jobs.values()):
                raise RequestError("running", f"a job of kind {kind!r} runs already; wait for it or cancel it")
            job = self._new(kind, user)
            thread = threading.Thread(target=self._run, args=(job, work), name=f"job-{job.id}", daemon=True)
            try:
                thread.start()
                self._threads = [*(one for one in self._threads if one.is_alive()), thread]
            except RuntimeError as error:  # the system has no more threads
                job.state, job.error, job.finished = "failed", f"it could not be started: {error}", time.time()
        return job

    def run(self, kind: str, work: Callable[[Job], Any], user: str = "") -> Any:
        """Run `work` here, as a job that all can see, for its result; RequestError if cancelled, or its error."""
        with self._lock:
            job = self._new(kind, user)
        failure = self._run(job, work)
        if isinstance(failure, Cancelled):
            raise RequestError("invalid", f"{kind} was stopped; what was done so far is saved")
        if failure is not None:
            raise failure
        return job.result

    def _new(self, kind: str, user: str) -> Job:
        self._count += 1
        job = Job(f"j{self._count}", kind, user)
        job.changed = lambda: self._on_change(job.id)
        self._jobs[job.id] = job
        for old in list(self._jobs.values())[:-KEPT]:
            if not old.is_active:
                del self._jobs[old.id]
        return job

    def _run(self, job: Job, work: Callable[[Job], Any]) -> BaseException | None:
        """Whatever ends the work ends the job, which says why."""
        failure: BaseException | None = None
        state, reason = "done", None
        try:
            job.result = work(job)
        except Cancelled as error:
            failure, state = error, "cancelled"
        except BaseException as error:
            reason = str(error) if isinstance(error, ClickgrainError) else f"this should not happen: {error!r}"
            failure, state = error, "failed"
        with self._lock:
            job.state, job.error, job.finished = state, reason, time.time()
        job.changed()
        return failure

    def cancel(self, id_: str) -> Job:
        """Ask a job to stop, which it does once its work so far is saved; RequestError if there is none."""
        job = self.get(id_)
        with self._lock:
            if job.state == "running":
                job.state, job.text = "stopping", "stopping: what was done so far is being saved"
        job.stop.set()
        job.changed()
        return job

    def get(self, id_: str) -> Job:
        """A job by its id. Raises RequestError: there is none."""
        job = self._jobs.get(id_)
        if job is None:
            raise RequestError("not_found", f"there is no job {id_}; it may be of an earlier session")
        return job

    def all(self) -> list[Job]:
        """All that are remembered, the oldest first."""
        return list(self._jobs.values())

    def close(self) -> None:
        """Ask every job to stop, and wait a little."""
        for job in self.all():
            job.stop.set()
        for thread in self._threads:
            thread.join(timeout=10)
