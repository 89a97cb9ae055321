"""`Segmenter`: the one core behind every front end."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from clickgrain.errors import PromptError
from clickgrain.features import load_extractor
from clickgrain.images import check_image
from clickgrain.models.engine import Engine
from clickgrain.types import Float, Mask, Prompt, Scribble, Size, UInt8


@dataclass(frozen=True)
class Encoded:
    """An image as a segmenter keeps it; hand it to `predict(..., encoded=...)`. Safe to share between threads."""

    size: Size
    state: Any


class Segmenter:
    """Answers clicks on images.

    Stateless underneath: `encoded = seg.encode(image)` and `seg.predict(..., encoded=encoded)` let many callers
    share one segmenter; `set_image` keeps the last image for those who want less ceremony.

    Args:
        engine: what answers; `Segmenter.load` makes the usual ones.
        name: shown in reports.
    """

    def __init__(self, engine: Engine, name: str = "segmenter") -> None:
        self.engine = engine
        self.name = name
        self._current: Encoded | None = None

    @classmethod
    def load(
        cls, source: str | Path = "default", *, device: str = "cpu", extractor: str | None = None
    ) -> "Segmenter":
        """A segmenter by name.

        Args:
            source: "default" (the model in the package), "tree" (no network), a model folder, or a Hugging Face id.
            device: torch device, such as "cpu" or "cuda".
            extractor: whose features make the merge trees; by default what the model was trained with,
                "color-texture" for "tree".

        Raises:
            WeightsError: if the model cannot be found, read or matched; the message says what to do.
        """
        if str(source) == "tree":
            from clickgrain.models.tree_mode import TreeEngine

            return cls(TreeEngine(load_extractor(extractor or "color-texture", device=device)), "tree")
        from clickgrain.models.registry import engine_for, load_click_model

        return cls(engine_for(load_click_model(source), device=device, extractor=extractor), str(source))

    def encode(self, image: UInt8) -> Encoded:
        """Everything that does not depend on clicks, for an H x W x 3 uint8 RGB image, which is copied.

        Raises:
            ImageError: if the array is no such image.
        """
        image = check_image(image).copy()
        return Encoded((image.shape[0], image.shape[1]), self.engine.encode(image))

    def set_image(self, image: UInt8) -> None:
        """Encode an image and keep it for later `predict` calls."""
        self._current = self.encode(image)

    def predict(
        self,
        points: npt.ArrayLike | None,
        labels: npt.ArrayLike | None,
        box: npt.ArrayLike | None = None,
        scribbles: Sequence[Scribble] | None = None,
        level: float | None = None,
        previous: Mask | Float | None = None,
        *,
        encoded: Encoded | None = None,
    ) -> Mask:
        """Segment what a prompt asks for.

        Args:
            points: N x 2 (x, y) image pixels, in click order.
            labels: N of 1 (object) or 0 (background).
            box: XYXY image pixels.
            scribbles: strokes in image pixels.
            level: wanted granularity, 0 (finest part) .. 1 (whole image); None lets the model choose.
            previous: the last Mask, or an H x W probability to start from.
            encoded: what `encode` gave; the image of `set_image` when None.

        Raises:
            PromptError: for an invalid prompt, a previous mask of another size, or when no image was given.
        """
        current = encoded or self._current
        if current is None:
            raise PromptError("no image yet; call set_image(image) first, or pass encoded=seg.encode(image)")
        prompt = Prompt.of(points, labels, size=current.size, box=box, scribbles=scribbles, level=level)
        return self.engine.answer(current.state, prompt, _as_mask(previous, current.size))


def _as_mask(previous: Mask | Float | None, size: Size) -> Mask | None:
    if previous is None or isinstance(previous, Mask):
        return previous
    array = np.asarray(previous)
    if array.shape != size or not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
        raise PromptError(
            f"the previous mask has shape {array.shape} or values outside 0..1;"
            f" give H x W = {size[0]} x {size[1]} probabilities"
        )
    return Mask(array.astype(np.float32))
