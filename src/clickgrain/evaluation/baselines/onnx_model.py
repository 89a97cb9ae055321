"""Somebody's click network as an ONNX file: `onnx:path/to/model.onnx`."""

from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from clickgrain.errors import ConfigError, PromptError
from clickgrain.evaluation.baselines.prompted import Prompted
from clickgrain.types import Float, Mask, Prompt, Size, UInt8

ONNX = "onnx:"
POINTS, PREVIOUS = ("points", "coords"), ("prev_mask", "previous_mask", "previous")
PROBABILITIES = ("probability", "probabilities", "prob", "probs")
CONTRACT = (
    "inputs image (1x3xHxW or 1x4xHxW) and points or coords (1x2Kx3), prev_mask (1x1xHxW) if any;"
    " the first output 1x1xhxw"
)


class OnnxModel(Prompted):
    """A network in the manner of RITM and SimpleClick, as a `Predictor`. Clicks only, no level, no zoom-in.

    Inputs, float32, found by name:

    - `image`: 1 x 3 x H x W, RGB in 0..1 (the network normalizes), or 1 x 4 x H x W with the previous probability
      as fourth channel. Where H and W are fixed the image is resized to them, aspect not kept.
    - `points` or `coords`: 1 x 2K x 3, rows (y, x, number): the positive clicks in the first K rows, the negative
      ones in the last K, numbered from 0 in the order of all clicks, pixels of the network's image; unused rows
      are (-1, -1, -1). Where K is fixed, more clicks of one kind are refused.
    - `prev_mask` (or `previous_mask`, `previous`), if there: 1 x 1 x H x W, the previous probability, 0 at first.

    The first output, 1 x 1 x h x w, is taken as logits, or as it is where its name is `probability`, `prob` (or
    their plurals), and resized to the image bilinearly.

    Args:
        path: of the ONNX file.
        threads: of the runtime; 0 leaves the choice to it and to OMP_NUM_THREADS.

    Raises:
        ConfigError: without onnxruntime, for a file that it cannot load, or another contract.
    """

    def __init__(self, path: str | Path, threads: int = 0) -> None:
        self.name = f"{ONNX}{path}"
        self._session = _session(Path(path), threads)
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
        (answer,) = self._session.run([self._output], self._feed(prompt, size, previous))[:1]
        if answer.ndim != 4 or answer.shape[:2] != (1, 1):
            raise PromptError(f"{self.name}: an answer of shape {answer.shape}; export one of 1 x 1 x h x w")
        probability = (
            answer[0, 0] if self._output in PROBABILITIES else 1 / (1 + np.exp(-np.clip(answer[0, 0], -80, 80)))
        )
        return Mask(_resized(np.asarray(probability, np.float32), size).clip(0, 1))

    def _feed(self, prompt: Prompt, image_size: Size, previous: "Mask | Float | None") -> dict[str, Any]:
        image = self._image
        size: Size = (image.shape[2], image.shape[3])
        before = previous.probability if isinstance(previous, Mask) else previous
        shown = np.zeros(size, np.float32) if before is None else _resized(np.asarray(before, np.float32), size)
        channel = np.ascontiguousarray(shown[None, None], np.float32)
        fed = np.concatenate([image, channel], axis=1) if self._image_shape[1] == 4 else image
        feed = {"image": np.ascontiguousarray(fed), self._points: self._rows(prompt, image_size, size)}
        return {**feed, self._previous: channel} if self._previous else feed

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


def load_onnx(path: str) -> OnnxModel:
    """The network that `onnx:FILE` names; raises as `OnnxModel` does."""
    return OnnxModel(path.removeprefix(ONNX))


def _session(path: Path, threads: int) -> Any:
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file; give {ONNX}FILE with an exported network")
    try:
        runtime: Any = import_module("onnxruntime")
    except ImportError as error:
        raise ConfigError(f"{ONNX}{path} needs ONNX Runtime ({error}); pip install onnxruntime") from error
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime has its own exceptions
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path}: ONNX Runtime cannot load it ({reason}); export it again") from error


def _resized(array: Float, size: Size) -> Float:
    """Bilinear; pixel centres at half pixels."""
    if array.shape[:2] == size:
        return array
    return np.asarray(cv2.resize(array, size[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
