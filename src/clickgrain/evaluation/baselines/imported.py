"""Somebody else's model by import path: `python:package.module:factory`."""

from dataclasses import dataclass
from importlib import import_module
from inspect import Parameter, signature
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from clickgrain.errors import ConfigError, PromptError
from clickgrain.evaluation.baselines.prompted import Prompted
from clickgrain.types import Float, Mask, Predictor, Prompt, Size, UInt8

PREFIX = "python:"
SPACING = 20.0
"""Pixels between the points that stand for a scribble."""


def load_object(path: str) -> Predictor:
    """The predictor that `python:package.module:name` names.

    `name` is an object with `set_image` and `predict`, or something that makes one when called without arguments
    (a class, a function). A `predict` that takes `point_coords` is called as SAM's, see `SAMStyle`; any other is
    taken as a `Predictor`. Importing runs that module's code: name modules that you trust.

    Raises:
        ConfigError: when there is no such module or name, it fails, or it makes something else.
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
        raise ConfigError(
            f"{path}: a {type(made).__name__} has no set_image and predict; return an object with both"
        )
    return SAMStyle(made, path) if "point_coords" in _parameters(made.predict) else made


def find_object(path: str) -> tuple[ModuleType, Any]:
    """The module of `python:package.module:name`, which is imported now, and what the name means in it.

    Raises:
        ConfigError: for another path, or when there is no such module or name.
    """
    module, _, name = path.removeprefix(PREFIX).partition(":")
    if not module or not name:
        raise ConfigError(f"{path!r} is no import path; give {PREFIX}package.module:factory")
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


def _parameters(function: Any) -> dict[str, Parameter]:
    try:
        return dict(signature(function).parameters)
    except (TypeError, ValueError):  # some compiled functions tell nothing
        return {}


@dataclass(frozen=True)
class _LowResolution:
    """The logits that SAM takes back as `mask_input`."""

    logits: npt.NDArray[np.float32]


class SAMStyle(Prompted):
    """An object in the manner of `SamPredictor`, as a `Predictor`.

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
        self._known = set(_parameters(model.predict))

    def _prepare(self, image: UInt8) -> None:
        self._model.set_image(image)

    def _answer(self, prompt: Prompt, size: Size, previous: "Mask | Float | None") -> Mask:
        """The best mask, the others as alternatives."""
        if prompt.box is not None and "box" not in self._known:
            raise PromptError(f"{self.name}: its predict takes no box; give clicks or scribbles")
        masks, scores, logits = self._model.predict(**self._arguments(prompt, previous))
        ranked = np.argsort(-np.asarray(scores, np.float64), kind="stable")
        found = [self._mask(np.asarray(masks)[i], float(scores[i]), np.asarray(logits)[i]) for i in ranked]
        found[0].offer(lambda: found[1:])
        return found[0]

    def _arguments(self, prompt: Prompt, previous: "Mask | Float | None") -> dict[str, Any]:
        background, object_ = prompt.sides(SPACING)
        coords = np.concatenate([object_, background])
        labels = np.repeat(np.array([1, 0], np.int32), [len(object_), len(background)])
        state = previous.state if isinstance(previous, Mask) else None
        optional = {
            "box": None if prompt.box is None else np.array(prompt.box, np.float32),
            "mask_input": state.logits[None] if isinstance(state, _LowResolution) else None,
            "multimask_output": len(coords) == 1 and prompt.box is None,
        }
        taken = {key: value for key, value in optional.items() if key in self._known}
        empty = len(coords) == 0
        return {"point_coords": None if empty else coords, "point_labels": None if empty else labels, **taken}

    def _mask(self, mask: npt.NDArray[Any], score: float, logits: npt.NDArray[Any]) -> Mask:
        if mask.shape != self.size:
            raise PromptError(
                f"{self.name}: a mask of shape {mask.shape}; return C x H x W at the image's {self.size}"
            )
        return Mask((mask > 0).astype(np.float32), score=score, state=_LowResolution(logits.astype(np.float32)))
