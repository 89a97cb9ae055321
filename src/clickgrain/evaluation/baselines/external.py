"""Models of others: a Python object by import path (`python:package.module:factory`), or a network in ONNX.

`onnx:FILE` is a network like RITM's, `onnx:ENCODER,DECODER` Segment Anything (Kirillov et al., ICCV 2023).
"""

from importlib import import_module
from inspect import Parameter, signature
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy.special import expit

from clickgrain.errors import ConfigError, PromptError, WeightsError
from clickgrain.evaluation.baselines.base import Prompted
from clickgrain.images import fit_size
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
MEAN, SPREAD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Of the pixels that SAM's encoder expects, RGB in 0..255."""
SIDE = 1024
EMBEDDINGS, MASK, HAS_MASK, SIZE = "image_embeddings", "mask_input", "has_mask_input", "orig_im_size"
COORDS, LABELS = "point_coords", "point_labels"
NEEDED = {EMBEDDINGS, COORDS, LABELS}
LOW = 256


def load_object(path: str) -> Predictor:
    """The predictor that `python:package.module:name` names, or that it makes when called without arguments.

    A `predict` that takes `point_coords` is called as SAM's, see `SAMStyle`; any other is taken as a `Predictor`.
    Importing runs that module's code: name modules that you trust. Raises ConfigError: when there is no such module
    or name, it fails, or it makes something without `set_image` and `predict`.
    """
    made = find_object(path)[1]
    if callable(made) and (isinstance(made, type) or not hasattr(made, "predict")):
        try:
            made = made()
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise ConfigError(f"{path}: it failed when called without arguments ({reason})") from error
    if not (callable(getattr(made, "set_image", None)) and callable(getattr(made, "predict", None))):
        raise ConfigError(f"{path}: a {type(made).__name__} has no set_image and predict; return one with both")
    return SAMStyle(made, path) if "point_coords" in parameters_of(made.predict) else made


def find_object(path: str) -> tuple[ModuleType, Any]:
    """(module, object) that `python:package.module:name` means, imported now; ConfigError if there is none."""
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


class SAMStyle(Prompted):
    """An object with the interface of `SamPredictor`, as a `Predictor`.

    Its `predict(point_coords, point_labels, ...)` returns (masks C x H x W, scores C, low-resolution logits
    C x h x w). `box`, `mask_input` and `multimask_output` are passed if it takes them: several masks are asked for
    after a single click only, and the best by score is the answer (Kirillov et al., ICCV 2023, appendix D); its
    logits are the mask's `state`, and the next click's `mask_input`. Scribbles are passed as points, a box that is
    not taken is refused, `level` is ignored.
    """

    def __init__(self, model: Any, name: str) -> None:
        self.name = name
        self._model = model
        self._known = set(parameters_of(model.predict))

    def _prepare(self, image: UInt8) -> None:
        self._model.set_image(image)

    def _answer(self, prompt: Prompt, size: Size, previous: "Mask | Float | None") -> Mask:
        if prompt.box is not None and "box" not in self._known:
            raise PromptError(f"{self.name}: its predict takes no box; give clicks or scribbles")
        background, object_ = prompt.by_label(SPACING)
        coords = np.concatenate([object_, background])
        labels = np.repeat(np.array([1, 0], np.int32), [len(object_), len(background)])
        state = previous.state if isinstance(previous, Mask) else None
        optional = {
            "box": None if prompt.box is None else np.array(prompt.box, np.float32),
            "mask_input": state[None] if isinstance(state, np.ndarray) else None,
            "multimask_output": len(coords) == 1 and prompt.box is None,
        }
        given: dict[str, Any] = {key: value for key, value in optional.items() if key in self._known}
        given |= {"point_coords": coords if len(coords) else None, "point_labels": labels if len(coords) else None}
        masks, scores, logits = map(np.asarray, self._model.predict(**given))
        if masks.shape[1:] != size:
            raise PromptError(f"{self.name}: a mask of shape {masks.shape[1:]}; return C x H x W of {size}")
        pixels, states = (masks > 0).astype(np.float32), logits.astype(np.float32)
        ranked = np.argsort(-scores.astype(np.float64), kind="stable")
        found = [Mask(pixels[i], score=scores[i], state=states[i]) for i in ranked]
        found[0].offer(lambda: found[1:])
        return found[0]


class OnnxModel(Prompted):
    """A network with the inputs of RITM and SimpleClick, as a `Predictor`. Clicks only, no level, no zoom-in.

    Inputs, float32, found by name:

    - `image`: 1 x 3 x H x W, RGB in 0..1 (the network normalizes), or 1 x 4 x H x W with the previous probability
      as fourth channel. Where H and W are fixed the image is resized to them, aspect not kept.
    - `points` or `coords`: 1 x 2K x 3, rows (y, x, number): positive clicks in the first K rows, negative ones in
      the last K, numbered from 0 over all, in pixels of the network's image; unused rows are (-1, -1, -1).
    - `prev_mask` (or `previous_mask`, `previous`), optional: 1 x 1 x H x W, the previous probability, 0 at first.

    The first output, 1 x 1 x h x w, is taken as logits, or as it is where its name is `probability`, `prob` (or
    their plurals), and resized bilinearly. Raises ConfigError: without onnxruntime, for a file that it cannot load,
    or another contract. PromptError: more than K clicks of one kind, where K is fixed.
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
        answer = self._session.run([self._output], feed)[0]
        if answer.ndim != 4 or answer.shape[:2] != (1, 1):
            raise PromptError(f"{self.name}: an answer of shape {answer.shape}; export one of 1 x 1 x h x w")
        probability = answer[0, 0] if self._output in PROBABILITIES else expit(answer[0, 0])
        return Mask(_resized(np.asarray(probability, np.float32), size).clip(0, 1))

    def _rows(self, prompt: Prompt, image_size: Size, size: Size) -> Float:
        """1 x 2K x 3 (y, x, number)."""
        scaled = prompt.scaled(size[1] / image_size[1], size[0] / image_size[0])
        rows = np.column_stack([scaled.points[:, ::-1], np.arange(len(scaled.points))]).astype(np.float32)
        sides = rows[scaled.labels == 1], rows[scaled.labels == 0]
        most, fixed = max(map(len, sides)), self._points_shape[1]
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


def onnx_files(name: str) -> list[Path]:
    """The files of `onnx:FILE`, `onnx:ENCODER,DECODER`, or of a folder with one of each; else ConfigError."""
    where = name.removeprefix(ONNX)
    if not Path(where).is_dir():
        return [Path(part.strip()).expanduser() for part in where.split(",")]
    found = [sorted(Path(where).glob(f"*{part}*.onnx")) for part in ("encoder", "decoder")]
    if [len(files) for files in found] != [1, 1]:
        there = f"{len(found[0])} *encoder*.onnx and {len(found[1])} *decoder*.onnx"
        raise ConfigError(f"{where}: it has {there}; name the two: {ONNX}ENCODER,DECODER")
    return [files[0] for files in found]


class OnnxSam(Prompted):
    """A SAM encoder and decoder as ONNX files; takes clicks, boxes, and scribbles as points. `level` is ignored.

    - Encoder: one input, 1 x 3 x S x S float32 (RGB, normalized as SAM does, the image's long side scaled to S,
      zeros below and to the right; S is 1024 where it is not fixed), or H x W x 3 (RGB in 0..255 at that size).
      Its first output goes to the decoder.
    - Decoder, as segment-anything's `export_onnx_model.py` writes it: `image_embeddings`, `point_coords` 1 x N x 2
      (x, y), `point_labels` 1 x N (1, 0, box corners 2 and 3, padding -1), and where it takes them `mask_input`,
      `has_mask_input`, `orig_im_size`. Outputs: 1 x C x h x w logits, at the image's size or of the padded square;
      their scores; the logits for the next click.

    Of several masks those after the first are the readings of a single click; the best one is the answer. Raises
    ConfigError: without onnxruntime, for files that it cannot load, or another contract.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        files = onnx_files(name)
        if len(files) != 2:
            raise ConfigError(f"{name}: give two files, {ONNX}ENCODER,DECODER")
        self._encoder, self._decoder = (onnx_session(file) for file in files)
        inputs = self._encoder.get_inputs()
        self._inputs = {one.name: one for one in self._decoder.get_inputs()}
        shape = inputs[0].shape if len(inputs) == 1 else []
        missing, unknown = NEEDED - {*self._inputs}, {*self._inputs} - NEEDED - {MASK, HAS_MASK, SIZE}
        if len(shape) not in (3, 4) or missing or unknown:
            taken = ", ".join(one.name for one in inputs)
            found = f"the encoder takes {taken}, the decoder {', '.join(self._inputs)}"
            needed = f"needed are one image, and {', '.join(sorted(NEEDED))}"
            raise ConfigError(f"{name}: no pair of SAM: {found}; {needed}")
        self._image, self._plain = inputs[0], len(shape) == 3
        self._side = shape[2] if not self._plain and isinstance(shape[2], int) else SIDE

    def _prepare(self, image: UInt8) -> None:
        self._scaled = small = fit_size(image.shape[:2], self._side)
        way = cv2.INTER_AREA if max(image.shape[:2]) > self._side else cv2.INTER_LINEAR
        fed: npt.NDArray[Any] = cv2.resize(image, small[::-1], interpolation=way)
        if not self._plain:
            square = np.zeros((self._side, self._side, 3), np.float32)
            square[: small[0], : small[1]] = (fed - np.array(MEAN, np.float32)) / np.array(SPREAD, np.float32)
            fed = square.transpose(2, 0, 1)[None]
        kind = np.uint8 if self._image.type == "tensor(uint8)" else np.float32
        self._embedding = self._encoder.run(None, {self._image.name: np.ascontiguousarray(fed, kind)})[0]

    def _answer(self, prompt: Prompt, size: Size, previous: "Mask | Float | None") -> Mask:
        outputs = self._decoder.run(None, self._feed(prompt, size, previous))
        masks = outputs[0]
        if masks.ndim != 4 or masks.shape[0] != 1:
            raise PromptError(f"{self.name}: masks of shape {masks.shape}; export ones of 1 x C x h x w")
        count = masks.shape[1]
        scores = outputs[1].reshape(-1) if len(outputs) > 1 and outputs[1].size == count else np.zeros(count)
        low = outputs[2] if len(outputs) > 2 and outputs[2].shape[-2:] == (LOW, LOW) else None
        single = len(prompt.points) == 1 and prompt.box is None and not prompt.scribbles
        some = range(count) if count == 1 else range(1, count) if single else range(1)
        found = []
        for i in sorted(some, key=lambda i: -float(scores[i])):
            logits = masks[0, i]
            if logits.shape != size:  # of the square that the encoder saw, padding included
                part = [max(round(n * own / self._side), 1) for n, own in zip(logits.shape, self._scaled)]
                logits = _resized(np.ascontiguousarray(logits[: part[0], : part[1]], np.float32), size)
            state = None if low is None else low[:, i : i + 1].astype(np.float32)
            found.append(Mask(expit(logits).astype(np.float32), score=float(scores[i]), state=state))
        found[0].offer(lambda: found[1:])
        return found[0]

    def _feed(self, prompt: Prompt, size: Size, previous: "Mask | Float | None") -> dict[str, Any]:
        scaled = prompt.scaled(self._scaled[1] / size[1], self._scaled[0] / size[0])
        background, object_ = scaled.by_label(SPACING)
        box = np.zeros((1, 2)) if scaled.box is None else np.array(scaled.box).reshape(2, 2)
        corners = [-1] if scaled.box is None else [2, 3]
        coords = np.concatenate([object_, background, box])[None].astype(np.float32)
        labels = np.array([[1] * len(object_) + [0] * len(background) + corners], np.float32)
        state = previous.state if isinstance(previous, Mask) else None
        known = isinstance(state, np.ndarray)
        feed = {
            EMBEDDINGS: self._embedding,
            COORDS: coords,
            LABELS: labels,
            MASK: state if known else np.zeros((1, 1, LOW, LOW), np.float32),
            HAS_MASK: np.array([known], np.float32),
            SIZE: np.array(size, np.float32),
        }
        return {name: value for name, value in feed.items() if name in self._inputs}
