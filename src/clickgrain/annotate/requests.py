"""Requests to change an image's document or the labels, as the page posts them."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from clickgrain.annotate.documents import MAX_STEPS, Colour, Level, Name, Status, Steps, Strict, Track

MAX_LABELS = 20_000
MAX_SEQ = 2**53  # what JavaScript counts exactly, and SQLite holds

SomeSteps = Annotated[Steps, Field(min_length=1, max_length=MAX_STEPS)]
ObjectId = Annotated[int, Field(ge=1, le=2**31)]
ObjectIds = Annotated[tuple[ObjectId, ...], Field(min_length=1, max_length=5_000)]
LabelId = Annotated[int, Field(ge=0, le=2**31)]
Node = Annotated[int, Field(ge=0, le=2**31)]
Seq = Annotated[int, Field(ge=1, le=MAX_SEQ)]


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
