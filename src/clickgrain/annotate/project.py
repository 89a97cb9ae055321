"""A project at work: logs folded into documents, actions written, images encoded, models switched."""

import base64
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clickgrain.annotate.acting import Act
from clickgrain.annotate.changes import Changes
from clickgrain.annotate.database import PROJECT_LOG, Database, Summary
from clickgrain.annotate.documents import Document, Labels, patch_between, patched
from clickgrain.annotate.encoder import KEPT_BYTES, Encoder
from clickgrain.annotate.folding import Fold, Folder
from clickgrain.annotate.gallery import Gallery
from clickgrain.annotate.history import Action, History
from clickgrain.annotate.labels import change_labels, patched_labels
from clickgrain.annotate.models import ModelInfo, choose_model, describe_model, load_segmenter
from clickgrain.annotate.refusals import RequestError
from clickgrain.annotate.requests import ImageRequest, Posted, ProjectRequest
from clickgrain.annotate.runs import Coded, decode
from clickgrain.annotate.scenes import Scene, SceneMaker
from clickgrain.annotate.steps import Steps, count_clicks
from clickgrain.images import find_images
from clickgrain.types import Bool

IDLE = 30.0
"""Seconds after which a user who did nothing counts as away."""
AHEAD = 3
KEPT_HISTORIES = 200


@dataclass(frozen=True)
class Outcome:
    """What came of an action.

    Attributes:
        seq: its number.
        masks: new ones by hash.
        touched: the object it was about.
        ambiguous: whether other readings are worth asking for.
    """

    seq: int
    masks: dict[str, Coded]
    touched: int | None
    ambiguous: bool


class Project:
    """Annotations of a folder.

    Args:
        photos: folder of images, or one image.
        file: the project file; `clickgrain.db` beside the images when None.
        model: "tree", "default", a folder or a Hugging Face id; the project's last one, else "default" when None.
        device: torch device of the model.
        ignore: patterns of files and folders to leave out.
        kept_bytes: bound on encoded images in memory.

    Raises:
        DataError: no image there. WeightsError: no such model. RequestError: the file cannot be opened.
    """

    def __init__(
        self,
        photos: Path,
        file: Path | None = None,
        *,
        model: str | None = None,
        device: str = "cpu",
        ignore: tuple[str, ...] = (),
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        folder = photos if photos.is_dir() else photos.parent
        if not photos.is_dir() or file is None:
            find_images(photos, ignore=ignore)  # leave no project file in a folder without images
        self.database = Database((file or folder / "clickgrain.db").absolute())
        self.gallery = Gallery(photos, self.database, ignore)
        self.changes, self.device = Changes(), device
        self.folder = Folder(self.mask)
        self._histories: OrderedDict[int, History[Document]] = OrderedDict()
        self._labels: History[Labels] | None = None
        self._locks: dict[int, threading.RLock] = {}
        self._lock = threading.RLock()
        self._version = self.database.data_version()
        self._opened: dict[int, float] = {}
        self._maker: SceneMaker | None = None
        self._maker_lock = threading.Lock()
        self.model, self.notice = self._first_model(model)
        self._remember(self.model)
        self.database.set_setting("photos", str(photos.absolute()).encode("utf-8", "surrogateescape").hex())
        self.encoder = Encoder(self._make, lambda image: self.changes.mark("encoded", image), kept_bytes=kept_bytes)

    def close(self) -> None:
        """Stop encoding and close the file."""
        self.encoder.close()
        self.database.close()

    def _first_model(self, wanted: str | None) -> tuple[ModelInfo, str | None]:
        remembered = self.database.setting("model")
        if wanted is None and remembered is not None:
            try:
                return describe_model(remembered), None
            except Exception:  # its folder is gone; the usual choice is better than none
                wanted = None
        source, notice = choose_model(wanted)
        return describe_model(source), notice

    def _remember(self, model: ModelInfo, report: Any = None) -> None:
        self.database.save_model(model.id, model.name, model.kind, model.hash, model.source, report)

    # -- images and scenes

    def maker(self) -> SceneMaker:
        """What encodes, loaded on first use."""
        with self._maker_lock:
            if self._maker is None:
                self._maker = SceneMaker(load_segmenter(self.model.source, self.device), self.model.hash)
            return self._maker

    def _make(self, image: int) -> Scene:
        return self.maker().make(self.gallery.read(image))

    def scene(self, image: int, timeout: float = 60.0) -> Scene:
        """The encoded image; waits for it."""
        self.gallery.row(image)
        return self.encoder.get(image, timeout)

    def look_at(self, image: int) -> None:
        """Encode this image and the next ones before all others."""
        self._opened[image] = time.time()
        self.encoder.look_ahead(self.gallery.following(image, AHEAD))

    def use_model(self, model: ModelInfo, report: Any = None) -> None:
        """Let another model answer from now on; masks stay as they are."""
        segmenter = load_segmenter(model.source, self.device)
        self._remember(model, report)
        self.database.set_setting("model", model.source)
        with self._maker_lock:
            self._maker, self.model, self.notice = SceneMaker(segmenter, model.hash), model, None
        self.encoder.clear()
        self.changes.mark("model")

    # -- logs

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
        self.gallery.row(image)
        with self._lock:
            if image in self._histories:
                self._histories.move_to_end(image)
                return self._histories[image]
            history = History(Document(), patched).extend(self.database.actions(image))
            self._histories[image] = history
            if len(self._histories) > KEPT_HISTORIES:
                self._histories.popitem(last=False)
            return history

    def labels(self) -> History[Labels]:
        """The stack of the project's labels."""
        with self._lock:
            if self._labels is None:
                self._labels = History(Labels(), patched_labels).extend(self.database.actions(PROJECT_LOG))
            return self._labels

    def mask(self, hash_: str) -> Bool:
        """H x W bool mask.

        Raises:
            RequestError: there is none of this hash.
        """
        return decode(self.coded(hash_))

    def coded(self, hash_: str) -> bytes:
        """A mask as it is stored."""
        data = self.database.mask(hash_)
        if data is None:
            raise RequestError("not_found", f"there is no mask {hash_}")
        return data

    def masks_of(self, document: Document) -> dict[str, str]:
        """Masks of all objects of a document by hash, in base64."""
        hashes = dict.fromkeys(item.mask for item in document.objects if item.mask)
        return {hash_: base64.b64encode(self.coded(hash_)).decode() for hash_ in hashes}

    def fold(self, image: int, steps: Steps) -> Fold:
        """What steps lead to on an image, with the model at work."""
        return self.folder.fold(self.gallery.stamp(image), self.scene(image), steps)

    def act(self, image: int, post: Posted, request: ImageRequest, *, blind: bool = False) -> Outcome:
        """Carry out an action on an image's log; it is on disk when this returns.

        Args:
            image: its number.
            post: what the sender has seen, and who it is.
            request: what to do.
            blind: add to whatever stands there (find the same, import); `post.seq` says nothing.

        Raises:
            RequestError: "conflict" if the sender has not seen all; or it cannot be carried out or written.
        """
        return self.change(
            image, post, request.kind, request.model_dump(mode="json", exclude_unset=True), request, blind=blind
        )

    def change(
        self,
        image: int,
        post: Posted,
        kind: str,
        asked: dict[str, Any],
        request: ImageRequest | Callable[[Act], None],
        *,
        blind: bool = False,
    ) -> Outcome:
        """As `act`, also for changes that the page cannot ask for: a function on the `Act`."""
        with self.lock_of(image):
            self.notice_others()
            history = self.history(image)
            if not blind and post.seq != history.seq:
                raise self.conflict(image, post.seq)
            history.check(kind)
            act, patch = self._act(image, history, post), {}
            if kind not in ("undo", "redo"):
                before = act.document
                _ = request(act) if callable(request) else act.run(request)
                patch = patch_between(before, act.document)
                kept = {item.mask for item in act.document.objects}
                act.masks = {hash_: coded for hash_, coded in act.masks.items() if hash_ in kept}
            action = Action(
                history.seq + 1, kind, time.time(), post.client, self.model.hash, post.active, asked, patch
            )
            self._write(image, history, action, act.masks)
        return Outcome(action.seq, act.masks, act.touched, act.ambiguous)

    def _act(self, image: int, history: History[Document], post: Posted) -> Act:
        return Act(
            history.document,
            history.last_id + 1,
            scene=lambda: self.scene(image),
            fold=lambda steps: self.fold(image, steps),
            stored=self.mask,
            model=self.model.hash,
            active=self._active(image, post),
        )

    def _active(self, image: int, post: Posted) -> float:
        """Seconds of work: as sent, else since the last action or opening, without absences."""
        if post.active is not None:
            return post.active
        actions = self.database.actions(image, max(self.history(image).seq - 1, 0))
        last = max(self._opened.get(image, 0.0), actions[-1].time if actions else 0.0)
        return min(max(time.time() - last, 0.0), IDLE) if last else 0.0

    def _write(self, image: int, history: History[Document], action: Action, masks: dict[str, Coded]) -> None:
        document = history.preview(action)
        summary = Summary(action.seq, document.status, len(document.objects), _clicks(document))
        written = self.database.append(image, action, {hash_: one.data for hash_, one in masks.items()}, summary)
        if not written:
            with self._lock:
                self._histories.pop(image, None)
            raise self.conflict(image, history.seq)
        history.add(action)
        with self._lock:
            self._histories[image] = history  # a reader may have loaded it anew before the action was on disk
        self.changes.mark("image", image)

    def conflict(self, image: int, seen: int) -> RequestError:
        """The refusal of a write that has not seen everything, with what it missed."""
        history = self.history(image)
        return RequestError(
            "conflict",
            "this image was changed in another tab; it is shown as it is now",
            seq=history.seq,
            actions=[action.to_json() for action in self.database.actions(image, seen)],
            document=document_json(history),
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
                labels, new = change_labels(history.document, request, history.last_id)
                patch = {"set": labels.to_json(), "put": [{"id": id_} for id_ in new]}
            asked = request.model_dump(mode="json", exclude_unset=True)
            action = Action(
                history.seq + 1, request.kind, time.time(), post.client, self.model.hash, None, asked, patch
            )
            if not self.database.append(PROJECT_LOG, action, {}, None):
                with self._lock:
                    self._labels = None
                raise RequestError("conflict", "labels were changed by another program; try again")
            history.add(action)
            with self._lock:
                self._labels = history
            self.changes.mark("project")


def document_json(history: History[Document]) -> dict[str, Any]:
    """An image's document as the page receives it."""
    moves = {"can_undo": history.can_undo, "can_redo": history.can_redo}
    return {"seq": history.seq, **moves, **history.document.to_json()}


def labels_json(history: History[Labels]) -> dict[str, Any]:
    """The project's document as the page receives it; `added` is the newest label's number."""
    moves = {"can_undo": history.can_undo, "can_redo": history.can_redo}
    return {"seq": history.seq, **moves, "added": history.last_id or None, **history.document.to_json()}


def _clicks(document: Document) -> int:
    return sum(count_clicks(item.steps) for item in document.objects)
