"""Replay: make every object's mask again from its steps, with the model that made it, and count its clicks."""

from collections.abc import Iterator
from dataclasses import dataclass

from clickgrain.annotate.documents import count_clicks
from clickgrain.annotate.masks import MaskReplayer, iou
from clickgrain.annotate.models import choose_model, describe_model, load_segmenter
from clickgrain.annotate.project import Project
from clickgrain.errors import ClickgrainError
from clickgrain.scene import Scene, SceneMaker
from clickgrain.tree.leaf_map import to_size


@dataclass(frozen=True)
class Replayed:
    """The result for one object."""

    image: str  # name
    object: int  # number
    label: str | None  # name or None
    clicks: int  # mouse button presses that made it
    seconds: float  # of work
    iou: float | None  # of the replayed and the stored mask; None if it could not be replayed
    problem: str | None = None  # why not
    replaced: bool = False  # whether it was drawn on another content of the photo's file

    @property
    def is_same(self) -> bool:
        """Whether the mask is the same in every pixel."""
        return self.iou == 1.0


def replay(project: Project, *, model: str | None = None) -> Iterator[Replayed]:
    """Replay every object of a project; with `model` instead of the one that made the object, if given."""
    forced = None if model is None else describe_model(choose_model(model)[0])
    sources = {one.hash: one.source for one, _ in project.database.models()}
    makers: dict[str, SceneMaker] = {}
    replayer = MaskReplayer(project.logs.mask)

    def maker_of(hash_: str | None) -> SceneMaker:
        """What encodes for a model, loaded on first use; the project's own model if an object needs none."""
        info = forced or project.model
        if forced is None and hash_ not in (None, info.hash):
            if hash_ not in sources:
                reason = f"the model {hash_} is not known to this project"
                raise ClickgrainError(f"{reason}; give --model to use another")
            info = describe_model(sources[hash_])
            if info.hash != hash_:
                found = f"{info.source} holds other weights now ({info.hash}, not {hash_})"
                raise ClickgrainError(f"{found}; give --model")
        if info.hash not in makers:
            makers[info.hash] = SceneMaker(load_segmenter(info.source, project.device), info.hash)
        return makers[info.hash]

    for image in project.gallery.logged():
        name, scenes = project.gallery.name(image), dict[str, Scene]()
        try:
            objects = project.logs.history(image).document.objects
        except ClickgrainError as error:
            yield Replayed(name, 0, None, 0, 0.0, None, str(error))
            continue
        for item in objects:
            label = project.logs.labels().document.find(item.label)
            alike, problem, replaced = None, None, False
            try:
                maker = maker_of(item.model)
                if maker.model not in scenes:
                    scenes[maker.model] = maker.make(*project.gallery.load(image))
                scene = scenes[maker.model]
                replaced = item.content is not None and item.content != scene.content
                mask = replayer.fold(scene, item.steps).binary
                stored = to_size(project.logs.mask(item.mask or ""), scene.size)
                alike = float(iou(mask, stored))
            except ClickgrainError as error:
                problem = str(error)
            about = (item.id, None if label is None else label.name, count_clicks(item.steps), item.seconds)
            yield Replayed(name, *about, alike, problem, replaced)
