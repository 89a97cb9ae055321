"""Routes of long work and whole projects: find the same, carry on, learn, statistics, export, import."""

from collections.abc import Iterator
from functools import partial
from typing import IO, Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from clickgrain.annotate.accepted import ENOUGH
from clickgrain.annotate.agreement import pairs_as_csv, pairs_of
from clickgrain.annotate.cache import DiskCache
from clickgrain.annotate.carrying import CarryRequest, carrying
from clickgrain.annotate.documents import Strict
from clickgrain.annotate.find_same import AcceptRequest, Finder
from clickgrain.annotate.jobs import Job, Jobs
from clickgrain.annotate.learning import Learner
from clickgrain.annotate.project import Project
from clickgrain.annotate.routes.answers import User, as_json, in_threads
from clickgrain.annotate.statistics import collect
from clickgrain.annotate.transfer import export_zip, take_in
from clickgrain.export.config import Existing, Only
from clickgrain.export.formats import Format, read_any
from clickgrain.export.records import ImageRecord


class SameRequest(Strict):
    """Which object to search for, and in which images."""

    image: int
    object: int
    images: tuple[int, ...] | None = None
    limit: Annotated[int, Field(ge=1, le=10_000)] = 200


class LearnRequest(Strict):
    """How long to train, and whether the user's objects are targets too."""

    minutes: Annotated[float, Field(ge=0.2, le=1440)] = 30.0
    objects: bool = False


async def body_of(request: Request) -> bytes:
    """What a request brings, whatever its content type."""
    return await request.body()


def work_routes(project: Project, cache: DiskCache, jobs: Jobs) -> APIRouter:
    """Long work and whole projects: find the same, carry on, learn, statistics, export, import."""
    router = APIRouter(prefix="/api")
    finder, learner = Finder(project, cache), Learner(project)
    long = in_threads()

    @router.post("/same")
    def same(wanted: SameRequest, user: User) -> Response:
        work = finder.work(wanted.image, wanted.object, wanted.images, wanted.limit)
        return as_json(job=jobs.start("same", work, user).to_json())

    @router.post("/same/accept")
    @long
    def accept(wanted: AcceptRequest, user: User) -> Response:
        return as_json(**finder.accept(jobs.get(wanted.job), wanted, user))

    @router.post("/carry")
    def carry(wanted: CarryRequest, user: User) -> Response:
        return as_json(job=jobs.start("carry", carrying(project, wanted, user), user, alone=True).to_json())

    @router.post("/learn")
    def learn(wanted: LearnRequest, user: User) -> Response:
        work = partial(learner.work, minutes=wanted.minutes, from_objects=wanted.objects)
        return as_json(job=jobs.start("learn", work, user, alone=True).to_json())

    @router.get("/learn")
    @long
    def learnable() -> Response:
        """What Learn would use: objects, refused candidates, how many objects are enough, a run to continue."""
        found, stopped = learner.objects(), learner.stopped()
        return as_json(objects=len(found.targets), refused=len(found.refused), enough=ENOUGH, stopped=stopped)

    @router.get("/statistics")
    @long
    def statistics() -> Response:
        return as_json(**collect(project))

    @router.get("/agreement")
    @long
    def agreement() -> Response:
        """The IoU of every object of two people, as CSV."""
        headers = {"content-disposition": 'attachment; filename="agreement.csv"', "cache-control": "no-store"}
        return Response(pairs_as_csv(pairs_of(project)), headers=headers, media_type="text/csv")

    @router.get("/export")
    @long
    def export(format: Format, polygons: bool = True, only: Only = "all", done: bool = False) -> Response:
        chosen: Only = "done" if done and only == "all" else only
        archive = export_zip(project, format, polygons=polygons, only=chosen)
        name = f"{project.gallery.folder.absolute().name or 'clickgrain'}-{format}.zip".encode("ascii", "replace")
        plain = "".join(one if one.isalnum() or one in "-._" else "_" for one in name.decode())
        headers = {"content-disposition": f'attachment; filename="{plain}"', "cache-control": "no-store"}
        return StreamingResponse(_chunks(archive), headers=headers, media_type="application/zip")

    @router.post("/import")
    @long
    def import_(
        user: User,
        content: Annotated[bytes, Depends(body_of)],
        name: Annotated[str, Query(max_length=500)] = "upload",
        existing: Existing = "skip",
    ) -> Response:
        def work(job: Job) -> dict[str, Any]:
            job.report(0, 0, f"reading {name}")
            skipped, made = list[str](), list[dict[str, int]]()
            format_, images = read_any(content, name, skipped)

            def told() -> Iterator[ImageRecord]:
                for done, record in enumerate(images):
                    job.report(done, 0, f"importing {name}: {record.name}, image {done + 1}")
                    yield record

            counts = take_in(project, told(), format_, skipped, existing=existing, made=made, user=user)
            return {"format": format_, **counts, "skipped": skipped, "made": made}

        return as_json(**jobs.run("import", work, user))

    return router


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while chunk := file.read(262_144):
            yield chunk
