"""A drawn image, tree mode, and a server of files on this machine."""

import base64
import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from clickgrain.segmenter import Segmenter


def drawn(size=(120, 200)):
    """A red disk and a green box on grey; (image, where the disk is)."""
    y, x = np.mgrid[: size[0], : size[1]]
    disk = np.hypot(x - 60, y - 60) < 32
    image = np.full((*size, 3), 128.0)
    image[disk] = (210, 40, 40)
    image[30:90, 130:180] = (40, 190, 60)
    image += np.random.default_rng(0).normal(0, 3, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), disk


def png(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def image():
    return drawn()[0]


@pytest.fixture(scope="session")
def disk():
    return drawn()[1]


@pytest.fixture(scope="session")
def content(image):
    return png(image)


@pytest.fixture(scope="session")
def data_uri(content):
    return "data:image/png;base64," + base64.b64encode(content).decode()


@pytest.fixture(scope="session")
def segmenter():
    return Segmenter.load("default")


@pytest.fixture
def server():
    """Starts a server of `answers`: path -> (status, headers, body); its address and what was asked of it."""
    running = []

    def start(answers):
        asked = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                asked.append((self.path, dict(self.headers), body))
                status, headers, answer = answers.get(self.path, (404, {}, b""))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_):
                pass

        found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=found.serve_forever, daemon=True).start()
        running.append(found)
        return f"http://127.0.0.1:{found.server_port}", asked

    yield start
    for one in running:
        one.shutdown()
        one.server_close()
