"""`onnx:ENCODER,DECODER`: Segment Anything (Kirillov et al., ICCV 2023) as a pair of ONNX files."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from clickgrain.errors import ConfigError, PromptError
from clickgrain.evaluation.baselines.base import Prompted
from clickgrain.evaluation.baselines.external import ONNX, SPACING, LowResolution, onnx_session
from clickgrain.types import Float, Mask, Prompt, Size, UInt8

MEAN, SPREAD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Of the pixels that SAM's encoder expects, RGB in 0..255."""
SIDE = 1024
EMBEDDINGS, MASK, HAS_MASK, SIZE = "image_embeddings", "mask_input", "has_mask_input", "orig_im_size"
POINTS, LABELS = "point_coords", "point_labels"
NEEDED = {EMBEDDINGS, POINTS, LABELS}
LOW = 256


def is_pair(name: str) -> bool:
    """Whether `onnx:...` names an encoder and a decoder, by two files or a folder."""
    where = name.removeprefix(ONNX)
    return name.startswith(ONNX) and ("," in where or Path(where).is_dir())


def onnx_files(name: str) -> list[Path]:
    """The files of `onnx:FILE`, `onnx:ENCODER,DECODER`, or of a folder with one *encoder*.onnx and *decoder*.onnx.

    Raises ConfigError: a folder without them, or with several.
    """
    where = name.removeprefix(ONNX)
    if not Path(where).is_dir():
        return [Path(part.strip()).expanduser() for part in where.split(",")]
    found = [sorted(Path(where).glob(f"*{part}*.onnx")) for part in ("encoder", "decoder")]
    if [len(files) for files in found] != [1, 1]:
        raise ConfigError(
            f"{where}: it has {len(found[0])} *encoder*.onnx and {len(found[1])} *decoder*.onnx; name the two:"
            f" {ONNX}ENCODER,DECODER"
        )
    return [files[0] for files in found]


class OnnxSam(Prompted):
    """A SAM encoder and decoder as ONNX files; takes clicks, boxes, and scribbles as points. `level` is ignored.

    - Encoder: one input, 1 x 3 x S x S float32 (RGB, normalized as SAM does, the image's long side scaled to S,
      zeros below and to the right; S is 1024 where it is not fixed), or H x W x 3 (RGB in 0..255 at that size, no
      zeros). Its first output goes to the decoder.
    - Decoder, as segment-anything's `export_onnx_model.py` writes it: `image_embeddings`, `point_coords` 1 x N x 2
      (x, y), `point_labels` 1 x N (1, 0, box corners 2 and 3, padding -1), and where it takes them `mask_input`,
      `has_mask_input` and `orig_im_size`. First output 1 x C x h x w logits, at the image's size or of the padded
      square; second their scores; third the logits for the next click.

    Of several masks those after the first are the readings of a single click; the best one is the answer.

    Args:
        name: "onnx:ENCODER,DECODER" or "onnx:FOLDER".

    Raises:
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
            raise ConfigError(
                f"{name}: no pair of SAM: the encoder takes {', '.join(one.name for one in inputs)}, the decoder"
                f" {', '.join(self._inputs)}; needed are one image, and {', '.join(sorted(NEEDED))}"
            )
        self._image, self._plain = inputs[0], len(shape) == 3
        fixed = None if self._plain else shape[2]
        self._side = fixed if isinstance(fixed, int) else SIDE

    def _prepare(self, image: UInt8) -> None:
        height, width = image.shape[:2]
        scale = self._side / max(height, width)
        small = max(round(height * scale), 1), max(round(width * scale), 1)
        self._scaled: Size = small
        pixels = cv2.resize(image, small[::-1], interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        if self._plain:
            fed: npt.NDArray[Any] = pixels
        else:
            fed = np.zeros((self._side, self._side, 3), np.float32)
            fed[: small[0], : small[1]] = (pixels - np.array(MEAN, np.float32)) / np.array(SPREAD, np.float32)
            fed = fed.transpose(2, 0, 1)[None]
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
            logits = self._at(masks[0, i], size)
            state = None if low is None else LowResolution(low[:, i : i + 1].astype(np.float32))
            probability = 1 / (1 + np.exp(-np.clip(logits, -80, 80)))
            found.append(Mask(probability.astype(np.float32), score=float(scores[i]), state=state))
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
        before = state.logits if isinstance(state, LowResolution) else None
        feed = {
            EMBEDDINGS: self._embedding,
            POINTS: coords,
            LABELS: labels,
            MASK: np.zeros((1, 1, LOW, LOW), np.float32) if before is None else before,
            HAS_MASK: np.array([before is not None], np.float32),
            SIZE: np.array(size, np.float32),
        }
        return {name: value for name, value in feed.items() if name in self._inputs}

    def _at(self, logits: Float, size: Size) -> Float:
        """Logits at the image's size; others are of the square that the encoder saw, padding included."""
        if logits.shape == size:
            return logits
        shape = [max(round(extent * part / self._side), 1) for extent, part in zip(logits.shape, self._scaled)]
        shown = np.ascontiguousarray(logits[: shape[0], : shape[1]], np.float32)
        return np.asarray(cv2.resize(shown, size[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
