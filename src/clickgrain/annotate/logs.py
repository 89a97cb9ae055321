"""The logs of a project, one per image and one for the labels, and the documents that they lead to."""

import base64
import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
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
        self.now = 0
        """Number of the last change."""

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


def patch_between(before: Document, after: Document) -> dict[str, Any]:
    """What changed, small enough to log: objects put and removed, their order, the status, its note and who set it.

    Steps that an object keeps are not repeated: {"keep": n, "add": [...]}.
    """
    old = {item.id: item for item in before.objects}
    put = []
    for item in after.objects:
        known = old.get(item.id)
        if item is known or item == known:  # most are shared between the documents: no need to look inside
            continue
        same = (one == other for one, other in zip(() if known is None else known.steps, item.steps))
        keep = sum(1 for _ in itertools.takewhile(bool, same))
        added = [step.model_dump(mode="json") for step in item.steps[keep:]]
        put.append({**item.model_dump(mode="json", exclude={"steps"}), "steps": {"keep": keep, "add": added}})
    order = [item.id for item in after.objects]
    gone = old.keys() - set(order)
    patch: dict[str, Any] = {key: value for key, value in (("put", put), ("remove", sorted(gone))) if value}
    if order != [id_ for id_ in old if id_ not in gone] + [id_ for id_ in order if id_ not in old]:
        patch["order"] = order  # by default: the objects that stay, then the new ones
    about = {key: (getattr(before, key), getattr(after, key)) for key in ("status", "note", "by", "refused")}
    return patch | {key: new for key, (old_value, new) in about.items() if new != old_value}


def patched(document: Document, patch: dict[str, Any]) -> Document:
    """The document after a patch of `patch_between`."""
    items = {item.id: item for item in document.objects}
    for id_ in patch.get("remove", ()):
        items.pop(id_, None)
    for values in patch.get("put", ()):
        old, steps = items.get(values["id"]), values["steps"]
        added = Item.model_validate({**values, "steps": steps["add"]})
        kept = () if old is None else old.steps[: steps["keep"]]
        items[added.id] = added.model_copy(update={"steps": (*kept, *added.steps)})
    order: Sequence[int] = patch.get("order") or list(items)
    about = {key: patch.get(key, getattr(document, key)) for key in ("status", "note", "by")}
    refused = tuple(patch.get("refused", document.refused))
    return Document(objects=tuple(items[id_] for id_ in order if id_ in items), refused=refused, **about)


def patch_labels(before: Labels, after: Labels) -> dict[str, Any]:
    """What changed: labels put and removed, their order, and whether objects may overlap."""
    old, new = {one.id: one for one in before.labels}, [one.id for one in after.labels]
    stay = [id_ for id_ in old if id_ in set(new)]
    changes: dict[str, Any] = {
        "put": [one.model_dump(mode="json") for one in after.labels if old.get(one.id) != one],
        "remove": [id_ for id_ in old if id_ not in set(new)],
        "order": new if stay != new[: len(stay)] else [],
    }
    patch = {key: value for key, value in changes.items() if value}
    return patch if before.overlap == after.overlap else {**patch, "overlap": after.overlap}


def patched_labels(labels: Labels, patch: dict[str, Any]) -> Labels:
    """The labels after a patch of `patch_labels`."""
    put = {values["id"]: Label.model_validate(values) for values in patch.get("put", ())}
    gone = set(patch.get("remove", ()))
    stay = [put.pop(one.id, one) for one in labels.labels if one.id not in gone]
    found = {one.id: one for one in (*stay, *put.values())}
    ordered = tuple(found[id_] for id_ in patch.get("order", found))
    return Labels(labels=ordered, overlap=patch.get("overlap", labels.overlap))


@dataclass(frozen=True)
class Moment(Generic[State]):
    """A history at one moment."""

    seq: int
    document: State
    can_undo: bool
    can_redo: bool
    last_id: int


class History(Generic[State]):
    """The stack of documents that a log leads to: undo and redo without limit. `patched` applies a patch to one.

    Undo and redo are actions of the log themselves, so every tab and every later session sees the same stack.
    """

    def __init__(self, first: State, patched: Callable[[State, dict[str, Any]], State]) -> None:
        self._patched, self._lock = patched, threading.Lock()
        self._done: list[tuple[int | None, State]] = [(None, first)]
        """What undo takes back, the next one last: the number of an action, and the document after it."""
        self._undone: list[tuple[int | None, State]] = []
        self.seq = 0
        self.last_id = 0
        """Highest object number ever given: numbers are not used again, even after undo."""

    @property
    def document(self) -> State:
        """The current document."""
        return self._done[-1][1]

    @property
    def can_undo(self) -> bool:
        """Whether there is an action to take back."""
        return len(self._done) > 1

    @property
    def can_redo(self) -> bool:
        """Whether there is an action to repeat."""
        return bool(self._undone)

    def now(self) -> Moment[State]:
        """Everything at one moment: no action of another thread is seen half done."""
        with self._lock:
            return Moment(self.seq, self.document, self.can_undo, self.can_redo, self.last_id)

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
        """Take the next action of the log; `document` is what it leads to, where that is known.

        Raises RequestError: it does not follow. Any error: a patch that clickgrain did not write.
        """
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

    def extend(self, actions: Iterable[Action]) -> "History[State]":
        """Take several actions; returns the history itself."""
        for action in actions:
            self.add(action)
        return self


class Logs:
    """The documents of a project file, and how they are written; `changes` is told."""

    def __init__(self, database: Database, gallery: Gallery, changes: Changes) -> None:
        self.database, self.gallery, self.changes = database, gallery, changes
        self._histories: OrderedDict[int, History[Document]] = OrderedDict()
        self._labels: History[Labels] | None = None
        self._locks: dict[int, threading.RLock] = {}
        self._lock = threading.RLock()
        self._version = database.data_version()

    def lock_of(self, image: int) -> threading.RLock:
        """One writer per image at a time."""
        with self._lock:
            return self._locks.setdefault(image, threading.RLock())

    def notice_others(self) -> None:
        """Read everything again if another program has written to the file since the last call."""
        version = self.database.data_version()
        with self._lock:
            if version == self._version:
                return
            self._version = version
            self._histories.clear()
            self._labels = None
        self.changes.mark("reload")

    def history(self, image: int) -> History[Document]:
        """The stack of an image's documents. Raises RequestError: no such image, or a damaged log."""
        self.gallery.row(image)
        with self._lock:
            if image not in self._histories:
                self._histories[image] = self._folded(image, History(Document(), patched))
                if len(self._histories) > KEPT_HISTORIES:
                    self._histories.popitem(last=False)
            self._histories.move_to_end(image)
            return self._histories[image]

    def labels(self) -> History[Labels]:
        """The stack of the project's labels."""
        with self._lock:
            if self._labels is None:
                self._labels = self._folded(PROJECT_LOG, History(Labels(), patched_labels))
            return self._labels

    def _folded(self, image: int, history: "History[State]") -> "History[State]":
        try:
            return history.extend(self.database.actions(image))
        except RequestError as error:
            if error.code.startswith("database"):
                raise
            raise damaged(self.database.path, image, str(error)) from error
        except Exception as error:  # another program may have written anything
            raise damaged(self.database.path, image, f"{type(error).__name__}: {error}") from error

    def forget(self, image: int) -> None:
        """Read an image's log again next time."""
        with self._lock:
            self._histories.pop(image, None)

    def item(self, image: int, number: int, *, current: bool = False) -> Item:
        """An object of an image; with `current`, one that was drawn on the file as it is now.

        Raises RequestError: there is none, or it was drawn on an older file.
        """
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

    def document_json(self, image: int) -> dict[str, Any]:
        """An image's document for the page; objects drawn on another content of the file are marked."""
        now = self.history(image).now()
        moves = {"can_undo": now.can_undo, "can_redo": now.can_redo}
        return {"seq": now.seq, **moves, **now.document.to_json(self.gallery.content(image))}

    def labels_json(self) -> dict[str, Any]:
        """The project's document for the page; `added` is the newest label's number."""
        now = self.labels().now()
        moves = {"can_undo": now.can_undo, "can_redo": now.can_redo, "added": now.last_id or None}
        return {"seq": now.seq, **moves, **now.document.model_dump(mode="json")}

    def conflict(self, image: int, seen: int) -> RequestError:
        """The error of a write whose sender has not seen every action, with those that it missed."""
        history = self.history(image)
        return RequestError(
            "conflict",
            "this image was changed in another tab; it is shown as it is now",
            seq=history.seq,
            actions=[action.to_json() for action in self.database.actions(image, seen)],
            document=self.document_json(image),
            masks=self.masks_of(history.document),
        )

    def write(self, image: int, action: Action, document: Document, masks: dict[str, bytes]) -> None:
        """Store the next action of an image's log, whose lock is held, and the document that it leads to.

        Raises RequestError: another program was first, or the file cannot be written to; nothing was stored.
        """
        history = self.history(image)
        clicks = sum(count_clicks(item.steps) for item in document.objects)
        summary = Summary(action.seq, document.status, len(document.objects), clicks)
        if not self.database.append(image, action, masks, summary):
            self.forget(image)
            raise self.conflict(image, action.seq - 1)
        history.add(action, document)
        with self._lock:
            self._histories[image] = history  # a reader may have loaded the log again before the action was on disk
        self.changes.mark("image", image)

    def act_on_labels(self, post: Posted, request: ProjectRequest, user: str = "") -> None:
        """Carry out an action of a person on the project's log.

        Raises RequestError: "conflict" if the sender has not seen every action; or it cannot be done or written.
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
                    document=self.labels_json(),
                )
            history.check(request.kind)
            patch, labels = dict[str, Any](), None
            if request.kind not in ("undo", "redo"):
                labels = apply_to_labels(request, history.document, history.last_id)
                patch = patch_labels(history.document, labels)
            asked = request.model_dump(mode="json", exclude_unset=True)
            action = Action(history.seq + 1, request.kind, time.time(), post.client, "", None, asked, patch, user)
            if not self.database.append(PROJECT_LOG, action, {}, None):
                with self._lock:
                    self._labels = None
                raise RequestError("conflict", "labels were changed by another program; try again")
            history.add(action, labels)
            with self._lock:
                self._labels = history
            self.changes.mark("project")
