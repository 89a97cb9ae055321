"""The logs of a project, one per image and one for the labels, and the documents that they lead to."""

import base64
import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

from clickgrain.annotate.actions import apply_to_labels
from clickgrain.annotate.database import PROJECT_LOG, Action, Database, Summary, damaged
from clickgrain.annotate.documents import Document, Item, Label, Labels, Posted, ProjectRequest, count_clicks
from clickgrain.annotate.gallery import Gallery
from clickgrain.annotate.http_errors import RequestError
from clickgrain.annotate.mask_rle import decode, describe
from clickgrain.errors import DataError
from clickgrain.types import Bool

KEPT_HISTORIES = 200
State = TypeVar("State")


class Changes:
    """Numbers every change, so that a page that polls receives only what is new to it."""

    def __init__(self) -> None:
        self._at: dict[tuple[str, int | str], int] = {}
        self._lock = threading.Lock()
        self.now = 0  # number of the last change

    def mark(self, kind: str, key: int | str = 0) -> None:
        """Something has changed."""
        with self._lock:
            self.now += 1
            self._at[kind, key] = self.now

    def since(self, number: int) -> dict[str, list[int | str]]:
        """Keys by kind, of what changed after a number."""
        with self._lock:
            found: dict[str, list[int | str]] = {}
            for (kind, key), at in self._at.items():
                if at > number:
                    found.setdefault(kind, []).append(key)
            return found


def _entries(state: Document | Labels) -> tuple[str, list[str]]:
    """Names of the field of objects or labels, and of the others."""
    name = "objects" if isinstance(state, Document) else "labels"
    return name, [other for other in type(state).model_fields if other != name]


def patch_between(before: Document | Labels, after: Document | Labels) -> dict[str, Any]:
    """What changed, small enough to log: objects (or labels) put and removed, their order, and the other fields.

    Steps that an object keeps are not repeated: {"keep": n, "add": [...]}.
    """
    name, others = _entries(before)
    old, new = ({one.id: one for one in getattr(state, name)} for state in (before, after))
    put = []
    for one in new.values():
        known = old.get(one.id)
        if one is known or one == known:  # most are shared between the documents: no need to look inside
            continue
        values = one.model_dump(mode="json", exclude={"steps"})
        if isinstance(one, Item):
            same = (step == other for step, other in zip(() if known is None else known.steps, one.steps))
            keep = sum(1 for _ in itertools.takewhile(bool, same))
            values["steps"] = {"keep": keep, "add": [step.model_dump(mode="json") for step in one.steps[keep:]]}
        put.append(values)
    gone = old.keys() - new.keys()
    patch: dict[str, Any] = {key: value for key, value in (("put", put), ("remove", sorted(gone))) if value}
    if [*new] != [id_ for id_ in old if id_ not in gone] + [id_ for id_ in new if id_ not in old]:
        patch["order"] = [*new]  # by default: those that stay, then the new ones
    return patch | {key: getattr(after, key) for key in others if getattr(after, key) != getattr(before, key)}


def patched(state: Any, patch: dict[str, Any]) -> Any:
    """The document, or the labels, after a patch of `patch_between`."""
    name, others = _entries(state)
    items = {one.id: one for one in getattr(state, name)}
    for id_ in patch.get("remove", ()):
        items.pop(id_, None)
    for values in patch.get("put", ()):
        if isinstance(state, Labels):
            items[values["id"]] = Label.model_validate(values)
            continue
        old, steps = items.get(values["id"]), values["steps"]
        added = Item.model_validate({**values, "steps": steps["add"]})
        kept = () if old is None else old.steps[: steps["keep"]]
        items[added.id] = added.model_copy(update={"steps": (*kept, *added.steps)})
    ordered = tuple(items[id_] for id_ in patch.get("order") or [*items] if id_ in items)
    return type(state)(**{name: ordered, **{key: patch.get(key, getattr(state, key)) for key in others}})


class History(Generic[State]):
    """The stack of documents that a log leads to; undo and redo are actions, too: every tab sees the same."""

    def __init__(self, first: State, patched: Callable[[State, dict[str, Any]], State]) -> None:
        self._patched, self._lock = patched, threading.Lock()
        self._done: list[tuple[int | None, State]] = [(None, first)]
        """What undo takes back, the next one last: the number of an action, and the document after it."""
        self._undone: list[tuple[int | None, State]] = []
        self.seq = 0
        self.last_id = 0  # highest object number ever given: numbers are not used again, even after undo

    @property
    def document(self) -> State:
        """The current document."""
        return self._done[-1][1]

    def now(self) -> tuple[State, dict[str, int]]:
        """(document, what the page shows of the log) at one moment: no other thread's action is seen half done."""
        with self._lock:
            can = {f"can_{kind}": self.next_to(kind) is not None for kind in ("undo", "redo")}
            return self.document, {"seq": self.seq, **can, "last_id": self.last_id}

    def check(self, kind: str) -> None:
        """Refuse an undo or redo with an empty stack. Raises RequestError: nothing to undo or redo."""
        if kind in ("undo", "redo") and self.next_to(kind) is None:
            raise RequestError("invalid", f"there is nothing to {kind}")

    def next_to(self, kind: str) -> int | None:
        """Number of the action that an undo would take back, or a redo repeat."""
        stack = self._done if kind == "undo" else self._undone
        return stack[-1][0] if stack else None

    def preview(self, action: Action) -> State:
        """The document that `add` would lead to."""
        if action.kind == "undo":
            return self._done[-2][1]
        return self._undone[-1][1] if action.kind == "redo" else self._patched(self.document, action.patch)

    def add(self, action: Action, document: State | None = None) -> None:
        """Take the next action of the log, which leads to `document` if given; RequestError: it does not follow."""
        if action.seq != self.seq + 1:
            raise RequestError("internal", f"action {action.seq} does not follow {self.seq} in the log")
        self.check(action.kind)
        last_id = max([self.last_id, *(item["id"] for item in action.patch.get("put", ()))])
        new = self.preview(action) if document is None else document
        with self._lock:
            if action.kind == "undo":
                self._undone.append(self._done.pop())
            elif action.kind == "redo":
                self._done.append(self._undone.pop())
            else:
                self._done.append((action.seq, new))
                self._undone.clear()
            self.seq, self.last_id = action.seq, last_id


class Logs:
    """The documents of a project file (the labels' is number 0), and how they are written; `changes` is told."""

    def __init__(self, database: Database, gallery: Gallery, changes: Changes) -> None:
        self.database, self.gallery, self.changes = database, gallery, changes
        self._histories: OrderedDict[int, History[Any]] = OrderedDict()
        self._locks: dict[int, threading.RLock] = {}
        self._lock = threading.RLock()
        self._version = database.data_version()

    def lock_of(self, log: int) -> threading.RLock:
        """One writer per log at a time."""
        with self._lock:
            return self._locks.setdefault(log, threading.RLock())

    def notice_others(self) -> None:
        """Read everything again if another program has written to the file since the last call."""
        version = self.database.data_version()
        with self._lock:
            if version == self._version:
                return
            self._version = version
            self._histories.clear()
        self.changes.mark("reload")

    def history(self, image: int) -> History[Document]:
        """The stack of an image's documents. Raises RequestError: no such image, or a damaged log."""
        self.gallery.path(image)
        return self._history(image, History(Document(), patched))

    def labels(self) -> History[Labels]:
        """The stack of the project's labels. Raises RequestError: a damaged log."""
        return self._history(PROJECT_LOG, History(Labels(), patched))

    def _current(self, log: int) -> History[Any]:
        return self.labels() if log == PROJECT_LOG else self.history(log)

    def _history(self, log: int, empty: "History[State]") -> "History[State]":
        with self._lock:
            if log not in self._histories:
                try:
                    for action in self.database.actions(log):
                        empty.add(action)
                except Exception as error:  # another program may have written anything
                    if isinstance(error, RequestError) and error.code.startswith("database"):
                        raise
                    reason = str(error) if isinstance(error, RequestError) else f"{type(error).__name__}: {error}"
                    raise damaged(self.database.path, log, reason) from error
                self._histories[log] = empty
                if len(self._histories) > KEPT_HISTORIES:
                    self._histories.popitem(last=False)
            self._histories.move_to_end(log)
            return self._histories[log]

    def forget(self, log: int) -> None:
        """Read a log again next time."""
        with self._lock:
            self._histories.pop(log, None)

    def item(self, image: int, number: int, *, current: bool = False) -> Item:
        """An object of an image; RequestError if there is none or, with `current`, only one of an older file."""
        item = self.history(image).document.find(number)
        if item is None or item.mask is None:
            raise RequestError("not_found", f"there is no object {number} in this image")
        if current and item.content not in (None, self.gallery.content(image)):
            name = self.gallery.name(image)
            raise RequestError("invalid", f"object {number} of {name} was drawn on an older photo; draw it again")
        return item

    def mask(self, hash_: str) -> Bool:
        """H x W bool mask. Raises RequestError: there is none of this hash, or it is damaged."""
        return decode(self.coded(hash_))

    def coded(self, hash_: str) -> bytes:
        """A coded mask, checked. Raises RequestError: as `mask`."""
        data = self.database.mask(hash_)
        if data is None:
            raise RequestError("not_found", f"there is no mask {hash_}")
        try:
            return describe(data).data
        except DataError as error:
            damage = f"{self.database.path}: mask {hash_} is damaged ({error})"
            raise RequestError("invalid", f"{damage}; restore a copy of the file, or draw it again") from error

    def masks_of(self, document: Document) -> dict[str, str]:
        """Masks of a document's objects by hash, in base64; damaged ones are left out."""
        masks = dict[str, str]()
        for hash_ in dict.fromkeys(item.mask for item in document.objects if item.mask):
            with suppress(RequestError):
                masks[hash_] = base64.b64encode(self.coded(hash_)).decode()
        return masks

    def document_json(self, log: int) -> dict[str, Any]:
        """A document for the page: objects drawn on another content are marked; `added` is the newest label."""
        document, moves = self._current(log).now()
        last_id = moves.pop("last_id")
        if isinstance(document, Labels):
            return {**moves, "added": last_id or None, **document.model_dump(mode="json")}
        return {**moves, **document.to_json(self.gallery.content(log))}

    def conflict(self, log: int, seen: int) -> RequestError:
        """The error of a write whose sender has not seen every action, with those that it missed."""
        shown, words = self.document_json(log), "this image was changed in another tab; it is shown as it is now"
        return RequestError(
            "conflict",
            words if log != PROJECT_LOG else "labels were changed in another tab; try again",
            seq=shown["seq"],
            actions=[action.to_json() for action in self.database.actions(log, seen)],
            document=shown,
            masks={} if log == PROJECT_LOG else self.masks_of(self.history(log).document),
        )

    def write(self, log: int, action: Action, document: Document | Labels, masks: dict[str, bytes]) -> None:
        """Store the next action of a log, whose lock is held, and its document; RequestError if that fails."""
        summary, history = None, self._current(log)
        if isinstance(document, Document):
            clicks = sum(count_clicks(item.steps) for item in document.objects)
            summary = Summary(action.seq, document.status, len(document.objects), clicks)
        if not self.database.append(log, action, masks, summary):
            self.forget(log)
            raise self.conflict(log, action.seq - 1)
        history.add(action, document)
        with self._lock:
            self._histories[log] = history  # a reader may have loaded the log again before the action was on disk
        self.changes.mark(*(("project",) if log == PROJECT_LOG else ("image", log)))

    def act_on_labels(self, post: Posted, request: ProjectRequest, user: str = "") -> None:
        """Act on the labels for a person; RequestError if the sender missed actions ("conflict"), or it fails."""
        with self.lock_of(PROJECT_LOG):
            self.notice_others()
            history, patch, labels = self.labels(), dict[str, Any](), None
            if post.seq != history.seq:
                raise self.conflict(PROJECT_LOG, post.seq)
            history.check(request.kind)
            if request.kind not in ("undo", "redo"):
                labels = apply_to_labels(request, history.document, history.last_id)
                patch = patch_between(history.document, labels)
            asked = request.model_dump(mode="json", exclude_unset=True)
            action = Action(history.seq + 1, request.kind, time.time(), post.client, "", None, asked, patch, user)
            self.write(PROJECT_LOG, action, labels or history.preview(action), {})
