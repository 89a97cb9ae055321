"""Routes of the project: state, changes, labels, models, jobs."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from clickgrain.annotate.answers import as_json
from clickgrain.annotate.logs import labels_json
from clickgrain.annotate.models import ModelInfo
from clickgrain.annotate.refusals import RequestError
from clickgrain.annotate.requests import MOST_ACTIONS, ProjectPost
from clickgrain.annotate.service import Service
from clickgrain.annotate.steps import Strict

Count = Annotated[int, Query(ge=0, le=MOST_ACTIONS)]


class UseModel(Strict):
    """Which model is to answer."""

    model: str


def project_routes(service: Service) -> APIRouter:
    """Routes that are not about one image."""
    router = APIRouter(prefix="/api")
    project = service.project

    @router.get("/state")
    def state() -> Response:
        project.notice_others()
        return as_json(service.state())

    @router.get("/changes")
    def changes(since: Count, image: Annotated[int | None, Query(ge=1, le=MOST_ACTIONS)] = None) -> Response:
        project.notice_others()
        if image is not None:
            project.look_ahead(image)
        found = project.changes.since(since)
        now = project.changes.now
        known = [int(one) for one in found.get("image", ()) if int(one) in project.gallery.order_set]
        fresh = set(found.get("job", ()))
        jobs = [job.to_json() for job in service.jobs.all() if job.id in fresh]
        return as_json(
            {
                "boot": service.boot,
                "change": now,
                "images": service.entries(known) if known else [],
                "project_seq": project.labels().seq,
                "jobs": jobs,
                "model": project.model.id,
                "content": None if image is None else project.content(image),
                "notice": service.notice(),
                "encoded": [int(one) for one in found.get("encoded", ())],
                "problem": service.problem(),
                "compiling": project.compiling.is_on,
                "reload": "reload" in found,
            }
        )

    @router.post("/project/actions")
    def act(post: ProjectPost) -> Response:
        project.act_on_labels(post, post.action)
        history = project.labels()
        return as_json({"seq": history.seq, "document": labels_json(history)})

    @router.post("/rescan")
    def rescan() -> Response:
        added, missing = project.gallery.rescan()
        project.changes.mark("reload")
        return as_json({"added": added, "missing": missing})

    @router.get("/models")
    def models() -> Response:
        return as_json({"models": service.models_json()})

    @router.post("/models/use")
    def use(wanted: UseModel) -> Response:
        row = next((one for one in project.database.models() if one["id"] == wanted.model), None)
        if row is None:
            raise RequestError("not_found", f"this project knows no model {wanted.model!r}")
        project.use_model(ModelInfo(*(row[key] for key in ("id", "name", "kind", "hash", "source"))))
        return as_json({"model": service.model_json(project.model)})

    @router.get("/jobs")
    def jobs() -> Response:
        return as_json({"jobs": [job.to_json() for job in service.jobs.all()]})

    @router.get("/jobs/{job}")
    def one_job(job: str) -> Response:
        return as_json(service.jobs.get(job).to_json())

    @router.post("/jobs/{job}/cancel")
    def cancel(job: str) -> Response:
        return as_json(service.jobs.cancel(job).to_json())

    return router
