"""`learn` in the process that the server starts, in the run's folder; a file there tells how far it is."""

import json
import os
import signal
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

from clickgrain.annotate.child import PROGRESS
from clickgrain.errors import ClickgrainError
from clickgrain.progress import Quiet

EVERY = 0.3
"""Seconds between writes within a stage."""
LAST = 20
"""Steps whose mean time is told."""


class ProgressFile(Quiet):
    """Writes where a run is: {"stage", "done", "total", "each" (seconds a step, or null), "text"}.

    Args:
        path: of the file, replaced as a whole; one that cannot be written stops no training.
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
        """One step more, whose time counts unless something else was done meanwhile."""
        now = time.monotonic()
        if self._began is not None:
            self._times.append(now - self._began)
        self._began = now
        each = sum(self._times) / len(self._times) if self._times else None
        done = self._now["done"] + 1
        soon = now - self._written < EVERY and done != self._now["total"]  # an end stands until the next stage
        self._set(soon, done=done, each=each, text=text)

    def expect(self, total: int) -> None:
        """Another end of the stage."""
        self._set(True, total=total)

    def note(self, text: str) -> None:
        """What goes on, or has come of it, until the next step."""
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


def main(photos: str, minutes: str, *ignore: str) -> int:
    """Learn in the current folder; the exit status."""
    from clickgrain.training.config import LearnArgs
    from clickgrain.training.learn import learn

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    os.umask(os.umask(0o022) | 0o022)  # folders in which others can put something are not gone on with
    args = LearnArgs(Path(photos), Path(), minutes=float(minutes), ignore=ignore)
    try:
        learn(args, ProgressFile(Path(PROGRESS)))
    except ClickgrainError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
