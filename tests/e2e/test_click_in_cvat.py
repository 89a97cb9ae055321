"""An annotator clicks in CVAT: `clickgrain serve cvat` runs CVAT's own agent against a stand-in of the server.

CVAT's server itself comes as a dozen containers. What the agent sends and reads is its client's, as released.
"""

import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import psutil
import pytest
from PIL import Image

pytest.importorskip("cvat_sdk", reason="cvat-sdk is not installed")
pytest.importorskip("cvat_cli", reason="cvat-cli is not installed")

from cvat_sdk.masks import decode_mask

SIZE = (120, 200)
LINK = {"url": "http://cvat.example/api/none"}
LABEL = {"attributes": [], "sublabels": [], "color": "#ffffff", "has_parent": False, "parent_id": None}
DATE = "2026-01-01T00:00:00Z"
TASK = {
    "id": 1, "name": "photos", "size": 1, "data_chunk_size": 1, "data_original_chunk_type": "imageset",
    "updated_date": DATE, "organization": None, "organization_id": None, "labels": LINK, "mode": "annotation",
    "jobs": {**LINK, "count": 1, "completed": 0, "validation": 0},
}  # fmt: skip
META = {
    "chunk_size": 1, "size": 1, "image_quality": 70, "start_frame": 0, "stop_frame": 0, "frame_filter": "",
    "frames": [{"width": 200, "height": 120, "name": "a.png", "related_files": 0}], "deleted_frames": [],
    "chunks_updated_date": DATE, "included_frames": None,
}  # fmt: skip


class Server(BaseHTTPRequestHandler):
    """As much of CVAT's API as its agent asks for: one function, one task of one image, requests one by one."""

    photo, requests, results, function = b"", [], [], {}

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        given = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
        if path == "/api/functions":
            labels = [{**LABEL, **label} for label in given.get("labels_v2", [])]
            self.function |= {"startswith_box": False, **given, "id": 17, "labels_v2": labels}
        if path.endswith(("/complete", "/fail")):
            self.results.append(given)
        answers = {
            "/api/server/about": {
                "name": "",
                "description": "",
                "version": "2.80.0",
                "logo_url": "",
                "subtitle": "",
            },
            "/api/functions": self.function,
            "/api/functions/17": self.function,
            "/api/tasks/1": TASK,
            "/api/tasks/1/data/meta": META,
            "/api/labels": {
                "count": 1,
                "next": None,
                "previous": None,
                "results": [{**LABEL, "id": 5, "name": "cell", "type": "mask"}],
            },
        }
        answer = answers.get(path, {})
        if path.endswith("/acquire"):
            params = self.requests.pop(0) if self.requests else None
            answer = {"ar_assignment": params and {"ar_id": "a", "ar_params": {"task": 1, "frame": 0, **params}}}
        is_photo = path == "/api/tasks/1/data/"
        content = self.photo if is_photo else json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "image/png" if is_photo else "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_):
        pass


@pytest.fixture
def disk(tmp_path):
    """A red disk on gray, in a file; where it is."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    disk = np.hypot(x - 60, y - 60) < 32
    image = np.full((*SIZE, 3), 128, np.uint8)
    image[disk] = (210, 40, 40)
    Image.fromarray(image).save(tmp_path / "photo.png")
    return disk


@pytest.fixture
def ask(tmp_path, disk):
    """What the agent of `clickgrain serve cvat FLAGS` sent back for requests, and its log."""

    def run(requests, *flags):
        count, results = len(requests), []
        said = {"photo": (tmp_path / "photo.png").read_bytes(), "requests": list(requests), "results": results}
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Server,), {**said, "function": {}}))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = [sys.executable, "-m", "clickgrain", "serve", "cvat", *flags]
        command += ["--url", f"http://127.0.0.1:{server.server_port}"]
        log = tmp_path / "log"
        with log.open("wb") as file:
            environment = {**os.environ, "CVAT_ACCESS_TOKEN": "token"}
            agent = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
        try:
            deadline = time.monotonic() + 300
            while len(results) < count and agent.poll() is None and time.monotonic() < deadline:
                time.sleep(0.1)
        finally:
            started = psutil.Process(agent.pid).children(recursive=True)
            agent.terminate()
            agent.wait(60)
            server.shutdown()
            server.server_close()
        assert len(results) == count, Path(log).read_text()[-3000:]
        assert started
        assert not psutil.wait_procs(started, timeout=30)[1]  # cvat-cli and its worker end with the command
        return results, log.read_text()

    return run


def test_clicks_in_cvat(ask, disk):
    click = {"type": "interact", "pos_points": [[60, 60]], "neg_points": [], "obj_bbox": []}
    outside = {**click, "pos_points": [[900, 60]]}
    (first, box, none), log = ask(
        [click, {**click, "pos_points": [], "obj_bbox": [[26, 26], [400, 94]]}, outside], "--model", "tree"
    )
    (shape,) = first["shapes"]
    assert shape["type"] == "mask"
    mask = decode_mask(shape["points"], image_width=SIZE[1], image_height=SIZE[0])
    assert (mask & disk).sum() / (mask | disk).sum() > 0.9
    assert len(box["shapes"]) == 1
    assert "point (900, 60) is outside the image of 200 x 120 pixels" in none["exc_info"]
    assert "function 17; next time: --function 17" in log


def test_the_whole_image_in_cvat_with_a_label_of_the_task_and_a_foreign_one(ask):
    frame = {"type": "annotate_frame", "threshold": None, "conv_mask_to_poly": False}
    (known, foreign), _ = ask(
        [{**frame, "mapping": {"region": {"name": name, "attributes": {}}}} for name in ("cell", "bird")],
        "--model", "tree", "--whole-image", "--level", "0.8",
    )  # fmt: skip
    shapes = known["annotations"]["shapes"]
    assert {(shape["label_id"], shape["frame"], shape["type"]) for shape in shapes} == {(5, 0, "mask")}
    masks = [decode_mask(one["points"], image_width=SIZE[1], image_height=SIZE[0]) for one in shapes]
    assert (sum(mask.astype(int) for mask in masks) == 1).all()
    assert len(masks) > 1
    assert "label 'region' is not in dataset" in foreign["exc_info"]
