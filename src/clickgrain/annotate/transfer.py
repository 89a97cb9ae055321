"""Between a project and other tools' formats: masks at the files' own size, overlaps settled, labels by name."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from clickgrain.annotate.acting import Act
from clickgrain.annotate.documents import Document, Item
from clickgrain.annotate.leafmap import to_size
from clickgrain.annotate.project import Project
from clickgrain.annotate.requests import AddLabel, Posted, SetStatus
from clickgrain.errors import ClickgrainError
from clickgrain.export.records import ImageRecord, LabelRecord, ObjectRecord
from clickgrain.images import rotation_hint
from clickgrain.types import Bool, Size


def label_records(project: Project) -> list[LabelRecord]:
    """The project's labels, in their order."""
    return [LabelRecord(one.id, one.name, one.colour) for one in project.labels().document.labels]


def image_records(project: Project, *, only_done: bool = False) -> Iterator[ImageRecord]:
    """Images with objects, in the order of the list, ready to be exported.

    Args:
        project: the project.
        only_done: only images whose status is "done".
    """
    order = [*project.gallery.order]
    summaries = project.database.summaries()
    for image in order:
        summary = summaries.get(image)
        if summary is None or not summary.objects or (only_done and summary.status != "done"):
            continue
        document = project.history(image).document
        yield _record(project, image, document)


def _record(project: Project, image: int, document: Document) -> ImageRecord:
    known = project.database.size(image)
    size, native = known or project.gallery.sizes(image)

    def objects() -> list[ObjectRecord]:
        labels = project.labels().document
        found = []
        for item, mask in visible_masks(project, document, size):
            label = labels.find(item.label)
            found.append(ObjectRecord(to_size(mask, native), None if label is None else label.name, _extra(item)))
        return found

    return ImageRecord(project.gallery.name(image), native, objects)


def visible_masks(project: Project, document: Document, size: Size) -> list[tuple[Item, Bool]]:
    """Objects, the lowest first, with the pixels that are theirs.

    Unless objects may overlap, a pixel belongs to the topmost object, locked ones counting as above all others.
    """
    masks = [(item, project.mask(item.mask)) for item in document.objects if item.mask]
    if project.labels().document.overlap:
        return masks
    taken = np.zeros(size, bool)
    visible: dict[int, Bool] = {}
    upwards = sorted(masks, key=lambda pair: pair[0].locked)
    for item, mask in reversed(upwards):
        visible[item.id] = mask & ~taken
        taken |= mask
    return [(item, visible[item.id]) for item, _ in masks]


def _extra(item: Item) -> dict[str, Any]:
    """What only clickgrain reads: how the mask was made."""
    return item.model_dump(mode="json", include={"id", "steps", "level", "score", "model", "source", "seconds"})


def take_in(
    project: Project, images: Iterable[ImageRecord], source: str, skipped: list[str], *, done: bool = False
) -> dict[str, int]:
    """Add imported objects to the logs of their images, one undoable action an image.

    Args:
        project: the project.
        images: what was read.
        source: format, kept in the log.
        skipped: takes a line for each image that could not be used; the others are taken in.
        done: mark the images as done.

    Returns:
        Counts of images, objects and new labels.
    """
    counts = {"images": 0, "objects": 0, "labels": 0}
    for record in images:
        image = project.gallery.find(record.name)
        if image is None:
            skipped.append(f"{record.name}: no such image in the project")
            continue
        try:
            size, native = project.gallery.sizes(image)
            if record.size != native:
                raise _wrong_size(record, native)
            objects = record.objects()
            counts["labels"] += _add_labels(project, objects)
            added = _add(project, image, objects, size, source, done)
        except ClickgrainError as error:
            skipped.append(_named(record.name, str(error)))
            continue
        counts["images"] += bool(added)
        counts["objects"] += added
    return counts


def _wrong_size(record: ImageRecord, native: Size) -> ClickgrainError:
    (height, width), (own_height, own_width) = record.size, native
    return ClickgrainError(
        f"{record.name}: annotated at {width} x {height} pixels, the file here has {own_width} x {own_height}"
        + rotation_hint(record.size, native)
    )


def _named(name: str, message: str) -> str:
    return message if name in message else f"{name}: {message}"


def _add_labels(project: Project, objects: list[ObjectRecord]) -> int:
    known = {label.name for label in project.labels().document.labels}
    new = [name[:200] for name in dict.fromkeys(one.label for one in objects) if name and name[:200] not in known]
    for name in dict.fromkeys(new):
        project.act_on_labels(Posted(seq=project.labels().seq), AddLabel(kind="label.add", name=name))
    return len(set(new))


def _add(project: Project, image: int, objects: list[ObjectRecord], size: Size, source: str, done: bool) -> int:
    labels = {label.name: label.id for label in project.labels().document.labels}
    masks = [(to_size(one.mask, size), labels.get((one.label or "")[:200])) for one in objects if one.mask.any()]
    if not masks:
        return 0

    def add(act: Act) -> None:
        act.add_masks(masks, "import")
        if done:
            act.status(SetStatus(kind="status", status="done"))

    project.change(image, Posted(seq=0), "import", {"format": source, "objects": len(masks)}, add, blind=True)
    return len(masks)
