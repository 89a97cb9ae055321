"""Routes of the project: state, changes, labels, models, jobs."""

import tempfile
import time
import zipfile
from collections.abc import Iterator
from typing import IO, Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from clickgrain.annotate.answers import as_bytes, as_json
from clickgrain.annotate.documents import (
    MOST_ACTIONS,
    AddNode,
    Click,
    ImagePost,
    LabelId,
    Posted,
    ProjectPost,
    Strict,
)
from clickgrain.annotate.files_below import OpenFile
from clickgrain.annotate.find_same import Finder
from clickgrain.annotate.http_errors import RequestError, explained
from clickgrain.annotate.leafmap import node_mask
from clickgrain.annotate.learning import Learner
from clickgrain.annotate.logs import labels_json
from clickgrain.annotate.mask_rle import encode
from clickgrain.annotate.models import ModelInfo
from clickgrain.annotate.pictures import JPEG, part, picture, quick_thumbnail, thumbnail
from clickgrain.annotate.service import Service
from clickgrain.annotate.statistics import collect
from clickgrain.annotate.transfer import image_records, label_records, take_in
from clickgrain.errors import ClickgrainError, ImageError
from clickgrain.export.args import Existing
from clickgrain.export.formats import Format, export_files, read_any
from clickgrain.types import Box, UInt8

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


Side = Annotated[int, Query(ge=16, le=4096)]
Coordinate = Annotated[float, Query(ge=0, lt=65_536, allow_inf_nan=False)]


def image_routes(service: Service) -> APIRouter:
    """All routes below /api/images and /api/masks."""
    router = APIRouter(prefix="/api")
    project, gallery = service.project, service.project.gallery

    @router.get("/images")
    def images() -> Response:
        change = project.changes.now
        return as_json({"change": change, "images": service.entries(gallery.order)})

    @router.get("/images/{image}")
    def open_image(image: int, masks: bool = False) -> Response:
        gallery.row(image)
        project.look_at(image)
        size, native = gallery.sizes(image)
        before, after = gallery.neighbours(image)
        project.notice_others()
        entry = {
            "id": image,
            "name": gallery.name(image),
            "size": size,
            "native": native,
            "notes": gallery.notes(image),
            "content": gallery.content(image),
        }
        around = {"previous": before, "next": after, "encoded": image in project.encoded()}
        document = project.history(image).document
        data = {"masks": project.masks_of(document)} if masks else {}
        if lost := [item.id for item in document.objects if masks and item.mask not in (None, *data["masks"])]:
            entry["notes"] = [*gallery.notes(image), f"the masks of objects {lost} are damaged; draw them again"]
        return as_json({**entry, **around, "document": project.document_json(image), **data})

    @router.get("/images/{image}/picture")
    def show(image: int, request: Request, box: str | None = None, max: Side = 2048) -> Response:
        size, native = gallery.sizes(image)
        with gallery.open(image) as file:
            key = f"picture {image} {file.stamp} {box} {max}"
            if box is not None:
                content, kind = part(file.path, _box(box), size, max)
            else:
                content, kind = picture(file.path, _pixels(service, image, file), native)
        return as_bytes(request, content, kind, key=key)

    @router.get("/images/{image}/thumb")
    def thumb(image: int, request: Request, node: int | None = None, object: int | None = None) -> Response:
        if node is not None:
            scene = project.scene(image)
            if not 0 <= node < scene.tree.n_nodes:
                raise RequestError("not_found", f"there is no node {node}; this tree ends at {scene.tree.root}")
            outlined = node_mask(scene.tree, scene.leaves, node, scene.size)
            content = thumbnail(scene.image, outlined)
            return as_bytes(request, content, JPEG, key=f"thumb {scene.stamp} {scene.model} {node}")
        if object is not None:
            item = project.history(image).document.find(object)
            if item is None or item.mask is None:
                raise RequestError("not_found", f"there is no object {object} in this image")
            loaded = gallery.load(image)
            content = thumbnail(loaded.pixels, project.mask(item.mask))
            return as_bytes(request, content, JPEG, key=f"thumb {loaded.stamp} {item.mask}")
        with gallery.open(image) as file:
            key = f"thumb {image} {file.stamp}"
            if (kept := service.cache.get(key)) is None:
                kept = quick_thumbnail(file.path)
                if not file.has_changed:
                    service.cache.put(key, kept)
        return as_bytes(request, kept, JPEG, key=key)

    @router.get("/images/{image}/hover")
    def hover(image: int, request: Request) -> Response:
        scene = project.scene(image)
        key = f"hover {scene.stamp} {scene.model}"
        return as_bytes(request, scene.hover, "application/octet-stream", key=key)

    @router.get("/images/{image}/preview")
    def preview(image: int, x: Coordinate, y: Coordinate) -> Response:
        """What a first click there would take; nothing is written, and the click itself need not wait again."""
        return as_json({"data": encode(project.fold(image, (Click(x=x, y=y),)).binary).text})

    @router.get("/images/{image}/log")
    def log(image: int, since: Annotated[int, Query(ge=0, le=MOST_ACTIONS)] = 0) -> Response:
        gallery.row(image)
        actions = project.database.actions(image, since)
        return as_json({"seq": project.history(image).seq, "actions": [one.to_json() for one in actions]})

    @router.post("/images/{image}/actions")
    def act(image: int, post: ImagePost) -> Response:
        start = time.perf_counter()
        outcome = project.act(image, post, post.action)
        return as_json(
            {
                "seq": outcome.seq,
                "document": project.document_json(image),
                "object": outcome.touched,
                "masks": {hash_: coded.text for hash_, coded in outcome.masks.items()},
                "alternatives": outcome.ambiguous,
                "milliseconds": round(1000 * (time.perf_counter() - start), 1),
            }
        )

    @router.get("/images/{image}/objects/{number}/alternatives")
    def alternatives(image: int, number: int) -> Response:
        history = project.history(image)
        item = history.document.find(number)
        if item is None:
            raise RequestError("not_found", f"there is no object {number} in this image")
        offered: list[dict[str, Any]] = []
        for mask in project.fold(image, item.steps).alternatives if item.steps else ():
            coded = encode(mask.binary)
            entry = {"mask": coded.hash, "data": coded.text, "bbox": coded.bbox, "area": coded.area}
            offered.append({**entry, "score": float(mask.score), "level": mask.level})
        return as_json({"seq": history.seq, "alternatives": offered})

    @router.get("/masks/{hash_}")
    def mask(hash_: str, request: Request) -> Response:
        content = project.coded(hash_)
        return as_bytes(request, content, "application/octet-stream", key=hash_, for_ever=True)

    return router


def _pixels(service: Service, image: int, file: OpenFile) -> UInt8:
    """H x W x 3 of the file that is open, and of no later one under its name."""
    stamp = f"{image} {file.stamp}"
    if (key := (image, stamp)) in (encoder := service.project.encoder).ready():
        return encoder.get(key).image
    loaded = service.project.gallery.load(image)
    if loaded.stamp != stamp:
        raise ImageError(f"{file.path}: was replaced a moment ago; try again")
    return loaded.pixels


def _box(text: str) -> Box:
    try:
        x1, y1, x2, y2 = (float(value) for value in text.split(","))
    except ValueError:
        raise RequestError("invalid", f"box {text!r} is not x1,y1,x2,y2") from None
    return x1, y1, x2, y2


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
