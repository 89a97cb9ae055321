"""Export and import: masks at the size of the files, overlaps resolved, labels by name."""

import itertools
import re
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import IO
from urllib.parse import unquote

import cv2
import numpy as np

from clickgrain.annotate.actions import MAX_OBJECTS, ImportObjects, act
from clickgrain.annotate.documents import FINISHED, Document, Item, MaskStep
from clickgrain.annotate.http_errors import explained
from clickgrain.annotate.labels import act_on_labels
from clickgrain.annotate.masks import Coded, decode, encode
from clickgrain.annotate.project import Project
from clickgrain.annotate.requests import MAX_LABELS, AddLabels, Posted
from clickgrain.errors import ClickgrainError, DataError
from clickgrain.export.config import Existing, Format, Only
from clickgrain.export.formats import export_files
from clickgrain.export.geojson import Georeference, georeference
from clickgrain.export.records import LONGEST_LABEL, MOST_NAMED, ImageRecord, LabelRecord, ObjectRecord, leave_out
from clickgrain.images import rotation_hint
from clickgrain.tree.leaf_map import to_size
from clickgrain.types import Bool, Size


def label_records(project: Project) -> list[LabelRecord]:
    """The project's labels, in order, with the ids of the COCO categories that they were imported as, if any."""
    labels = project.logs.labels().document.labels
    taken = {label.category for label in labels if label.category is not None}
    free = itertools.count(max([0, *(label.id for label in labels), *taken]) + 1)
    found = []
    for label in labels:
        own = label.id if label.id not in taken else next(free)
        found.append(LabelRecord(own if label.category is None else label.category, label.name, label.colour))
    return found


def image_records(
    project: Project, *, only: Only = "all", left_out: list[str] | None = None
) -> Iterator[ImageRecord]:
    """Images ready for export: those with objects and all done ones, or `only` these; `left_out` says why not."""
    left_out = [] if left_out is None else left_out
    summaries = project.database.summaries()
    for image in [*project.gallery.order]:
        summary = summaries.get(image)
        finished = summary is not None and summary.status in (("checked",) if only == "checked" else FINISHED)
        if summary is None or not (finished or (only == "all" and summary.objects)):
            continue
        name = project.gallery.name(image)
        try:
            document = project.logs.history(image).document
            _, native = project.gallery.sizes(image)
        except ClickgrainError as error:
            leave_out(left_out, _named(name, str(error)))
            continue
        if not finished and not any(item.area for item in document.objects):
            leave_out(left_out, f"{name} is left out: its objects hold no pixel, and it is not marked done")
            continue
        yield ImageRecord(name, native, partial(_object_records, project, document, native, left_out, name))


def _object_records(
    project: Project, document: Document, native: Size, left_out: list[str], name: str
) -> Iterator[ObjectRecord]:
    labels, visible = project.logs.labels().document, visible_masks(project, document, native, left_out, name)
    for item in document.objects:
        if item.id in visible:
            label = labels.find(item.label)
            keys = {"id", "steps", "level", "score", "model", "source", "seconds"}  # how the mask was made
            extra = item.model_dump(mode="json", include=keys)
            yield ObjectRecord(decode(visible[item.id].data), None if label is None else label.name, extra)


def locate_image(project: Project, name: str) -> Georeference | None:
    """Where an image of the project lies on the map; None where its file does not say."""
    with suppress(ClickgrainError, OSError), project.gallery.open(project.gallery.find(name) or 0) as photo:
        return georeference(photo.path)
    return None


def export_zip(project: Project, format_: Format, *, polygons: bool, only: Only) -> IO[bytes]:
    """A ZIP of an export, in an unnamed temporary file that the caller closes; RequestError: the disk is full."""
    left_out: list[str] = []
    images = image_records(project, only=only, left_out=left_out)
    file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - see above
    try:
        with explained(project.database.path), zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            files = export_files(
                format_, images, label_records(project), left_out=left_out, polygons=polygons,
                locate=partial(locate_image, project), folder=project.gallery.folder.resolve().name,
            )  # fmt: skip
            for name, content in files:
                archive.writestr(name, content)
            if left_out:
                archive.writestr("left-out.txt", "\n".join(left_out))
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def visible_masks(
    project: Project, document: Document, size: Size, left_out: list[str] | None = None, name: str = ""
) -> dict[int, Coded]:
    """Visible masks of (H, W) `size` by object: coded, as those of a large photo do not fit into memory together.

    Unless objects may overlap, a pixel belongs to the topmost object; locked objects count as above all others.
    `left_out` gets a line for each object of the image `name` whose mask cannot be read; None: that is an error.
    """
    overlap = project.logs.labels().document.overlap
    taken = np.zeros(size, bool)
    visible: dict[int, Coded] = {}
    for item in sorted(document.objects, key=lambda item: item.locked)[::-1]:
        if not item.mask:
            continue
        try:
            mask = mask_at(project, item, size)
        except ClickgrainError as error:
            if left_out is None:
                raise
            leave_out(left_out, f"{name}: object {item.id} is left out: {error}")
            continue
        if not overlap:
            x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
            box = slice(y, y + height), slice(x, x + width)
            mask[box] &= ~taken[box]
            taken[box] |= mask[box]
        visible[item.id] = encode(mask)
    return visible


def mask_at(project: Project, item: Item, size: Size) -> Bool:
    """An object's mask as H x W bool of `size`: at work, or of the file.

    An imported mask is stored at the file's size; pixels changed since, at working size, are copied over it.
    """
    mask = project.logs.mask(item.mask or "")
    if mask.shape == size:
        return mask
    given = [step.mask for step in item.steps if isinstance(step, MaskStep)]
    exact = project.logs.mask(given[-1]) if given else mask
    if exact.shape != size:
        return to_size(mask, size)
    changed = mask ^ to_size(exact, (mask.shape[0], mask.shape[1])) if len(item.steps) > 1 else np.zeros(1, bool)
    if changed.any():
        there = cv2.resize(changed.view(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST).astype(bool)
        exact[there] = to_size(mask, size)[there]
    return exact


def take_in(
    project: Project,
    images: Iterable[ImageRecord],
    source: str,
    skipped: list[str],
    *,
    done: bool = False,
    existing: Existing = "skip",
    made: list[dict[str, int]] | None = None,
    user: str = "",
) -> dict[str, int]:
    """Add imported objects to the logs of their images, one undoable action an image.

    `source` is the format, which the log keeps. `skipped` gets a line for each image that could not be used, `made`
    image, number of the action and count of objects for each that was changed. Returns counts of images that now
    have the annotations of the file, of new objects and of new labels.
    """
    counts = {"images": 0, "objects": 0, "labels": 0, "there": 0}
    renamed: list[str] = []
    for record in images:
        try:
            image, name = _find(project, record.name, renamed)
            size, native = project.gallery.sizes(image)
            if record.size is None and record.sized is not None:
                record = record.sized(native)
            if record.size != native:
                given = record.size or (0, 0)
                here = f"the file here has {native[1]} x {native[0]}{rotation_hint(given, native)}"
                raise DataError(f"{record.name}: annotated at {given[1]} x {given[0]} pixels, {here}")
            before = len(skipped)
            masks, there = _new_masks(project, image, record, size, existing == "skip")
            empty = not masks and not there  # no negative image where only bad records were
            finished = done and not (empty and (len(skipped) > before or before > MOST_NAMED))
            counts["there"] += there
            if there:
                objects = "1 object is" if there == 1 else f"{there} objects are"
                leave_out(skipped, f"{name}: {objects} there already; skipped: neither add nor replace was chosen")
            if masks:
                counts["labels"] += _add_labels(project, record, [label for _, _, label in masks], user)
            if masks or (finished and project.logs.history(image).document.status not in FINISHED):
                labels = {label.name: label.id for label in project.logs.labels().document.labels}
                found = [(exact, shown, labels.get(label or "")) for exact, shown, label in masks]
                request = ImportObjects(source, found, existing == "replace", finished)
                action = act(project, image, Posted(seq=0), request, user, blind=True)
                if made is not None:
                    made.append({"image": image, "seq": action.seq, "objects": len(masks)})
        except (ClickgrainError, OSError) as error:
            leave_out(skipped, _named(record.file, _named(record.name, str(error))))
            continue
        counts["images"] += finished or not empty
        counts["objects"] += len(masks)
    if renamed:
        leave_out(skipped, f"{len(renamed)} names of Label Studio match without its additions: {renamed[0]} ...")
    return counts


def _find(project: Project, name: str, renamed: list[str]) -> tuple[int, str]:
    """(number, name) of the image that a file means.

    Label Studio puts eight hexadecimal digits before the names of uploads, quotes them as in a URL, and keeps the
    names of local files in a query; if that leads to an image, `renamed` gets a line.
    """
    plain = unquote(name).rpartition("?d=")[2]
    for candidate in dict.fromkeys((name, plain, re.sub(r"(^|[/\\])[0-9a-f]{8}-([^/\\]+)$", r"\1\2", plain))):
        if (image := project.gallery.find(candidate)) is not None:
            found = project.gallery.name(image)
            if candidate != name:
                leave_out(renamed, f"{name} is {found}")
            return image, found
    raise DataError(f"{name}: no such image in the project, or several; give its path below the folder of photos")


def _named(name: str, message: str) -> str:
    return message if name in message else f"{name}: {message}"


def _new_masks(
    project: Project, image: int, record: ImageRecord, size: Size, only_new: bool
) -> tuple[list[tuple[Coded, Coded, str | None]], int]:
    """([mask at the file's size, at working size, label], how many are there already, whole or as visible)."""
    document = project.logs.history(image).document
    known = set[str]()
    if only_new and record.size is not None:
        for item in document.objects:  # an object changed since its import is still the same object
            known |= {item.mask or "", *(step.mask for step in item.steps if isinstance(step, MaskStep))}
        known |= {coded.hash for coded in visible_masks(project, document, record.size, []).values()}
    masks: list[tuple[Coded, Coded, str | None]] = []
    there = 0
    for one in record.objects():
        exact = encode(one.mask)
        if exact.hash in known:
            there += 1
            continue
        if len(masks) >= MAX_OBJECTS:
            raise DataError(f"{record.name}: more than {MAX_OBJECTS} objects; an image holds no more")
        shown = exact if one.mask.shape == size else encode(to_size(one.mask, size))
        masks.append((exact, shown, one.label and one.label[:LONGEST_LABEL]))
    return masks, there


def _add_labels(project: Project, record: ImageRecord, used: list[str | None], user: str) -> int:
    """Add all classes of the file, in its order, and those used; returns how many are new."""
    before = project.logs.labels().document.labels
    known = {label.name: label.category for label in before}
    taken = {None, *known.values()}
    wanted: dict[str, int | None] = {}
    for name, id_ in (*record.classes, *((name, None) for name in used if name)):
        wanted.setdefault(name[:LONGEST_LABEL], id_)
    new = {
        name: id_
        for name, id_ in wanted.items()
        if known.get(name) is None and (name not in known or id_ not in taken)
    }
    if len(new) + len(known) > MAX_LABELS:
        raise DataError(f"{record.name}: {len(new) + len(known):,} labels; a project holds at most {MAX_LABELS:,}")
    if new:
        request = AddLabels(kind="label.add_all", labels=tuple(new.items()))
        act_on_labels(project.logs, Posted(seq=project.logs.labels().seq), request, user)
    return len(project.logs.labels().document.labels) - len(before)
