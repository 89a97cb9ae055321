"""Learning in a process of the server's.

`python -m clickgrain.annotate.learn_child PHOTOS MINUTES PROJECT [IGNORE ...]`: PROJECT is the file whose
objects are learned from as well; "" for none. It runs in the run's folder, writes there how far it is, and ends
when the server is gone.
"""

import json
import os
import signal
import sys
import threading
import time
from collections import deque
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from clickgrain.errors import ClickgrainError, is_interruption
from clickgrain.progress import Quiet

PATIENCE = 60.0  # seconds for the process to save its work once the server is gone
PROGRESS = "progress.json"
EVERY = 0.3  # seconds between writes within a stage
LAST = 20  # steps whose mean time is shown


class ProgressFile(Quiet):
    """Writes where a run is: {"stage", "done", "total", "each" (seconds per step, or null), "text"}.

    The file is replaced as a whole; a write that fails does not stop the training.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._now: dict[str, Any] = {"stage": "starting", "done": 0, "total": 0, "each": None, "text": ""}
        self._times: deque[float] = deque(maxlen=LAST)
        self._began: float | None = None
        self._written = 0.0
        self._set()

    def __enter__(self) -> "ProgressFile":
        self._set(stage="getting ready", done=0, total=0, text="")
        return self

    def start(self, what: str, total: int, done: int = 0) -> None:
        """Begin a stage."""
        self._times.clear()
        self._began = time.monotonic()
        self._set(stage=what, done=done, total=total, each=None, text="")

    def advance(self, text: str = "") -> None:
        """One step more, whose time counts unless there was a note during it."""
        now = time.monotonic()
        if self._began is not None:
            self._times.append(now - self._began)
        self._began = now
        each = sum(self._times) / len(self._times) if self._times else None
        done = self._now["done"] + 1
        soon = now - self._written < EVERY and done != self._now["total"]  # an end stands until the next stage
        self._set(soon, done=done, each=each, text=text)

    def expect(self, total: int) -> None:
        """Another number of steps for the stage."""
        self._set(True, total=total)

    def note(self, text: str) -> None:
        """What happens between steps, or its result; shown until the next step."""
        self._began = None
        self._set(text=text)

    def _set(self, later: bool = False, **changes: Any) -> None:
        with self._lock:
            self._now |= changes
            if later:
                return
            self._written = time.monotonic()
            with suppress(OSError):
                beside = self._path.with_suffix(".tmp")
                beside.write_text(json.dumps(self._now))
                beside.replace(self._path)


def end_with_parent() -> None:
    """End this process when its stdin closes, whose other end the parent holds: even kill -9 closes it."""

    def watch() -> None:
        try:
            while os.read(0, 4096):
                pass
        finally:  # a parent that cannot be heard counts as gone
            threading.Timer(PATIENCE, os._exit, (1,)).start()
            os.kill(os.getpid(), signal.SIGTERM)  # as Ctrl-C: finished work is saved

    threading.Thread(target=watch, name="parent", daemon=True).start()


def main(photos: str, minutes: str, project: str, *ignore: str) -> int:
    """Learn in the current folder; returns the exit status."""
    end_with_parent()
    from clickgrain.annotate.accepted import objects_in
    from clickgrain.training.config import LearnArgs
    from clickgrain.training.learn import learn
    from clickgrain.training.run_dir import LOCK

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.umask(os.umask(0o022) | 0o022)  # a run in a folder that others can write to is never resumed
    args = LearnArgs(Path(photos), Path(), minutes=float(minutes), ignore=ignore)
    try:
        with ExitStack() as stack:
            with suppress(Timeout, NotImplementedError, OSError), FileLock(LOCK, timeout=PATIENCE):
                pass  # the process of a server that was killed a moment ago has saved its steps
            objects = stack.enter_context(objects_in(Path(project), ignore)).split() if project else None
            learn(args, ProgressFile(Path(PROGRESS)), accepted=objects)
    except (Exception, KeyboardInterrupt) as error:
        if is_interruption(error):
            return 130
        if not isinstance(error, ClickgrainError):
            raise
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
