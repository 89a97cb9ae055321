"""Undo and redo without limit: a log of actions folded into a stack of documents.

Undo and redo are actions of the log themselves, so every tab and every later session sees the same stack.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from clickgrain.annotate.refusals import RequestError

State = TypeVar("State")


@dataclass(frozen=True)
class Action:
    """One entry of a log.

    Attributes:
        seq: 1, 2, 3 ... within its log.
        kind: what the user did; "undo" and "redo" move the stack.
        time: Unix seconds.
        client: the tab that sent it.
        model: hash of the model at work.
        active: seconds the user was busy since the action before, None if unknown.
        asked: as sent.
        patch: what it changed.
    """

    seq: int
    kind: str
    time: float
    client: str
    model: str
    active: float | None
    asked: dict[str, Any]
    patch: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """As the page receives it."""
        return {
            "seq": self.seq,
            "kind": self.kind,
            "time": self.time,
            "client": self.client,
            "model": self.model,
            "by": self.asked,
        }


@dataclass(frozen=True)
class Moment(Generic[State]):
    """A stack at one moment, seen whole while others write."""

    seq: int
    document: State
    can_undo: bool
    can_redo: bool
    last_id: int


class History(Generic[State]):
    """The stack of documents that a log leads to.

    Args:
        first: before any action; documents are immutable and share what they have in common.
        patched: (document, patch) -> document.
    """

    def __init__(self, first: State, patched: Callable[[State, dict[str, Any]], State]) -> None:
        self._patched, self._lock = patched, threading.Lock()
        self._done: list[State] = [first]
        self._undone: list[State] = []
        self.seq = 0
        self.last_id = 0
        """Highest object number ever given: numbers are not used again, even after undo."""

    @property
    def document(self) -> State:
        """The document as it stands."""
        return self._done[-1]

    @property
    def can_undo(self) -> bool:
        """Whether there is something to take back."""
        return len(self._done) > 1

    @property
    def can_redo(self) -> bool:
        """Whether something was taken back last."""
        return bool(self._undone)

    def now(self) -> Moment[State]:
        """Everything at one moment: a reader in another thread sees no action half taken."""
        with self._lock:
            return Moment(self.seq, self.document, self.can_undo, self.can_redo, self.last_id)

    def check(self, kind: str) -> None:
        """Refuse an undo or redo that has nothing to move.

        Raises:
            RequestError: it has not.
        """
        if (kind == "undo" and not self.can_undo) or (kind == "redo" and not self.can_redo):
            raise RequestError("invalid", f"there is nothing to {kind}")

    def preview(self, action: Action) -> State:
        """The document that `add` would lead to."""
        if action.kind == "undo":
            return self._done[-2]
        return self._undone[-1] if action.kind == "redo" else self._patched(self.document, action.patch)

    def add(self, action: Action) -> None:
        """Take the next action of the log.

        Raises:
            RequestError: it does not follow. Anything: a patch that clickgrain did not write.
        """
        if action.seq != self.seq + 1:
            raise RequestError("internal", f"action {action.seq} does not follow {self.seq} in the log")
        self.check(action.kind)
        last_id = max([self.last_id, *(item["id"] for item in action.patch.get("put", ()))])
        new = [] if action.kind in ("undo", "redo") else [self._patched(self.document, action.patch)]
        with self._lock:
            if action.kind == "undo":
                self._undone.append(self._done.pop())
            elif action.kind == "redo":
                self._done.append(self._undone.pop())
            else:
                self._done += new
                self._undone.clear()
            self.seq, self.last_id = action.seq, last_id

    def extend(self, actions: Iterable[Action]) -> "History[State]":
        """Take several actions; returns the history itself."""
        for action in actions:
            self.add(action)
        return self
