"""Replay: every object's mask made again from its steps, by the model that made it, and its clicks counted."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from clickgrain.annotate.documents import Item, count_clicks
from clickgrain.annotate.encoder import Scene, SceneMaker
from clickgrain.annotate.folding import Folder
from clickgrain.annotate.leafmap import to_size
from clickgrain.annotate.models import ModelInfo, describe_model, load_segmenter
from clickgrain.annotate.project import Project
from clickgrain.errors import ClickgrainError


@dataclass(frozen=True)
class Replayed:
    """What came of one object.

    Attributes:
        image: name; object: number.
        label: name or None.
        clicks: presses of the button that made it.
        iou: of the replayed mask and the kept one; None when it could not be replayed.
        problem: why not.
        replaced: whether it was drawn on other content of the photo's file.
    """

    image: str
    object: int
    label: str | None
    clicks: int
    seconds: float
    iou: float | None
    problem: str | None = None
    replaced: bool = False

    @property
    def is_same(self) -> bool:
        """Whether the mask is the same in every pixel."""
        return self.iou == 1.0


def replay(project: Project, *, model: str | None = None) -> Iterator[Replayed]:
    """Replay every object of a project, image by image.

    Args:
        project: the project.
        model: answer with this one instead of the model that made the object.
    """
    makers = _Makers(project, model)
    folder = Folder(project.mask)
    for image in project.gallery.logged():
        scenes: dict[str, Scene] = {}
        try:
            objects = project.history(image).document.objects
        except ClickgrainError as error:
            yield Replayed(project.gallery.name(image), 0, None, 0, 0.0, None, str(error))
            continue
        for item in objects:
            yield _replayed(project, image, item, makers, scenes, folder)


def _replayed(
    project: Project, image: int, item: Item, makers: "_Makers", scenes: dict[str, Scene], folder: Folder
) -> Replayed:
    label = project.labels().document.find(item.label)
    iou, problem, replaced = None, None, False
    try:
        maker = makers.get(item.model)
        if maker.model not in scenes:
            loaded = project.gallery.load(image)
            scenes[maker.model] = maker.make(loaded.pixels, loaded.stamp, loaded.content)
        scene = scenes[maker.model]
        replaced = item.content is not None and item.content != scene.content
        mask = folder.fold(scene, item.steps).binary
        kept = to_size(project.mask(item.mask or ""), scene.size)
        union = np.count_nonzero(mask | kept)
        iou = float(np.count_nonzero(mask & kept) / union) if union else 1.0
    except ClickgrainError as error:
        problem = str(error)
    name = None if label is None else label.name
    clicks = count_clicks(item.steps)
    return Replayed(project.gallery.name(image), item.id, name, clicks, item.seconds, iou, problem, replaced)


class _Makers:
    """Encoders by model hash, loaded when first needed."""

    def __init__(self, project: Project, model: str | None) -> None:
        self._project = project
        self._forced = None if model is None else describe_model(model)
        rows = project.database.models()
        self._known = {row["hash"]: row["source"] for row in rows}
        self._made: dict[str, SceneMaker] = {}

    def get(self, hash_: str | None) -> SceneMaker:
        """What encodes for the model of this hash; the project's own where an object needs none.

        Raises:
            ClickgrainError: the model is gone, or has other weights now.
        """
        info = self._forced or self._info(hash_)
        if info.hash not in self._made:
            self._made[info.hash] = SceneMaker(load_segmenter(info.source, self._project.device), info.hash)
        return self._made[info.hash]

    def _info(self, hash_: str | None) -> ModelInfo:
        if hash_ is None or hash_ == self._project.model.hash:
            return self._project.model
        source = self._known.get(hash_)
        if source is None:
            raise ClickgrainError(f"the model {hash_} is not known to this project; give --model to use another")
        info = describe_model(source)
        if info.hash != hash_:
            raise ClickgrainError(f"{source} holds other weights now ({info.hash}, not {hash_}); give --model")
        return info
