"""How routes answer: JSON, bytes that browsers may cache, in other threads if they wait; what several tell."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Query, Request, Response

from clickgrain.annotate.database import Summary
from clickgrain.annotate.documents import STATUSES
from clickgrain.annotate.project import Project
from clickgrain.annotate.requests import MAX_SEQ
from clickgrain.files import hash_bytes

THREADS = 40  # for routes that may wait, of each kind; as many as Starlette has for all others

Count = Annotated[int, Query(ge=0, le=MAX_SEQ)]


async def user_of(request: Request) -> str:
    """Name of the person who asks, by their token; "" where the server knows none."""
    return str(request.scope["user"])


User = Annotated[str, Depends(user_of)]


def as_json(status: int = 200, /, **values: Any) -> Response:
    """A JSON object that browsers do not cache; NaN and infinity become null, which JSON.parse takes."""
    try:
        text = json.dumps(values, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except ValueError:
        return as_json(status, **json.loads(json.dumps(values), parse_constant=lambda name: None))
    return Response(text.encode("utf-8", "replace"), status, {"cache-control": "no-store"}, "application/json")


def as_bytes(request: Request, content: bytes, kind: str, *, key: str, for_ever: bool = False) -> Response:
    """Bytes that a browser may cache: for ever, or as long as `key` is the same."""
    tag = f'"{hash_bytes(key.encode())}"'
    keep = "private, max-age=31536000, immutable" if for_ever else "private, no-cache"
    headers = {"etag": tag, "cache-control": keep}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, 200, headers, kind)


def in_threads() -> Callable[[Callable[..., Response]], Callable[..., Any]]:
    """A decorator that runs routes in other threads: however many wait there, all other routes are answered."""
    limiter = CapacityLimiter(THREADS)

    def decorate(route: Callable[..., Response]) -> Callable[..., Any]:
        @wraps(route)
        async def run(**values: Any) -> Response:
            return await to_thread.run_sync(partial(route, **values), limiter=limiter)

        return run

    return decorate


def entries_of(project: Project, images: Sequence[int]) -> list[dict[str, Any]]:
    """Images for lists."""
    ready, summaries, entries = project.encoded(), project.database.summaries(images), []
    for image in images:
        summary, missing = summaries.get(image, Summary()), image in project.gallery.missing
        entry = {"id": image, "name": project.gallery.name(image), "encoded": image in ready, "missing": missing}
        entry |= {key: getattr(summary, key) for key in ("status", "objects", "seq")}
        entries.append(entry | project.team.about(image))
    return entries


def counts_of(project: Project) -> dict[str, int]:
    """How many images there are, of every status, and encoded; objects, and their clicks."""
    summaries, order = project.database.summaries(), project.gallery.order
    statuses = Counter(summaries.get(image, Summary()).status for image in order)
    sums = {key: sum(getattr(one, key) for one in summaries.values()) for key in ("objects", "clicks")}
    by_status: dict[str, int] = {status: statuses[status] for status in STATUSES}
    return {"images": len(order), **by_status, **sums, "encoded": len(project.encoded())}
