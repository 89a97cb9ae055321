"""Images of tasks: from Label Studio with its token, from public web addresses, data: URIs, or one local folder.

An author of tasks chooses the addresses, so a request must not reach into the network around this machine: an
address that is not public is connected to only if it is Label Studio's, or named as allowed; the check looks at the
connection itself, so neither a redirect nor a changed DNS entry gets past it. The token goes to Label Studio alone.
"""

import base64
import http.client
import ipaddress
import json
import time
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, unquote_to_bytes, urljoin, urlsplit

from clickgrain.errors import ImageError
from clickgrain.images import MAX_PIXELS, ImageFile, read_image
from clickgrain.images.reader import decode
from clickgrain.types import UInt8

MOST_BYTES = 100_000_000
SECONDS = 30.0  # for an image altogether
REDIRECTS = 4
SHOWN = 120


class Fetcher:
    """Reads the images that tasks name."""

    def __init__(
        self, url: str, *, api_key: str | None = None, root: Path | None = None, hosts: Iterable[str] = ()
    ) -> None:
        self.url, self.api_key, self.root = url.rstrip("/") + "/", api_key, root
        self.hosts = {host.lower() for host in hosts}

    def read(self, source: str) -> UInt8:
        """H x W x 3 uint8 RGB of an address as it stands in a task; ImageError if that cannot be had."""
        shown = source if len(source) <= SHOWN else f"{source[:SHOWN]}..."
        if self.root is not None and "/data/local-files/" in source:
            name = parse_qs(urlsplit(source).query).get("d", [""])[0]
            path = (self.root / name).resolve()  # links are followed before the check
            if not name or not path.is_relative_to(self.root.resolve()):
                raise ImageError(f"{shown}: not below --root {self.root}; only files in it are read")
            return read_image(path)
        try:
            if source.startswith("data:"):
                head, comma, body = source.partition(",")
                if not comma or len(body) > MOST_BYTES * 4 // 3 + 4:
                    raise ValueError(f"a data: URI without data, or of over {MOST_BYTES:,} bytes")
                in_base64 = head.endswith(";base64")
                content = base64.b64decode(unquote(body), validate=True) if in_base64 else unquote_to_bytes(body)
            else:
                content = self._get(source)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ImageError(f"{shown}: cannot be fetched ({error}); check that this machine reaches it") from error
        return read_bytes(content, shown)

    def _get(self, source: str) -> bytes:
        """The body of an http(s) address; a path is one of Label Studio's."""
        address, deadline = urljoin(self.url, source), time.monotonic() + SECONDS
        for _ in range(REDIRECTS):
            is_ours = urlsplit(address)[:2] == urlsplit(self.url)[:2]
            headers = {"Authorization": self._authorization(deadline)} if is_ours and self.api_key else {}
            status, more, body = self._request("GET", address, headers, deadline)
            if status in (301, 302, 303, 307, 308) and more:
                address = urljoin(address, more)
                continue
            if status in (401, 403) and is_ours:
                raise ValueError(f"Label Studio answers {status}; give --api-key, a user's access token")
            if status != 200:
                raise ValueError(f"the server answers {status}")
            return body
        raise ValueError("too many redirects")

    def _authorization(self, deadline: float) -> str:
        """The header of a legacy token, or of the short-lived one that a personal token (a JWT) gives."""
        key = self.api_key or ""
        if key.count(".") != 2:
            return f"Token {key}"
        body = json.dumps({"refresh": key}).encode()
        address, kind = urljoin(self.url, "api/token/refresh"), {"Content-Type": "application/json"}
        status, _, answer = self._request("POST", address, kind, deadline, body)
        if status != 200:
            raise ValueError(f"Label Studio refuses the --api-key ({status}); make another one in its settings")
        return f"Bearer {json.loads(answer)['access']}"

    def _request(
        self, method: str, address: str, headers: dict[str, str], deadline: float, body: bytes | None = None
    ) -> tuple[int, str | None, bytes]:
        """(status, where it redirects to, body) of one request to an address that may be connected to."""
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("not http, https or data; presign cloud storage in Label Studio, or give --root")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname, parts.port, timeout=max(deadline - time.monotonic(), 0.1))
        is_ours = (parts.hostname, parts.port) == (urlsplit(self.url).hostname, urlsplit(self.url).port)
        try:
            connection.connect()
            peer = ipaddress.ip_address(connection.sock.getpeername()[0].partition("%")[0])
            peer = getattr(peer, "ipv4_mapped", None) or peer
            if not (peer.is_global or is_ours or parts.hostname.lower() in self.hosts):
                raise ValueError(
                    f"{parts.hostname} is {peer}, in the local network; --allow-host {parts.hostname} allows it"
                )
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request(method, quote(path, safe="%/?:@!$&'()*+,;=[]~"), body, headers)
            answer = connection.getresponse()
            found = bytearray()
            while chunk := answer.read1(1 << 16):
                found += chunk
                if len(found) > MOST_BYTES:
                    raise ValueError(f"more than {MOST_BYTES:,} bytes")
                if time.monotonic() > deadline:
                    raise TimeoutError(f"not there after {SECONDS:.0f} seconds")
            return answer.status, answer.getheader("Location"), bytes(found)
        finally:
            connection.close()


def read_bytes(content: bytes, name: str) -> UInt8:
    """H x W x 3 uint8 RGB of an image file in memory; `name` stands for it in errors."""
    return decode(BytesIO(content), ImageFile(name, name), max_pixels=MAX_PIXELS)
