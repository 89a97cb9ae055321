"""A project: its images, logs, encoder and model."""

import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import numpy as np

from clickgrain import cut
from clickgrain.annotate.database import Database, Logs, ModelInfo
from clickgrain.annotate.encoder import KEPT_BYTES, Encoder, JitStatus
from clickgrain.annotate.gallery import Gallery
from clickgrain.annotate.masks import MaskReplayer
from clickgrain.annotate.models import choose_model, describe_model, load_segmenter
from clickgrain.annotate.team import Changes, Team
from clickgrain.annotate.usual_level import InHand, UsualLevels
from clickgrain.errors import ClickgrainError, DataError, ImageError
from clickgrain.images import find_images
from clickgrain.scene import Scene, SceneMaker
from clickgrain.segmenter import Runtime, Segmenter

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
        self.replayer, self.usual = MaskReplayer(self.logs.mask), UsualLevels()
        self.in_hand = InHand(self)
        self.opened: dict[int, float] = {}  # when an image was opened last, in Unix seconds
        self._maker: SceneMaker | None = None
        self._maker_lock = threading.Lock()
        self.model, self.notice = self._first_model(model)  # the one in use, and how it was chosen, for the user
        self.database.save_model(self.model)
        self.database.set_setting("photos", str(photos.absolute()).encode("utf-8", "surrogateescape").hex())
        self.jit = JitStatus()
        self._rehearsed: Segmenter | None = None
        self.trouble: str | None = None  # what to tell of an encoder thread that failed and was restarted
        self._failures = 0
        tell = (lambda key: self.changes.mark("encoded", key[0]), self._rehearse, self._tell_trouble)
        self.encoder = Encoder(self._make, *tell, kept_bytes=kept_bytes)

    def close(self) -> None:
        """Stop encoding and close the file."""
        self.in_hand.close()
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
        self.database.save_model(model)
        self.database.set_setting("model", model.source)
        with self._maker_lock:
            self._maker, self.model, self.notice = SceneMaker(segmenter, model.hash), model, None
        self.usual = UsualLevels()  # what another model needed says nothing of this one
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
        return self.maker().make(*loaded)

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

    def scene(self, image: int) -> Scene:
        """The image encoded, as its file is now; waits for it."""
        return self.encoder.get((image, self.gallery.stamp(image)))

    def look_at(self, image: int) -> None:
        """The user opens this image: encode it and the next ones before all others."""
        self.opened[image] = time.time()
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
