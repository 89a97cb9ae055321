"""Routes of the project: its state, what changes, labels, models, jobs."""

import secrets
import shutil
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from clickgrain import __version__
from clickgrain.annotate.actions import MAX_OBJECTS
from clickgrain.annotate.database import PROJECT_LOG, ModelInfo
from clickgrain.annotate.documents import MAX_STEPS, STATUSES, Strict
from clickgrain.annotate.http_errors import RequestError
from clickgrain.annotate.jobs import Jobs
from clickgrain.annotate.labels import act_on_labels
from clickgrain.annotate.models import is_labelled
from clickgrain.annotate.project import Project
from clickgrain.annotate.requests import MAX_SEQ, ProjectPost
from clickgrain.annotate.routes.answers import Count, User, as_json, counts_of, entries_of
from clickgrain.annotate.security import UPLOAD_BYTES

LITTLE_SPACE = 50_000_000


class UseModel(Strict):
    """Which model is to answer."""

    model: str


def project_routes(project: Project, jobs: Jobs) -> APIRouter:
    """State, changes, labels, models, jobs."""
    router, boot = APIRouter(prefix="/api"), secrets.token_hex(8)
    gallery, database, changed = project.gallery, project.database, project.changes

    def model_json(model: ModelInfo) -> dict[str, Any]:
        known = (about for one, about in database.models() if one.id == model.id)
        shown: dict[str, Any] = {key: getattr(model, key) for key in ("id", "name", "kind", "hash")}
        shown |= {"labelled": is_labelled(model.source), "current": model.id == project.model.id}
        return shown | next(known, {"made": None, "report": None})

    @router.get("/state")
    def state(user: User) -> Response:
        project.logs.notice_others()
        folder = gallery.folder.absolute()
        about = {"name": folder.name or str(folder), "folder": str(folder)}
        return as_json(
            version=__version__,
            boot=boot,
            user=user,
            project={**about, "database": str(database.path), "read_only": False},
            model=model_json(project.model),
            notice=project.trouble or project.notice,
            compiling=project.jit.is_on,
            document=project.logs.document_json(PROJECT_LOG),
            counts=counts_of(project),
            change=changed.now,
            statuses=list(STATUSES),
            limits={"upload_bytes": UPLOAD_BYTES, "steps": MAX_STEPS, "objects": MAX_OBJECTS},
        )

    @router.get("/changes")
    def changes(
        since: Count,
        user: User,
        image: Annotated[int | None, Query(ge=1, le=MAX_SEQ)] = None,
        client: Annotated[str, Query(max_length=100)] = "",
        idle: Annotated[float, Query(ge=0)] = 0.0,
    ) -> Response:
        project.logs.notice_others()
        if user:
            project.team.look(user, client, image, idle)
        if image is not None:
            project.look_ahead(image)
        now, found = changed.now, changed.since(since)
        images = set(found.get("image", ()))
        return as_json(
            boot=boot,
            change=now,
            images=entries_of(project, [one for one in gallery.order if one in images]) if images else [],
            project_seq=project.logs.labels().seq,
            jobs=[job.to_json() for job in jobs.all() if job.id in found.get("job", ())],
            model=project.model.id,
            content=None if image is None else gallery.content(image),
            notice=project.trouble or project.notice,
            encoded=found.get("encoded", []),
            problem=_disk_problem(database.path),
            compiling=project.jit.is_on,
            reload="reload" in found,
        )

    @router.post("/project/actions")
    def act(post: ProjectPost, user: User) -> Response:
        act_on_labels(project.logs, post, post.action, user)
        return as_json(seq=project.logs.labels().seq, document=project.logs.document_json(PROJECT_LOG))

    @router.post("/rescan")
    def rescan() -> Response:
        added, missing = gallery.rescan()
        changed.mark("reload")
        return as_json(added=added, missing=missing)

    @router.get("/models")
    def models() -> Response:
        return as_json(models=[model_json(model) for model, _ in database.models()])

    @router.post("/models/use")
    def use(wanted: UseModel) -> Response:
        model = next((one for one, _ in database.models() if one.id == wanted.model), None)
        if model is None:
            raise RequestError("not_found", f"this project knows no model {wanted.model!r}")
        project.use_model(model)
        return as_json(model=model_json(project.model))

    @router.get("/jobs")
    def all_jobs() -> Response:
        return as_json(jobs=[job.to_json() for job in jobs.all()])

    @router.get("/jobs/{job}")
    def one_job(job: str) -> Response:
        return as_json(**jobs.get(job).to_json())

    @router.post("/jobs/{job}/cancel")
    def cancel(job: str) -> Response:
        return as_json(**jobs.cancel(job).to_json())

    return router


def _disk_problem(path: Path) -> str | None:
    try:
        free = shutil.disk_usage(path.parent).free
    except OSError as error:
        return f"the disk of {path} does not answer ({error.strerror})"
    if free < LITTLE_SPACE:
        return f"only {free / 1e6:.0f} MB are free on the disk of {path}; free some space"
    return None
