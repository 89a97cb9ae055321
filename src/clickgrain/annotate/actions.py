"""Actions on an image: their route, `act`, which carries one out, and `apply`, which makes the new document."""

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from fastapi import APIRouter, Response

from clickgrain.annotate import documents
from clickgrain.annotate import requests as ask
from clickgrain.annotate.database import ConflictError
from clickgrain.annotate.documents import MAX_STEPS, Click, Document, Item, MaskStep, Steps
from clickgrain.annotate.http_errors import RequestError
from clickgrain.annotate.masks import Coded, encode, iou
from clickgrain.annotate.project import Project
from clickgrain.annotate.requests import ImagePost
from clickgrain.annotate.routes.answers import User, as_json, in_threads
from clickgrain.cut import cut_region, depth_in
from clickgrain.tracking import found_near
from clickgrain.tree.leaf_map import partition, split_in_two, to_size
from clickgrain.types import Bool

IDLE = 30.0  # seconds without an action after which a user counts as away
MAX_OBJECTS = 2_000
ASIDE = 0.02  # a copy in the same image lies this share of the longer side to the right and below
ALIKE = 0.5  # a copy is what a click gives in the other image if the IoU with the original is at least this


@dataclass(frozen=True)
class ImportObjects:
    """Add imported masks; not a request of the page."""

    format: str
    masks: list[tuple[Coded, Coded, int | None]]  # (at the file's size, at working size, label number) per object
    replace: bool = False  # delete the image's objects first, except locked ones
    done: bool = False  # set the image's status to done
    kind = "import"


@dataclass(frozen=True)
class CarryObject:
    """Put the object of a track, or replace it; not a request of the page."""

    track: str
    mask: Coded  # at working size
    score: float
    label: int | None
    colour: str | None
    kind = "object.carry"


Request = ask.ImageRequest | ImportObjects | CarryObject


@dataclass
class Context:
    """Where an action takes place, and its results other than the document."""

    project: Project
    image: int
    content: str | None  # hash of the image's file, None if it cannot be read
    next_id: int  # number of the next new object
    active: float  # seconds of the user's work that the action took
    seq: int  # number of the action, once it is stored
    user: str  # name of the person, "" if unknown
    masks: dict[str, Coded] = field(default_factory=dict)  # new coded masks by hash
    touched: int | None = None  # the object that the action was about
    ambiguous: bool = False  # whether the page should ask for alternatives
    removed: int | None = None  # the object that was left without a pixel, and so was removed

    def new(self, **values: Any) -> Item:
        """An object with the next free number."""
        self.next_id += 1
        return Item(id=self.next_id - 1, **values)

    def mask(self, item: Item) -> Bool:
        """H x W bool at working size: an object's mask."""
        return to_size(self.project.logs.mask(item.mask or ""), self.project.gallery.sizes(self.image)[0])

    def node(self, node: int) -> Bool:
        """H x W bool at working size: a node of the image's tree; RequestError if there is none of this number."""
        scene = self.project.scene(self.image)
        if node >= scene.tree.n_nodes:
            raise RequestError("invalid", f"there is no node {node}; this tree ends at {scene.tree.root}")
        return to_size(cut_region(scene.tree.mask(node).astype(np.float32), scene.encoded.image), scene.size)

    def free(self, document: Document) -> Bool:
        """H x W bool at working size: pixels that no object has yet."""
        free = np.ones(self.project.gallery.sizes(self.image)[0], bool)
        for item in document.objects:
            if item.mask:
                free &= ~self.mask(item)
        return free

    def stored(self, coded: Coded) -> dict[str, Any]:
        """What an object holds of its mask, which is stored with the action."""
        self.masks[coded.hash] = coded
        return {"mask": coded.hash, "bbox": coded.bbox, "area": coded.area}

    def with_mask(self, item: Item, mask: Bool | Coded, source: documents.Source, **changes: object) -> Item:
        """The object with a given H x W mask instead of its steps."""
        coded = mask if isinstance(mask, Coded) else encode(mask)
        about = {"steps": (MaskStep(mask=coded.hash),), "content": self.content, "source": source}
        return item.model_copy(update={**self.stored(coded), **about, **changes})

    def with_steps(self, item: Item, steps: Steps) -> Item:
        """The object with other steps and their mask; RequestError for too many, PromptError for points outside."""
        if len(steps) > MAX_STEPS:
            raise RequestError("invalid", f"an object holds at most {MAX_STEPS} steps; merge or begin another")
        scene = self.project.scene(self.image)
        fold = self.project.replayer.fold(scene, steps)
        answer, values = fold.answer, self.stored(encode(fold.binary))
        self.ambiguous, self.touched = fold.is_ambiguous, item.id
        score = None if answer is None else round(min(max(answer.score, 0.0), 1.0), 4)
        level = None if answer is None or answer.level is None else round(answer.level, 4)
        values |= {"steps": steps, "score": score, "level": level, "model": scene.model, "content": scene.content}
        return item.model_copy(update={**values, "seconds": round(item.seconds + self.active, 2)})


def action_routes(project: Project) -> APIRouter:
    """The route that takes the page's actions on an image."""
    router = APIRouter(prefix="/api")

    @router.post("/images/{image}/actions")
    @in_threads()  # it may wait for the encoder or the model
    def carry_out(image: int, post: ImagePost, user: User) -> Response:
        start = time.perf_counter()
        done = act(project, image, post, post.action, user)
        return as_json(
            seq=done.seq,
            document=project.logs.document_json(image),
            object=done.touched,
            removed=done.removed,
            masks={hash_: coded.text for hash_, coded in done.masks.items()},
            alternatives=done.ambiguous,
            milliseconds=round(1000 * (time.perf_counter() - start), 1),
        )

    return router


def act(
    project: Project, image: int, post: ask.Posted, request: Request, user: str = "", *, blind: bool = False
) -> Context:
    """Carry out an action on an image; its log has it on disk when this returns.

    `post` says what the sender has seen; a `blind` action (find the same, carry on, import) adds to the document as
    it is, whatever `post.seq` says. Raises RequestError: "conflict" if the sender has not seen every action,
    "replaced" if it shows an older file, "taken" if another person works on the image; or it cannot be carried out.
    """
    logs, gallery = project.logs, project.gallery
    with logs.lock_of(image):
        logs.notice_others()
        history = logs.history(image)
        project.team.claim(user, image)
        of = request.of if isinstance(request, ask.UndoRedo) else None
        seen = post.seq == history.seq if of is None else history.next_to(request.kind) == of
        if not blind and not seen:
            raise ConflictError(image, post.seq)
        active = post.active
        if active is None:  # since the last action or opening, without absences
            actions = project.database.actions(image, history.seq - 1)
            last = max(project.opened.get(image, 0.0), actions[-1].time if actions else 0.0)
            active = min(max(time.time() - last, 0.0), IDLE) if last else 0.0
        content = gallery.content(image)
        context = Context(project, image, content, history.last_id + 1, active, history.seq + 1, user)
        document = None
        if not isinstance(request, ask.UndoRedo):
            if None not in (post.content, content) and post.content != content:
                name = gallery.name(image)
                raise RequestError("replaced", f"the file of {name} was replaced; look at it, then try again")
            document = apply(request, history.document, context)
            used = {*document.refused, *(item.mask for item in document.objects)}
            used |= {step.mask for item in document.objects for step in item.steps if isinstance(step, MaskStep)}
            context.masks = {hash_: coded for hash_, coded in context.masks.items() if hash_ in used}
        if isinstance(request, ImportObjects):
            asked: dict[str, Any] = {"format": request.format, "objects": len(request.masks)}
        elif isinstance(request, CarryObject):
            asked = {"track": request.track}
        else:
            asked = request.model_dump(mode="json", exclude_unset=True)
        about = (request.kind, time.time(), post.client, project.model.hash, post.active)
        action = documents.Action(context.seq, *about, asked, {}, user)
        logs.write(image, action, document, {hash_: coded.data for hash_, coded in context.masks.items()})
    if isinstance(request, ask.AddSteps) and context.touched is not None:
        project.in_hand.take(image, context.touched, user)
    return context


def apply(request: Request, document: Document, context: Context) -> Document:
    """The document after a request other than undo and redo. Raises RequestError, PromptError: it cannot be met."""
    before = document
    match request:
        case ask.AddSteps():
            _refuse_new_masks(request.steps, ())
            steps = request.steps
            if request.object is None:
                item = context.new(label=request.label, track=request.track)
                steps = context.project.usual.first(request.label, steps)
            else:
                item = document.editable(request.object)
            if request.label is not None:
                item = item.model_copy(update={"label": request.label})
            document = _put_or_remove(context.with_steps(item, (*item.steps, *steps)), document, context)
        case ask.SetSteps():
            item = document.editable(request.object)
            _refuse_new_masks(request.steps, item.steps)
            document = _put_or_remove(context.with_steps(item, request.steps), document, context)
        case ask.EditObjects():
            ids = request.objects or ((request.object,) if request.object is not None else ())
            if not ids:
                raise RequestError("invalid", "name the object, or the objects, to edit")
            changes = request.model_dump(include={"label", "colour", "locked", "hidden"}, exclude_unset=True)
            for id_ in ids:
                item = document.editable(id_, locked_too=changes.keys() <= {"locked", "hidden"})
                document = document.put(item.model_copy(update=changes))
            context.touched = ids[0]
        case ask.MoveObject():
            item = document.editable(request.object)
            others = list(document.without([item.id]).objects)
            others.insert(request.to, item)
            document = document.with_objects(others)
            context.touched = item.id
        case ask.DeleteObjects():
            document = document.without(document.editable(id_).id for id_ in request.objects)
        case ask.Clear():
            document = document.with_objects(item for item in document.objects if item.locked)
        case ask.MergeObjects():
            document = _merge(request, document, context)
        case ask.SplitObject():
            document = _split(request, document, context)
        case ask.AddNodes():
            document = _add_nodes(request, document, context)
        case ask.PartitionImage():
            document = _partition(request, document, context)
        case ask.RefuseNodes():
            hashes = [context.stored(encode(context.node(node)))["mask"] for node in request.nodes]
            refused = tuple(dict.fromkeys((*document.refused, *hashes)))
            document = document.model_copy(update={"refused": refused})
        case ask.CopyObjects():
            document = _copy(request, document, context)
        case ask.SetStatus():
            if (request.status == "sent_back") != bool(request.note):
                raise RequestError("invalid", "an image is sent back with a note that says what is to be done")
            changes = {"status": request.status, "note": request.note, "by": context.user}
            document = document.model_copy(update=changes)
        case CarryObject():
            item = next((item for item in document.objects if item.track == request.track), None) or context.new()
            about = {key: getattr(request, key) for key in ("label", "colour", "track", "score")}
            document = document.put(context.with_mask(item, request.mask, "carried", **about))
        case ImportObjects():
            return _import(request, document, context)
    if len(document.objects) > max(len(before.objects), MAX_OBJECTS):
        raise RequestError("invalid", f"an image holds at most {MAX_OBJECTS} objects")
    if document.status == before.status == "checked" and _looked_at(document) != _looked_at(before):
        return document.model_copy(update={"status": "done", "by": context.user})
    return document


def _looked_at(document: Document) -> list[Item]:
    """What a person who checks an image looks at: not which objects are hidden on the page."""
    return [item.model_copy(update={"hidden": False, "colour": None}) for item in document.objects]


def _put_or_remove(item: Item, document: Document, context: Context) -> Document:
    """An object that has pixels; one without would count and be exported nowhere, and no click could reach it."""
    if item.area:
        return document.put(item)
    if document.find(item.id) is None:
        raise RequestError("invalid", "nothing was found there, so no object was made; click or drag elsewhere")
    context.removed, context.ambiguous = item.id, False
    return document.without([item.id])


def _refuse_new_masks(steps: Steps, known: Steps) -> None:
    """A page may keep given masks, but not add them."""
    if any(isinstance(step, MaskStep) and step not in known for step in steps):
        raise RequestError("invalid", "a step of type 'mask' can only be kept, not made")


def _merge(request: ask.MergeObjects, document: Document, context: Context) -> Document:
    items = [document.editable(id_) for id_ in dict.fromkeys(request.objects)]
    union = np.logical_or.reduce([context.mask(item) for item in items if item.mask])
    seconds = round(sum(item.seconds for item in items) + context.active, 2)
    older = next((item.content for item in items if item.content != context.content), context.content)
    first = context.with_mask(items[0], union, "merge", seconds=seconds, score=None, content=older)
    context.touched = first.id
    return document.put(first).without(item.id for item in items[1:])


def _split(request: ask.SplitObject, document: Document, context: Context) -> Document:
    item, scene = document.editable(request.object), context.project.scene(context.image)
    parts = split_in_two(scene.tree, scene.leaves, context.mask(item))
    if parts is None:
        raise RequestError("invalid", "this object is too small to be split along the tree; paint the part instead")
    new = context.new(label=item.label, colour=item.colour)
    seconds = item.seconds + context.active
    first = context.with_mask(item, parts[0], "split", score=None, seconds=seconds, content=item.content)
    second = context.with_mask(new, parts[1], "split", content=item.content)
    objects = list(document.objects)
    place = objects.index(item)
    context.touched = item.id
    return document.put(second).with_objects([*objects[:place], first, second, *objects[place + 1 :]])


def _add_nodes(request: ask.AddNodes, document: Document, context: Context) -> Document:
    scene, free = context.project.scene(context.image), context.free(document)
    for node, score in request.nodes:
        mask = context.node(node) & free
        if not mask.any():
            continue  # an object made since the search lies there
        about = {"level": round(float(scene.tree.level[node]), 4), "model": scene.model}
        new = context.new(label=request.label, seconds=context.active, score=score, **about)
        document = document.put(context.with_mask(new, mask, "same"))
        context.touched = new.id
        free &= ~mask
    if context.touched is None:
        raise RequestError("invalid", "other objects lie there by now; search again")
    return document


def _partition(request: ask.PartitionImage, document: Document, context: Context) -> Document:
    scene = context.project.scene(context.image)
    regions, numbers = partition(scene.tree, scene.leaves, request.level, context.free(document))
    if len(numbers) + len(document.objects) > MAX_OBJECTS:
        raise RequestError("invalid", f"{len(numbers)} regions are too many; choose a higher level")
    for number in numbers:
        new = context.new(label=request.label, level=request.level, model=scene.model)
        document = document.put(context.with_mask(new, regions == number, "partition"))
    return document


def _copy(request: ask.CopyObjects, document: Document, context: Context) -> Document:
    """Copies on top, each made by a click on its middle where an answer to that is much like it."""
    project, here = context.project, request.source == context.image
    source = document if here else project.logs.history(request.source).document
    for id_ in dict.fromkeys(request.objects):
        old = source.find(id_)
        if old is None or old.mask is None:
            raise RequestError("invalid", f"there is no object {id_} to copy; it may have been deleted")
        mask = context.mask(old)
        new = context.new(label=old.label, colour=old.colour, model=project.model.hash, source="copy")
        if here:
            aside = max(4, round(ASIDE * max(mask.shape)))
            moved = np.zeros_like(mask)
            moved[aside:, aside:] = mask[:-aside, :-aside]
            made = context.with_mask(new, moved if moved.any() else mask, "copy")
        else:
            there = project.gallery.load(request.source).pixels, project.scene(context.image).image
            mask = found_near(mask, *there) if there[0].shape == there[1].shape else mask
            y, x = divmod(int(depth_in(mask).argmax()), mask.shape[1])
            click = Click(x=x, y=y)
            fold = project.replayer.fold(project.scene(context.image), (click,))
            alike = [iou(mask, one) for one in (fold.binary, *(one.binary for one in fold.alternatives))]
            best = int(np.argmax(alike))
            steps = (click, documents.ChooseStep(alternative=best - 1)) if best else (click,)
            snaps = alike[best] >= ALIKE
            made = context.with_steps(new, steps) if snaps else context.with_mask(new, mask, "copy")
        document, context.touched = document.put(made), new.id
    context.ambiguous = False
    return document


def _import(request: ImportObjects, document: Document, context: Context) -> Document:
    if request.replace and request.masks:
        document = document.with_objects(item for item in document.objects if item.locked)
    if (count := len(document.objects) + len(request.masks)) > MAX_OBJECTS:
        raise RequestError("invalid", f"{count} objects are too many: an image holds at most {MAX_OBJECTS}")
    for exact, shown, label in request.masks:
        steps = (MaskStep(mask=context.stored(exact)["mask"]),)
        new = context.new(label=label, steps=steps, source="import", **context.stored(shown))
        document = document.put(new)
    return document.model_copy(update={"status": "done", "by": context.user}) if request.done else document
