"""An evaluation spread over processes, one image at a time; rows come back as they are finished."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from clickgrain.errors import ClickgrainError, ConfigError, DataError

if TYPE_CHECKING:
    from clickgrain.clicks.robot import User
    from clickgrain.evaluation.datasets import Target
    from clickgrain.evaluation.one_image import Found
    from clickgrain.evaluation.settings import EvaluationSettings
    from clickgrain.types import Predictor

THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
PATIENCE = 5.0
"""Seconds that a process gets to end before it is killed."""


@dataclass(frozen=True)
class _Failure:
    """Why a process cannot go on: the predictor cannot be made, or the evaluation itself failed."""

    message: str


class _Idle:
    """A process wants the next image."""


@dataclass
class _Worker:
    """One process: its pipe, and the image that it has."""

    process: BaseProcess
    pipe: "Connection[Any, Any]"
    image: str | None = None

    def give(self, group: "list[Target]") -> None:
        self.image = group[0].image_id
        self.send(group)

    def send(self, value: object) -> None:
        try:
            self.pipe.send(value)
        except OSError:
            raise self.dead() from None
        except Exception as error:  # pickle raises nearly anything
            raise ConfigError(
                f"--processes: this cannot be handed to another process ({type(error).__name__}: {error}); give a"
                " factory, a user and targets made of importable functions, or use --processes 1"
            ) from error

    def dead(self) -> DataError:
        self.process.join(PATIENCE)
        during = f"at image {self.image!r}" if self.image else "at its start"
        return DataError(
            f"a process of the evaluation died {during} (exit code {self.process.exitcode}; -9 is often memory);"
            " finished targets are kept in the .jsonl file: start again with fewer --processes"
            " (a script calls evaluate below `if __name__ == '__main__':`)"
        )


def click_images(
    make: "Callable[[], Predictor]",
    groups: "list[list[Target]]",
    settings: "EvaluationSettings",
    user: "User",
    processes: int,
) -> "Iterator[Found]":
    """What `click_image` yields, from all groups in the order in which they are finished.

    Args:
        make: makes the predictor in every process; it, the targets and the user must be picklable.
        groups: targets of one image each.
        settings: of the protocol.
        user: who clicks.
        processes: at most so many; each has its share of the machine's cores as threads.

    Raises:
        ConfigError: for what cannot be handed over.
        DataError: when a process dies or the predictor cannot be made. Close the iterator to end the processes.
    """
    workers: list[_Worker] = []
    try:
        count = min(processes, len(groups))
        with _quiet_start(max(1, _cores() // processes)):
            for _ in range(count):
                workers.append(_started())
        for worker in workers:
            worker.send((make, settings, user))
        yield from _shared_out(workers, list(reversed(groups)))
    finally:
        _end(workers)


def _shared_out(workers: list[_Worker], waiting: "list[list[Target]]") -> "Iterator[Found]":
    busy = {worker.pipe: worker for worker in workers}
    while busy:
        for pipe in wait(list(busy)):
            worker = busy[pipe]  # type: ignore[index]
            try:
                message = worker.pipe.recv()
            except (EOFError, OSError):
                yield from _left(worker, busy)
                raise worker.dead() from None
            if isinstance(message, _Failure):
                raise DataError(message.message)
            if not isinstance(message, _Idle):
                yield message
            elif waiting:
                worker.give(waiting.pop())
            else:
                del busy[pipe]  # type: ignore[arg-type]


def _left(dead: _Worker, busy: "dict[Connection[Any, Any], _Worker]") -> "Iterator[Found]":
    """What the other processes have finished already."""
    for pipe in busy:
        try:
            while pipe is not dead.pipe and pipe.poll():
                message = pipe.recv()
                if not isinstance(message, (_Idle, _Failure)):
                    yield message
        except (EOFError, OSError):
            continue


def _started() -> _Worker:
    context = get_context("spawn")  # fork would copy the threads' locks
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs,), daemon=True, name="clickgrain-evaluate")
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _end(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.pipe.close()
        worker.process.terminate()
    for worker in workers:
        worker.process.join(PATIENCE)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.process.close()


def _work(pipe: "Connection[Any, Any]") -> None:
    """What a process does until its pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it could not be blocked from the start
    try:
        _answer(pipe)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the evaluation is over, or was interrupted
    except ClickgrainError as error:
        pipe.send(_Failure(str(error)))
    except Exception as error:
        pipe.send(_Failure(f"a process of the evaluation failed: {type(error).__name__}: {error}"))


def _answer(pipe: "Connection[Any, Any]") -> None:
    import cv2

    from clickgrain.evaluation.one_image import click_image

    cv2.setNumThreads(int(os.environ["OMP_NUM_THREADS"]))
    make, settings, user = pipe.recv()
    predictor = make()
    while True:
        pipe.send(_Idle())
        for found in click_image(predictor, pipe.recv(), settings, user):
            pipe.send(found)


@contextmanager
def _quiet_start(threads: int) -> Iterator[None]:
    """Processes started within have `threads` threads each and never see Ctrl-C, which this process answers."""
    before = {name: os.environ.get(name) for name in THREADS}
    blocked = _blocked_interrupts()
    try:
        for name, value in before.items():
            wanted = int(value) if value and value.isdecimal() else threads
            os.environ[name] = str(max(1, min(wanted, threads)))
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if blocked is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _blocked_interrupts() -> set[signal.Signals] | None:
    """Hold Ctrl-C back in this thread and in processes that it starts; returns what was held back before."""
    if sys.platform == "win32":
        return None
    resource_tracker.ensure_running()  # unblocks Ctrl-C when it starts, so it must have started
    return {signal.Signals(one) for one in signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})}


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
