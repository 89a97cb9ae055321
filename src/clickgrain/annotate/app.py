"""The web application: routes, the page's files, errors, and the guard around all."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request, Response

from clickgrain.annotate.answers import add_error_answers, as_bytes
from clickgrain.annotate.http_errors import RequestError
from clickgrain.annotate.routes import image_routes, project_routes, work_routes
from clickgrain.annotate.security import LOOPBACK, Guard
from clickgrain.annotate.service import Service

PAGE = Path(__file__).parent / "page"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".woff2": "font/woff2",
    ".png": "image/png",
    ".webp": "image/webp",
}
FILES = {path.relative_to(PAGE).as_posix(): path for path in PAGE.rglob("*") if path.suffix in TYPES}


def make_app(
    service: Service, *, hosts: Iterable[str] | None = LOOPBACK, token: str | None = None, port: int = 0
) -> Guard:
    """The ASGI application that serves a project.

    Args:
        service: closed with the application.
        hosts: names that may stand in the Host header; None: any, which needs a token.
        token: asked of everyone.
        port: of the server.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    app = FastAPI(title="clickgrain annotate", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    add_error_answers(app)
    app.include_router(project_routes(service))
    app.include_router(image_routes(service))
    app.include_router(work_routes(service))

    @app.get("/")
    def index(request: Request) -> Response:
        return _file(request, "index.html")

    @app.get("/page/{name:path}")
    def page(name: str, request: Request) -> Response:
        return _file(request, name)

    return Guard(app, hosts=hosts, token=token, port=port)  # type: ignore[arg-type]


def _file(request: Request, name: str) -> Response:
    """A file of the page by its name, which leads nowhere: it is only looked for among those that there are."""
    path = FILES.get(name)
    if path is None:
        raise RequestError("not_found", f"the page has no file {name[:200]!r}")
    status = path.stat()
    return as_bytes(
        request, path.read_bytes(), TYPES[path.suffix], key=f"{name} {status.st_mtime_ns} {status.st_size}"
    )
