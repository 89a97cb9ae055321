"""The project's log: labels, and whether objects may overlap."""

from typing import Any

from clickgrain.annotate.documents import Label, Labels
from clickgrain.annotate.refusals import RequestError
from clickgrain.annotate.requests import AddLabel, AddLabels, AllowOverlap, DeleteLabel, EditLabel, ProjectRequest

COLOURS = (
    "#e6194b",
    "#3cb44b",
    "#4363d8",
    "#f58231",
    "#911eb4",
    "#46f0f0",
    "#f032e6",
    "#bcf60c",
    "#fabebe",
    "#008080",
    "#9a6324",
    "#ffe119",
    "#800000",
    "#808000",
    "#000075",
)
"""Distinct on photos; taken in turn."""


def patched_labels(labels: Labels, patch: dict[str, Any]) -> Labels:
    """The labels after a patch of `patch_labels`, or of an older project, whose patches hold all labels."""
    if "set" in patch:
        return Labels.model_validate(patch["set"])
    put = {values["id"]: Label.model_validate(values) for values in patch.get("put", ())}
    gone = set(patch.get("remove", ()))
    stay = [put.pop(one.id, one) for one in labels.labels if one.id not in gone]
    return Labels(labels=(*stay, *put.values()), overlap=patch.get("overlap", labels.overlap))


def patch_labels(before: Labels, after: Labels) -> dict[str, Any]:
    """What changed: labels put and removed, and whether objects may overlap."""
    old, new = {one.id: one for one in before.labels}, {one.id: one for one in after.labels}
    changes: dict[str, Any] = {
        "put": [one.model_dump(mode="json") for one in after.labels if old.get(one.id) != one],
        "remove": [id_ for id_ in old if id_ not in new],
    }
    patch = {key: value for key, value in changes.items() if value}
    return patch if before.overlap == after.overlap else {**patch, "overlap": after.overlap}


def change_labels(labels: Labels, request: ProjectRequest, last_id: int) -> Labels:
    """The labels after a request; new ones are numbered from `last_id` on.

    Raises:
        RequestError: no such label, or a name that is taken.
    """
    if isinstance(request, AddLabel):
        _free(labels, request.name, None)
        colour = request.colour or COLOURS[last_id % len(COLOURS)]
        label = Label(id=last_id + 1, name=request.name, colour=colour)
        return labels.model_copy(update={"labels": (*labels.labels, label)})
    if isinstance(request, AddLabels):
        return _added(labels, request, last_id)
    if isinstance(request, EditLabel):
        return _edited(labels, request)
    if isinstance(request, DeleteLabel):
        gone = _known(labels, request.label)
        return labels.model_copy(update={"labels": tuple(one for one in labels.labels if one is not gone)})
    assert isinstance(request, AllowOverlap)
    return labels.model_copy(update={"overlap": request.allow})


def _added(labels: Labels, request: AddLabels, last_id: int) -> Labels:
    known = {label.name: label for label in labels.labels}
    taken = {label.category for label in labels.labels}
    for name, category in request.labels:
        own = None if category in taken else category
        taken.add(own)
        label = known.get(name)
        if label is None:
            colour = COLOURS[last_id % len(COLOURS)]
            last_id += 1
            known[name] = Label(id=last_id, name=name, colour=colour, category=own)
        elif label.category is None:
            known[name] = label.model_copy(update={"category": own})
    return labels.model_copy(update={"labels": tuple(known.values())})


def _edited(labels: Labels, request: EditLabel) -> Labels:
    old = _known(labels, request.label)
    if request.name is not None:
        _free(labels, request.name, old.id)
    new = old.model_copy(update={"name": request.name or old.name, "colour": request.colour or old.colour})
    return labels.model_copy(update={"labels": tuple(new if one is old else one for one in labels.labels)})


def _known(labels: Labels, id_: int) -> Label:
    found = labels.find(id_)
    if found is None:
        raise RequestError("invalid", f"there is no label {id_}; it may have been deleted in another tab")
    return found


def _free(labels: Labels, name: str, id_: int | None) -> None:
    if any(label.name == name and label.id != id_ for label in labels.labels):
        raise RequestError("invalid", f"there is a label {name!r} already; choose another name")
