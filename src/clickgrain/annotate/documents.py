"""What an image's annotation is at one moment: a frozen `Document` of objects; and the project's labels."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

MAX_POINTS = 20_000
MAX_STEPS = 1_000

Coordinate = Annotated[float, Field(ge=0, lt=65_536, allow_inf_nan=False)]
Side = Annotated[int, Field(ge=0, le=1)]
Level = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Path = Annotated[tuple[tuple[Coordinate, Coordinate], ...], Field(min_length=1, max_length=MAX_POINTS)]
MaskHash = Annotated[str, Field(pattern=r"^[0-9a-f]{20}$")]


class Strict(BaseModel):
    """Frozen; unknown keys are refused, and numbers that are none."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Click(Strict):
    """A click at (x, y): label 1 on the object, 0 on the background."""

    type: Literal["click"] = "click"
    x: Coordinate
    y: Coordinate
    label: Side = 1


class BoxStep(Strict):
    """A box around the object."""

    type: Literal["box"] = "box"
    box: tuple[Coordinate, Coordinate, Coordinate, Coordinate]


class ScribbleStep(Strict):
    """A stroke over the object (1) or the background (0)."""

    type: Literal["scribble"] = "scribble"
    points: Path
    label: Side = 1


class LevelStep(Strict):
    """How coarse a region is wanted from here on; None lets the model choose."""

    type: Literal["level"] = "level"
    level: Level | None


class RegionStep(Strict):
    """Exactly the tree's region over (x, y) at a level, as hovering shows it. Counts as a positive click.

    An object that begins with one asks for its level from then on.
    """

    type: Literal["region"] = "region"
    x: Coordinate
    y: Coordinate
    level: Level


class ChooseStep(Strict):
    """One of the other readings that were offered for what came before."""

    type: Literal["choose"] = "choose"
    alternative: Annotated[int, Field(ge=0, le=2)]


class BrushStep(Strict):
    """Pixels painted (1) or erased (0) along a stroke of a round brush."""

    type: Literal["brush"] = "brush"
    points: Path
    radius: Annotated[float, Field(gt=0, le=2_000, allow_inf_nan=False)]
    label: Side = 1


class MaskStep(Strict):
    """A given mask: imported, taken from the tree, or made from other objects. Only the server makes these."""

    type: Literal["mask"] = "mask"
    mask: MaskHash


Step = Annotated[
    Click | BoxStep | ScribbleStep | LevelStep | RegionStep | ChooseStep | BrushStep | MaskStep,
    Field(discriminator="type"),
]
Steps = tuple[Step, ...]
STEPS: TypeAdapter[Steps] = TypeAdapter(Steps)

CLICKS = ("click", "region", "box", "scribble", "choose", "brush")
"""Steps that cost the user a press of the button; a level is turned by the wheel."""


def count_clicks(steps: Steps) -> int:
    """Presses of the button that made an object."""
    return sum(step.type in CLICKS for step in steps)


Status = Literal["todo", "doing", "done", "skipped"]
STATUSES: tuple[Status, ...] = ("todo", "doing", "done", "skipped")
Source = Literal["prompt", "import", "same", "partition", "merge", "split"]
Colour = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class Item(Strict):
    """One object of an image.

    Attributes:
        mask: hash of the coded mask.
        bbox: XYXY pixels; area in pixels.
        model: hash of the model that answered the last prompt.
        content: hash of the image's file that it was drawn on; None where that was not kept.
        seconds: of the user's work on it.
    """

    id: Annotated[int, Field(ge=1)]
    label: int | None = None
    colour: Colour | None = None
    locked: bool = False
    hidden: bool = False
    steps: Steps = ()
    mask: MaskHash | None = None
    bbox: tuple[int, int, int, int] | None = None
    area: int = 0
    score: float | None = None
    level: Level | None = None
    model: str | None = None
    content: str | None = None
    source: Source = "prompt"
    seconds: float = 0.0

    def to_json(self, content: str | None = None) -> dict[str, Any]:
        """As the page receives it, beside a file of that content."""
        replaced = None not in (content, self.content) and content != self.content
        return {**self.model_dump(mode="json"), "clicks": count_clicks(self.steps), "replaced": replaced}


class Document(Strict):
    """All objects of an image, the lowest first, and how far the user says it is."""

    objects: tuple[Item, ...] = ()
    status: Status = "todo"

    def find(self, id_: int) -> Item | None:
        """The object with a number."""
        return next((item for item in self.objects if item.id == id_), None)

    def to_json(self, content: str | None = None) -> dict[str, Any]:
        """As the page receives it, beside a file of that content."""
        return {"status": self.status, "objects": [item.to_json(content) for item in self.objects]}


class Label(Strict):
    """A class of objects; `category` is the id of the COCO category that it came as, if it did."""

    id: int
    name: Name
    colour: Colour
    category: int | None = None


class Labels(Strict):
    """The project's labels, and whether objects may overlap."""

    labels: tuple[Label, ...] = ()
    overlap: bool = False

    def find(self, id_: int | None) -> Label | None:
        """The label with a number."""
        return next((label for label in self.labels if label.id == id_), None)

    def to_json(self) -> dict[str, Any]:
        """As the page receives it."""
        return self.model_dump(mode="json")


def patch_between(before: Document, after: Document) -> dict[str, Any]:
    """What changed, small enough to log: objects put and removed, their order, the status.

    Steps that an object keeps are not repeated: {"keep": n, "add": [...]}.
    """
    old = {item.id: item for item in before.objects}
    changed = [item for item in after.objects if item is not old.get(item.id)]  # others are shared: no look inside
    put = [_put(old.get(item.id), item) for item in changed if old.get(item.id) != item]
    order = [item.id for item in after.objects]
    changes = {"put": put, "remove": sorted(old.keys() - set(order))}
    patch: dict[str, Any] = {key: value for key, value in changes.items() if value}
    if order != _natural_order(before, order):
        patch["order"] = order
    if after.status != before.status:
        patch["status"] = after.status
    return patch


def patched(document: Document, patch: dict[str, Any]) -> Document:
    """The document after a patch of `patch_between`."""
    items = {item.id: item for item in document.objects}
    for id_ in patch.get("remove", ()):
        items.pop(id_, None)
    for values in patch.get("put", ()):
        items[values["id"]] = _item(items.get(values["id"]), values)
    order: Sequence[int] = patch.get("order") or list(items)
    status = patch.get("status", document.status)
    return Document(objects=tuple(items[id_] for id_ in order if id_ in items), status=status)


def _natural_order(before: Document, order: list[int]) -> list[int]:
    """The order that `patched` gives without being told: what stays as it was, then what is new."""
    wanted, known = set(order), {item.id for item in before.objects}
    stay = [item.id for item in before.objects if item.id in wanted]
    return stay + [id_ for id_ in order if id_ not in known]


def _put(old: Item | None, item: Item) -> dict[str, Any]:
    values = item.model_dump(mode="json", exclude={"steps"})
    keep = 0
    if old is not None:
        while keep < min(len(old.steps), len(item.steps)) and old.steps[keep] == item.steps[keep]:
            keep += 1
    return {**values, "steps": {"keep": keep, "add": [step.model_dump(mode="json") for step in item.steps[keep:]]}}


def _item(old: Item | None, values: dict[str, Any]) -> Item:
    steps = values["steps"]
    kept = () if old is None else old.steps[: steps["keep"]]
    added = Item.model_validate({**values, "steps": steps["add"]})
    return added.model_copy(update={"steps": (*kept, *added.steps)})


ObjectId = Annotated[int, Field(ge=1, le=2**31)]
LabelId = Annotated[int, Field(ge=0, le=2**31)]
MOST_ACTIONS = 2**53
"""What JavaScript counts exactly, and SQLite holds."""
MOST_LABELS = 20_000
ObjectIds = Annotated[tuple[ObjectId, ...], Field(min_length=1, max_length=5_000)]
SomeSteps = Annotated[tuple[Step, ...], Field(min_length=1, max_length=MAX_STEPS)]


class AddSteps(Strict):
    """Go on with an object, or begin one (object None)."""

    kind: Literal["object.add_steps"]
    object: ObjectId | None = None
    steps: SomeSteps
    label: LabelId | None = None


class SetSteps(Strict):
    """Replace an object's steps: a click taken away or moved."""

    kind: Literal["object.set_steps"]
    object: ObjectId
    steps: SomeSteps


class EditObjects(Strict):
    """Label, colour, lock or hide; only the keys that are sent change."""

    kind: Literal["object.edit"]
    object: ObjectId | None = None
    objects: ObjectIds | None = None
    label: LabelId | None = None
    colour: Colour | None = None
    locked: bool = False
    hidden: bool = False


class MoveObject(Strict):
    """Change the z-order: 0 is the lowest."""

    kind: Literal["object.move"]
    object: ObjectId
    to: Annotated[int, Field(ge=0, le=100_000)]


class DeleteObjects(Strict):
    """Remove objects."""

    kind: Literal["object.delete"]
    objects: ObjectIds


class MergeObjects(Strict):
    """Join objects into the first."""

    kind: Literal["object.merge"]
    objects: Annotated[tuple[ObjectId, ...], Field(min_length=2, max_length=5_000)]


class SplitObject(Strict):
    """Cut an object in two along the tree."""

    kind: Literal["object.split"]
    object: ObjectId


class AddNode(Strict):
    """A node of the tree becomes an object."""

    kind: Literal["object.add_node"]
    node: Annotated[int, Field(ge=0, le=2**31)]
    label: LabelId | None = None
    score: Annotated[float, Field(allow_inf_nan=False)] | None = None


class PartitionImage(Strict):
    """Objects for all regions of the cut at a level, on pixels that no object holds yet."""

    kind: Literal["partition"]
    level: Level
    label: LabelId | None = None


class SetStatus(Strict):
    """How far the image is."""

    kind: Literal["status"]
    status: Status


class Clear(Strict):
    """Delete every object that is not locked."""

    kind: Literal["clear"]


class Undo(Strict):
    """Take the last action back."""

    kind: Literal["undo"]


class Redo(Strict):
    """Do again what was taken back."""

    kind: Literal["redo"]


ImageRequest = Annotated[
    AddSteps
    | SetSteps
    | EditObjects
    | MoveObject
    | DeleteObjects
    | MergeObjects
    | SplitObject
    | AddNode
    | PartitionImage
    | SetStatus
    | Clear
    | Undo
    | Redo,
    Field(discriminator="kind"),
]
IMAGE_REQUEST: TypeAdapter[ImageRequest] = TypeAdapter(ImageRequest)


class AddLabel(Strict):
    """A new label; without a colour it gets the next free one."""

    kind: Literal["label.add"]
    name: Name
    colour: Colour | None = None


class AddLabels(Strict):
    """Labels of an imported file, each with its COCO category id or None; those known by name take the id alone."""

    kind: Literal["label.add_all"]
    labels: Annotated[tuple[tuple[Name, int | None], ...], Field(max_length=MOST_LABELS)]


class EditLabel(Strict):
    """Another name or colour; only the keys that are sent change."""

    kind: Literal["label.edit"]
    label: LabelId
    name: Name | None = None
    colour: Colour | None = None


class DeleteLabel(Strict):
    """Remove a label; its objects become unlabelled."""

    kind: Literal["label.delete"]
    label: LabelId


class AllowOverlap(Strict):
    """Whether a pixel may belong to several objects."""

    kind: Literal["overlap"]
    allow: bool


ProjectRequest = Annotated[
    AddLabel | AddLabels | EditLabel | DeleteLabel | AllowOverlap | Undo | Redo, Field(discriminator="kind")
]
PROJECT_REQUEST: TypeAdapter[ProjectRequest] = TypeAdapter(ProjectRequest)


class Posted(Strict):
    """A write: what the sender has seen (actions, content of the file), who it is, and seconds of work."""

    seq: Annotated[int, Field(ge=0, le=MOST_ACTIONS)]
    client: Annotated[str, Field(max_length=100)] = ""
    content: Annotated[str, Field(max_length=100)] | None = None
    active: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] | None = None


class ImagePost(Posted):
    """A write to an image's log."""

    action: ImageRequest


class ProjectPost(Posted):
    """A write to the project's log."""

    action: ProjectRequest
