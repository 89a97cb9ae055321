"""An image where it lies: on this machine, in a tar, or at any URL that fsspec opens; connections may break."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import Any, BinaryIO, ParamSpec, TypeVar

from clickgrain.errors import ConfigError, ImageError, cause
from clickgrain.files import hash_bytes, hash_open_file
from clickgrain.images.guard import opened

P = ParamSpec("P")
T = TypeVar("T")
State = tuple[int, int]
"""Size in bytes, and a number that changes with the content: time of change in ns, or made of a server's ETag."""
TRIES, PAUSE = 5, 1.0  # attempts at anything remote; seconds before the second one, then twice as many
SILENCE = 60  # seconds without a byte after which an https connection counts as broken
VERSIONS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "created")  # what file systems tell a version by
LASTING = (FileNotFoundError, PermissionError, IsADirectoryError, NotImplementedError)  # another try is of no use


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image of a folder, a list or a tar."""

    # name in a store: path below the folder, in a tar "shard.tar/name.jpg", in a list the address without scheme
    key: str
    place: str  # path or URL of the file, or of the tar
    # as the listing said; None for a local file until `now` is called, and where there is no listing
    state: State | None = None
    start: int | None = None  # its first byte in the tar; None: the file is the image
    sha256: str = ""  # of its bytes, first 20 hex digits, once they were read

    def __str__(self) -> str:
        return self.place if self.start is None else f"{self.place}: {self.key.partition('.tar/')[2]}"

    @property
    def is_plain(self) -> bool:
        """Whether it is a file of this machine, which is read piece by piece instead of whole."""
        return self.start is None and not is_url(self.place)

    def now(self) -> "ImageFile":
        """With a plain file's state at this moment (OSError if it is gone); others keep that of their listing."""
        if not self.is_plain:
            return self
        status = Path(self.place).stat()
        return replace(self, state=(status.st_size, status.st_mtime_ns))

    def read_as(self, file: BinaryIO) -> "ImageFile":
        """With the hash of an open file, which is left at its beginning."""
        digest = hash_open_file(file)
        size = file.seek(0, SEEK_END)  # bytes in memory are hashed where they are, without a move
        file.seek(0)
        return replace(self, state=self.state or (size, 0), sha256=digest)

    def content(self) -> bytes:
        """All bytes, also over a connection that breaks a few times. Raises ImageError: it cannot be read."""
        try:
            system, path = file_system(self.place)
            stop = None if self.start is None or self.state is None else self.start + self.state[0]

            def read() -> bytes:
                content: bytes = system.cat_file(path, start=self.start, end=stop)
                if self.state is not None and len(content) != self.state[0]:
                    raise OSError(f"{len(content)} bytes came instead of {self.state[0]}")
                return content

            return retried(read)
        except FileNotFoundError as error:
            raise ImageError(f"{self}: no such file; check the address") from error
        except ConfigError as error:
            raise ImageError(str(error)) from error
        except Exception as error:  # of whatever library the address needs
            raise ImageError(f"{self}: cannot be read ({cause(error)}); check the network, run again") from error

    @contextmanager
    def opened(self, content: bytes | None = None) -> Iterator[BinaryIO]:
        """The image as an open file; `content` if it was fetched. ImageError as `content` or `guard.opened`."""
        if self.is_plain:
            with opened(Path(self.place)) as file:
                yield file
        else:
            yield BytesIO(self.content() if content is None else content)


def is_url(place: str) -> bool:
    """Whether it is the address of something on another machine, and no path."""
    return "://" in place


def file_system(place: str) -> tuple[Any, str]:
    """The fsspec file system of an address, and its own name for the place; ConfigError for an unknown kind."""
    import fsspec

    options: dict[str, Any] = {}
    try:
        if place.startswith(("http://", "https://")):
            import aiohttp

            waits = aiohttp.ClientTimeout(total=None, sock_connect=SILENCE, sock_read=SILENCE)
            options["client_kwargs"] = {"timeout": waits}
        return fsspec.core.url_to_fs(place, **options)
    except ImportError as error:
        fix = "pip install 'clickgrain[remote]' brings those for s3://, gs:// and https://"
        raise ConfigError(f"{place}: its package is missing ({error}); {fix}") from error
    except ValueError as error:
        raise ConfigError(f"{place}: {error}; give a path, or an address with s3://, gs:// or https://") from error


def state_of(info: dict[str, Any]) -> State | None:
    """The state in what a file system says of a file; None without a size."""
    version = next((str(info[name]) for name in VERSIONS if info.get(name)), "")
    return None if info.get("size") is None else (int(info["size"]), int(hash_bytes(version.encode())[:14], 16))


def retried(action: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """What the action gives, tried again after longer and longer pauses unless its error will not pass."""
    for attempt in range(TRIES - 1):
        try:
            return action(*args, **options)
        except LASTING:
            raise
        except Exception as error:
            if 400 <= getattr(error, "status", 0) < 500 and getattr(error, "status", 0) not in (408, 429):
                raise
            time.sleep(PAUSE * 2**attempt * random.uniform(0.5, 1))  # not all machines at once
    return action(*args, **options)
