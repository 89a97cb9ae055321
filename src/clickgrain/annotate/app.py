"""The web application: routes, the page's files, errors, and the guard around them."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from clickgrain.annotate.actions import action_routes
from clickgrain.annotate.cache import DiskCache
from clickgrain.annotate.config import LOOPBACK
from clickgrain.annotate.database import ConflictError
from clickgrain.annotate.http_errors import RequestError
from clickgrain.annotate.jobs import Jobs
from clickgrain.annotate.metrics import CONTENT_TYPE, Watch, state_text
from clickgrain.annotate.project import Project
from clickgrain.annotate.routes.answers import as_bytes, as_json
from clickgrain.annotate.routes.images import image_routes
from clickgrain.annotate.routes.project import project_routes
from clickgrain.annotate.routes.work import work_routes
from clickgrain.annotate.security import Guard
from clickgrain.errors import ClickgrainError, ConfigError, DataError, ImageError, PromptError, WeightsError
from clickgrain.files import cache_dir, hash_bytes

PAGE = Path(__file__).parent / "page"
TYPES = {
    ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml", ".png": "image/png", ".webp": "image/webp", ".json": "application/json",
    ".woff2": "font/woff2",
}  # fmt: skip
FILES = {path.relative_to(PAGE).as_posix(): path for path in PAGE.rglob("*") if path.suffix in TYPES}


def make_app(
    project: Project,
    cache: DiskCache | None = None,  # of what can be computed again; a folder in the user's cache when None
    *,
    hosts: Iterable[str] | None = LOOPBACK,
    users: Mapping[str, str] | None = None,
    port: int = 0,
) -> Watch:
    """The ASGI application that serves a project, and closes it; `hosts` and `users` are as in `Guard`."""
    if cache is None:
        name = hash_bytes(str(project.database.path).encode("utf-8", "surrogateescape"))
        cache = DiskCache(cache_dir() / "annotate" / name)
    jobs = Jobs(lambda job: project.changes.mark("job", job))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        jobs.close()
        project.close()

    app = FastAPI(title="clickgrain annotate", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    for kind in (ClickgrainError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, partial(_answer_error, project))
    app.include_router(project_routes(project, jobs))
    app.include_router(image_routes(project, cache))
    app.include_router(action_routes(project))
    app.include_router(work_routes(project, cache, jobs))

    @app.get("/")
    def index(request: Request) -> Response:
        return page("index.html", request)

    @app.get("/page/{name:path}")
    def page(name: str, request: Request) -> Response:
        if (path := FILES.get(name)) is None:  # no name leads to any other file
            raise RequestError("not_found", f"the page has no file {name[:200]!r}")
        status = path.stat()
        key = f"{name} {status.st_mtime_ns} {status.st_size}"
        return as_bytes(request, path.read_bytes(), TYPES[path.suffix], key=key)

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(state_text(project, jobs) + watch.text(), media_type=CONTENT_TYPE)

    watch = Watch(Guard(app, hosts=hosts, users=users or {}, port=port))
    return watch


def _answer_error(project: Project, _: Request, error: Exception) -> Response:
    message, more = str(error), dict[str, Any]()
    match error:
        case RequestError():
            if isinstance(error, ConflictError):
                more = project.logs.missed(error.log, error.seen)
            code, status = error.code, error.status
        case ImageError():
            code, status = "image", 503
        case PromptError() | DataError() | ConfigError() | WeightsError():
            code, status = "invalid", 422
        case ClickgrainError():
            code, status = "internal", 500
        case RequestValidationError():
            first, code, status = error.errors()[0], "invalid", 422
            where = ".".join(str(part) for part in first.get("loc", ()) if part != "body")
            message = f"{where}: {first.get('msg')}" if where else str(first.get("msg"))
        case HTTPException():
            code, status = "not_found" if error.status_code == 404 else "bad_request", error.status_code
            message = str(error.detail)
        case _:
            code, status, message = "internal", 500, f"this should not happen: {error!r}"
    return as_json(status, error={"code": code, "message": message}, **more)
