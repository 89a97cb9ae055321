"""An image's document on its way from one action to the next: objects found, put and given masks."""

from collections.abc import Callable
from dataclasses import dataclass, field

from clickgrain.annotate.documents import Document, Item, Source
from clickgrain.annotate.folding import Fold
from clickgrain.annotate.refusals import RequestError
from clickgrain.annotate.runs import Coded, encode
from clickgrain.annotate.scenes import Scene
from clickgrain.annotate.steps import MAX_STEPS, MaskStep, Steps
from clickgrain.types import Bool


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
