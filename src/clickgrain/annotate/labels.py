"""Actions on the project's labels."""

import time

from clickgrain.annotate import requests as ask
from clickgrain.annotate.database import PROJECT_LOG, ConflictError, Logs
from clickgrain.annotate.documents import Action, Label, Labels
from clickgrain.annotate.http_errors import RequestError

COLORS = (  # noqa: SIM905
    "#e6194b #3cb44b #4363d8 #f58231 #911eb4 #46f0f0 #f032e6 #bcf60c"
    " #fabebe #008080 #9a6324 #ffe119 #800000 #808000 #000075"
).split()
"""Distinct on photos; taken in turn."""


def act_on_labels(logs: Logs, post: ask.Posted, request: ask.ProjectRequest, user: str = "") -> None:
    """Act on the labels for a person; RequestError if the sender missed actions ("conflict"), or it fails."""
    with logs.lock_of(PROJECT_LOG):
        logs.notice_others()
        history, labels = logs.labels(), None
        if post.seq != history.seq:
            raise ConflictError(PROJECT_LOG, post.seq)
        if not isinstance(request, ask.UndoRedo):
            labels = apply_to_labels(request, history.document, history.last_id)
        asked = request.model_dump(mode="json", exclude_unset=True)
        action = Action(history.seq + 1, request.kind, time.time(), post.client, "", None, asked, {}, user)
        logs.write(PROJECT_LOG, action, labels)


def apply_to_labels(request: ask.ProjectRequest, labels: Labels, last_id: int) -> Labels:
    """The labels after a request, new ones from `last_id` + 1 on; RequestError: no such label, or a taken name."""
    if isinstance(request, ask.AllowOverlap):
        return labels.model_copy(update={"overlap": request.allow})
    known = {label.name: label for label in labels.labels}
    old: Label | None = None
    if isinstance(request, ask.EditLabel | ask.DeleteLabel | ask.MoveLabel | ask.MergeLabel):
        old = labels.find(request.label)
        if old is None:
            reason = f"there is no label {request.label}; it may have been deleted in another tab"
            raise RequestError("invalid", reason)
    if isinstance(request, ask.AddLabel | ask.EditLabel) and known.get(request.name or "", old) != old:
        raise RequestError("invalid", f"there is a label {request.name!r} already; choose another name")
    if isinstance(request, ask.AddLabel):
        color = request.colour or COLORS[last_id % len(COLORS)]
        found = [*labels.labels, Label(id=last_id + 1, name=request.name, colour=color)]
    elif isinstance(request, ask.AddLabels):
        found = _add_labels(request, labels, last_id)
    else:
        assert old is not None
        place, found = labels.labels.index(old), [label for label in labels.labels if label is not old]
        match request:
            case ask.EditLabel():
                changes = {"name": request.name or old.name, "colour": request.colour or old.colour}
                found.insert(place, old.model_copy(update=changes))
            case ask.MoveLabel():
                found.insert(request.to, old)
            case ask.MergeLabel():
                into = labels.find(request.into)
                if into is None or into is old:
                    raise RequestError("invalid", f"there is no other label {request.into} to merge into")
                merged = (*into.merged, old.id, *old.merged)
                found[found.index(into)] = into.model_copy(update={"merged": merged})
    return labels.model_copy(update={"labels": tuple(found)})


def _add_labels(request: ask.AddLabels, labels: Labels, last_id: int) -> list[Label]:
    known = {label.name: label for label in labels.labels}
    taken = {label.category for label in labels.labels}
    for name, category in request.labels:
        own = None if category in taken else category
        taken.add(own)
        label = known.get(name)
        if label is None:
            color, last_id = COLORS[last_id % len(COLORS)], last_id + 1
            known[name] = Label(id=last_id, name=name, colour=color, category=own)
        elif label.category is None:
            known[name] = label.model_copy(update={"category": own})
    return list(known.values())
