"""Routes of long work and whole projects: find the same, learn, statistics, export, import."""

import tempfile
import zipfile
from collections.abc import Iterator
from typing import IO, Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from clickgrain.annotate.answers import as_json
from clickgrain.annotate.learning import Learner
from clickgrain.annotate.refusals import RequestError, explained
from clickgrain.annotate.requests import AddNode, LabelId, Posted
from clickgrain.annotate.same import Finder
from clickgrain.annotate.service import Service
from clickgrain.annotate.statistics import collect
from clickgrain.annotate.steps import Strict
from clickgrain.annotate.transfer import image_records, label_records, take_in
from clickgrain.errors import ClickgrainError
from clickgrain.export.config import Existing
from clickgrain.export.formats import Format, export_files, read_any

CHUNK = 262_144


class SameRequest(Strict):
    """Where to look for what."""

    image: int
    object: int
    images: tuple[int, ...] | None = None
    limit: Annotated[int, Field(ge=1, le=10_000)] = 200


class Place(Strict):
    """A node of an image's tree."""

    image: int
    node: Annotated[int, Field(ge=0)]


class AcceptRequest(Strict):
    """Which candidates become objects: these, or all of the job's from a score on."""

    job: str
    items: tuple[Place, ...] | None = None
    above: Annotated[float, Field(ge=0, le=1)] | None = None
    label: LabelId | None = None
    client: Annotated[str, Field(max_length=100)] = ""


class LearnRequest(Strict):
    """How long to train."""

    minutes: Annotated[float, Field(ge=0.2, le=1440)] = 30.0


def work_routes(service: Service) -> APIRouter:
    """Routes that take long or concern every image."""
    router = APIRouter(prefix="/api")
    project = service.project
    finder, learner = Finder(project, service.cache), Learner(project)

    @router.post("/same")
    def same(wanted: SameRequest) -> Response:
        work = finder.work(wanted.image, wanted.object, wanted.images, wanted.limit)
        return as_json({"job": service.jobs.start("same", work).to_json()})

    @router.post("/same/accept")
    def accept(wanted: AcceptRequest) -> Response:
        return as_json(_accept(service, wanted))

    @router.post("/learn")
    def learn(wanted: LearnRequest) -> Response:
        job = service.jobs.start("learn", lambda job: learner.work(job, wanted.minutes), alone=True)
        return as_json({"job": job.to_json()})

    @router.get("/statistics")
    def statistics() -> Response:
        return as_json(collect(project))

    @router.get("/export")
    def export(format: Format, polygons: bool = True, done: bool = False) -> Response:
        archive = _archive(service, format, polygons, done)
        name = f"{project.gallery.folder.absolute().name or 'clickgrain'}-{format}.zip".encode("ascii", "replace")
        headers = {
            "content-disposition": f'attachment; filename="{_plain(name.decode())}"',
            "cache-control": "no-store",
        }
        return StreamingResponse(_chunks(archive), headers=headers, media_type="application/zip")

    @router.post("/import")
    async def import_(
        request: Request, name: Annotated[str, Query(max_length=500)] = "upload", existing: Existing = "skip"
    ) -> Response:
        content = await request.body()
        return as_json(await run_in_threadpool(_import, service, content, name, existing))

    return router


def _accept(service: Service, wanted: AcceptRequest) -> dict[str, Any]:
    job = service.jobs.get(wanted.job)
    if job.kind != "same" or job.state != "done":
        raise RequestError("invalid", f"job {job.id} has found nothing yet; wait until it is done")
    if job.result["model"] != service.project.model.hash:
        raise RequestError("invalid", "another model answers now, whose regions are others; search again")
    candidates = {(one["image"], one["node"]): one for one in job.result["candidates"]}
    if wanted.items is not None:
        chosen = [(place.image, place.node) for place in wanted.items]
    else:
        least = 2.0 if wanted.above is None else wanted.above
        chosen = [key for key, one in candidates.items() if one["score"] >= least and not one["taken"]]
    label = wanted.label if "label" in wanted.model_fields_set else job.result["label"]
    accepted: list[dict[str, Any]] = []
    skipped: list[dict[str, Any]] = []
    for image, node in chosen:
        one = candidates.get((image, node))
        try:
            if one is None or one["taken"]:
                raise RequestError("invalid", "not a candidate of this search, or taken already")
            post = Posted(seq=0, client=wanted.client, active=0.0, content=one["content"])
            request = AddNode(kind="object.add_node", node=node, label=label, score=one["score"])
            outcome = service.project.act(image, post, request, blind=True)
        except ClickgrainError as error:
            skipped.append({"image": image, "node": node, "message": str(error)})
            continue
        one["taken"] = True
        accepted.append({"image": image, "object": outcome.touched, "seq": outcome.seq})
    return {"accepted": accepted, "skipped": skipped}


def _archive(service: Service, format_: Format, polygons: bool, done: bool) -> IO[bytes]:
    """A ZIP of an export, in a nameless temporary file."""
    project = service.project
    left_out: list[str] = []
    images = image_records(project, only_done=done, left_out=left_out)
    file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed when sent
    try:
        with explained(project.database.path), zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            labels = label_records(project)
            for name, content in export_files(format_, images, labels, left_out=left_out, polygons=polygons):
                archive.writestr(name, content)
            if left_out:
                archive.writestr("left-out.txt", "\n".join(left_out))
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK):
            yield chunk


def _import(service: Service, content: bytes, name: str, existing: Existing) -> dict[str, Any]:
    skipped: list[str] = []
    format_, images = read_any(content, name, skipped)
    counts = take_in(service.project, images, format_, skipped, existing=existing)
    return {"format": format_, **counts, "skipped": skipped}


def _plain(name: str) -> str:
    """A file name that needs no quoting in a header."""
    return "".join(one if one.isalnum() or one in "-._" else "_" for one in name)
