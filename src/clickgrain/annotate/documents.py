"""What is annotated, as frozen data: steps, objects, an image's document, the labels, and requests to change them.

An object's mask follows from its steps (`folding`). Points are (x, y) image pixels, boxes XYXY pixels, levels 0..1.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from clickgrain.annotate.http_errors import RequestError

MAX_POINTS, MAX_STEPS, MAX_LABELS = 20_000, 1_000, 20_000
MAX_SEQ = 2**53  # what JavaScript counts exactly, and SQLite holds

Coordinate = Annotated[float, Field(ge=0, lt=65_536, allow_inf_nan=False)]
Side = Annotated[int, Field(ge=0, le=1)]
Level = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Point = tuple[Coordinate, Coordinate]
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
ObjectId = Annotated[int, Field(ge=1, le=2**31)]
ObjectIds = Annotated[tuple[ObjectId, ...], Field(min_length=1, max_length=5_000)]
LabelId = Annotated[int, Field(ge=0, le=2**31)]
Node = Annotated[int, Field(ge=0, le=2**31)]
Seq = Annotated[int, Field(ge=1, le=MAX_SEQ)]


class Strict(BaseModel):
    """Frozen; unknown keys, NaN and infinity are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Click(Strict):
    """A click at (x, y): label 1 on the object, 0 on the background."""

    type: Literal["click"] = "click"
    x: Coordinate
    y: Coordinate
    label: Side = 1


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
SomeSteps = Annotated[Steps, Field(min_length=1, max_length=MAX_STEPS)]


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


class AddSteps(Strict):
    """Add steps to an object, or to a new one (object None), perhaps where a track was lost."""

    kind: Literal["object.add_steps"]
    object: ObjectId | None = None
    steps: SomeSteps
    label: LabelId | None = None
    track: Track | None = None


class SetSteps(Strict):
    """Replace an object's steps: a click was removed or moved."""

    kind: Literal["object.set_steps"]
    object: ObjectId
    steps: SomeSteps


class EditObjects(Strict):
    """Label, color, lock or hide; only the keys that are sent change."""

    kind: Literal["object.edit"]
    object: ObjectId | None = None
    objects: ObjectIds | None = None
    label: LabelId | None = None
    colour: Colour | None = None
    locked: bool = False
    hidden: bool = False


class MoveObject(Strict):
    """Change the z-order: 0 is the bottom."""

    kind: Literal["object.move"]
    object: ObjectId
    to: Annotated[int, Field(ge=0, le=100_000)]


class DeleteObjects(Strict):
    """Delete objects."""

    kind: Literal["object.delete"]
    objects: ObjectIds


class MergeObjects(Strict):
    """Join objects into the first."""

    kind: Literal["object.merge"]
    objects: Annotated[tuple[ObjectId, ...], Field(min_length=2, max_length=5_000)]


class SplitObject(Strict):
    """Split an object in two along the tree."""

    kind: Literal["object.split"]
    object: ObjectId


class AddNodes(Strict):
    """Make objects of tree nodes, each (node, score), on pixels that no object has yet."""

    kind: Literal["object.add_nodes"]
    nodes: Annotated[tuple[tuple[Node, Level], ...], Field(min_length=1, max_length=2_000)]
    label: LabelId | None = None


class RefuseNodes(Strict):
    """Say that tree nodes are not what was searched for."""

    kind: Literal["object.refuse"]
    nodes: Annotated[tuple[Node, ...], Field(min_length=1, max_length=2_000)]


class CopyObjects(Strict):
    """Copies of objects of an image: in the same one a little aside, in another one snapped to what is there."""

    kind: Literal["object.copy"]
    source: Seq
    objects: ObjectIds


class PartitionImage(Strict):
    """Make objects of all regions at a level, on pixels that no object has yet."""

    kind: Literal["partition"]
    level: Level
    label: LabelId | None = None


class SetStatus(Strict):
    """Set the image's status; one that is sent back needs a note that says what is to be done."""

    kind: Literal["status"]
    status: Status
    note: Annotated[str, Field(max_length=1_000)] = ""


class Clear(Strict):
    """Delete every object that is not locked."""

    kind: Literal["clear"]


class UndoRedo(Strict):
    """Take back the last action, or repeat the one taken back last; with `of`, only the one of that number."""

    kind: Literal["undo", "redo"]
    of: Seq | None = None


ObjectRequest = AddSteps | SetSteps | EditObjects | MoveObject | DeleteObjects | MergeObjects | SplitObject | Clear
RegionRequest = AddNodes | RefuseNodes | CopyObjects | PartitionImage
ImageRequest = Annotated[ObjectRequest | RegionRequest | SetStatus | UndoRedo, Field(discriminator="kind")]
IMAGE_REQUEST: TypeAdapter[ImageRequest] = TypeAdapter(ImageRequest)


class AddLabel(Strict):
    """A new label; without a color it gets the next free one."""

    kind: Literal["label.add"]
    name: Name
    colour: Colour | None = None


class AddLabels(Strict):
    """Labels of an imported file, each with its COCO category id or None; known names take only the id."""

    kind: Literal["label.add_all"]
    labels: Annotated[tuple[tuple[Name, int | None], ...], Field(max_length=MAX_LABELS)]


class EditLabel(Strict):
    """Another name or color; only the keys that are sent change."""

    kind: Literal["label.edit"]
    label: LabelId
    name: Name | None = None
    colour: Colour | None = None


class DeleteLabel(Strict):
    """Delete a label; its objects become unlabeled."""

    kind: Literal["label.delete"]
    label: LabelId


class MoveLabel(Strict):
    """Another place in the list: 0 is the first."""

    kind: Literal["label.move"]
    label: LabelId
    to: Annotated[int, Field(ge=0, le=MAX_LABELS)]


class MergeLabel(Strict):
    """Give a label's objects, in all images, to another label."""

    kind: Literal["label.merge"]
    label: LabelId
    into: LabelId


class AllowOverlap(Strict):
    """Whether a pixel may belong to several objects."""

    kind: Literal["overlap"]
    allow: bool


ProjectRequest = Annotated[
    AddLabel | AddLabels | EditLabel | DeleteLabel | MoveLabel | MergeLabel | AllowOverlap | UndoRedo,
    Field(discriminator="kind"),
]
PROJECT_REQUEST: TypeAdapter[ProjectRequest] = TypeAdapter(ProjectRequest)


class Posted(Strict):
    """A write: what the sender has seen (actions, content of the file), its id, and seconds of work."""

    seq: Annotated[int, Field(ge=0, le=MAX_SEQ)]
    client: Annotated[str, Field(max_length=100)] = ""
    content: Annotated[str, Field(max_length=100)] | None = None
    active: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] | None = None


class ImagePost(Posted):
    """A write to an image's log."""

    action: ImageRequest


class ProjectPost(Posted):
    """A write to the project's log."""

    action: ProjectRequest
