"""What an action makes of an image's document: objects put, changed, removed, and the masks that go with them."""

from collections.abc import Callable

import numpy as np

from clickgrain.annotate.documents import Document, Item, Source
from clickgrain.annotate.drafting import Draft
from clickgrain.annotate.leafmap import node_mask
from clickgrain.annotate.partition import partition, split_in_two
from clickgrain.annotate.refusals import RequestError
from clickgrain.annotate.requests import (
    AddNode,
    AddSteps,
    Clear,
    DeleteObjects,
    EditObjects,
    ImageRequest,
    MergeObjects,
    MoveObject,
    PartitionImage,
    SetStatus,
    SetSteps,
    SplitObject,
)
from clickgrain.annotate.runs import Coded
from clickgrain.annotate.steps import MaskStep, Steps

MAX_OBJECTS = 2_000


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
