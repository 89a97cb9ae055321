"""The Nuclio function for CVAT, with the context and events that Nuclio hands it: its own where `nuclio-sdk` is."""

import base64
import importlib.util
import json
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

FOLDER = Path(__file__).parents[3] / "integrations" / "cvat-nuclio"


class StandIn:
    """As much of Nuclio's context as the function uses."""

    def __init__(self, logger):
        self.user_data, self.logger = SimpleNamespace(), logger

    def Response(self, body=None, headers=None, content_type="text/plain", status_code=200):  # noqa: N802
        return SimpleNamespace(body=body, headers=headers, content_type=content_type, status_code=status_code)


try:
    from nuclio_sdk import Context
except ImportError:
    Context = StandIn


def made():
    """A context whose logger writes into `said`."""
    said = []
    context = Context(logger=SimpleNamespace(info=said.append, error=said.append))
    context.said = said
    return context


@pytest.fixture(scope="module")
def function():
    spec = importlib.util.spec_from_file_location("nuclio_main", FOLDER / "main.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def ask(function, content):
    context = made()
    function.init_context(context)

    def call(body=None, **changes):
        request = {"image": base64.b64encode(content).decode(), "pos_points": [[60, 60]], "neg_points": []}
        event = SimpleNamespace(body={**request, "obj_bbox": None, **changes} if body is None else body)
        answer = function.handler(context, event)
        assert answer.content_type == "application/json"
        return answer.status_code, json.loads(answer.body)

    call.context = context
    return call


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def test_a_click_gives_rows_of_zeros_and_ones(ask, disk):
    status, answer = ask()
    assert status == 200
    mask = np.array(answer["mask"])
    assert mask.shape == (120, 200)
    assert set(np.unique(mask)) == {0, 1}
    assert iou(mask.astype(bool), disk) > 0.9


def test_boxes_negative_clicks_and_bodies_as_text_count(ask, disk, content):
    status, answer = ask(pos_points=[], obj_bbox=[[26, 26], [94, 94]])
    assert status == 200
    assert iou(np.array(answer["mask"]).astype(bool), disk) > 0.9
    mask = np.array(ask(pos_points=[[60, 60], [155, 60]], neg_points=[[150, 50]])[1]["mask"])
    assert mask[60, 60] == 1
    assert mask[50, 150] == 0
    body = json.dumps({"image": base64.b64encode(content).decode(), "pos_points": [[60, 60]], "neg_points": []})
    assert ask(body.encode())[0] == 200


def test_prompts_across_the_edge_and_an_empty_box_are_taken(ask, disk):
    """CVAT's page rounds before it looks whether a click is on the image, and draws boxes anywhere."""
    assert ask(pos_points=[[-0.4, 60]], obj_bbox=[])[0] == 200
    status, answer = ask(pos_points=[], obj_bbox=[[-9, -9.5], [300, 200]])
    assert status == 200
    assert np.array(answer["mask"]).any()


def test_an_image_that_is_sent_again_is_not_encoded_again(ask, monkeypatch):
    images = ask.context.user_data.images
    count, encode = [], images.segmenter.encode
    monkeypatch.setattr(images.segmenter, "encode", lambda image: count.append(1) or encode(image))
    ask()
    ask(pos_points=[[155, 60]])
    assert len(count) == 1


def test_model_and_level_come_from_the_environment(function, monkeypatch):
    monkeypatch.setenv("CLICKGRAIN_MODEL", "tree")
    monkeypatch.setenv("CLICKGRAIN_LEVEL", "0.3")
    context = made()
    function.init_context(context)
    assert context.user_data.level == 0.3
    assert context.user_data.images.segmenter.name == "tree"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pos_points": []}, "empty"),
        ({"pos_points": [[900, 1]]}, "outside the image"),
        ({"pos_points": 3}, "int"),
        ({"obj_bbox": [[1, 1]]}, "not four numbers"),
        ({"image": "%%%"}, "base64"),
        ({"image": base64.b64encode(b"hello there").decode()}, "the image: not an image"),
        ({"body": b"{}"}, "lacks 'image'"),
        ({"body": b"no"}, "Expecting value"),
        ({"body": b"3"}, "subscriptable"),
        ({"body": b'{"image": ' + b"[" * 100_000}, "recursion"),
        ({"pos_points": [[float("nan"), 1]]}, "outside the image"),
        ({"pos_points": [[10**400, 1]]}, "too large"),
        ({"neg_points": "no"}, "sequence"),
    ],
)
def test_errors_are_answers_without_a_stack(ask, changes, words):
    status, answer = ask(**changes)
    assert status == 400
    assert words in answer["error"]
    assert ask.context.said[-1] == answer["error"]


def test_a_huge_image_is_refused_before_it_is_decoded(ask):
    size = b"IHDR" + (60_000).to_bytes(4) * 2 + b"\x08\x02\x00\x00\x00"
    head = b"\x89PNG\r\n\x1a\n\x00\x00\x00\r" + size + zlib.crc32(size).to_bytes(4)
    head += b"\x00\x00\x00\x00IDAT" + zlib.crc32(b"IDAT").to_bytes(4)
    status, answer = ask(image=base64.b64encode(head).decode())
    assert status == 400
    assert "megapixels are over the limit" in answer["error"]


def test_a_fault_of_ours_is_told(ask, monkeypatch):
    monkeypatch.setattr(ask.context.user_data.images.segmenter, "predict", lambda *_, **__: 1 / 0)
    status, answer = ask()
    assert status == 500
    assert "should not happen" in answer["error"]


def test_the_description_is_what_cvat_reads():
    """Keys of CVAT's lambda manager, which converts them by int() and bool(): only the empty text is false."""
    described = yaml.safe_load((FOLDER / "function.yaml").read_text())
    notes, spec = described["metadata"]["annotations"], described["spec"]
    assert notes["type"] == "interactor"
    assert (int(notes["version"]), int(notes["min_pos_points"]), int(notes["min_neg_points"])) == (2, 0, 0)
    assert notes["startswith_box_optional"] == "true"
    assert "startswith_box" not in notes
    module, _, name = spec["handler"].partition(":")
    assert f"def {name}(context, event)" in (FOLDER / f"{module}.py").read_text()
    (trigger,) = spec["triggers"].values()
    assert (trigger["kind"], trigger["attributes"]["maxRequestBodySize"]) == ("http", 33554432)
