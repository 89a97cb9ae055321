"""Who is answered: this machine's browser on our own page, or a request with the token; never another site.

A page from elsewhere could make the user's browser send requests to us, under our own name if it rebinds its DNS
entry to this machine. So on loopback the Host header must be a loopback name; an Origin must be our own; a write
must carry a header that other sites cannot send without our consent (which we never give: no CORS).

Starlette's TrustedHostMiddleware does not do: it reads no IPv6 address, and it answers in plain text.
"""

import asyncio
import re
import secrets
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qs

import h11
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

OUR_HEADER = "x-clickgrain"
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
BODY_BYTES = 8_388_608  # most bytes of a request that is no upload
SECONDS = 20.0  # for the head of a request, and for the first bytes of its body
SLOWEST = 10_000  # bytes per second that the rest of a body must average


class Guard:
    """ASGI middleware: refuses what must not be answered, and adds the security headers.

    `hosts` are names that the Host header may have; None allows any, which needs a token. `users` are names by
    token, one of which is asked of every visitor, if given; the name goes to the app as `user`. `port` is part of
    the cookie's name, since browsers share cookies between ports.
    """

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str] | None, users: Mapping[str, str], port: int) -> None:
        if hosts is None and not users:
            raise ValueError("any host may ask only with a token; give one")
        self.app, self.users, self.cookie = app, users, f"clickgrain_{port}"
        self.hosts = None if hosts is None else frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *HEADERS]}
            await send(message)

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        cookie = cookie_parser(headers.get("cookie", "")).get(self.cookie, "")
        token: str | None = None
        limit = UPLOAD_BYTES if scope["path"] == "/api/import" else BODY_BYTES
        too_large = f"the request is larger than {limit:,} bytes; send it in parts"
        length = headers.get("content-length", "0")
        answer: ASGIApp = self.app
        if (reason := self._reason_to_refuse(scope, headers)) is not None:
            answer = refusal(403, "forbidden", reason)
        elif not re.fullmatch("[0-9]{1,18}", length) or int(length) > limit:  # int() refuses thousands of digits
            answer = refusal(413, "too_large", too_large)
        elif self.users and (token := self._known(bearer) or self._known(cookie)) is None:
            answer = self._without_token(scope)
        else:
            try:  # the whole body is read first, so that no thread waits for one that never ends
                body = await whole_body(receive, limit, SECONDS)
            except TimeoutError:
                answer = refusal(408, "timeout", "the request did not arrive in time; try again", last=True)
            except ValueError:
                answer = refusal(413, "too_large", too_large, last=True)
            else:
                if body is None:
                    return
                scope["user"], receive = self.users.get(token or "", ""), _replayed(body, receive)
        await answer(scope, receive, send_safely)

    def _reason_to_refuse(self, scope: Scope, headers: Mapping[str, str]) -> str | None:
        host = headers.get("host", "")
        parts = re.fullmatch(r"(?:\[([^]]*)]|([^:]*))(?::\d+)?", host)
        name = host.lower() if parts is None else (parts[1] or parts[2] or "").lower()  # without its port
        if self.hosts is not None and name not in self.hosts:
            return f"requests for {host!r} are not answered; open the address that was printed"
        foreign = headers.get("origin") not in (None, f"http://{host}", f"https://{host}")
        site = headers.get("sec-fetch-site", "none")
        if foreign or (site not in ("same-origin", "none") and scope["path"].startswith("/api/")):
            return "requests from other sites are not answered"
        if scope["method"] not in ("GET", "HEAD") and headers.get(OUR_HEADER) != "1":
            return "a request that writes needs the header X-Clickgrain: 1"
        return None

    def _known(self, given: str) -> str | None:
        """A token that is one of ours; every one is compared, in constant time."""
        same = [one for one in self.users if secrets.compare_digest(given.encode(), one.encode())]
        return same[0] if same else None

    def _without_token(self, scope: Scope) -> Response:
        """Ask for a token, or turn the one in the page's address into a cookie."""
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["path"] == "/" and scope["method"] == "GET" and self._known(given):
            cookie = f"{self.cookie}={given}; Path=/; HttpOnly; SameSite=Strict"
            return Response(None, 303, {"location": "/", "set-cookie": cookie, "cache-control": "no-store"})
        return refusal(401, "token", "this server asks for a token; open the address that the terminal shows")


async def whole_body(receive: Receive, limit: int, seconds: float) -> bytes | None:
    """The body of a request, None if its sender left; TimeoutError if too slow, ValueError above `limit` bytes."""
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
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def first() -> Message:
        return next(messages, None) or await receive()

    return first


def refusal(status: int, code: str, message: str, *, last: bool = False) -> Response:
    """An error; `last`: the connection is closed without waiting for the rest of the request."""
    headers = {"cache-control": "no-store", **({"connection": "close"} if last else {})}
    return JSONResponse({"error": {"code": code, "message": message}}, status, headers)


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

    def send_400_response(self, msg: str) -> None:
        """Refuse bytes that are no HTTP; a request before them that has no answer yet gets none."""
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:  # its answer is on the way
            self.transport.close()

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
