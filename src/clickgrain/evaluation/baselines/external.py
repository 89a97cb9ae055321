"""Models of others: a Python object by import path (`python:package.module:factory`), or a network in ONNX."""

from dataclasses import dataclass
from importlib import import_module
from inspect import Parameter, signature
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from clickgrain.errors import ConfigError, PromptError, WeightsError
from clickgrain.evaluation.baselines.base import Prompted
from clickgrain.models.onnx_runtime import need, session
from clickgrain.types import Float, Mask, Predictor, Prompt, Size, UInt8

PREFIX, ONNX = "python:", "onnx:"
SPACING = 20.0  # pixels between the points that stand for a scribble
POINTS, PREVIOUS = ("points", "coords"), ("prev_mask", "previous_mask", "previous")
PROBABILITIES = ("probability", "probabilities", "prob", "probs")
CONTRACT = (
    "inputs image (1x3xHxW or 1x4xHxW) and points or coords (1x2Kx3), prev_mask (1x1xHxW) if any;"
    " the first output 1x1xhxw"
)


def load_object(path: str) -> Predictor:
    """The predictor that `python:package.module:name` names.

    `name` is an object with `set_image` and `predict`, or something that makes one when called without arguments (a
    class, a function). A `predict` that takes `point_coords` is called as SAM's, see `SAMStyle`; any other is taken
    as a `Predictor`. Importing runs that module's code: name modules that you trust. Raises ConfigError: when there
    is no such module or name, it fails, or it makes something else.
    """
    made = find_object(path)[1]
    if callable(made) and (isinstance(made, type) or not hasattr(made, "predict")):
        try:
            made = made()
        except Exception as error:
            raise ConfigError(
                f"{path}: it failed when called without arguments ({type(error).__name__}: {error})"
            ) from error
    if not (callable(getattr(made, "set_image", None)) and callable(getattr(made, "predict", None))):
        raise ConfigError(f"{path}: a {type(made).__name__} has no set_image and predict; return one with both")
    return SAMStyle(made, path) if "point_coords" in parameters_of(made.predict) else made


def find_object(path: str) -> tuple[ModuleType, Any]:
    """The module of `python:package.module:name`, which is imported now, and what the name means in it.

    Raises ConfigError: for another path, or when there is no such module or name.
    """
    module, _, name = path.removeprefix(PREFIX).partition(":")
    if not module or not name:
        raise ConfigError(f"{path!r} is not an import path; give {PREFIX}package.module:factory")
    try:
        imported = import_module(module)
    except Exception as error:  # a module may raise anything
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError(f"{path}: cannot import {module!r} ({reason}); is its folder on PYTHONPATH?") from error
    found: Any = imported
    for part in name.split("."):
        if not hasattr(found, part):
            raise ConfigError(f"{path}: there is no {part!r} in {getattr(found, '__name__', found)!r}")
        found = getattr(found, part)
    return imported, found


def parameters_of(function: Any) -> dict[str, Parameter]:
    """Of a function, by name; none for what has no signature."""
    try:
        return dict(signature(function).parameters)
    except (TypeError, ValueError):  # some compiled functions have no signature
        return {}


@dataclass(frozen=True)
class LowResolution:
    """The logits that SAM takes back as `mask_input`, h x w or 1 x 1 x h x w."""

    logits: npt.NDArray[np.float32]


class SAMStyle(Prompted):
    """An object with the interface of `SamPredictor`, as a `Predictor`.

    Its `predict(point_coords, point_labels, ...)` returns (masks C x H x W, scores C, low-resolution logits
    C x h x w). `box`, `mask_input` and `multimask_output` are passed if it takes them: several masks are asked for
    after a single click only, and the one with the best score is the answer (Kirillov et al., ICCV 2023, appendix
    D); the logits of the answer are the next click's `mask_input`. A scribble is passed as points; where `box` is
    not taken, boxes are refused. `level` is ignored.

    Args:
        model: the object.
        name: in results.
    """

    def __init__(self, model: Any, name: str) -> None:
        self.name = name
        self._model = model
        self._known = set(parameters_of(model.predict))

    def _prepare(self, image: UInt8) -> None:
        self._model.set_image(image)

    def _answer(self, prompt: Prompt, size: Size, previous: "Mask | Float | None") -> Mask:
        """The best mask, the others as alternatives."""
        if prompt.box is not None and "box" not in self._known:
            raise PromptError(f"{self.name}: its predict takes no box; give clicks or scribbles")
        background, object_ = prompt.by_label(SPACING)
        coords = np.concatenate([object_, background])
        labels = np.repeat(np.array([1, 0], np.int32), [len(object_), len(background)])
        state = previous.state if isinstance(previous, Mask) else None
        optional = {
            "box": None if prompt.box is None else np.array(prompt.box, np.float32),
            "mask_input": state.logits[None] if isinstance(state, LowResolution) else None,
            "multimask_output": len(coords) == 1 and prompt.box is None,
        }
        given: dict[str, Any] = {key: value for key, value in optional.items() if key in self._known}
        given |= {"point_coords": coords if len(coords) else None, "point_labels": labels if len(coords) else None}
        masks, scores, logits = self._model.predict(**given)
        ranked = np.argsort(-np.asarray(scores, np.float64), kind="stable")
        found = [self._mask(np.asarray(masks)[i], float(scores[i]), np.asarray(logits)[i]) for i in ranked]
        found[0].offer(lambda: found[1:])
        return found[0]

    def _mask(self, mask: npt.NDArray[Any], score: float, logits: npt.NDArray[Any]) -> Mask:
        if mask.shape != self.size:
            raise PromptError(f"{self.name}: a mask of shape {mask.shape}; return C x H x W of {self.size}")
        return Mask((mask > 0).astype(np.float32), score=score, state=LowResolution(logits.astype(np.float32)))


class OnnxModel(Prompted):
    """A network with the inputs of RITM and SimpleClick, as a `Predictor`. Clicks only, no level, no zoom-in.

    Inputs, float32, found by name:

    - `image`: 1 x 3 x H x W, RGB in 0..1 (the network normalizes), or 1 x 4 x H x W with the previous probability
      as fourth channel. Where H and W are fixed the image is resized to them, aspect not kept.
    - `points` or `coords`: 1 x 2K x 3, rows (y, x, number): the positive clicks in the first K rows, the negative
      ones in the last K, numbered from 0 in the order of all clicks, pixels of the network's image; unused rows
      are (-1, -1, -1). Where K is fixed, more clicks of one kind are refused.
    - `prev_mask` (or `previous_mask`, `previous`), optional: 1 x 1 x H x W, the previous probability, 0 at first.

    The first output, 1 x 1 x h x w, is taken as logits, or as it is where its name is `probability`, `prob` (or
    their plurals), and resized to the image bilinearly. Raises ConfigError: without onnxruntime, for a file that it
    cannot load, or another contract.
    """

    def __init__(self, path: str | Path) -> None:
        self.name = f"{ONNX}{path}"
        self._session = onnx_session(Path(path))
        inputs = {one.name: one.shape for one in self._session.get_inputs()}
        points = next((name for name in POINTS if name in inputs), None)
        self._previous = next((name for name in PREVIOUS if name in inputs), None)
        unknown = {*inputs} - {"image", points, self._previous}
        if "image" not in inputs or points is None or unknown:
            raise ConfigError(f"{path}: its inputs are {', '.join(inputs) or 'none'}; needed are {CONTRACT}")
        self._points, self._image_shape, self._points_shape = points, inputs["image"], inputs[points]
        self._output = self._session.get_outputs()[0].name
        if len(self._image_shape) != 4 or self._image_shape[1] not in (3, 4) or len(self._points_shape) != 3:
            shapes = f"image {self._image_shape}, {points} {self._points_shape}"
            raise ConfigError(f"{path}: its inputs have the shapes {shapes}; needed are {CONTRACT}")

    def _prepare(self, image: UInt8) -> None:
        height, width = (value if isinstance(value, int) else None for value in self._image_shape[2:])
        wanted = (height or image.shape[0], width or image.shape[1])
        self._image = _resized((image / np.float32(255)).astype(np.float32), wanted).transpose(2, 0, 1)[None]

    def _answer(self, prompt: Prompt, size: Size, previous: "Mask | Float | None") -> Mask:
        if prompt.box is not None or prompt.scribbles:
            raise PromptError(f"{self.name}: it takes clicks only; leave boxes and scribbles out")
        image, before = self._image, previous.probability if isinstance(previous, Mask) else previous
        small: Size = (image.shape[2], image.shape[3])
        shown = np.zeros(small, np.float32) if before is None else _resized(np.asarray(before, np.float32), small)
        channel = np.ascontiguousarray(shown[None, None], np.float32)
        fed = np.concatenate([image, channel], axis=1) if self._image_shape[1] == 4 else image
        feed = {"image": np.ascontiguousarray(fed), self._points: self._rows(prompt, size, small)}
        feed |= {self._previous: channel} if self._previous else {}
        (answer,) = self._session.run([self._output], feed)[:1]
        if answer.ndim != 4 or answer.shape[:2] != (1, 1):
            raise PromptError(f"{self.name}: an answer of shape {answer.shape}; export one of 1 x 1 x h x w")
        shown = answer[0, 0]
        probability = shown if self._output in PROBABILITIES else 1 / (1 + np.exp(-np.clip(shown, -80, 80)))
        return Mask(_resized(np.asarray(probability, np.float32), size).clip(0, 1))

    def _rows(self, prompt: Prompt, image_size: Size, size: Size) -> Float:
        """1 x 2K x 3 (y, x, number)."""
        scaled = prompt.scaled(size[1] / image_size[1], size[0] / image_size[0])
        rows = np.column_stack([scaled.points[:, ::-1], np.arange(len(scaled.points))]).astype(np.float32)
        sides = rows[scaled.labels == 1], rows[scaled.labels == 0]
        most = max(len(side) for side in sides)
        fixed = self._points_shape[1]
        half = fixed // 2 if isinstance(fixed, int) else max(most, 1)
        if most > half:
            raise PromptError(f"{self.name}: {most} clicks of one kind, it takes {half}; lower --max-clicks")
        filled = np.full((1, 2 * half, 3), -1, np.float32)
        for first, side in zip((0, half), sides):
            filled[0, first : first + len(side)] = side
        return filled


def onnx_session(path: Path) -> Any:
    """An ONNX Runtime session on the CPU; ConfigError without onnxruntime, or for a file that it cannot load."""
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file; give {ONNX}FILE with an exported network")
    need("onnxruntime", f"{ONNX}{path}")
    try:
        return session(path, "export it again")
    except WeightsError as error:
        raise ConfigError(str(error)) from error


def _resized(array: Float, size: Size) -> Float:
    """Bilinear; pixel centers at half pixels."""
    if array.shape[:2] == size:
        return array
    return np.asarray(cv2.resize(array, size[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
