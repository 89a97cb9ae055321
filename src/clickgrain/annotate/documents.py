"""What an image's annotation is at one moment: a frozen `Document` of objects; and the project's labels."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from clickgrain.annotate.steps import Level, MaskHash, Steps, Strict, count_clicks

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
