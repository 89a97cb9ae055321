"""Requests that are never sent whole: their connections end, and everybody else is answered meanwhile."""

import asyncio
import json
import re
import socket
import threading

import pytest
import uvicorn

from clickgrain.annotate import security
from clickgrain.annotate.app import make_app
from clickgrain.annotate.http_errors import RequestError
from clickgrain.annotate.routes.answers import THREADS
from clickgrain.annotate.security import PatientProtocol
from clickgrain.annotate.server import bind

PATIENCE = 1.0
"""Long enough for what is sent at once on a busy machine."""
GET = b"GET /api/state HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
POST = b"POST /api/images/1/actions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
OURS = b"X-Clickgrain: 1\r\n"
BODY = json.dumps({"seq": 0, "action": {"kind": "status", "status": "done"}}).encode()


@pytest.fixture
def port(project, cache, monkeypatch):
    """Port of a server with little patience."""
    monkeypatch.setattr(PatientProtocol, "patience", PATIENCE)
    monkeypatch.setattr(security, "SECONDS", PATIENCE)
    sock = bind("127.0.0.1", 0)
    config = uvicorn.Config(
        make_app(project, cache), http=PatientProtocol, ws="none", log_level="critical", loop="asyncio"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[sock])))
    thread.start()
    yield sock.getsockname()[1]
    server.should_exit = True
    thread.join(20)


@pytest.fixture
def connect(port):
    """A connection that has said something."""
    open_ones = []

    def run(said=b""):
        one = socket.create_connection(("127.0.0.1", port), timeout=20)
        open_ones.append(one)
        one.sendall(said)
        return one

    yield run
    for one in open_ones:
        one.close()


def until_closed(connection):
    """All that comes until the other side ends it."""
    got = b""
    try:
        while part := connection.recv(65_536):
            got += part
    except ConnectionResetError:
        pass
    return got


def answer(connection):
    """One answer, whole."""
    head, body = b"", b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(1) or pytest.fail(f"closed after {head!r}")
    length = int(re.search(rb"content-length: (\d+)", head)[1])
    while len(body) < length:
        body += connection.recv(length - len(body)) or pytest.fail(f"closed after {head + body!r}")
    return head + body


@pytest.mark.parametrize("said", [b"", b"G", GET[:-2], GET[:20], POST + OURS])
def test_a_head_that_never_ends(connect, said):
    assert until_closed(connect(said)) == b""


def test_a_second_head_that_never_ends(connect):
    connection = connect(GET)
    assert answer(connection).startswith(b"HTTP/1.1 200")
    connection.sendall(GET[:30])
    until_closed(connection)


@pytest.mark.parametrize("body", [b"", BODY[:10]])
def test_a_body_that_never_ends(connect, project, body):
    got = until_closed(connect(POST + OURS + b"Content-Length: %d\r\n\r\n" % len(BODY) + body))
    assert got.startswith(b"HTTP/1.1 408")
    assert b'"timeout"' in got
    assert project.logs.history(1).seq == 0


def test_a_body_without_a_length_that_never_ends(connect):
    got = until_closed(connect(POST + OURS + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{"))
    assert got.startswith(b"HTTP/1.1 408")


def test_a_body_that_goes_on_after_it_was_refused(connect):
    connection = connect(POST + b"Content-Length: 1000\r\n\r\n")
    assert answer(connection).startswith(b"HTTP/1.1 403")
    closed = threading.Event()

    def drip():
        try:
            while not closed.wait(0.02):
                connection.sendall(b"x")
        except OSError:
            pass

    thread = threading.Thread(target=drip)
    thread.start()
    until_closed(connection)
    closed.set()
    thread.join()


def test_others_are_answered_while_many_send_nothing(connect):
    for _ in range(60):
        connect(POST + OURS + b"Content-Length: 100\r\n\r\n{")
    assert answer(connect(GET)).startswith(b"HTTP/1.1 200")


def test_requests_that_wait_for_an_image_hold_up_no_others(connect, project, monkeypatch):
    gate, waiting = threading.Event(), threading.Semaphore(0)

    def scene(image, timeout=60.0):
        waiting.release()
        assert gate.wait(100)
        raise RequestError("busy", "not encoded yet")

    monkeypatch.setattr(project, "scene", scene)
    click = {"kind": "object.add_steps", "steps": [{"type": "click", "x": 1, "y": 1}]}
    body = json.dumps({"seq": 0, "action": click}).encode()
    slow = [connect(GET.replace(b"state", b"images/1/hover")) for _ in range(THREADS + 5)]
    slow += [connect(POST + OURS + b"Content-Length: %d\r\n\r\n" % len(body) + body) for _ in range(THREADS + 5)]
    try:
        for _ in range(THREADS + 1):  # every thread that reads, and the one that has the lock on the image's log
            assert waiting.acquire(timeout=100)
        assert answer(connect(GET)).startswith(b"HTTP/1.1 200")
        assert answer(connect(GET.replace(b"state", b"changes?since=0"))).startswith(b"HTTP/1.1 200")
    finally:
        gate.set()
    assert all(answer(one).startswith(b"HTTP/1.1 503") for one in slow)


def test_a_request_in_pieces_is_a_request(connect, project, monkeypatch):
    monkeypatch.setattr(PatientProtocol, "patience", 60.0)
    monkeypatch.setattr(security, "SECONDS", 60.0)
    connection = connect()
    whole = POST + OURS + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    for start in range(0, len(whole), 7):
        connection.sendall(whole[start : start + 7])
    assert answer(connection).startswith(b"HTTP/1.1 200")
    assert project.logs.history(1).seq == 1
    connection.sendall(GET)  # and the connection serves the next one
    assert answer(connection).startswith(b"HTTP/1.1 200")


def body_of(*messages):
    """What the guard makes of a body that comes as (seconds to wait, bytes, whether more comes)."""
    coming = iter(messages)

    async def receive():
        seconds, part, more = next(coming)
        await asyncio.sleep(seconds)
        return {"type": "http.request", "body": part, "more_body": more}

    return asyncio.run(security.whole_body(receive, 1_000_000, 0.2))


def test_a_large_body_may_take_longer_than_a_small_one():
    part = bytes(100_000)  # ten seconds' worth
    assert body_of((0, part, True), (0.3, part, False)) == 2 * part
    with pytest.raises(TimeoutError):
        body_of((0, b"x", True), (0.3, part, False))
    with pytest.raises(ValueError, match="more than"):
        body_of(*12 * [(0, part, True)])


def test_bytes_that_are_no_http_after_a_request_that_is_not_answered_yet(project, cache, caplog):
    """The request is given up; no traceback is logged, and the server goes on."""
    sock = bind("127.0.0.1", 0)
    config = uvicorn.Config(make_app(project, cache), http=PatientProtocol, ws="none", log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]})
    thread.start()
    try:
        for ours in (OURS, b""):  # without, it is refused before its body is read
            said = POST + ours + b"Transfer-Encoding: chunked\r\n\r\n!\r\n"
            with socket.create_connection(sock.getsockname(), timeout=20) as connection:
                connection.sendall(said)
                answer = b""
                while more := connection.recv(65_536):
                    answer += more
            assert b"500" not in answer[:20]
        with socket.create_connection(sock.getsockname(), timeout=20) as connection:
            connection.sendall(GET)
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
    finally:
        server.should_exit = True
        thread.join(20)
    assert not [record for record in caplog.records if record.exc_info]
