"""Progress of long work: a rich bar, events, or nothing."""

import time
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from clickgrain import events

EVERY = 1.0
"""Seconds between events of one stage."""


class Progress:
    """A bar that several stages may share; shows nothing by itself. `advance` may be called by several threads."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def start(self, what: str, total: int, done: int = 0) -> None:
        """Begin a stage of `total` steps, `done` of which are done."""

    def advance(self, text: str = "") -> None:
        """One more step; `text` says how it went."""

    def expect(self, total: int) -> None:
        """Change the number of steps of the stage."""

    def note(self, text: str) -> None:
        """A line that stays above the bar."""


class Quiet(Progress):
    """No progress at all."""


class Bar(Progress):
    """A rich progress bar on stderr, or events with --log-json, which may be entered again inside itself.

    If `transient`, it is shown on terminals only, and gone at the end.
    """

    def __init__(self, *, transient: bool = False) -> None:
        self.console = Console(stderr=True)
        self._bar = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}", markup=False),
            console=self.console,
            transient=transient,
            disable=events.is_on() or (transient and not self.console.is_terminal),
        )
        self._task: Any = None
        self._told = 0.0
        self._depth = 0

    def __enter__(self) -> Self:
        if self._depth == 0:
            self._bar.start()
        self._depth += 1
        return self

    def __exit__(self, *error: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._bar.stop()
            self._tell()

    def start(self, what: str, total: int, done: int = 0) -> None:
        """Begin a stage and end the one before, even if it had fewer steps than expected (a damaged photo)."""
        for task in self._bar.tasks:
            if not task.finished:
                self._bar.update(task.id, total=task.completed)
        self._task = self._bar.add_task(what, total=total, completed=done, text="")
        self._tell()

    def advance(self, text: str = "") -> None:
        """One more step."""
        self._bar.update(self._task, advance=1, text=text)
        self._tell(EVERY)

    def expect(self, total: int) -> None:
        """Change the number of steps of the stage."""
        self._bar.update(self._task, total=total)

    def reach(self, done: int, total: int) -> None:
        """So many steps of the stage are done, of so many."""
        self._bar.update(self._task, completed=done, total=total)
        self._tell(EVERY)

    def note(self, text: str) -> None:
        """A line above the bar."""
        if events.is_on():
            return events.emit("message", level="info", message=text)
        return self._bar.console.print(text, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def _tell(self, after: float = 0.0) -> None:
        """An event that says how far the stage is, `after` so many seconds since the last."""
        if self._task is None or not events.is_on() or time.monotonic() < self._told + after:
            return
        self._told = time.monotonic()
        task = next(one for one in self._bar.tasks if one.id == self._task)
        done, total = int(task.completed), None if task.total is None else int(task.total)
        events.emit("progress", stage=task.description, done=done, total=total, text=task.fields["text"])
