"""What the server does, for Prometheus and for structured logs: every request, its status and its time.

https://prometheus.io/docs/instrumenting/exposition_formats/, version 0.0.4.
"""

import asyncio
import bisect
import threading
import time
from collections import Counter, defaultdict
from itertools import accumulate

import psutil
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clickgrain import __version__, events
from clickgrain.annotate.documents import STATUSES
from clickgrain.annotate.jobs import Jobs
from clickgrain.annotate.project import Project
from clickgrain.annotate.routes.answers import counts_of
from clickgrain.annotate.security import refusal

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)  # upper ends, in seconds
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
Labels = tuple[tuple[str, str], ...]


class Watch:
    """ASGI middleware around everything: counts and times requests, and writes them as events.

    Requests that the server ends before they are done are told so, without a traceback.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.requests: Counter[Labels] = Counter()
        self.times: dict[str, list[int]] = defaultdict(lambda: [0] * (len(BUCKETS) + 1))
        self.seconds: dict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a request, and note what came of it."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        status, start = 0, time.perf_counter()

        async def send_noting(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self.app(scope, receive, send_noting)
        except asyncio.CancelledError:
            if not status:
                message = "the server was stopped before this was done; start it again and check what is there"
                await refusal(503, "busy", message)(scope, receive, send_noting)
        finally:
            # the pattern, not the path: few values, however many images there are
            route, seconds = str(getattr(scope.get("route"), "path", "none")), time.perf_counter() - start
            method = scope["method"] if scope["method"] in METHODS else "other"  # a client may make up any number
            about = {"method": method, "route": route, "status": str(status)}
            with self._lock:
                self.requests[tuple(about.items())] += 1
                self.times[route][bisect.bisect_left(BUCKETS, seconds)] += 1
                self.seconds[route] += seconds
            who = {"path": scope["path"], "user": scope.get("user", ""), "milliseconds": round(1000 * seconds, 1)}
            events.emit("request", **about | who | {"status": status})

    def text(self) -> str:
        """Requests and their times."""
        with self._lock:
            lines = _family("clickgrain_requests_total", "counter", "requests answered", *self.requests.items())
            name, times = "clickgrain_request_seconds", list[str]()
            for route, counts in self.times.items():
                for end, count in zip((*map(str, BUCKETS), "+Inf"), accumulate(counts)):
                    times.append(_sample(f"{name}_bucket", (("route", route), ("le", end)), count))
                times.append(_sample(f"{name}_sum", (("route", route),), self.seconds[route]))
                times.append(_sample(f"{name}_count", (("route", route),), sum(counts)))
        head = _family(name, "histogram", "time from a request to the end of its answer")
        return "\n".join([*lines, *head, *times]) + "\n"


def state_text(project: Project, jobs: Jobs) -> str:
    """The project, its people, its work and the process, as they are now."""
    counts, process = counts_of(project), psutil.Process()
    running = Counter((job.kind, job.state) for job in jobs.all())
    info = (("version", __version__), ("model", project.model.name), ("model_hash", project.model.hash))
    images = [((("status", status),), counts[status]) for status in STATUSES]
    kinds = [((("kind", kind), ("state", state)), count) for (kind, state), count in sorted(running.items())]
    families = [
        _family("clickgrain_info", "gauge", "what runs", (info, 1)),
        _family("clickgrain_images", "gauge", "images by status", *images),
        _family("clickgrain_jobs", "gauge", "long work, the last 50", *kinds),
        _family("clickgrain_people", "gauge", "people who have the page open", ((), project.team.count())),
        _family("clickgrain_objects", "gauge", "objects", ((), counts["objects"])),
        _family("clickgrain_clicks", "gauge", "clicks of all objects", ((), counts["clicks"])),
        _family("clickgrain_images_encoded", "gauge", "encoded images in memory", ((), counts["encoded"])),
        _family(
            "clickgrain_images_waiting", "gauge", "images that requests wait for", ((), project.encoder.waiting())
        ),
        _family("process_resident_memory_bytes", "gauge", "memory", ((), process.memory_info().rss)),
        _family("process_cpu_seconds_total", "counter", "processor time", ((), sum(process.cpu_times()[:2]))),
        _family("process_start_time_seconds", "gauge", "start, Unix time", ((), process.create_time())),
    ]
    return "".join("\n".join(lines) + "\n" for lines in families)


def _family(name: str, kind: str, words: str, *samples: tuple[Labels, float]) -> list[str]:
    return [f"# HELP {name} {words}", f"# TYPE {name} {kind}", *(_sample(name, *one) for one in samples)]


def _sample(name: str, labels: Labels, value: float) -> str:
    escaped = {key: text.translate({92: r"\\", 34: r"\"", 10: r"\n"}) for key, text in labels}
    inside = ",".join(f'{key}="{text}"' for key, text in escaped.items())
    return f"{name}{{{inside}}} {value!r}" if inside else f"{name} {value!r}"
