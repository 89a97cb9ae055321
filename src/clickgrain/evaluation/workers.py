"""An evaluation distributed over processes, one image at a time."""

import os
import signal
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache
from multiprocessing import active_children, get_context, resource_tracker
from multiprocessing.process import BaseProcess

import cv2

from clickgrain.clicks.robot import User
from clickgrain.errors import ClickgrainError, ConfigError, DataError
from clickgrain.evaluation.config import EvaluationSettings
from clickgrain.evaluation.datasets import Target
from clickgrain.evaluation.protocol import Found, click_image
from clickgrain.files import core_count
from clickgrain.types import Predictor

THREADS = [f"{name}_THREADS" for name in ("OMP_NUM", "OPENBLAS_NUM", "MKL_NUM", "NUMBA_NUM", "VECLIB_MAXIMUM")]


def click_images(
    make: Callable[[], Predictor],
    groups: list[list[Target]],
    settings: EvaluationSettings,
    user: User,
    processes: int,
) -> Generator[Found, None, None]:
    """What `click_image` yields, one image at a time, in the order in which they finish.

    Every process makes its own predictor (so `make`, the targets and the user must be picklable) and has its share
    of the cores as threads. Raises ConfigError: for objects that cannot be pickled. DataError: when a process dies
    or the predictor cannot be made. Close the iterator to end the processes.
    """
    before = set(active_children())
    context = get_context("spawn")  # fork would copy the threads' locks
    pool = ProcessPoolExecutor(min(processes, len(groups)), context, _start, (make, settings, user))
    waiting: dict[Future[list[Found]], str] = {}
    children: set[BaseProcess] = set()
    try:
        with quiet_start(max(1, core_count() // processes)):
            for group in groups:  # submitting starts the processes
                waiting[pool.submit(_click, group)] = group[0].image_id
        children = set(active_children()) - before
        while waiting:
            done = wait(waiting, return_when=FIRST_COMPLETED).done
            for future in sorted(done, key=lambda one: one.exception() is not None):  # finished rows first
                yield from future.result()
                del waiting[future]
    except BrokenProcessPool as error:
        for child in children:
            child.join(5)  # the pool ends the others
        codes = sorted({child.exitcode for child in children if child.exitcode})
        images = ", ".join(map(repr, list(waiting.values())[:processes]))
        raise DataError(
            f"a process of the evaluation died at its start or at one of the images {images} (exit codes {codes};"
            " -9 is often memory); finished images are kept in the .jsonl file: start again with fewer --processes"
            " (a script calls evaluate below `if __name__ == '__main__':`)"
        ) from error
    except (ClickgrainError, GeneratorExit, KeyboardInterrupt):
        raise
    except Exception as error:  # pickle raises nearly anything
        raise ConfigError(
            f"--processes: this cannot be handed to another process ({type(error).__name__}: {error}); give a"
            " factory, a user and targets made of importable functions, or use --processes 1"
        ) from error
    finally:
        for child in children:
            child.terminate()
        pool.shutdown(cancel_futures=True)


_make: Callable[[], Predictor]  # of this process, as the next two
_settings: EvaluationSettings
_user: User


def _start(make: Callable[[], Predictor], settings: EvaluationSettings, user: User) -> None:
    global _make, _settings, _user
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # if it could not be blocked from the start
    cv2.setNumThreads(int(os.environ["OMP_NUM_THREADS"]))
    _make, _settings, _user = cache(make), settings, user


def _click(group: list[Target]) -> list[Found]:
    """In another process: all targets of an image; the predictor is made for the first image."""
    try:
        return list(click_image(_make(), group, _settings, _user))
    except ClickgrainError as error:
        raise DataError(str(error)) from None
    except Exception as error:
        raise DataError(f"a process of the evaluation failed: {type(error).__name__}: {error}") from None


@contextmanager
def quiet_start(threads: int) -> Iterator[None]:
    """Processes started within have `threads` threads each and ignore Ctrl-C, which this process handles."""
    before = {name: os.environ.get(name) for name in THREADS}
    blocked = None
    if hasattr(signal, "pthread_sigmask"):
        resource_tracker.ensure_running()  # it unblocks Ctrl-C when it starts, so start it before
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        for name, value in before.items():
            wanted = int(value) if value and value.isdecimal() else threads
            os.environ[name] = str(max(1, min(wanted, threads)))
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        if blocked is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
