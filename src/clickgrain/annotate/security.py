"""Who is answered: this machine's browser on our own page, or a request with the token; never another site.

A page from elsewhere could make the user's browser send requests to us, under our own name if it rebinds its DNS
entry to this machine. So on loopback the Host header must be a loopback name; an Origin must be our own; a write
must carry a header that other sites cannot send without our consent (which we never give: no CORS).

Starlette's TrustedHostMiddleware does not do: it reads no IPv6 address, and it answers in plain text.
"""

import asyncio
import json
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

OUR_HEADER = b"x-clickgrain"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self';"
    " font-src 'self'; worker-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
UPLOAD_BYTES = 268_435_456
BODY_BYTES = 8_388_608
"""Most bytes of a request that is no upload."""
SECONDS = 20.0
"""For the head of a request, and for the first bytes of its body."""
SLOWEST = 10_000
"""Bytes per second that the rest of a body must average."""


class Guard:
    """ASGI middleware: refuses what must not be answered, and adds the security headers.

    Args:
        app: what is guarded.
        hosts: names that the Host header may have; None allows any, which needs a token.
        users: names by token, one of which is asked of every visitor, if given; the name goes to the app as `user`.
        port: of the server; part of the cookie's name, since browsers share cookies between ports.
    """

    def __init__(self, app: App, *, hosts: Iterable[str] | None, users: Mapping[str, str], port: int) -> None:
        if hosts is None and not users:
            raise ValueError("any host may ask only with a token; give one")
        self.app, self.users, self.cookie = app, users, f"clickgrain_{port}"
        self.hosts = None if hosts is None else frozenset(hosts)

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return

        async def send_safely(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}
            await send(message)

        headers = dict(scope["headers"])
        token: str | None = None
        limit = UPLOAD_BYTES if scope["path"] == "/api/import" else BODY_BYTES
        too_large = f"the request is larger than {limit:,} bytes; send it in parts"
        length = headers.get(b"content-length", b"0")
        if (reason := self._reason_to_refuse(scope, headers)) is not None:
            await _refuse(send_safely, 403, "forbidden", reason)
        elif not length.isdigit() or int(length) > limit:
            await _refuse(send_safely, 413, "too_large", too_large)
        elif self.users and (token := self._token_of(headers)) is None:
            await self._ask_for_token(scope, send_safely)
        else:
            try:  # the whole body is read first, so that no thread waits for one that never ends
                body = await whole_body(receive, limit, SECONDS)
            except TimeoutError:
                reason = "the request did not arrive in time; try again"
                await _refuse(send_safely, 408, "timeout", reason, last=True)
            except ValueError:
                await _refuse(send_safely, 413, "too_large", too_large, last=True)
            else:
                if body is not None:
                    scope["user"] = self.users.get(token or "", "")
                    await self.app(scope, _replayed(body, receive), send_safely)

    def _reason_to_refuse(self, scope: dict[str, Any], headers: dict[bytes, bytes]) -> str | None:
        host = headers.get(b"host", b"").decode("latin-1")
        parts = re.fullmatch(r"(?:\[([^]]*)]|([^:]*))(?::\d+)?", host)
        name = host.lower() if parts is None else (parts[1] or parts[2] or "").lower()  # without its port
        if self.hosts is not None and name not in self.hosts:
            return f"requests for {host!r} are not answered; open the address that was printed"
        origin = headers.get(b"origin")
        foreign = origin is not None and origin.decode("latin-1") not in (f"http://{host}", f"https://{host}")
        site = headers.get(b"sec-fetch-site", b"none")
        if foreign or (site not in (b"same-origin", b"none") and scope["path"].startswith("/api/")):
            return "requests from other sites are not answered"
        if scope["method"] not in ("GET", "HEAD") and headers.get(OUR_HEADER) != b"1":
            return "a request that writes needs the header X-Clickgrain: 1"
        return None

    def _token_of(self, headers: dict[bytes, bytes]) -> str | None:
        bearer = headers.get(b"authorization", b"").decode("latin-1").removeprefix("Bearer ")
        try:
            morsel = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1")).get(self.cookie)
        except CookieError:
            morsel = None
        return self._known(bearer) or self._known(morsel.value if morsel else "")

    def _known(self, given: str) -> str | None:
        """A token that is one of ours; every one is compared, in constant time."""
        return max(
            (one for one in self.users if secrets.compare_digest(given.encode(), one.encode())), default=None
        )

    async def _ask_for_token(self, scope: dict[str, Any], send: Send) -> None:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["path"] == "/" and scope["method"] == "GET" and self._known(given):
            cookie = f"{self.cookie}={given}; Path=/; HttpOnly; SameSite=Strict"
            head = [(b"location", b"/"), (b"set-cookie", cookie.encode()), (b"cache-control", b"no-store")]
            await send({"type": "http.response.start", "status": 303, "headers": head})
            await send({"type": "http.response.body", "body": b""})
            return
        await _refuse(send, 401, "token", "this server asks for a token; open the address that the terminal shows")


async def whole_body(receive: Receive, limit: int, seconds: float) -> bytes | None:
    """The body of a request, or None if its sender went away.

    Raises:
        TimeoutError: it came too slowly, or stopped. ValueError: it is larger than `limit` bytes.
    """
    body, began = bytearray(), asyncio.get_running_loop().time()
    while True:
        async with asyncio.timeout_at(began + seconds + len(body) / SLOWEST):
            message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > limit:
            raise ValueError(f"more than {limit} bytes")
        if not message.get("more_body", False):
            return bytes(body)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A receive that gives a body that has arrived, then what really comes."""
    given = False

    async def first() -> dict[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return first


async def _refuse(send: Send, status: int, code: str, message: str, *, last: bool = False) -> None:
    """Answer with an error; `last`: close the connection without waiting for the rest of the request."""
    body = json.dumps({"error": {"code": code, "message": message}}).encode()
    head = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    head += [(b"content-length", b"%d" % len(body)), *([(b"connection", b"close")] if last else [])]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


class PatientProtocol(H11Protocol):
    """uvicorn's protocol with a limit of time for the head of a request, and for a body that was refused."""

    patience = SECONDS
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take some bytes; with those that begin another head the time begins."""
        super().data_received(data)
        if not self._is_owed():
            self._stop()
        elif self._timer is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side is gone."""
        self._stop()
        super().connection_lost(exc)

    def _is_owed(self) -> bool:
        """Whether a head is incomplete, or a body still arrives after its answer."""
        return self.conn.their_state is h11.IDLE or self.conn.our_state is h11.DONE

    def _wait(self) -> None:
        self._timer = self.loop.call_later(self.patience, self._give_up)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        if self._is_owed() and not self.transport.is_closing():
            self.transport.close()
