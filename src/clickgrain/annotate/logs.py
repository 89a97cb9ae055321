"""The logs of a project folded into documents: one history per image, one for the labels; masks by hash."""

import base64
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from clickgrain.annotate.actions import change_labels, patch_labels, patched_labels
from clickgrain.annotate.database import PROJECT_LOG, Action, Database, damaged
from clickgrain.annotate.documents import Document, Labels, Posted, ProjectRequest, patched
from clickgrain.annotate.http_errors import RequestError
from clickgrain.annotate.mask_rle import decode, describe
from clickgrain.errors import DataError
from clickgrain.types import Bool


class Changes:
    """Things by name, each with the number of its last change."""

    def __init__(self) -> None:
        self._at: dict[tuple[str, int | str], int] = {}
        self._now = 0
        self._lock = threading.Lock()

    @property
    def now(self) -> int:
        """Number of the last change."""
        return self._now

    def mark(self, kind: str, key: int | str = 0) -> None:
        """Something has changed."""
        with self._lock:
            self._now += 1
            self._at[kind, key] = self._now

    def since(self, number: int) -> dict[str, list[int | str]]:
        """Keys by kind, of what changed after a number."""
        with self._lock:
            found: dict[str, list[int | str]] = {}
            for (kind, key), at in self._at.items():
                if at > number:
                    found.setdefault(kind, []).append(key)
            return found


State = TypeVar("State")


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


KEPT_HISTORIES = 200


class Logs:
    """What a project file says.

    Args:
        database: the file.
        changes: told of every change.
    """

    def __init__(self, database: Database, changes: Changes) -> None:
        self.database, self.changes = database, changes
        self._histories: OrderedDict[int, History[Document]] = OrderedDict()
        self._labels: History[Labels] | None = None
        self._locks: dict[int, threading.RLock] = {}
        self._lock = threading.RLock()
        self._version = database.data_version()

    def lock_of(self, image: int) -> threading.RLock:
        """One writer per image at a time."""
        with self._lock:
            return self._locks.setdefault(image, threading.RLock())

    def notice_others(self) -> bool:
        """Whether another program has written to the file since the last look; then everything is read anew."""
        version = self.database.data_version()
        with self._lock:
            if version == self._version:
                return False
            self._version = version
            self._histories.clear()
            self._labels = None
        self.changes.mark("reload")
        return True

    def history(self, image: int) -> History[Document]:
        """The stack of an image's documents."""
        with self._lock:
            if image in self._histories:
                self._histories.move_to_end(image)
                return self._histories[image]
            history = self._folded(image, History(Document(), patched))
            self._histories[image] = history
            if len(self._histories) > KEPT_HISTORIES:
                self._histories.popitem(last=False)
            return history

    def _folded(self, image: int, history: "History[State]") -> "History[State]":
        try:
            return history.extend(self.database.actions(image))
        except RequestError as error:
            if error.code.startswith("database"):
                raise
            raise damaged(self.database.path, image, str(error)) from error
        except Exception as error:  # who wrote the file may have written anything
            raise damaged(self.database.path, image, f"{type(error).__name__}: {error}") from error

    def keep(self, image: int, history: History[Document]) -> None:
        """Make this the known history: a reader may have loaded the image anew before an action was on disk."""
        with self._lock:
            self._histories[image] = history

    def forget(self, image: int) -> None:
        """Read an image's log anew next time."""
        with self._lock:
            self._histories.pop(image, None)

    def labels(self) -> History[Labels]:
        """The stack of the project's labels."""
        with self._lock:
            if self._labels is None:
                self._labels = self._folded(PROJECT_LOG, History(Labels(), patched_labels))
            return self._labels

    def mask(self, hash_: str) -> Bool:
        """H x W bool mask.

        Raises:
            RequestError: there is none of this hash, or it is damaged.
        """
        return decode(self.coded(hash_))

    def coded(self, hash_: str) -> bytes:
        """A mask as it is stored, whole.

        Raises:
            RequestError: as `mask`.
        """
        data = self.database.mask(hash_)
        if data is None:
            raise RequestError("not_found", f"there is no mask {hash_}")
        try:
            return describe(data).data
        except DataError as error:
            where = f"{self.database.path}: mask {hash_} is damaged"
            raise RequestError(
                "invalid", f"{where} ({error}); restore a copy of the file, or draw it again"
            ) from error

    def content(self, image: int) -> str | None:
        """Hash of the image's file as it is now, if that is known."""
        return None

    def document_json(self, image: int) -> dict[str, Any]:
        """An image's document as the page receives it; what was drawn on another content of the file is marked."""
        now = self.history(image).now()
        moves = {"can_undo": now.can_undo, "can_redo": now.can_redo}
        return {"seq": now.seq, **moves, **now.document.to_json(self.content(image))}

    def masks_of(self, document: Document) -> dict[str, str]:
        """Masks of all objects of a document by hash, in base64; without those that are damaged."""
        masks = dict[str, str]()
        for hash_ in dict.fromkeys(item.mask for item in document.objects if item.mask):
            with suppress(RequestError):
                masks[hash_] = base64.b64encode(self.coded(hash_)).decode()
        return masks

    def conflict(self, image: int, seen: int) -> RequestError:
        """The refusal of a write that has not seen everything, with what it missed."""
        history = self.history(image)
        return RequestError(
            "conflict",
            "this image was changed in another tab; it is shown as it is now",
            seq=history.seq,
            actions=[action.to_json() for action in self.database.actions(image, seen)],
            document=self.document_json(image),
            masks=self.masks_of(history.document),
        )

    def act_on_labels(self, post: Posted, request: ProjectRequest) -> None:
        """Carry out an action on the project's log.

        Raises:
            RequestError: as `act`.
        """
        with self.lock_of(PROJECT_LOG):
            self.notice_others()
            history = self.labels()
            if post.seq != history.seq:
                raise RequestError(
                    "conflict",
                    "labels were changed in another tab",
                    seq=history.seq,
                    actions=[action.to_json() for action in self.database.actions(PROJECT_LOG, post.seq)],
                    document=labels_json(history),
                )
            history.check(request.kind)
            patch: dict[str, Any] = {}
            if request.kind not in ("undo", "redo"):
                patch = patch_labels(history.document, change_labels(history.document, request, history.last_id))
            asked = request.model_dump(mode="json", exclude_unset=True)
            action = Action(history.seq + 1, request.kind, time.time(), post.client, "", None, asked, patch)
            if not self.database.append(PROJECT_LOG, action, {}, None):
                with self._lock:
                    self._labels = None
                raise RequestError("conflict", "labels were changed by another program; try again")
            history.add(action)
            with self._lock:
                self._labels = history
            self.changes.mark("project")


def labels_json(history: History[Labels]) -> dict[str, Any]:
    """The project's document as the page receives it; `added` is the newest label's number."""
    now = history.now()
    moves = {"can_undo": now.can_undo, "can_redo": now.can_redo, "added": now.last_id or None}
    return {"seq": now.seq, **moves, **now.document.to_json()}
