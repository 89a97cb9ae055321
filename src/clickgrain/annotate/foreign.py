"""Models of others in the page: `python:module:factory` and `onnx:...`, as `clickgrain evaluate` takes them."""

import copy
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np

from clickgrain.errors import ClickgrainError, PromptError
from clickgrain.evaluation.baselines import OnnxModel, OnnxSam, load_baseline
from clickgrain.evaluation.baselines.external import parameters_of
from clickgrain.evaluation.protocol import one_line
from clickgrain.types import Mask, Predictor, Prompt, UInt8


@dataclass(frozen=True)
class _Shown:
    """An image with the predictor that has it set."""

    image: UInt8
    predictor: Predictor

    @property
    def own_bytes(self) -> int:
        """Without the network, which all images share."""
        arrays = [value for value in vars(self.predictor).values() if isinstance(value, np.ndarray)]
        return sum(array.nbytes for array in arrays) if isinstance(self.predictor, OnnxModel | OnnxSam) else 0


class ForeignEngine:
    """An `Engine` around a predictor that holds one image at a time; `source` is what `load_baseline` takes.

    Networks in ONNX keep what they computed of each image; an object of an import path, whose inside is not known,
    is given the image again whenever another one was asked about meanwhile.
    """

    one_by_one = False

    def __init__(self, source: str) -> None:
        self.source, self.predictor = source, load_baseline(source)
        self._shared = not isinstance(self.predictor, OnnxModel | OnnxSam)
        self._takes = parameters_of(self.predictor.predict)
        self._current: UInt8 | None = None
        self._lock = threading.Lock()

    def encode(self, image: UInt8) -> _Shown:
        """Give an H x W x 3 uint8 RGB image to a predictor."""
        if self._shared:
            return _Shown(image, self.predictor)
        own = copy.copy(self.predictor)  # the networks are shared, what depends on the image is not
        own.set_image(image)
        return _Shown(image, own)

    def answer(self, encoded: _Shown, prompt: Prompt, previous: Mask | None) -> Mask:
        """The predictor's mask, as it is. Raises PromptError: it takes no such prompt, or fails."""
        level = prompt.level if "level" in self._takes else None  # a wish that it may not know
        given: dict[str, Any] = {"box": prompt.box, "scribbles": prompt.scribbles or None, "level": level}
        known = {name: value for name, value in given.items() if value is not None}
        try:
            with self._lock:
                if self._shared and self._current is not encoded.image:
                    encoded.predictor.set_image(encoded.image)
                    self._current = encoded.image
                mask = encoded.predictor.predict(prompt.points, prompt.labels, previous=previous, **known)
                _ = mask.probability  # made while the image is set
        except ClickgrainError:
            raise
        except Exception as error:  # it may raise anything
            raise PromptError(f"{self.source}: {one_line(error)}") from error
        if (found := mask.probability.shape) != (wanted := encoded.image.shape[:2]):
            raise PromptError(f"{self.source}: a mask of shape {found}; return one of the image's {wanted}")
        return mask
