"""What the page may ask an image's or the project's log to do: every action, validated."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from clickgrain.annotate.documents import Colour, Name, Status
from clickgrain.annotate.steps import MAX_STEPS, Level, Step, Strict

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
