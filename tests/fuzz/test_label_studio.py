"""Whatever Label Studio, or whoever stands for it, sends to the backend, it is answered, never with 500."""

import base64
import json

import cv2
import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import strategies as st

from clickgrain.errors import DataError
from clickgrain.export import brush_rle
from clickgrain.integrations.fetch import Fetcher
from clickgrain.integrations.image_cache import ImageCache
from clickgrain.integrations.label_studio import Backend, make_app
from clickgrain.segmenter import Segmenter
from tests.fuzz.hostile import assert_named, changed_bytes, changed_json
from tests.fuzz.test_images import FILES as IMAGES

pytestmark = pytest.mark.timeout(0)
CONFIG = """<View><Image name="image" value="$photo"/>
<BrushLabels name="mask" toName="image"><Label value="cat"/></BrushLabels>
<KeyPointLabels name="point" toName="image" level="0.1"><Label value="cat" level="0.5"/></KeyPointLabels>
<RectangleLabels name="box" toName="image"><Label value="cat"/></RectangleLabels>
<Number name="level" toName="image" perRegion="true"/></View>"""
SIZE = (24, 32)


@pytest.fixture(scope="module")
def client():
    backend = Backend(ImageCache(Segmenter.load("tree")), Fetcher("http://127.0.0.1:1"))
    with TestClient(make_app(backend), raise_server_exceptions=False) as client:
        yield client


def photo():
    image = np.full((*SIZE, 3), 90, np.uint8)
    image[5:15, 6:20] = (30, 200, 90)
    return cv2.imencode(".png", image)[1].tobytes()


def uri(content):
    return "data:image/png;base64," + base64.b64encode(content).decode()


def region(kind, name, **value):
    about = {"original_width": 32, "original_height": 24, "from_name": name, "to_name": "image", "type": kind}
    return {**about, "is_positive": True, "value": {**value, kind: ["cat"]}}


STROKE = np.zeros(SIZE, bool)
STROKE[8:11, 8:16] = True
REGIONS = [
    region("keypointlabels", "point", x=30.0, y=40.0),
    region("rectanglelabels", "box", x=9, y=9, width=50, height=60),
    region("brushlabels", "mask", format="rle", rle=brush_rle.encode(STROKE)),
    {"from_name": "level", "to_name": "image", "type": "number", "value": {"number": 0.3}},
]  # fmt: skip
ASKED = {
    "tasks": [{"id": 1, "data": {"photo": uri(photo())}}], "label_config": CONFIG, "project": "1.1",
    "params": {"context": {"result": REGIONS}},
}  # fmt: skip


def check(answer):
    assert answer.status_code in (200, 400, 401, 403, 422), answer.text
    assert answer.json() is not None


def post(client, path, value):
    content = value if isinstance(value, bytes) else json.dumps(value).encode("utf-8", "surrogatepass")
    check(client.post(path, content=content))


def test_requests(search, client):
    one = [{**ASKED, "params": {"context": {"result": [region]}}} for region in REGIONS]
    setup = [{"schema": CONFIG, "project": "1", "access_token": "x", "hostname": ""}]
    asked = st.tuples(st.just("/predict"), changed_json([ASKED, *one]))
    others = st.tuples(st.just("/setup"), changed_json(setup) | changed_bytes([json.dumps(setup[0]).encode()]))
    search(asked | asked | others, lambda drawn: post(client, *drawn))


def test_labeling_configs(search, client):
    texts = changed_bytes([CONFIG.encode()]).map(lambda content: content.decode("utf-8", "replace"))
    search(texts, lambda text: post(client, "/predict", {**ASKED, "label_config": text}))


def test_images_in_tasks(search, client):
    def check(content):
        post(client, "/predict", {**ASKED, "tasks": [{"data": {"photo": uri(content)}}]})

    search(changed_bytes([photo(), *IMAGES["jpeg"], *IMAGES["gif"]]), check)


def test_brush_strokes(search):
    def check(drawn):
        counts, size = drawn
        assert_named("", lambda: brush_rle.decode(counts, size).any(), DataError)

    good = brush_rle.encode(STROKE)
    numbers = changed_bytes([bytes(good)]).map(list) | st.lists(st.integers(-2, 300) | st.integers(), max_size=40)
    search(st.tuples(numbers, st.sampled_from([SIZE, (1, 1), (24, 31)])), check)
