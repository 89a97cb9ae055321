"""The logs of a project folded into documents: one history per image, one for the labels; masks by hash."""

import base64
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from typing import Any

from clickgrain.annotate.changes import Changes
from clickgrain.annotate.database import PROJECT_LOG, Database, damaged
from clickgrain.annotate.documents import Document, Labels, patched
from clickgrain.annotate.history import Action, History, State
from clickgrain.annotate.labels import change_labels, patch_labels, patched_labels
from clickgrain.annotate.refusals import RequestError
from clickgrain.annotate.requests import Posted, ProjectRequest
from clickgrain.annotate.runs import decode, describe
from clickgrain.errors import DataError
from clickgrain.types import Bool

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
