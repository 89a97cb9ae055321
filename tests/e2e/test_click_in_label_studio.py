"""An annotator clicks in Label Studio and gets a brush mask: a real server, its own SDK, our backend.

Runs where `label-studio` is on the PATH, or CLICKGRAIN_LABEL_STUDIO names it, in an environment that has its SDK;
`make real-tools` makes one. It is a gigabyte and holds OpenCV back, so never in ours.
"""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clickgrain.export import brush_rle
from clickgrain.export.formats import export_files, read_any
from clickgrain.export.records import ImageRecord, LabelRecord, ObjectRecord

SERVER = os.environ.get("CLICKGRAIN_LABEL_STUDIO") or shutil.which("label-studio")
CONFIG = """<View>
  <Image name="image" value="$image"/>
  <BrushLabels name="mask" toName="image" smart="true"><Label value="cat"/><Label value="dog"/></BrushLabels>
  <KeyPointLabels name="point" toName="image" smart="true"><Label value="cat"/><Label value="dog"/></KeyPointLabels>
  <KeyPointLabels name="part" toName="image" smart="true" level="0.05"><Label value="cat"/></KeyPointLabels>
</View>"""
# Runs in Label Studio's environment: project, image and backend by its SDK, then what its page asks for.
SCRIPT = """
import json, sys, requests
from label_studio_sdk import LabelStudio
from label_studio_sdk.converter.brush import decode_rle
url, key, backend, photo, config, items = sys.argv[1:]
client, headers = LabelStudio(base_url=url, api_key=key), {"Authorization": "Token " + key}
project = client.projects.create(title="clicks", label_config=config)
files = {"file": ("a photo.png", open(photo, "rb"), "image/png")}
requests.post(f"{url}/api/projects/{project.id}/import", files=files, headers=headers).raise_for_status()
task = requests.get(f"{url}/api/tasks?project={project.id}", headers=headers).json()["tasks"][0]["id"]
ml = client.ml.create(url=backend, project=project.id, title="clickgrain", is_interactive=True)
print(json.dumps([ml.state, ml.model_version]))
for item in json.loads(items):
    body = {"task": task, "context": {"result": [item]}}
    answer = requests.post(f"{url}/api/ml/{ml.id}/interactive-annotating", json=body, headers=headers).json()
    rles = [one["value"]["rle"] for one in answer.get("data", {}).get("result", [])]
    print(json.dumps([answer, [int((decode_rle(rle)[3::4] > 0).sum()) for rle in rles]]))
"""
# Takes a config and tasks in; prints what Label Studio exports, the head of the photo that it serves, and what its
# decoder makes of each mask.
TAKE_IN = """
import json, sys, requests
from label_studio_sdk import LabelStudio
from label_studio_sdk.converter.brush import decode_rle
url, key, config, tasks, folder = sys.argv[1:]
client, headers = LabelStudio(base_url=url, api_key=key), {"Authorization": "Token " + key}
project = client.projects.create(title="taken in", label_config=open(config).read())
given = json.load(open(tasks))
requests.post(f"{url}/api/projects/{project.id}/import", json=given, headers=headers).raise_for_status()
storage = {"project": project.id, "path": folder, "use_blob_urls": True}
requests.post(f"{url}/api/storages/localfiles", json=storage, headers=headers).raise_for_status()
out = requests.get(f"{url}/api/projects/{project.id}/export?exportType=JSON", headers=headers)
out.raise_for_status()
photo = requests.get(url + out.json()[0]["data"]["image"], headers=headers)
photo.raise_for_status()
rles = [one["value"]["rle"] for one in out.json()[0]["annotations"][0]["result"]]
print(json.dumps([out.json(), list(photo.content[:8]), [(decode_rle(rle)[3::4] > 0).tolist() for rle in rles]]))
"""
NEEDED = pytest.mark.skipif(SERVER is None, reason="Label Studio is not installed; `make real-tools` installs it")


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def within(script, *words):
    """What a script prints in Label Studio's environment."""
    python = Path(SERVER).resolve().parent / "python"
    done = subprocess.run([str(python), "-c", script, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return map(json.loads, done.stdout.splitlines())


@pytest.fixture(scope="module")
def label_studio(tmp_path_factory):
    tmp_path = tmp_path_factory.getbasetemp()
    port, token = free_port(), secrets.token_hex(20)
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    environment |= {
        "LABEL_STUDIO_BASE_DATA_DIR": str(tmp_path / "data"),
        "LABEL_STUDIO_USE_DEFAULT_BANNED_SUBNETS": "false",
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(tmp_path),
        "COLLECT_ANALYTICS": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
    }
    flags = ["--no-browser", "--port", str(port), "--username", "a@b.example", "--password", token]
    with (tmp_path / "server.log").open("wb") as log:
        command = [SERVER, "start", *flags, "--user-token", token]
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 600
        while True:
            assert server.poll() is None, (tmp_path / "server.log").read_text()[-2000:]
            assert time.monotonic() < deadline, "Label Studio did not start"
            try:
                urllib.request.urlopen(f"http://localhost:{port}/health", timeout=5).close()
                break
            except OSError:
                time.sleep(1)
        yield f"http://localhost:{port}", token
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture
def backend(label_studio):
    command = [sys.executable, "-m", "clickgrain", "serve", "label-studio", "--port", "0", "--url", label_studio[0]]
    served = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield served.stdout.readline().strip(), served
    finally:
        served.terminate()
        served.communicate(timeout=30)


@pytest.mark.timeout(900)
@NEEDED
def test_a_click_in_label_studio(tmp_path, label_studio, backend):
    y, x = np.mgrid[:120, :200]
    disk = np.hypot(x - 60, y - 60) < 32
    image = np.full((120, 200, 3), 128, np.uint8)
    image[disk] = (210, 40, 40)
    Image.fromarray(image).save(tmp_path / "photo.png")

    def click(label, name):
        return {
            "original_width": 200,
            "original_height": 120,
            "image_rotation": 0,
            "value": {"x": 30, "y": 50, "width": 0.4, "keypointlabels": [label]},
            "id": "abc",
            "from_name": name,
            "to_name": "image",
            "type": "keypointlabels",
            "origin": "manual",
            "is_positive": True,
        }

    items = json.dumps([click("dog", "point"), click("cat", "part"), click("bird", "point")])
    words = [*label_studio, backend[0], str(tmp_path / "photo.png"), CONFIG, items]
    (state, version), whole, part, foreign = within(SCRIPT, *words)
    assert state == "CO"
    assert version.startswith("clickgrain ")
    (result,) = whole[0]["data"]["result"]
    assert result["value"]["brushlabels"] == ["dog"]
    mask = brush_rle.decode(result["value"]["rle"], (120, 200))
    assert (mask & disk).sum() / (mask | disk).sum() > 0.9
    assert whole[1] == [mask.sum()]  # Label Studio's own decoder counts the same pixels
    assert 0 < part[1][0] < mask.sum() / 2
    assert "422" in foreign[0]["errors"][0]
    backend[1].terminate()
    _, said = backend[1].communicate(timeout=30)
    assert "label 'bird' is not among" in said


@pytest.mark.timeout(900)
@NEEDED
def test_objects_go_to_label_studio_and_come_back(tmp_path, label_studio):
    y, x = np.mgrid[:30, :40]
    ring, blob = (np.hypot(x - 15, y - 14) // 4 == 2), (x > 30) & (y > 20)
    objects = [ObjectRecord(ring, "cat & <dog>"), ObjectRecord(blob)]
    record = ImageRecord("sub/a photo.png", (30, 40), lambda: objects)
    written = export_files("label-studio", [record], [LabelRecord(1, "cat & <dog>")], folder=tmp_path.name)
    for name, content in written:
        (tmp_path / name).write_bytes(content)
    (tmp_path / "sub").mkdir()
    Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(tmp_path / "sub" / "a photo.png")
    words = (str(tmp_path / "labeling-config.xml"), str(tmp_path / "tasks.json"), str(tmp_path))
    ((exported, head, decoded),) = within(TAKE_IN, *label_studio, *words)
    assert bytes(head) == b"\x89PNG\r\n\x1a\n"
    assert [np.array(one).reshape(30, 40).tolist() for one in decoded] == [ring.tolist(), blob.tolist()]
    skipped = []
    format_, (read,) = read_any(json.dumps(exported).encode(), "export.json", skipped)
    assert (format_, read.name, read.size, skipped) == (
        "label-studio",
        f"{tmp_path.name}/sub/a photo.png",
        (30, 40),
        [],
    )
    found = list(read.objects())
    assert [one.label for one in found] == ["cat & <dog>", None]
    assert all((one.mask == other.mask).all() for one, other in zip(found, objects))
