"""A project: its images, logs, encoder and model, and how an action is carried out."""

import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np

from clickgrain import cut
from clickgrain.annotate.actions import CarryObject, Context, ImportObjects, Request, apply
from clickgrain.annotate.database import Action, Database
from clickgrain.annotate.documents import Posted, Steps, UndoRedo
from clickgrain.annotate.encoder import KEPT_BYTES, Encoder, JitStatus
from clickgrain.annotate.folding import Fold, MaskReplayer
from clickgrain.annotate.gallery import Gallery
from clickgrain.annotate.http_errors import RequestError
from clickgrain.annotate.logs import Changes, History, Logs, patch_between
from clickgrain.annotate.models import ModelInfo, choose_model, describe_model, load_segmenter
from clickgrain.annotate.team import Team
from clickgrain.errors import ClickgrainError, DataError, ImageError
from clickgrain.images import find_images
from clickgrain.scene import Scene, SceneMaker
from clickgrain.segmenter import Runtime, Segmenter

IDLE = 30.0  # seconds without an action after which a user counts as away
AHEAD = 3  # images to encode ahead


class Project:
    """Annotations of a folder of images, or of one image, in `file` (None: `clickgrain.db` in the folder).

    `model` is "tree", "default", a folder or a Hugging Face id; when None the project's last one, else "default".
    `runtime` is as in `Segmenter.load`; encoded images take at most `kept_bytes` in memory. Raises DataError: no
    image there. WeightsError: no such model. RequestError: the file cannot be opened.
    """

    def __init__(
        self,
        photos: Path,
        file: Path | None = None,
        *,
        model: str | None = None,
        device: str = "cpu",
        runtime: Runtime | None = None,
        ignore: tuple[str, ...] = (),
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        folder = photos if photos.is_dir() else photos.parent
        if not photos.is_dir() or file is None:
            find_images(photos, ignore=ignore)  # leave no project file in a folder without images
        self.database, self.changes = Database((file or folder / "clickgrain.db").absolute()), Changes()
        self.gallery, self.device, self.runtime = Gallery(photos, self.database, ignore), device, runtime
        self.logs = Logs(self.database, self.gallery, self.changes)
        self.team = Team(lambda image: self.changes.mark("image", image))
        self.replayer = MaskReplayer(self.logs.mask)
        self._opened: dict[int, float] = {}
        self._maker: SceneMaker | None = None
        self._maker_lock = threading.Lock()
        self.model, self.notice = self._first_model(model)  # the one in use, and how it was chosen, for the user
        self.remember(self.model)
        self.database.set_setting("photos", str(photos.absolute()).encode("utf-8", "surrogateescape").hex())
        self.jit = JitStatus()
        self._rehearsed: Segmenter | None = None
        self.trouble: str | None = None  # what to tell of an encoder thread that failed and was restarted
        self._failures = 0
        tell = (lambda key: self.changes.mark("encoded", key[0]), self._rehearse, self._tell_trouble)
        self.encoder = Encoder(self._make, *tell, kept_bytes=kept_bytes)

    def close(self) -> None:
        """Stop encoding and close the file."""
        self.encoder.close()
        self.jit.close()
        self.database.close()

    def _first_model(self, wanted: str | None) -> tuple[ModelInfo, str | None]:
        remembered = self.database.setting("model")
        problem = None
        if wanted is None and remembered is not None:
            try:
                return describe_model(remembered), None
            except Exception as error:  # its folder may be gone; then the usual choice is better than none
                if remembered.startswith("python:"):
                    problem = f"The model of the last time does not answer. {error}"
        source, notice = choose_model(wanted)
        if wanted is not None:
            self.database.set_setting("model", source)
        return describe_model(source), problem or notice

    def remember(self, model: ModelInfo, report: Any = None) -> None:
        """Keep a model in the project's list, with how it compared."""
        self.database.save_model(model.id, model.name, model.kind, model.hash, model.source, report)

    def maker(self) -> SceneMaker:
        """Encodes images with the model in use; loaded on first use."""
        with self._maker_lock:
            if self._maker is None:
                segmenter = load_segmenter(self.model.source, self.device, self.runtime)
                self._maker = SceneMaker(segmenter, self.model.hash)
            return self._maker

    def use_model(self, model: ModelInfo) -> None:
        """Switch to another model; masks stay as they are."""
        segmenter = load_segmenter(model.source, self.device, self.runtime)
        self.remember(model)
        self.database.set_setting("model", model.source)
        with self._maker_lock:
            self._maker, self.model, self.notice = SceneMaker(segmenter, model.hash), model, None
        self.encoder.clear()
        self.changes.mark("model")

    def _tell_trouble(self, error: BaseException) -> None:
        self._failures += 1
        self.trouble = (
            f"The thread that encodes images failed ({error!r}) and was restarted; failures so far:"
            f" {self._failures}. Nothing is lost; if it keeps happening, restart clickgrain annotate."
        )

    def _make(self, key: tuple[int, str]) -> Scene:
        image, stamp = key
        loaded = self.gallery.load(image)
        if loaded.stamp != stamp:
            raise ImageError(f"{self.gallery.name(image)} was replaced while it was opened; try again in a moment")
        return self.maker().make(loaded.pixels, loaded.stamp, loaded.content)

    def _rehearse(self, scene: Scene) -> None:
        """Click once unseen, so that the user does not wait for what a model's first clicks compile and load."""
        if scene.segmenter is self._rehearsed:
            return
        points = np.array([[scene.size[1] / 2, scene.size[0] / 2], [0, 0]])
        with suppress(Exception):  # the user's own click will report it
            cut.warm_up()
            first = scene.segmenter.predict(points[:1], [1], encoded=scene.encoded)
            scene.segmenter.predict(points, [1, 0], previous=first, encoded=scene.encoded)
        self._rehearsed = scene.segmenter

    def scene(self, image: int, timeout: float = 60.0) -> Scene:
        """The image encoded, as its file is now; waits for it."""
        return self.encoder.get((image, self.gallery.stamp(image)), timeout)

    def look_at(self, image: int) -> None:
        """The user opens this image: encode it and the next ones before all others."""
        self._opened[image] = time.time()
        self.look_ahead(image)

    def look_ahead(self, image: int) -> None:
        """As `look_at`, while the image stays open."""
        keys = []
        for number in self.gallery.following(image, AHEAD):
            with suppress(ClickgrainError):  # opening it says what is wrong
                keys.append((number, self.gallery.stamp(number)))
        self.encoder.look_ahead(keys)

    def encoded(self) -> set[int]:
        """Numbers of the images that are encoded."""
        return {key[0] for key in self.encoder.ready() if isinstance(key, tuple)}

    def fold(self, image: int, steps: Steps) -> Fold:
        """What steps lead to on an image, with the model in use."""
        return self.replayer.fold(self.scene(image), steps)

    def act(self, image: int, post: Posted, request: Request, user: str = "", *, blind: bool = False) -> Context:
        """Carry out an action on an image; its log has it on disk when this returns.

        `post` says what the sender has seen. A `blind` action (find the same, carry on, import) adds to the
        document as it is; `post.seq` is ignored. Returns the action's number, new masks, and the object that it was
        about. Raises RequestError: "conflict" if the sender has not seen every action, "replaced" if it shows an
        older file, "taken" if another person is working on the image; or the action cannot be carried out or
        written.
        """
        with self.logs.lock_of(image):
            self.logs.notice_others()
            history = self.logs.history(image)
            self.team.claim(user, image)
            of = request.of if isinstance(request, UndoRedo) else None
            seen = post.seq == history.seq if of is None else history.next_to(request.kind) == of
            if not blind and not seen:
                raise self.logs.conflict(image, post.seq)
            history.check(request.kind)
            content, active = self.gallery.content(image), self._active(image, post, history)
            context = Context(self, image, content, history.last_id + 1, active, history.seq + 1, user)
            patch, document = dict[str, Any](), None
            if not isinstance(request, UndoRedo):
                if None not in (post.content, context.content) and post.content != context.content:
                    name = self.gallery.name(image)
                    raise RequestError("replaced", f"the file of {name} was replaced; look at it, then try again")
                document = apply(request, history.document, context)
                patch = patch_between(history.document, document)
                used = {item.mask for item in document.objects}
                used |= {step.get("mask") for item in patch.get("put", ()) for step in item["steps"]["add"]}
                used |= set(document.refused)
                context.masks = {hash_: coded for hash_, coded in context.masks.items() if hash_ in used}
            if isinstance(request, ImportObjects):
                asked: dict[str, Any] = {"format": request.format, "objects": len(request.masks)}
            elif isinstance(request, CarryObject):
                asked = {"track": request.track}
            else:
                asked = request.model_dump(mode="json", exclude_unset=True)
            about = (request.kind, time.time(), post.client, self.model.hash, post.active)
            action = Action(context.seq, *about, asked, patch, user)
            masks = {hash_: coded.data for hash_, coded in context.masks.items()}
            self.logs.write(image, action, history.preview(action) if document is None else document, masks)
        return context

    def _active(self, image: int, post: Posted, history: History[Any]) -> float:
        """Seconds of work: as sent, else since the last action or opening, without absences."""
        if post.active is not None:
            return post.active
        actions = self.database.actions(image, max(history.seq - 1, 0))
        last = max(self._opened.get(image, 0.0), actions[-1].time if actions else 0.0)
        return min(max(time.time() - last, 0.0), IDLE) if last else 0.0


def open_project(place: Path, *, model: str | None = None, device: str = "cpu") -> Project:
    """An existing project, by its folder of photos or its file, which remembers them; DataError if none."""
    file, photos = find_project(place)
    return Project(photos, file, model=model, device=device)


def find_project(place: Path) -> tuple[Path, Path]:
    """(project file, photos) of an existing project, by `place` as in `open_project`; DataError if none."""
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
        raise DataError(f"{photos}: photos of {file} are gone; run `clickgrain annotate PHOTOS --project {file}`")
    return file.absolute(), photos
