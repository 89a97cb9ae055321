"""Serving a project: the socket, the token, the browser."""

import ctypes
import errno
import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from clickgrain import events
from clickgrain.annotate.config import LOOPBACK, AnnotateArgs
from clickgrain.annotate.project import Project
from clickgrain.annotate.team import read_users
from clickgrain.errors import ConfigError

if TYPE_CHECKING:
    from clickgrain.annotate.metrics import Watch


def serve(args: AnnotateArgs, say: Callable[[str], None]) -> None:
    """Serve until interrupted.

    `say` takes lines for the user; the first word of the first ones is an address, a person's name follows. Raises
    ClickgrainError: the folder, the project file, the model or the port cannot be used.
    """
    with suppress(OSError, AttributeError):  # with a memory pool per thread, glibc would not return freed images
        ctypes.CDLL("libc.so.6").mallopt(-8, 2)  # M_ARENA_MAX
    users = {} if args.users is None else read_users(args.users)
    if not users and (token := args.token or (None if args.is_local else secrets.token_hex(16))):
        users = {token: ""}
    sock = bind(args.host, args.port)
    settings: dict[str, Any] = {name: getattr(args, name) for name in ("model", "device", "runtime", "ignore")}
    project = Project(args.photos, args.project, **settings, kept_bytes=1_000_000 * args.memory)
    port = int(sock.getsockname()[1])
    address = address_of(sock, socket.gethostname() if args.host in ("0.0.0.0", "::") else args.host)
    addresses = [f"{address}/?token={token}" for token in users] or [f"{address}/"]
    for address, user in zip(addresses, users.values() or [""]):
        say(f"{address} {user}".rstrip())
    say(f"annotations are kept in {project.database.path}")
    for line in filter(None, (project.notice, project.gallery.complaint())):
        say(line)
    project.jit.on_first = lambda: say(
        "getting ready: compiling for this machine, once (about ten seconds; minutes where it is busy)"
    )
    if args.browser:
        threading.Thread(target=_open_browser, args=(addresses[0], say), daemon=True).start()
    if project.gallery.order:
        project.look_at(project.gallery.first())

    # Imported only now, while the encoder works on the first image and the browser starts.
    from clickgrain.annotate.app import make_app

    run(make_app(project, hosts=LOOPBACK if args.is_local else None, users=users, port=port), sock)


def run(app: "Watch", sock: socket.socket) -> None:
    """Serve an application on a listening socket until interrupted."""
    import uvicorn

    from clickgrain.annotate.security import PatientProtocol

    config = uvicorn.Config(
        app, loop="asyncio", http=PatientProtocol, ws="none", server_header=False,
        timeout_graceful_shutdown=3, log_level="warning", access_log=False,
        log_config=None if events.is_on() else uvicorn.config.LOGGING_CONFIG,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[sock])


def address_of(sock: socket.socket, host: str) -> str:
    """The address of a listening socket under a name, or an IPv4 or IPv6 address."""
    return f"http://{f'[{host}]' if ':' in host else host}:{sock.getsockname()[1]}"


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ConfigError: the port is taken, or the address is not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio sets NODELAY only then
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(128)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(f"port {port} is in use, maybe by clickgrain; give another --port, or 0") from error
        raise ConfigError(f"cannot listen on {host}:{port} ({error.strerror}); give another --host") from error
    return sock


def _open_browser(address: str, say: Callable[[str], None]) -> None:
    with suppress(Exception):  # whatever the system's browser launcher does
        if webbrowser.open(address):
            return
    say("no browser could be opened; open the address above yourself")
