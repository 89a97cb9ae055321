"""A machine learning backend for Label Studio: clicks, boxes and strokes in, brush masks out.

Speaks the HTTP contract of `label_studio/ml/api_connector.py`: GET /health and /versions, POST /setup, /predict and
/webhook. Coordinates of prompts are percent of the image.
"""

import base64
import json
import secrets
import uuid
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from clickgrain import __version__
from clickgrain.annotate.security import whole_body
from clickgrain.cut import depth_in
from clickgrain.errors import ClickgrainError, DataError, ImageError, PromptError
from clickgrain.export import brush_rle
from clickgrain.files import hash_bytes
from clickgrain.images.reader import MAX_PIXELS
from clickgrain.integrations.fetch import Fetcher
from clickgrain.integrations.image_cache import ImageCache
from clickgrain.integrations.prompts import clipped, onto_image
from clickgrain.types import Bool, Scribble, Size

BODY_BYTES = 150_000_000  # of a request: a data: URI of an image and brush strokes fit in
BODY_SECONDS = 30.0
STROKE_POINTS = 24  # most points that stand for one brush stroke
LEVEL = "level"  # name of a control, or of an attribute of one, that tells the level
LABELED = ("keypointlabels", "rectanglelabels", "brushlabels", "labels")  # types of results that carry a label


@dataclass(frozen=True)
class Config:
    """What a labeling config says."""

    image_key: str  # of the task's data that holds the image
    image: str  # name of the tag that shows it
    brush: str  # name of the BrushLabels that takes the masks
    labels: tuple[str, ...]  # what it offers
    # by the name of a control, or control and label, that has the attribute `level`
    levels: Mapping[tuple[str, str | None], float]

    @classmethod
    def parse(cls, text: str) -> "Config":
        """The config of a project; DataError if it is no XML, or has no image or no BrushLabels."""
        if "<!" in text.replace("<!--", ""):  # entities can make a small text huge
            raise DataError("the labeling config holds a document type; remove what begins with <!")
        try:
            tags = list(ElementTree.fromstring(text).iter())
        except ElementTree.ParseError as error:
            raise DataError(f"the labeling config is no XML ({error}); save it again in the settings") from None
        images = {tag.get("name", ""): tag.get("value", "") for tag in tags if tag.tag.lower() == "image"}
        brushes = (tag for tag in tags if tag.tag.lower() == "brushlabels" and tag.get("toName") in images)
        if (brush := next(brushes, None)) is None:
            raise DataError(
                'the labeling config needs an <Image name="image" value="$image"/> and a'
                ' <BrushLabels name="mask" toName="image"> for the masks; add them in the project\'s settings'
            )
        levels: dict[tuple[str, str | None], float] = {}
        for tag in tags:
            for part in (tag, *tag):
                if (told := part.get(LEVEL)) is not None and tag.get("toName"):
                    levels[tag.get("name", ""), None if part is tag else part.get("value")] = _level(told)
        labels = tuple(label.get("value", "") for label in brush if label.tag.lower() == "label")
        name = brush.get("toName", "")
        return cls(images[name].removeprefix("$"), name, brush.get("name", ""), labels, levels)


class Backend:
    """Answers Label Studio's requests, whatever carries them."""

    def __init__(
        self,
        images: ImageCache,
        fetcher: Fetcher,
        *,
        level: float | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.images, self.fetcher, self.level, self.say = images, fetcher, level, say
        self.version = f"clickgrain {__version__} {images.segmenter.name}"

    def setup(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The version; what is wrong with the labeling config is told to the operator, who may still change it."""
        if self.fetcher.api_key is None and isinstance(token := request.get("access_token"), str):
            self.fetcher.api_key = token or None
        try:
            Config.parse(str(request.get("schema") or ""))
        except DataError as error:
            self.say(f"project {request.get('project')}: {error}")
        return {"model_version": self.version}

    def predict(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """A mask per task for the prompts, none without prompts; ClickgrainError for what cannot be used."""
        tasks, context = request.get("tasks"), (request.get("params") or {}).get("context") or {}
        if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
            raise DataError("the request has no list of tasks; is this Label Studio?")
        if not (prompts := context.get("result") or []):  # a list of no predictions, so that no empty one is kept
            return {"results": [[] for _ in tasks]}
        config = Config.parse(str(request.get("label_config") or ""))
        return {"results": [self._answer(task, prompts, config) for task in tasks]}

    def _answer(self, task: Mapping[str, Any], prompts: list[Any], config: Config) -> dict[str, Any]:
        source = (task.get("data") or {}).get(config.image_key)
        if not isinstance(source, str) or not source:
            raise DataError(f"the task's data has no {config.image_key!r}, which the <Image> of the config shows")
        label = _label_of(prompts, config)
        key = source if len(source) < 4096 else hash_bytes(source.encode())  # a data: URI is as large as its image
        encoded = self.images.get(key, lambda: self.fetcher.read(source))
        height, width = encoded.size
        points, labels, box, strokes, level = [], [], None, [], self.level
        for item in prompts:
            kind, value = str(item.get("type", "")).lower(), item.get("value") or {}
            sign = int(bool(item.get("is_positive", True)))
            if (shown := item.get("to_name", config.image)) != config.image:
                raise DataError(
                    f"a prompt is on {shown!r}, but <BrushLabels name={config.brush!r}> is on {config.image!r}"
                )
            if kind.startswith("keypoint"):
                points.append((float(value["x"]) * width / 100, float(value["y"]) * height / 100))
                labels.append(sign)
            elif kind.startswith("rectangle"):
                x, y, across, down = (float(value[key]) for key in ("x", "y", "width", "height"))
                corners = np.array([[x, y], [x + across, y + down]]) * (width / 100, height / 100)
                box = clipped(corners, encoded.size)  # of several the last one
            elif kind.startswith("brush"):
                rows, columns = int(item["original_height"]), int(item["original_width"])
                if min(rows, columns) < 1 or rows * columns > MAX_PIXELS:
                    raise DataError(f"a brush's image has {columns} x {rows} pixels; draw the stroke again")
                stroke = brush_rle.decode(value.get("rle") or [], (rows, columns))
                strokes += [Scribble(point, sign) for point in _stroke(stroke, encoded.size)]
            control = item.get("from_name")
            named = next(iter(value[kind]), None) if isinstance(value.get(kind), list) else None
            told = config.levels.get((control, named), config.levels.get((control, None)))
            if control == LEVEL:  # a control of each region, a number or a choice
                told = _level(value.get("number", next(iter(value.get("choices") or []), None)))
            level = level if told is None else told
        if not (points or strokes or box is not None):
            return {"result": [], "score": 0.0, "model_version": self.version}
        clicks = onto_image(points, encoded.size)
        mask = self.images.segmenter.predict(clicks, labels, box, strokes, level, encoded=encoded)
        shown = {"from_name": config.brush, "to_name": config.image, "type": "brushlabels"}
        shown |= {"original_width": width, "original_height": height, "image_rotation": 0, "readonly": False}
        value = {"format": "rle", "rle": brush_rle.encode(mask.binary), "brushlabels": [label]}
        result = {"id": uuid.uuid4().hex[:10], **shown, "value": value, "score": mask.score}
        found = [result] if mask.binary.any() else []
        return {"result": found, "score": mask.score, "model_version": self.version}


def make_app(backend: Backend, password: str | None = None) -> FastAPI:
    """The web application; `password` is asked of every request (HTTP basic authentication, any user name)."""
    app = FastAPI(title="clickgrain for Label Studio", docs_url=None, redoc_url=None, openapi_url=None)

    @app.middleware("http")
    async def guard(request: Request, call: Callable[[Request], Any]) -> Response:
        if "origin" in request.headers:  # sent by pages alone; Label Studio's server asks, never a page
            return _error(403, "requests of web pages are not answered")
        word, _, coded = request.headers.get("authorization", "").partition(" ")
        try:
            given = base64.b64decode(coded).partition(b":")[2] if word.lower() == "basic" else b""
        except ValueError:
            given = b""
        if password is not None and not secrets.compare_digest(given, password.encode()):
            return _error(401, "this backend asks for a password; enter it as basic authentication in Label Studio")
        return await call(request)

    async def answered(request: Request, act: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Response:
        try:
            body = await whole_body(request.receive, BODY_BYTES, BODY_SECONDS)
            content = json.loads(body or b"null")
        except (ValueError, RecursionError) as error:
            return _error(400, f"the request is no JSON, or too large ({error})")
        except TimeoutError:
            return _error(408, "the request did not arrive in time; try again")
        if not isinstance(content, dict):
            return _error(400, "the request is no JSON object; is this Label Studio?")
        try:
            return JSONResponse(await run_in_threadpool(act, content))
        except ClickgrainError as error:
            status, message = (422 if isinstance(error, DataError | PromptError | ImageError) else 500), str(error)
        except (AttributeError, TypeError, ValueError, KeyError, OverflowError) as error:  # fields of another type
            status, message = 422, f"the request is not as Label Studio writes it ({error})"
        except Exception as error:
            status, message = 500, f"this should not happen: {error!r}"
        backend.say(message)
        return _error(status, message)

    @app.get("/")
    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "UP", "model_class": "clickgrain", "model_version": backend.version}

    @app.get("/versions")
    def versions() -> dict[str, list[str]]:
        return {"versions": [backend.version]}

    app.add_route("/setup", partial(answered, act=backend.setup), ["POST"])
    app.add_route("/predict", partial(answered, act=backend.predict), ["POST"])

    @app.post("/webhook")
    def webhook() -> dict[str, str]:
        return {"status": "ignored", "message": "clickgrain learns from images alone: clickgrain learn"}

    return app


def _error(status: int, message: str) -> Response:
    return JSONResponse({"error": message, "detail": message}, status)


def _label_of(prompts: list[Any], config: Config) -> str:
    """The label that the prompts were made with; the only one of the config where they have none."""
    for item in reversed(prompts):
        kind = str(item.get("type", "")).lower()
        given = (item.get("value") or {}).get(kind)
        if kind in LABELED and isinstance(given, list) and given:
            if given[0] in config.labels:
                return str(given[0])
            raise DataError(
                f"label {given[0]!r} is not among those of <BrushLabels name={config.brush!r}>"
                f" ({', '.join(config.labels)}); give all controls the same labels"
            )
    if not config.labels:
        raise DataError(f"<BrushLabels name={config.brush!r}> offers no label; add one to the labeling config")
    return config.labels[0]


def _level(value: Any) -> float:
    try:
        level = float(value)
    except (TypeError, ValueError):
        level = -1.0
    if not 0 <= level <= 1:
        raise DataError(f"the level {value!r} is no number in 0..1; 0 is the finest part, 1 the whole image")
    return level


def _stroke(mask: Bool, size: Size) -> list[Any]:
    """1 x 2 (x, y) pixels of an image of `size`: middles of the largest disks in a stroke, each apart."""
    distance = depth_in(mask)
    thick = float(distance.max())
    found: list[Any] = []
    while len(found) < STROKE_POINTS and distance.max() > thick / 2:
        y, x = (int(i) for i in np.unravel_index(int(distance.argmax()), mask.shape))
        found.append([[(x + 0.5) * size[1] / mask.shape[1] - 0.5, (y + 0.5) * size[0] / mask.shape[0] - 0.5]])
        cv2.circle(distance, (x, y), max(round(2 * thick), 2), 0.0, -1)
    return [np.clip(point, 0, None) for point in found]
