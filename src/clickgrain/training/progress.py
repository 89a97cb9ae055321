"""Progress of long work: a rich bar, a file for another process, or nothing."""

import json
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from clickgrain.files import write_beside

PROGRESS = "progress.json"
EVERY = 1.0
"""Seconds between writes of it within a stage."""


class Progress(Protocol):
    """A bar that several stages may share. `advance` may be called by several threads."""

    def __enter__(self) -> "Progress": ...

    def __exit__(self, *error: object) -> None: ...

    def start(self, what: str, total: int, done: int = 0) -> None:
        """Begin a stage of `total` steps, `done` of them behind us."""

    def advance(self, text: str = "") -> None:
        """One step more; `text` says how it went."""

    def expect(self, total: int) -> None:
        """The stage turns out to have so many steps."""

    def say(self, text: str) -> None:
        """What is being done within the stage."""

    def note(self, text: str) -> None:
        """A line that stays above the bar."""


class Quiet:
    """No progress at all."""

    def __enter__(self) -> "Quiet":
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def start(self, what: str, total: int, done: int = 0) -> None:
        """Say nothing."""

    def advance(self, text: str = "") -> None:
        """Say nothing."""

    def expect(self, total: int) -> None:
        """Say nothing."""

    def say(self, text: str) -> None:
        """Say nothing."""

    def note(self, text: str) -> None:
        """Say nothing."""


class Bar:
    """A rich progress bar on stderr; may be entered again inside itself."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}"),
            console=self.console,
        )
        self._task: Any = None
        self._depth = 0

    def __enter__(self) -> "Bar":
        if self._depth == 0:
            self._bar.start()
        self._depth += 1
        return self

    def __exit__(self, *error: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._bar.stop()

    def start(self, what: str, total: int, done: int = 0) -> None:
        """Begin a stage; the one before is over, also where it did less than was expected (a damaged photo)."""
        for task in self._bar.tasks:
            if not task.finished:
                self._bar.update(task.id, total=task.completed)
        self._task = self._bar.add_task(what, total=total, completed=done, text="")

    def advance(self, text: str = "") -> None:
        """One step more."""
        self._bar.update(self._task, advance=1, text=text)

    def expect(self, total: int) -> None:
        """Another end of the stage."""
        self._bar.update(self._task, total=total)

    def say(self, text: str) -> None:
        """Text behind the bar."""
        self._bar.update(self._task, text=text)

    def note(self, text: str) -> None:
        """A line above the bar."""
        self._bar.console.print(text, highlight=False, markup=False, emoji=False)


class ProgressFile:
    """Shows progress as another bar does, and keeps `progress.json` for a process that waits for the run.

    The file holds `stage`, its `done` and `total`, `text` (such as the last loss and the seconds a step takes), the
    last `note`, and `updated` in seconds since 1970. It is written when a stage begins or is done, and otherwise at
    most once a second. A failed write is passed over: a run must not end for it.

    Args:
        shown: the bar.
        out: the run's folder.
    """

    def __init__(self, shown: Progress, out: Path) -> None:
        self._shown, self._path = shown, out / PROGRESS
        self._lock = threading.Lock()
        self._written = 0.0
        self._now: dict[str, Any] = {"stage": "", "done": 0, "total": 0, "text": "", "note": ""}

    def __enter__(self) -> "ProgressFile":
        self._shown.__enter__()
        self._keep(stage="starting")  # what an earlier session left there is over
        return self

    def __exit__(self, *error: object) -> None:
        self._shown.__exit__(*error)

    def start(self, what: str, total: int, done: int = 0) -> None:
        """Begin a stage."""
        self._shown.start(what, total, done)
        self._keep(stage=what, total=total, done=done, text="")

    def advance(self, text: str = "") -> None:
        """One step more."""
        self._shown.advance(text)
        self._keep(soon=True, step=1, text=text)

    def expect(self, total: int) -> None:
        """Another end of the stage."""
        self._shown.expect(total)
        self._keep(soon=True, total=total)

    def say(self, text: str) -> None:
        """What is being done."""
        self._shown.say(text)
        self._keep(text=text)

    def note(self, text: str) -> None:
        """A line above the bar."""
        self._shown.note(text)
        self._keep(note=text)

    def _keep(self, *, soon: bool = False, step: int = 0, **changes: Any) -> None:
        with self._lock:
            self._now = self._now | changes
            self._now["done"] += step
            now, over = time.time(), self._now["done"] >= self._now["total"]
            if not soon or over or now - self._written >= EVERY:
                self._written = now
                with suppress(OSError):
                    self._path.parent.mkdir(parents=True, exist_ok=True)
                    content = json.dumps(self._now | {"updated": round(now, 3)})
                    write_beside(self._path, content.encode("utf-8", "surrogateescape")).replace(self._path)
