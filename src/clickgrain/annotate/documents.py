"""What is annotated, as frozen data: steps, objects, an image's document, the labels; and how actions change them.

An object's mask follows from its steps (`masks`). Points are (x, y) image pixels, boxes XYXY pixels, levels 0..1.
"""

import itertools
import threading
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_serializer

from clickgrain.annotate.http_errors import RequestError

MAX_POINTS, MAX_STEPS = 20_000, 1_000


def check_view(view: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    """XYXY pixels that the user sees. Raises ValueError: there are none."""
    if not (view[0] < view[2] and view[1] < view[3]):
        raise ValueError("the view is empty; give left < right and top < bottom")
    return view


Coordinate = Annotated[float, Field(ge=0, lt=65_536, allow_inf_nan=False)]
Side = Annotated[int, Field(ge=0, le=1)]
Level = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Point = tuple[Coordinate, Coordinate]
View = Annotated[tuple[Coordinate, Coordinate, Coordinate, Coordinate], AfterValidator(check_view)]
Path = Annotated[tuple[Point, ...], Field(min_length=1, max_length=MAX_POINTS)]
Ring = Annotated[tuple[Point, ...], Field(min_length=3, max_length=MAX_POINTS)]
MaskHash = Annotated[str, Field(pattern=r"^[0-9a-f]{20}$")]
Status = Literal["todo", "doing", "done", "checked", "sent_back", "skipped"]
STATUSES: tuple[Status, ...] = get_args(Status)
FINISHED = ("done", "checked")
Source = Literal["prompt", "import", "same", "partition", "merge", "split", "copy", "carried"]
Colour = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Track = Annotated[str, Field(pattern=r"^\d{1,19}-\d{1,19}$")]  # image and number of the object that it began with
State = TypeVar("State")


class Strict(BaseModel):
    """Frozen; unknown keys, NaN and infinity are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Click(Strict):
    """A click at (x, y): label 1 on the object, 0 on the background.

    A first click is answered at the usual level, if the server has set one. If the image was enlarged, it has the
    XYXY pixels that the user saw, and later clicks on the object are answered from them, too.
    """

    type: Literal["click"] = "click"
    x: Coordinate
    y: Coordinate
    label: Side = 1
    usual: Level | None = None
    view: View | None = None

    @model_serializer(mode="wrap")
    def _short(self, whole: Any) -> Any:
        """Leave out `usual` and `view` if they are None, as older logs do."""
        return {key: value for key, value in whole(self).items() if value is not None}


class BoxStep(Strict):
    """A box around the object, or around something that belongs to it as well (1); what to take away (0)."""

    type: Literal["box"] = "box"
    box: tuple[Coordinate, Coordinate, Coordinate, Coordinate]
    label: Side = 1


class ScribbleStep(Strict):
    """A stroke over the object (1) or the background (0)."""

    type: Literal["scribble"] = "scribble"
    points: Path
    label: Side = 1


class LevelStep(Strict):
    """The level that is asked for from here on; None lets the model choose."""

    type: Literal["level"] = "level"
    level: Level | None


class RegionStep(Strict):
    """Exactly the tree's region over (x, y) at a level, as shown on hover. Counts as a positive click.

    An object that begins with one asks for its level from then on.
    """

    type: Literal["region"] = "region"
    x: Coordinate
    y: Coordinate
    level: Level


class ChooseStep(Strict):
    """One of the alternatives to what came before."""

    type: Literal["choose"] = "choose"
    alternative: Annotated[int, Field(ge=0, le=2)]


class BrushStep(Strict):
    """Pixels painted (1) or erased (0) along a stroke of a round brush."""

    type: Literal["brush"] = "brush"
    points: Path
    radius: Annotated[float, Field(gt=0, le=2_000, allow_inf_nan=False)]
    label: Side = 1


class PolygonStep(Strict):
    """Exactly the pixels whose centers lie inside an odd number of rings: a mask whose corners were moved.

    Corners are (x, y) in pixels, from 0 to the image's width and height: pixel 0 reaches from 0 to 1.
    """

    type: Literal["polygon"] = "polygon"
    rings: Annotated[tuple[Ring, ...], Field(min_length=1, max_length=500)]


class MaskStep(Strict):
    """A given mask: imported, taken from the tree, or made from other objects. Only the server makes these."""

    type: Literal["mask"] = "mask"
    mask: MaskHash


Step = Annotated[
    Click | BoxStep | ScribbleStep | LevelStep | RegionStep | ChooseStep | BrushStep | PolygonStep | MaskStep,
    Field(discriminator="type"),
]
Steps = tuple[Step, ...]


def count_clicks(steps: Steps) -> int:
    """Mouse button presses that made an object: every step but levels (the wheel) and given masks."""
    return sum(step.type not in ("level", "mask") for step in steps)


class Item(Strict):
    """One object of an image."""

    id: Annotated[int, Field(ge=1)]
    label: int | None = None
    colour: Colour | None = None
    locked: bool = False
    hidden: bool = False
    steps: Steps = ()
    mask: MaskHash | None = None  # hash of the coded mask
    bbox: tuple[int, int, int, int] | None = None  # XYXY pixels
    area: int = 0  # pixels
    score: float | None = None
    level: Level | None = None
    model: str | None = None  # hash of the model that answered the last prompt
    content: str | None = None  # hash of the image file that it was drawn on; None if unknown
    source: Source = "prompt"
    seconds: float = 0.0  # of the user's work on it
    track: Track | None = None  # what it was carried on with, from image to image


class Document(Strict):
    """All objects of an image, bottom first, and the image's status."""

    objects: tuple[Item, ...] = ()
    status: Status = "todo"
    refused: tuple[MaskHash, ...] = ()  # what *Find the same* offered and the user said is not the same
    note: str = ""  # what is to be done where the image was sent back
    by: str = ""  # who set the status; "" where the server knows no names

    def find(self, id_: int) -> Item | None:
        """The object with a number."""
        return next((item for item in self.objects if item.id == id_), None)

    def editable(self, id_: int, *, locked_too: bool = False) -> Item:
        """An object that may be changed. Raises RequestError: there is none with this number, or it is locked."""
        item = self.find(id_)
        if item is None:
            raise RequestError("invalid", f"there is no object {id_} in this image; it may have been deleted")
        if item.locked and not locked_too:
            raise RequestError("invalid", f"object {id_} is locked; unlock it first")
        return item

    def with_objects(self, objects: Iterable[Item]) -> "Document":
        """These objects instead, bottom first."""
        return self.model_copy(update={"objects": tuple(objects)})

    def without(self, ids: Iterable[int]) -> "Document":
        """The other objects."""
        gone = set(ids)
        return self.with_objects(item for item in self.objects if item.id not in gone)

    def put(self, item: Item) -> "Document":
        """Replace an object, or put a new one on top, which begins the work on an image."""
        if self.find(item.id) is not None:
            return self.with_objects(item if old.id == item.id else old for old in self.objects)
        status = "doing" if self.status == "todo" else self.status
        return self.model_copy(update={"objects": (*self.objects, item), "status": status})

    def to_json(self, content: str | None = None) -> dict[str, Any]:
        """For the page; `content` is the hash of the image's file now: objects drawn on another one are marked."""
        objects = []
        for item in self.objects:
            replaced = None not in (content, item.content) and content != item.content
            clicks = count_clicks(item.steps)
            objects.append({**item.model_dump(mode="json"), "clicks": clicks, "replaced": replaced})
        return {"status": self.status, "note": self.note, "by": self.by, "objects": objects}


class Label(Strict):
    """A class of objects."""

    id: int
    name: Name
    colour: Colour
    category: int | None = None  # the COCO category id that it was imported with, if any
    merged: tuple[int, ...] = ()  # labels that were merged into this one, which their objects still name


class Labels(Strict):
    """The project's labels, and whether objects may overlap."""

    labels: tuple[Label, ...] = ()
    overlap: bool = False

    def find(self, id_: int | None) -> Label | None:
        """The label with a number, or that into which that one was merged."""
        return next((label for label in self.labels if id_ == label.id or id_ in label.merged), None)


class Action(NamedTuple):
    """One entry of a log."""

    seq: int  # 1, 2, 3 ... within its log
    kind: str  # what the user did; "undo" and "redo" move the history
    time: float  # Unix seconds
    client: str  # the tab that sent it
    model: str  # hash of the model in use
    active: float | None  # seconds of the user's work since the action before, None if unknown
    asked: dict[str, Any]  # the request
    patch: dict[str, Any]  # what it changed
    user: str = ""  # name of the person; "" where the server knows none

    def to_json(self) -> dict[str, Any]:
        """For the page."""
        shown = {key: getattr(self, key) for key in ("seq", "kind", "time", "client", "user", "model")}
        return {**shown, "by": self.asked}


def _entries(state: Document | Labels) -> tuple[str, list[str]]:
    """Names of the field of objects or labels, and of the others."""
    name = "objects" if isinstance(state, Document) else "labels"
    return name, [other for other in type(state).model_fields if other != name]


def patch_between(before: Document | Labels, after: Document | Labels) -> dict[str, Any]:
    """What changed, small enough to log: objects (or labels) put and removed, their order, and the other fields.

    Steps that an object keeps are not repeated: {"keep": n, "add": [...]}.
    """
    name, others = _entries(before)
    old, new = ({one.id: one for one in getattr(state, name)} for state in (before, after))
    put = []
    for one in new.values():
        known = old.get(one.id)
        if one is known or one == known:  # most are shared between the documents: no need to look inside
            continue
        values = one.model_dump(mode="json", exclude={"steps"})
        if isinstance(one, Item):
            same = (step == other for step, other in zip(() if known is None else known.steps, one.steps))
            keep = sum(1 for _ in itertools.takewhile(bool, same))
            values["steps"] = {"keep": keep, "add": [step.model_dump(mode="json") for step in one.steps[keep:]]}
        put.append(values)
    gone = old.keys() - new.keys()
    patch: dict[str, Any] = {key: value for key, value in (("put", put), ("remove", sorted(gone))) if value}
    if [*new] != [id_ for id_ in old if id_ not in gone] + [id_ for id_ in new if id_ not in old]:
        patch["order"] = [*new]  # by default: those that stay, then the new ones
    return patch | {key: getattr(after, key) for key in others if getattr(after, key) != getattr(before, key)}


def patched(state: Any, patch: dict[str, Any]) -> Any:
    """The document, or the labels, after a patch of `patch_between`."""
    name, others = _entries(state)
    items = {one.id: one for one in getattr(state, name)}
    for id_ in patch.get("remove", ()):
        items.pop(id_, None)
    for values in patch.get("put", ()):
        if isinstance(state, Labels):
            items[values["id"]] = Label.model_validate(values)
            continue
        old, steps = items.get(values["id"]), values["steps"]
        added = Item.model_validate({**values, "steps": steps["add"]})
        kept = () if old is None else old.steps[: steps["keep"]]
        items[added.id] = added.model_copy(update={"steps": (*kept, *added.steps)})
    ordered = tuple(items[id_] for id_ in patch.get("order") or [*items] if id_ in items)
    return type(state)(**{name: ordered, **{key: patch.get(key, getattr(state, key)) for key in others}})


class History(Generic[State]):
    """The stack of documents that a log leads to; undo and redo are actions, too: every tab sees the same."""

    def __init__(self, first: State, patched: Callable[[State, dict[str, Any]], State]) -> None:
        self._patched, self._lock = patched, threading.Lock()
        self._done: list[tuple[int | None, State]] = [(None, first)]
        """What undo takes back, the next one last: the number of an action, and the document after it."""
        self._undone: list[tuple[int | None, State]] = []
        self.seq = 0
        self.last_id = 0  # highest object number ever given: numbers are not used again, even after undo

    @property
    def document(self) -> State:
        """The current document."""
        return self._done[-1][1]

    def now(self) -> tuple[State, dict[str, int]]:
        """(document, what the page shows of the log) at one moment: no other thread's action is seen half done."""
        with self._lock:
            can = {f"can_{kind}": self.next_to(kind) is not None for kind in ("undo", "redo")}
            return self.document, {"seq": self.seq, **can, "last_id": self.last_id}

    def next_to(self, kind: str) -> int | None:
        """Number of the action that an undo would take back, or a redo repeat."""
        stack = self._done if kind == "undo" else self._undone
        return stack[-1][0] if stack else None

    def preview(self, action: Action) -> State:
        """The document that `add` would lead to. Raises RequestError: nothing to undo or redo."""
        if action.kind not in ("undo", "redo"):
            return self._patched(self.document, action.patch)
        if self.next_to(action.kind) is None:
            raise RequestError("invalid", f"there is nothing to {action.kind}")
        return self._done[-2][1] if action.kind == "undo" else self._undone[-1][1]

    def add(self, action: Action, document: State | None = None) -> None:
        """Take the next action of the log, which leads to `document` if given; RequestError: it does not follow."""
        if action.seq != self.seq + 1:
            raise RequestError("internal", f"action {action.seq} does not follow {self.seq} in the log")
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
