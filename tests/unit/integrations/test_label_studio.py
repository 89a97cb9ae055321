"""The backend for Label Studio: its requests as it writes them, answers as it reads them."""

import base64

import numpy as np
import pytest
from fastapi.testclient import TestClient

from clickgrain.export import brush_rle
from clickgrain.integrations import label_studio
from clickgrain.integrations.fetch import Fetcher
from clickgrain.integrations.image_cache import ImageCache
from clickgrain.integrations.label_studio import Backend, Config, make_app

CONFIG = """
<View>
  <Image name="image" value="$photo"/>
  <BrushLabels name="mask" toName="image" smart="true"><Label value="cat"/><Label value="dog"/></BrushLabels>
  <KeyPointLabels name="point" toName="image" smart="true"><Label value="cat"/><Label value="dog"/></KeyPointLabels>
  <KeyPointLabels name="part" toName="image" smart="true" level="0.05"><Label value="cat"/></KeyPointLabels>
  <KeyPointLabels name="any" toName="image" smart="true">
    <Label value="cat" level="0.05"/><Label value="dog" level="0.95"/>
  </KeyPointLabels>
  <RectangleLabels name="box" toName="image" smart="true">
    <Label value="cat"/><Label value="bird"/>
  </RectangleLabels>
  <Number name="level" toName="image" perRegion="true"/>
</View>
"""


def region(kind, label="cat", name=None, **value):
    """One region as Label Studio's page serializes it."""
    names = {"keypointlabels": "point", "rectanglelabels": "box", "brushlabels": "mask"}
    positive = value.pop("is_positive", None)
    item = {
        "original_width": 200,
        "original_height": 120,
        "image_rotation": 0,
        "value": {**value, kind: [label]},
        "id": "abc",
        "from_name": name or names[kind],
        "to_name": "image",
        "type": kind,
        "origin": "manual",
    }
    return item if positive is None else {**item, "is_positive": positive}


def click(x, y, **more):
    return region("keypointlabels", x=100 * x / 200, y=100 * y / 120, width=0.4, **more)


def mask_of(answer):
    """(mask, label) of the only result."""
    (task,) = answer["results"]
    (result,) = task["result"]
    assert {key: result[key] for key in ("type", "from_name", "to_name", "original_width", "original_height")} == {
        "type": "brushlabels",
        "from_name": "mask",
        "to_name": "image",
        "original_width": 200,
        "original_height": 120,
    }
    assert result["value"]["format"] == "rle"
    assert 0 <= result["score"] <= 1
    return brush_rle.decode(result["value"]["rle"], (120, 200)), result["value"]["brushlabels"][0]


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.fixture
def said():
    return []


@pytest.fixture
def backend(segmenter, said):
    return Backend(ImageCache(segmenter), Fetcher("http://127.0.0.1:1"), say=said.append)


@pytest.fixture
def client(backend):
    with TestClient(make_app(backend), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def ask(client, data_uri):
    def post(*items, config=CONFIG, data=None, **params):
        tasks = [{"id": 1, "data": data or {"photo": data_uri}, "annotations": [], "drafts": []}]
        context = {"context": {"result": list(items)}, **params}
        return client.post(
            "/predict", json={"tasks": tasks, "project": "1.1", "label_config": config, "params": context}
        )

    return post


def test_it_is_healthy_and_says_its_version(client):
    for path in ("/", "/health"):
        assert client.get(path).json()["status"] == "UP"
    (version,) = client.get("/versions").json()["versions"]
    setup = client.post(
        "/setup", json={"project": "1.1", "schema": CONFIG, "access_token": "k", "extra_params": None}
    )
    assert setup.json() == {"model_version": version}
    assert client.post("/webhook", json={"action": "START_TRAINING"}).json()["status"] == "ignored"


def test_a_click_gives_a_brush_mask_with_its_label(ask, disk):
    mask, label = mask_of(ask(click(60, 60, label="dog")).json())
    assert iou(mask, disk) > 0.9
    assert label == "dog"


def test_negative_clicks_boxes_and_strokes_count(ask, disk, image):
    both, _ = mask_of(ask(click(60, 60), click(155, 60)).json())
    one, _ = mask_of(ask(click(60, 60), click(155, 60), click(150, 50, is_positive=0)).json())
    assert both[60, 155]
    assert not one[50, 150]
    box = region("rectanglelabels", x=100 * 26 / 200, y=100 * 26 / 120, width=34, height=100 * 68 / 120)
    assert iou(mask_of(ask(box).json())[0], disk) > 0.9
    stroke = np.zeros((120, 200), bool)
    stroke[55:65, 45:75] = True
    brush = region("brushlabels", format="rle", rle=brush_rle.encode(stroke))
    assert iou(mask_of(ask(brush).json())[0], disk) > 0.8
    off = np.zeros((120, 200), bool)
    off[45:70, 140:170] = True
    eraser = region("brushlabels", format="rle", rle=brush_rle.encode(off), is_positive=False)
    rest, _ = mask_of(ask(click(60, 60), click(155, 60), eraser).json())
    assert rest[off].mean() < both[off].mean()


def test_a_stroke_on_a_smaller_image_lands_on_the_same_place(backend):
    stroke = np.zeros((60, 100), bool)
    stroke[30:34, 20:60] = True
    points = np.concatenate(label_studio._stroke(stroke, (120, 200)))
    assert len(points) > 3
    assert (abs(points[:, 1] - 63.5) < 2).all()
    assert points[:, 0].min() < 50
    assert points[:, 0].max() > 105


@pytest.mark.parametrize(
    ("fine", "coarse"),
    [
        ([click(60, 60, name="part")], [click(60, 60)]),
        ([click(60, 60, name="any")], [click(60, 60, name="any", label="dog")]),
        (
            [click(60, 60), {"from_name": "level", "type": "number", "value": {"number": 0.05}}],
            [click(60, 60), {"from_name": "level", "type": "choices", "value": {"choices": ["0.95"]}}],
        ),
    ],
)
def test_a_labelled_control_tells_the_level(ask, fine, coarse):
    assert mask_of(ask(*fine).json())[0].sum() < mask_of(ask(*coarse).json())[0].sum() / 2


def test_the_image_is_encoded_once(ask, segmenter, monkeypatch):
    count, encode = [], segmenter.encode
    monkeypatch.setattr(segmenter, "encode", lambda image: count.append(1) or encode(image))
    for x in (60, 155):
        assert ask(click(x, 60)).status_code == 200
    assert len(count) == 1


def test_a_click_on_the_last_edge_and_a_box_across_it_are_taken(ask):
    assert ask(click(200, 120)).status_code == 200
    assert ask(region("rectanglelabels", x=-3, y=10, width=200, height=40)).status_code == 200


def test_without_prompts_there_is_no_mask_and_no_image_is_fetched(client):
    tasks = [{"id": i, "data": {"photo": "http://127.0.0.1:1/a.png"}} for i in (1, 2)]
    for params in ({}, {"context": None}, {"context": {"result": []}}):
        answer = client.post("/predict", json={"tasks": tasks, "label_config": CONFIG, "params": params}).json()
        assert answer["results"] == [[], []]


@pytest.mark.parametrize(
    ("items", "more", "status", "words"),
    [
        ([region("rectanglelabels", "bird", x=1, y=1, width=9, height=9)], {}, 422, "label 'bird' is not among"),
        ([click(60, 60)], {"data": {"photo": "http://127.0.0.1:1/a.png"}}, 422, "cannot be fetched"),
        ([click(60, 60)], {"data": {"other": "x"}}, 422, "no 'photo'"),
        ([click(60, 60)], {"data": {"photo": "data:image/png;base64,QUJD"}}, 422, "not an image"),
        ([click(60, 60)], {"config": "<View"}, 422, "no XML"),
        ([click(60, 60)], {"config": "<View><Image name='i' value='$i'/></View>"}, 422, "needs an <Image"),
        ([click(60, 60)], {"config": '<!DOCTYPE x [<!ENTITY a "b">]><View/>'}, 422, "document type"),
        ([click(60, 60)], {"config": CONFIG.replace("0.05", "5")}, 422, "level '5'"),
        ([click(900, 60)], {}, 422, "outside the image"),
        ([region("keypointlabels", x=10**400, y=1)], {}, 422, "too large"),
        ([{**click(60, 60), "to_name": "other"}], {}, 422, "a prompt is on 'other'"),
        ([region("keypointlabels", x=None, y=1)], {}, 422, "not as Label Studio writes it"),
        ([region("keypointlabels", y=1)], {}, 422, "not as Label Studio writes it"),
        ([3], {}, 422, "not as Label Studio writes it"),
        ([region("rectanglelabels", x=10, y=10, width=0, height=5)], {}, 422, "empty or outside"),
        ([region("brushlabels", format="rle", rle=[1, 2])], {}, 422, "truncated"),
        ([{**region("brushlabels", rle=[1]), "original_width": 10**9}], {}, 422, "1000000000 x 120"),
    ],
)
def test_errors_come_in_the_protocols_form(ask, said, items, more, status, words):
    answer = ask(*items, **more)
    assert answer.status_code == status
    assert words in answer.json()["error"]
    assert "Traceback" not in answer.text
    assert said == [answer.json()["error"]]


def test_a_huge_image_is_refused_before_it_is_decoded(ask):
    head = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (60_000).to_bytes(4) * 2 + b"\x08\x02\x00\x00\x00"
    import zlib

    head += zlib.crc32(head[12:]).to_bytes(4) + b"\x00\x00\x00\x00IDAT" + zlib.crc32(b"IDAT").to_bytes(4)
    answer = ask(click(60, 60), data={"photo": "data:image/png;base64," + base64.b64encode(head).decode()})
    assert answer.status_code == 422
    assert "megapixels are over the limit" in answer.json()["error"]


@pytest.mark.parametrize("body", [b"", b"no", b"[]", b"3", b'{"tasks": 3}', b'{"tasks": [3]}', b"[" * 100_000])
def test_what_is_no_request_is_refused(client, body):
    answer = client.post("/predict", content=body)
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]


def test_a_body_over_the_limit_is_refused(client, monkeypatch):
    monkeypatch.setattr(label_studio, "BODY_BYTES", 100)
    assert client.post("/predict", content=b'{"tasks": "%s"}' % (b"x" * 200)).status_code == 400


def test_a_fault_of_ours_is_told_without_its_stack(ask, segmenter, monkeypatch):
    monkeypatch.setattr(segmenter, "predict", lambda *_, **__: 1 / 0)
    answer = ask(click(60, 60))
    assert answer.status_code == 500
    assert "should not happen" in answer.json()["error"]
    assert "line" not in answer.text


def test_web_pages_are_not_answered_and_a_password_is_asked_for(backend):
    with TestClient(make_app(backend, "secret")) as client:
        assert client.get("/health").status_code == 401
        assert client.get("/health", auth=("any", "wrong")).status_code == 401
        assert client.get("/health", headers={"Authorization": "Basic %%%"}).status_code == 401
        assert client.get("/health", auth=("any", "secret")).status_code == 200
        answer = client.get("/health", auth=("any", "secret"), headers={"Origin": "https://elsewhere.example"})
        assert answer.status_code == 403


def test_setup_brings_a_token_unless_one_was_given(backend, client, said):
    client.post("/setup", json={"schema": "<View/>", "access_token": "first"})
    client.post("/setup", json={"schema": CONFIG, "access_token": "second"})
    assert backend.fetcher.api_key == "first"
    (line,) = said
    assert "needs an <Image" in line


def test_of_several_images_the_one_with_brush_labels_counts():
    config = Config.parse(CONFIG.replace("<View>", '<View><Image name="first" value="$before"/>'))
    assert (config.image_key, config.image) == ("photo", "image")


def test_an_image_within_the_task_is_kept_by_its_hash(ask, backend, data_uri):
    ask(click(60, 60), data={"photo": data_uri})
    (key,) = backend.images._kept
    assert len(data_uri) > 4096 > len(key)


def test_a_config_as_label_studios_templates_write_it():
    config = Config.parse(CONFIG)
    assert (config.image_key, config.image, config.brush, config.labels) == (
        "photo",
        "image",
        "mask",
        ("cat", "dog"),
    )
    assert config.levels == {("part", None): 0.05, ("any", "cat"): 0.05, ("any", "dog"): 0.95}
