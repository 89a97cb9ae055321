"""A project at work: actions carried out and written, images encoded, models switched."""

import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clickgrain import cut
from clickgrain.annotate.actions import Act
from clickgrain.annotate.database import Action, Database, Summary
from clickgrain.annotate.documents import Document, ImageRequest, Posted, Steps, count_clicks, patch_between
from clickgrain.annotate.encoder import KEPT_BYTES, Compiling, Encoder, Scene, SceneMaker
from clickgrain.annotate.folding import Fold, Folder
from clickgrain.annotate.gallery import Gallery
from clickgrain.annotate.http_errors import RequestError
from clickgrain.annotate.leafmap import to_size
from clickgrain.annotate.logs import Changes, History, Logs
from clickgrain.annotate.mask_rle import Coded
from clickgrain.annotate.models import ModelInfo, choose_model, describe_model, load_segmenter
from clickgrain.errors import ClickgrainError, DataError, ImageError
from clickgrain.images import find_images
from clickgrain.segmenter import Segmenter

IDLE = 30.0
"""Seconds after which a user who did nothing counts as away."""
AHEAD = 3


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


class Project(Logs):
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
        super().__init__(Database((file or folder / "clickgrain.db").absolute()), Changes())
        self.gallery, self.device = Gallery(photos, self.database, ignore), device
        self.folder = Folder(self.mask)
        self._opened: dict[int, float] = {}
        self._maker: SceneMaker | None = None
        self._maker_lock = threading.Lock()
        self.model, self.notice = self._first_model(model)
        self._remember(self.model)
        self.database.set_setting("photos", str(photos.absolute()).encode("utf-8", "surrogateescape").hex())
        self.compiling = Compiling()
        self._rehearsed: Segmenter | None = None
        self.trouble: str | None = None
        """A thread that has failed and was started again, in words."""
        self._failures = 0
        self.encoder = Encoder(
            self._make,
            lambda key: self.changes.mark("encoded", key[0]),
            self._rehearse,
            self._tell_trouble,
            kept_bytes=kept_bytes,
        )

    def close(self) -> None:
        """Stop encoding and close the file."""
        self.encoder.close()
        self.compiling.close()
        self.database.close()

    def _first_model(self, wanted: str | None) -> tuple[ModelInfo, str | None]:
        remembered = self.database.setting("model")
        if wanted is None and remembered is not None:
            try:
                return describe_model(remembered), None
            except Exception:  # its folder is gone; the usual choice is better than none
                wanted = None
        source, notice = choose_model(wanted)
        found = describe_model(source)
        if wanted is not None:
            self.database.set_setting("model", found.source)
        return found, notice

    def _remember(self, model: ModelInfo, report: Any = None) -> None:
        self.database.save_model(model.id, model.name, model.kind, model.hash, model.source, report)

    def maker(self) -> SceneMaker:
        """What encodes, loaded on first use."""
        with self._maker_lock:
            if self._maker is None:
                self._maker = SceneMaker(load_segmenter(self.model.source, self.device), self.model.hash)
            return self._maker

    def _tell_trouble(self, error: BaseException) -> None:
        self._failures += 1
        times = "once" if self._failures == 1 else f"{self._failures} times"
        self.trouble = (
            f"The thread that encodes images failed ({error!r}) and was started again, {times} so far. Nothing is"
            " lost; if it happens again and again, restart clickgrain annotate and report this line."
        )

    def _key(self, image: int) -> tuple[int, str]:
        return image, self.gallery.stamp(image)

    def _make(self, key: tuple[int, str]) -> Scene:
        image, stamp = key
        loaded = self.gallery.load(image)
        if loaded.stamp != stamp:
            raise ImageError(f"{self.gallery.name(image)} was replaced while it was opened; try again in a moment")
        return self.maker().make(loaded.pixels, loaded.stamp, loaded.content)

    def _rehearse(self, scene: Scene) -> None:
        """Click once where nobody sees it: what a model's first clicks compile and load need not keep the user."""
        if scene.segmenter is self._rehearsed:
            return
        points = np.array([[scene.size[1] / 2, scene.size[0] / 2], [0, 0]])
        with suppress(Exception):  # the user's own click will tell
            cut.warm_up()
            first = scene.segmenter.predict(points[:1], [1], encoded=scene.encoded)
            scene.segmenter.predict(points, [1, 0], previous=first, encoded=scene.encoded)
        self._rehearsed = scene.segmenter

    def scene(self, image: int, timeout: float = 60.0) -> Scene:
        """The encoded image as its file is now; waits for it."""
        return self.encoder.get(self._key(image), timeout)

    def look_at(self, image: int) -> None:
        """Encode this image and the next ones before all others."""
        self._opened[image] = time.time()
        self.look_ahead(image)

    def look_ahead(self, image: int) -> None:
        """As `look_at` while the image stays open."""
        keys = []
        for number in self.gallery.following(image, AHEAD):
            with suppress(ClickgrainError):  # opening it says what is wrong
                keys.append(self._key(number))
        self.encoder.look_ahead(keys)

    def encoded(self) -> set[int]:
        """Numbers of the images that are encoded."""
        return {key[0] for key in self.encoder.ready() if isinstance(key, tuple)}

    def use_model(self, model: ModelInfo, report: Any = None) -> None:
        """Let another model answer from now on; masks stay as they are."""
        segmenter = load_segmenter(model.source, self.device)
        self._remember(model, report)
        self.database.set_setting("model", model.source)
        with self._maker_lock:
            self._maker, self.model, self.notice = SceneMaker(segmenter, model.hash), model, None
        self.encoder.clear()
        self.changes.mark("model")

    def history(self, image: int) -> History[Document]:
        """The stack of an image's documents.

        Raises:
            RequestError: no such image.
        """
        self.gallery.row(image)
        return super().history(image)

    def content(self, image: int) -> str | None:
        """Hash of the image's file as it is now, None where it cannot be read."""
        return self.gallery.content(image)

    def fold(self, image: int, steps: Steps) -> Fold:
        """What steps lead to on an image, with the model at work."""
        return self.folder.fold(self.scene(image), steps)

    def act(self, image: int, post: Posted, request: ImageRequest, *, blind: bool = False) -> Outcome:
        """Carry out an action on an image's log; it is on disk when this returns.

        Args:
            image: its number.
            post: what the sender has seen, and who it is.
            request: what to do.
            blind: add to whatever stands there (find the same, import); `post.seq` says nothing.

        Raises:
            RequestError: "conflict" if the sender has not seen all, "replaced" if it looks at an older file; or it
                cannot be carried out or written.
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
                if None not in (post.content, act.content) and post.content != act.content:
                    raise RequestError(
                        "replaced",
                        f"the file of {self.gallery.name(image)} was replaced; look at it, then try again",
                    )
                before = act.document
                _ = request(act) if callable(request) else act.run(request)
                patch = patch_between(before, act.document)
                kept = {item.mask for item in act.document.objects}
                kept |= {step.get("mask") for item in patch.get("put", ()) for step in item["steps"]["add"]}
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
            stored=lambda hash_: to_size(self.mask(hash_), self.gallery.sizes(image)[0]),
            model=self.model.hash,
            content=self.content(image),
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
            self.forget(image)
            raise self.conflict(image, history.seq)
        history.add(action)
        self.keep(image, history)
        self.changes.mark("image", image)


def _clicks(document: Document) -> int:
    return sum(count_clicks(item.steps) for item in document.objects)


def open_project(place: Path, *, model: str | None = None, device: str = "cpu") -> Project:
    """An existing project.

    Args:
        place: folder of photos with a `clickgrain.db`, or a project file.
        model: as in `Project`.
        device: torch device.

    Raises:
        DataError: there is no project.
    """
    file = place / "clickgrain.db" if place.is_dir() else place
    if not file.is_file():
        raise DataError(f"{file}: no project; make one with `clickgrain annotate PHOTOS`, or name its file")
    with closing(Database(file.absolute())) as database:
        known = database.setting("photos")
    try:
        remembered = None if known is None else Path(bytes.fromhex(known).decode("utf-8", "surrogateescape"))
    except ValueError:
        raise DataError(f"{file}: its folder of photos is {known!r}, no path; restore a copy of the file") from None
    photos = place if place.is_dir() else remembered or file.parent
    if not photos.exists():
        raise DataError(
            f"{photos}: the photos of {file} are gone; run `clickgrain annotate PHOTOS --project {file}`"
        )
    return Project(photos, file, model=model, device=device)
