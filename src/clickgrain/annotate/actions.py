"""What an action makes of an image's document: objects put, changed, removed, and the masks that go with them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from clickgrain.annotate.documents import (
    MAX_STEPS,
    AddLabel,
    AddLabels,
    AddNode,
    AddSteps,
    AllowOverlap,
    Clear,
    DeleteLabel,
    DeleteObjects,
    Document,
    EditLabel,
    EditObjects,
    ImageRequest,
    Item,
    Label,
    Labels,
    MaskStep,
    MergeObjects,
    MoveObject,
    PartitionImage,
    ProjectRequest,
    SetStatus,
    SetSteps,
    Source,
    SplitObject,
    Steps,
)
from clickgrain.annotate.encoder import Scene
from clickgrain.annotate.folding import Fold
from clickgrain.annotate.http_errors import RequestError
from clickgrain.annotate.leafmap import node_mask, partition, split_in_two
from clickgrain.annotate.mask_rle import Coded, encode
from clickgrain.types import Bool

MAX_OBJECTS = 2_000


@dataclass
class Draft:
    """A document that is being changed.

    Attributes:
        document: before it, then after it.
        next_id: number of the next new object.
        scene: gives the encoded image; only asked when needed.
        fold: steps to a fold.
        stored: H x W mask of a hash.
        model: hash of the model at work; content: hash of the image's file, None if it cannot be read.
        active: seconds of the user's work that this action took.
        masks: new coded masks by hash.
        touched: the object that it was about.
        ambiguous: whether other readings are worth asking for.
    """

    document: Document
    next_id: int
    scene: Callable[[], Scene]
    fold: Callable[[Steps], Fold]
    stored: Callable[[str], Bool]
    model: str
    content: str | None
    active: float
    masks: dict[str, Coded] = field(default_factory=dict)
    touched: int | None = None
    ambiguous: bool = False

    def find(self, id_: int, *, locked_too: bool = False) -> Item:
        """An object that may be changed.

        Raises:
            RequestError: there is none of this number, or it is locked.
        """
        item = self.document.find(id_)
        if item is None:
            raise RequestError("invalid", f"there is no object {id_} in this image; it may have been deleted")
        if item.locked and not locked_too:
            raise RequestError("invalid", f"object {id_} is locked; unlock it first")
        return item

    def put(self, item: Item) -> None:
        """Replace an object, or put a new one on top."""
        known = self.document.find(item.id) is not None
        objects = tuple(item if old.id == item.id else old for old in self.document.objects)
        self.keep(objects if known else (*objects, item))
        if not known:
            self.next_id = max(self.next_id, item.id + 1)
            if self.document.status == "todo":
                self.document = self.document.model_copy(update={"status": "doing"})

    def keep(self, objects: tuple[Item, ...]) -> None:
        """These objects and no others, bottom first."""
        self.document = self.document.model_copy(update={"objects": objects})

    def coded(self, mask: Bool) -> Coded:
        """An H x W mask as it is kept; it goes with the draft."""
        coded = encode(mask)
        self.masks[coded.hash] = coded
        return coded

    def with_mask(self, item: Item, mask: Bool, source: Source, **changes: object) -> Item:
        """The object with a given mask in place of its steps."""
        coded = self.coded(mask)
        step = MaskStep(mask=coded.hash)
        about = {"steps": (step,), "mask": coded.hash, "bbox": coded.bbox, "area": coded.area}
        values = {**about, "content": self.content}
        return item.model_copy(update={**values, "source": source, **changes})

    def with_steps(self, item: Item, steps: Steps) -> Item:
        """The object as steps lead to it.

        Raises:
            RequestError: too many of them. PromptError: a point outside the picture.
        """
        if len(steps) > MAX_STEPS:
            raise RequestError("invalid", f"an object holds at most {MAX_STEPS} steps; merge or begin another")
        fold = self.fold(steps)
        coded = self.coded(fold.binary)
        self.ambiguous = fold.is_ambiguous
        self.touched = item.id
        answer = fold.answer
        return item.model_copy(
            update={
                "steps": steps,
                "mask": coded.hash,
                "bbox": coded.bbox,
                "area": coded.area,
                "score": None if answer is None else round(min(max(answer.score, 0.0), 1.0), 4),
                "level": None if answer is None or answer.level is None else round(answer.level, 4),
                "model": fold.model,
                "content": fold.content,
                "seconds": round(item.seconds + self.active, 2),
            }
        )


class Act(Draft):
    """One action on its way: a draft, and what can be asked of it."""

    def run(self, request: ImageRequest) -> Document:
        """The document after a request (undo and redo aside, which are the history's).

        Raises:
            RequestError: no such object, a locked one, too many.
            PromptError: a point outside the picture.
        """
        before = len(self.document.objects)
        handler = _HANDLERS[type(request)]
        handler(self, request)
        if len(self.document.objects) > max(before, MAX_OBJECTS):
            raise RequestError("invalid", f"an image holds at most {MAX_OBJECTS} objects")
        return self.document

    def add_steps(self, request: AddSteps) -> None:
        """Go on with an object, or begin one."""
        _refuse_masks(request.steps, ())
        fresh = request.object is None
        item = Item(id=self.next_id, label=request.label) if fresh else self.find(request.object or 0)
        if "label" in request.model_fields_set and request.label is not None:
            item = item.model_copy(update={"label": request.label})
        self.put(self.with_steps(item, (*item.steps, *request.steps)))

    def set_steps(self, request: SetSteps) -> None:
        """Replace an object's steps."""
        item = self.find(request.object)
        _refuse_masks(request.steps, item.steps)
        self.put(self.with_steps(item, request.steps))

    def edit(self, request: EditObjects) -> None:
        """Label, colour, lock, hide."""
        ids = request.objects or ((request.object,) if request.object is not None else ())
        if not ids:
            raise RequestError("invalid", "name the object, or the objects, to edit")
        changes: dict[str, object] = {
            key: getattr(request, key)
            for key in ("label", "colour", "locked", "hidden")
            if key in request.model_fields_set
        }
        for id_ in ids:
            item = self.find(id_, locked_too=changes.keys() <= {"locked", "hidden"})
            self.put(item.model_copy(update=changes))
        self.touched = ids[0]

    def move(self, request: MoveObject) -> None:
        """Change the z-order."""
        item = self.find(request.object)
        others = [other for other in self.document.objects if other.id != item.id]
        others.insert(request.to, item)
        self.keep(tuple(others))
        self.touched = item.id

    def delete(self, request: DeleteObjects) -> None:
        """Remove objects."""
        gone = {self.find(id_).id for id_ in request.objects}
        self.keep(tuple(item for item in self.document.objects if item.id not in gone))

    def clear(self, request: Clear) -> None:
        """Remove all that is not locked."""
        self.keep(tuple(item for item in self.document.objects if item.locked))

    def merge(self, request: MergeObjects) -> None:
        """Join objects into the first."""
        items = [self.find(id_) for id_ in dict.fromkeys(request.objects)]
        union = np.logical_or.reduce([self.stored(item.mask) for item in items if item.mask])
        seconds = round(sum(item.seconds for item in items) + self.active, 2)
        older = next((item.content for item in items if item.content != self.content), self.content)
        first = self.with_mask(items[0], union, "merge", seconds=seconds, score=None, content=older)
        self.put(first)
        gone = {item.id for item in items[1:]}
        self.keep(tuple(item for item in self.document.objects if item.id not in gone))
        self.touched = first.id

    def split(self, request: SplitObject) -> None:
        """Cut an object in two along the tree."""
        item = self.find(request.object)
        scene = self.scene()
        whole = self.stored(item.mask or "")
        larger, smaller = split_in_two(scene.tree, scene.leaves, whole)
        new = Item(id=self.next_id, label=item.label, colour=item.colour)
        seconds = item.seconds + self.active
        self.put(self.with_mask(item, larger, "split", score=None, seconds=seconds, content=item.content))
        self.put(self.with_mask(new, smaller, "split", content=item.content))
        objects = [other for other in self.document.objects if other.id != new.id]
        place = next(i for i, other in enumerate(objects) if other.id == item.id)
        self.keep((*objects[: place + 1], self.find(new.id), *objects[place + 1 :]))
        self.touched = item.id

    def add_node(self, request: AddNode) -> None:
        """A node of the tree becomes an object."""
        scene = self.scene()
        if request.node >= scene.tree.n_nodes:
            raise RequestError("invalid", f"there is no node {request.node}; this tree ends at {scene.tree.root}")
        mask = node_mask(scene.tree, scene.leaves, request.node, scene.size)
        level = round(float(scene.tree.level[request.node]), 4)
        new = Item(id=self.next_id, label=request.label, seconds=self.active, model=self.model)
        self.put(self.with_mask(new, mask, "same", level=level, score=request.score))
        self.touched = new.id

    def partition(self, request: PartitionImage) -> None:
        """Objects for all regions of a cut, on pixels that no object holds yet."""
        scene = self.scene()
        free = np.ones(scene.size, bool)
        for item in self.document.objects:
            if item.mask:
                free &= ~self.stored(item.mask)
        regions, numbers = partition(scene.tree, scene.leaves, request.level, free)
        if len(numbers) + len(self.document.objects) > MAX_OBJECTS:
            raise RequestError("invalid", f"{len(numbers)} regions are too many; choose a higher level")
        for number in numbers:
            new = Item(id=self.next_id, label=request.label, model=self.model)
            self.put(self.with_mask(new, regions == number, "partition", level=request.level))

    def status(self, request: SetStatus) -> None:
        """How far the image is."""
        self.document = self.document.model_copy(update={"status": request.status})

    def add_masks(self, masks: list[tuple[Coded, Coded, int | None]], source: Source) -> None:
        """Objects with given masks (at the size of the file, and as shown at work) and labels.

        Raises:
            RequestError: more than an image holds.
        """
        if (count := len(self.document.objects) + len(masks)) > MAX_OBJECTS:
            raise RequestError("invalid", f"{count} objects are too many: an image holds at most {MAX_OBJECTS}")
        for exact, shown, label in masks:
            self.masks |= {exact.hash: exact, shown.hash: shown}
            steps = (MaskStep(mask=exact.hash),)
            new = Item(id=self.next_id, label=label, steps=steps, mask=shown.hash, bbox=shown.bbox, area=shown.area)
            self.put(new.model_copy(update={"source": source}))


def _refuse_masks(steps: Steps, known: Steps) -> None:
    """A page may keep given masks, not make them."""
    if any(isinstance(step, MaskStep) and step not in known for step in steps):
        raise RequestError("invalid", "a step of type 'mask' can only be kept, not made")


_HANDLERS: dict[type[object], Callable[..., None]] = {
    AddSteps: Act.add_steps,
    SetSteps: Act.set_steps,
    EditObjects: Act.edit,
    MoveObject: Act.move,
    DeleteObjects: Act.delete,
    Clear: Act.clear,
    MergeObjects: Act.merge,
    SplitObject: Act.split,
    AddNode: Act.add_node,
    PartitionImage: Act.partition,
    SetStatus: Act.status,
}


COLOURS = (
    "#e6194b",
    "#3cb44b",
    "#4363d8",
    "#f58231",
    "#911eb4",
    "#46f0f0",
    "#f032e6",
    "#bcf60c",
    "#fabebe",
    "#008080",
    "#9a6324",
    "#ffe119",
    "#800000",
    "#808000",
    "#000075",
)
"""Distinct on photos; taken in turn."""


def patched_labels(labels: Labels, patch: dict[str, Any]) -> Labels:
    """The labels after a patch of `patch_labels`, or of an older project, whose patches hold all labels."""
    if "set" in patch:
        return Labels.model_validate(patch["set"])
    put = {values["id"]: Label.model_validate(values) for values in patch.get("put", ())}
    gone = set(patch.get("remove", ()))
    stay = [put.pop(one.id, one) for one in labels.labels if one.id not in gone]
    return Labels(labels=(*stay, *put.values()), overlap=patch.get("overlap", labels.overlap))


def patch_labels(before: Labels, after: Labels) -> dict[str, Any]:
    """What changed: labels put and removed, and whether objects may overlap."""
    old, new = {one.id: one for one in before.labels}, {one.id: one for one in after.labels}
    changes: dict[str, Any] = {
        "put": [one.model_dump(mode="json") for one in after.labels if old.get(one.id) != one],
        "remove": [id_ for id_ in old if id_ not in new],
    }
    patch = {key: value for key, value in changes.items() if value}
    return patch if before.overlap == after.overlap else {**patch, "overlap": after.overlap}


def change_labels(labels: Labels, request: ProjectRequest, last_id: int) -> Labels:
    """The labels after a request; new ones are numbered from `last_id` on.

    Raises:
        RequestError: no such label, or a name that is taken.
    """
    if isinstance(request, AddLabel):
        _free(labels, request.name, None)
        colour = request.colour or COLOURS[last_id % len(COLOURS)]
        label = Label(id=last_id + 1, name=request.name, colour=colour)
        return labels.model_copy(update={"labels": (*labels.labels, label)})
    if isinstance(request, AddLabels):
        return _added(labels, request, last_id)
    if isinstance(request, EditLabel):
        return _edited(labels, request)
    if isinstance(request, DeleteLabel):
        gone = _known(labels, request.label)
        return labels.model_copy(update={"labels": tuple(one for one in labels.labels if one is not gone)})
    assert isinstance(request, AllowOverlap)
    return labels.model_copy(update={"overlap": request.allow})


def _added(labels: Labels, request: AddLabels, last_id: int) -> Labels:
    known = {label.name: label for label in labels.labels}
    taken = {label.category for label in labels.labels}
    for name, category in request.labels:
        own = None if category in taken else category
        taken.add(own)
        label = known.get(name)
        if label is None:
            colour = COLOURS[last_id % len(COLOURS)]
            last_id += 1
            known[name] = Label(id=last_id, name=name, colour=colour, category=own)
        elif label.category is None:
            known[name] = label.model_copy(update={"category": own})
    return labels.model_copy(update={"labels": tuple(known.values())})


def _edited(labels: Labels, request: EditLabel) -> Labels:
    old = _known(labels, request.label)
    if request.name is not None:
        _free(labels, request.name, old.id)
    new = old.model_copy(update={"name": request.name or old.name, "colour": request.colour or old.colour})
    return labels.model_copy(update={"labels": tuple(new if one is old else one for one in labels.labels)})


def _known(labels: Labels, id_: int) -> Label:
    found = labels.find(id_)
    if found is None:
        raise RequestError("invalid", f"there is no label {id_}; it may have been deleted in another tab")
    return found


def _free(labels: Labels, name: str, id_: int | None) -> None:
    if any(label.name == name and label.id != id_ for label in labels.labels):
        raise RequestError("invalid", f"there is a label {name!r} already; choose another name")
