"""Several tabs and people on one server: what changed, who has which image open, and who is working on it.

An image is leased to the person who opened it first. Others see that; they change it only after taking it over.
A lease ends when its holder opens another image, closes the page, or is idle. Without users there are no leases.
"""

import math
import re
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from clickgrain.annotate.http_errors import RequestError
from clickgrain.errors import ConfigError
from clickgrain.files import write_or_raise

GONE = 30.0  # seconds without a word from a tab after which it counts as closed
IDLE = 300.0  # seconds without pointer or key after which its person counts as idle
NAME = re.compile(r"[^\s=#][^=#\x00-\x1f]{0,59}")
TOKEN = re.compile(r"[A-Za-z0-9]{8,200}")


def read_users(path: Path) -> dict[str, str]:
    """Names by token, from a file with a line NAME=TOKEN each; # begins a comment.

    Names without a token get one, which is written into the file; only its owner may read it from then on. Raises
    ConfigError: the file cannot be read or written, holds no user, or a line is wrong.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"--users {path} cannot be read ({reason}); write a file with one name a line") from error
    users, written = dict[str, str](), list[str]()
    for number, line in enumerate(lines, 1):
        name, _, token = (part.strip() for part in line.partition("#")[0].partition("="))
        if not name and not token:
            written.append(line)
            continue
        written.append(line if token else f"{name}={(token := secrets.token_hex(16))}")
        if not NAME.fullmatch(name) or not TOKEN.fullmatch(token):
            raise ConfigError(f"{path}, line {number} is not NAME or NAME=TOKEN (8 or more letters and digits)")
        if token in users or name in users.values():
            raise ConfigError(f"{path}, line {number}: {name!r} or its token is there twice; remove one of them")
        users[token] = name
    if not users:
        raise ConfigError(f"--users {path} names no one; write one name a line")
    if written != lines:
        write_or_raise(path, ("\n".join(written) + "\n").encode(), ConfigError, "give every name a TOKEN")
        path.chmod(0o600)
    return users


class Changes:
    """Numbers every change, so that a page that polls receives only what is new to it."""

    def __init__(self) -> None:
        self._at: dict[tuple[str, int | str], int] = {}
        self._lock = threading.Lock()
        self.now = 0  # number of the last change

    def mark(self, kind: str, key: int | str = 0) -> None:
        """Something has changed."""
        with self._lock:
            self.now += 1
            self._at[kind, key] = self.now

    def since(self, number: int) -> dict[str, list[int | str]]:
        """Keys by kind, of what changed after a number."""
        with self._lock:
            found: dict[str, list[int | str]] = {}
            for (kind, key), at in self._at.items():
                if at > number:
                    found.setdefault(kind, []).append(key)
            return found


class _Tab(NamedTuple):
    user: str
    image: int | None
    heard: float


class Team:
    """Who has which image open, and whose it is; `on_change` is told the number of an image where that changed."""

    def __init__(self, on_change: Callable[[int], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._on_change, self._clock = on_change, clock
        self._tabs: dict[str, _Tab] = {}
        self._leases: dict[int, tuple[str, float]] = {}  # by image: who has it, and until when
        self._lock = threading.RLock()

    def look(self, user: str, client: str, image: int | None, idle: float = 0.0) -> None:
        """A tab of a person shows an image; `idle`: seconds since they last touched pointer or keyboard."""
        with self._lock:
            self._forget_the_gone()
            key, now = f"{user}={client}", self._clock()
            before = self._tabs.get(key, _Tab(user, None, now)).image
            self._tabs[key] = _Tab(user, image, now)
            if before != image:
                self._left(user, before)
                if image is not None:
                    self._on_change(image)
            if image is not None and idle < IDLE and self.holder(image) in (None, user):
                self._grant(user, image)

    def claim(self, user: str, image: int) -> None:
        """A person is about to change an image. Raises RequestError: "taken": another one is working on it."""
        with self._lock:
            self._forget_the_gone()
            if user and (holder := self.holder(image)) not in (None, user):
                raise RequestError("taken", f"{holder} is working on this image; take it over to change it")
            self.take_over(user, image)

    def take_over(self, user: str, image: int) -> None:
        """Give the image to this person, even if another one holds it."""
        with self._lock:
            if user:
                self._grant(user, image)

    def holder(self, image: int) -> str | None:
        """Who is working on an image."""
        with self._lock:
            user, ends = self._leases.get(image, ("", -math.inf))
            return user if ends > self._clock() else None

    def about(self, image: int) -> dict[str, object]:
        """For lists: the people who have an image open, and its holder."""
        with self._lock:
            return {"people": self.people(image), "holder": self.holder(image)}

    def people(self, image: int) -> list[str]:
        """Who has an image open, in the order of their names."""
        with self._lock:
            return sorted({tab.user for tab in self._tabs.values() if tab.image == image})

    def count(self) -> int:
        """How many people have the page open."""
        with self._lock:
            self._forget_the_gone()
            return len({tab.user for tab in self._tabs.values()})

    def _grant(self, user: str, image: int) -> None:
        if self.holder(image) != user:
            self._on_change(image)
        self._leases[image] = user, self._clock() + GONE

    def _left(self, user: str, image: int | None) -> None:
        """A tab has left an image; with the last one of a person the lease ends."""
        if image is None:
            return
        if user not in self.people(image) and self.holder(image) == user:
            del self._leases[image]
        self._on_change(image)

    def _forget_the_gone(self) -> None:
        now = self._clock()
        for key, tab in list(self._tabs.items()):
            if now - tab.heard > GONE:
                del self._tabs[key]
                self._left(tab.user, tab.image)
        for image, (_, ends) in list(self._leases.items()):
            if ends <= now:
                del self._leases[image]
                self._on_change(image)
