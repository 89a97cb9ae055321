"""The project's log: labels, and whether objects may overlap."""

from typing import Any

from clickgrain.annotate.documents import Label, Labels
from clickgrain.annotate.refusals import RequestError
from clickgrain.annotate.requests import AddLabel, AllowOverlap, DeleteLabel, EditLabel, ProjectRequest

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


def patched_labels(_: Labels, patch: dict[str, Any]) -> Labels:
    """The labels after a patch: a patch of this log holds them whole."""
    return Labels.model_validate(patch["set"])


def change_labels(labels: Labels, request: ProjectRequest, last_id: int) -> tuple[Labels, list[int]]:
    """The labels after a request, and the numbers of new ones.

    Raises:
        RequestError: no such label, or a name that is taken.
    """
    if isinstance(request, AddLabel):
        _free(labels, request.name, None)
        colour = request.colour or COLOURS[last_id % len(COLOURS)]
        label = Label(id=last_id + 1, name=request.name, colour=colour)
        return labels.model_copy(update={"labels": (*labels.labels, label)}), [label.id]
    if isinstance(request, EditLabel):
        return _edited(labels, request), []
    if isinstance(request, DeleteLabel):
        gone = _known(labels, request.label)
        return labels.model_copy(update={"labels": tuple(one for one in labels.labels if one is not gone)}), []
    assert isinstance(request, AllowOverlap)
    return labels.model_copy(update={"overlap": request.allow}), []


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
