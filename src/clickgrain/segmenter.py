"""`Segmenter`: the one core behind every front end."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from clickgrain.cut import CutSettings, Discriminant, cut_mask, guard_mask, in_one_piece
from clickgrain.errors import ConfigError, FeatureError, PromptError, WeightsError
from clickgrain.features import load_extractor
from clickgrain.images import check_image, resize
from clickgrain.tree import MergeTree
from clickgrain.types import Box, Engine, Float, Mask, Prompt, Scribble, Size, UInt8
from clickgrain.weights import find_model

DEFAULT_CUT = CutSettings()
Runtime = Literal["torch", "onnx"]
MOST_IN_TURN = 16  # clicks given at once that are answered in turn; of more, the first ones count as one
MOST_PIXELS = 2_000_000
"""Of an image that clicks are answered at; masks of larger images are enlarged. At 12 megapixels every step of a
click at full size would take 30 to 100 ms, and the network sees less than this anyway."""
SURE = 0.7  # expected IoU of an answer that is cut off at the view's edge from which it is part of a larger thing
LATE, LARGE = 6, 0.2
"""From this click on a change of more than this share of the mask is likely a mistake: after the fourth click 14 of
31 such changes cost more than .05 of IoU, of the smaller ones 5 of 861 (docs/experiments.md)."""
MOST_SEEN, LEAST_SEEN = 0.8, 32
"""What the user sees of an enlarged image answers clicks if it is at most this share of the image's long
side, and at least so many pixels a side."""
CACHED_PIXELS = 16_000_000  # of an image's cached answers together (4 bytes each), the latest one always included


@dataclass(frozen=True)
class Encoded:
    """An image as a segmenter keeps it; hand it to `predict(..., encoded=...)`. Safe to share between threads."""

    image: UInt8  # h x w x 3 RGB that clicks are answered at: the image, shrunk to at most 2 megapixels
    state: Any  # what the engine keeps of it
    size: Size  # (H, W) of the image that was encoded
    # answers to the first few of clicks that were given at once, the latest last; `lock` guards it
    answered: dict[tuple[bytes, bytes, float | None, Box | None], Mask] = field(default_factory=dict)
    seen: "list[tuple[Box, Encoded]]" = field(default_factory=list)  # the part that was seen enlarged last, if any
    lock: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def scale(self) -> tuple[float, float]:
        """(x, y) factors from the image to what clicks are answered at."""
        return self.image.shape[1] / self.size[1], self.image.shape[0] / self.size[0]

    @cached_property
    def tree(self) -> MergeTree | None:
        """The engine's merge tree in pixels of the image; None where it has none."""
        tree = getattr(self.state, "tree", None)
        if not isinstance(tree, MergeTree):
            return None
        return tree if tree.image_size == self.size else MergeTree(tree.children, tree.cost, tree.grid, self.size)

    @property
    def features(self) -> Float | None:
        """h x w x d float32 that the tree was built on; None where there is no tree."""
        return getattr(self.state, "leaf_features", None)

    @cached_property
    def discriminant(self) -> Discriminant | None:
        """Of the image's features; None for engines or images without semantic vectors."""
        vectors = getattr(self.state, "vectors", None)
        if self.features is None or vectors is None or not vectors.any():
            return None
        return Discriminant.of(self.features, vectors)


class Segmenter:
    """Answers clicks on images.

    Stateless underneath: `encoded = seg.encode(image)` and `seg.predict(..., encoded=encoded)` let many callers
    share one segmenter; `set_image` keeps the last image for those who want less ceremony.

    Args:
        engine: what answers; `Segmenter.load` makes the usual ones.
        name: shown in reports.
        cut: correct by the image's features, undo what contradicts the last click, and decide each outline
            by the image's pixels (`clickgrain.cut`); None shows what the engine says.
    """

    def __init__(self, engine: Engine, name: str = "segmenter", *, cut: CutSettings | None = DEFAULT_CUT) -> None:
        self.engine, self.name, self.cut = engine, name, cut
        self._current: Encoded | None = None

    @classmethod
    def load(
        cls,
        source: str | Path = "default",
        *,
        device: str = "cpu",
        extractor: str | None = None,
        cut: bool = True,
        runtime: Runtime | None = None,
    ) -> "Segmenter":
        """A segmenter by name.

        Args:
            source: "default" (the model in the package), "tree" (no network), a model folder, what `export-model`
                wrote, or a Hugging Face id.
            device: torch device, such as "cpu" or "cuda".
            extractor: whose features make the merge trees; by default what the model was trained with,
                "color-texture" for "tree".
            cut: whether discriminant, guard and cut follow the network (`clickgrain.cut`).
            runtime: "onnx" computes the network by ONNX Runtime on the CPU, without torch (`clickgrain.onnx`);
                None takes it for what `export-model` wrote, torch for all else.

        Raises:
            ConfigError: for "onnx" on another device, or without onnxruntime.
            WeightsError: if the model cannot be found, read or matched; the message says what to do.
        """
        from clickgrain.models.onnx_runtime import is_onnx, onnx_engine

        engine: Engine
        try:
            if str(source) == "tree":
                from clickgrain.models.tree_mode import TreeEngine

                engine = TreeEngine(load_extractor(extractor or "color-texture", device=device))
            elif runtime == "onnx" or (runtime is None and is_onnx(find_model(source))):
                if device != "cpu":
                    raise ConfigError(
                        f"--runtime onnx works on --device cpu only, not {device}; leave one of them out"
                    )
                engine = onnx_engine(source, extractor)
            else:  # imported only here: torch takes a second
                from clickgrain.models.registry import engine_for, load_click_model

                engine = engine_for(load_click_model(source), device=device, extractor=extractor)
        except (FeatureError, WeightsError) as error:
            if extractor is None and str(source) not in str(error):  # that of the extractor which it names
                raise WeightsError(f"{source}: {error}") from error
            raise
        return cls(engine, str(source), cut=DEFAULT_CUT if cut else None)

    def encode(self, image: UInt8) -> Encoded:
        """Everything that does not depend on clicks, for an H x W x 3 uint8 RGB image, which is copied.

        Raises:
            ImageError: if the array is no such image.
        """
        worked = reduced(check_image(image))
        worked = worked.copy() if worked is image else worked
        return Encoded(worked, self.engine.encode(worked), (image.shape[0], image.shape[1]))

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
        view: npt.ArrayLike | None = None,
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
            view: XYXY image pixels that the user sees, or saw at the first click, if the image is enlarged. Clicks
                within are answered from them: the first takes what does not leave them, if there is such a thing.

        Raises:
            PromptError: for an invalid prompt, a previous mask of another size, or when no image was given.
        """
        current = encoded or self._current
        if current is None:
            raise PromptError("no image yet; call set_image(image) first, or pass encoded=seg.encode(image)")
        prompt = Prompt.of(points, labels, size=current.size, box=box, scribbles=scribbles, level=level, view=view)
        before = previous if isinstance(previous, Mask) else None
        if previous is not None and before is None:
            array = np.asarray(previous)
            if array.shape != current.size or not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
                wanted = f"give H x W = {current.size[0]} x {current.size[1]} probabilities"
                raise PromptError(f"the previous mask has shape {array.shape} or values outside 0..1; {wanted}")
            before = Mask(array.astype(np.float32))
        if current.scale != (1, 1):
            before, prompt = before and _shrunk(before, current), prompt.scaled(*current.scale)
        alone = prompt.box is None and not prompt.scribbles
        if getattr(self.engine, "one_by_one", False) and before is None and alone and len(prompt.points) > 1:
            before = self._answer_in_turn(current, prompt)
        mask = self._answer(current, prompt, before)
        return mask if current.scale == (1, 1) else _enlarged(mask, current)

    def _answer(self, current: Encoded, prompt: Prompt, previous: Mask | None) -> Mask:
        """The engine's answer, refined, guarded and cut when it is first looked at."""
        alone = prompt.box is None and not prompt.scribbles
        begins = previous is None and len(prompt.points) == len(prompt.positives) == 1 and alone
        if prompt.view is not None and (begins or (previous is not None and alone)):
            seen = self._answer_in_view(current, prompt, prompt.view, previous)
            if seen is not None:
                return seen
        mask, cut = self.engine.answer(current.state, prompt, previous), self.cut
        if cut is None:
            return mask
        if previous is not None and len(prompt.points) > 1 and alone and prompt.level is None:
            mask = mask.refined(lambda p: self._corrected(p, current, prompt, previous), alternatives=False)
        mask = mask.refined(lambda p: cut_mask(p, current.image, prompt, cut))
        if begins:
            mask = mask.refined(lambda p: in_one_piece(p, prompt.points[0]))
        return mask

    def _answer_in_view(self, current: Encoded, prompt: Prompt, view: Box, previous: Mask | None) -> Mask | None:
        """The answer to clicks from the part of the image that the user sees.

        A first click takes something that does not leave the part; what the whole image gives is the first
        alternative. None where that takes nothing or seems to be a part of something larger, the part is nearly all
        of the image, or something is outside.
        """
        size = current.image.shape[0], current.image.shape[1]
        left, top, right, bottom = part = int(view[0]), int(view[1]), ceil(view[2]), ceil(view[3])
        first, end = np.array([left, top], np.float32), np.array([right, bottom], np.float32)
        inside = (prompt.points >= first).all() and (prompt.points < end).all()
        sides, before = (right - left, bottom - top), None
        if not inside or min(sides) < LEAST_SEEN or max(sides) > MOST_SEEN * max(size):
            return None
        if previous is not None:
            before = Mask(previous.probability[top:bottom, left:right], score=previous.score)
            if int(before.binary.sum()) < max(int(previous.binary.sum()), 1):
                return None
        encoded = next((known for box, known in current.seen if box == view), None)
        if encoded is None:
            encoded = self.encode(current.image[top:bottom, left:right])
            current.seen[:] = [(view, encoded)]
        inner = self._answer(encoded, replace(prompt, points=prompt.points - first, view=None), before)
        if before is not None:
            return _placed(inner, part, size)

        def free() -> Mask:
            return self._answer(current, replace(prompt, view=None), None)

        chosen = inner
        if not _ends_inside(inner, part, size):
            within = [one for one in inner.alternatives if _ends_inside(one, part, size)]
            if not within or (inner.score > SURE and free().score > within[0].score):  # a part of a larger thing
                return None
            chosen = within[0]

        def others() -> list[Mask]:
            rest = [one for one in inner.alternatives if one is not chosen and _ends_inside(one, part, size)]
            return [free(), *(_placed(one, part, size) for one in rest)]

        answer = _placed(chosen, part, size)
        answer.offer(others)
        return answer

    def _corrected(self, probability: Float, current: Encoded, prompt: Prompt, previous: Mask) -> Float:
        """The engine's answer to a correction, refined and guarded.

        A large change this late is likely a mistake: the answer of a crop around the click is taken if smaller.
        """
        discriminant, around = current.discriminant, getattr(self.engine, "answer_around", None)

        def refined(p: Float) -> Float:
            return guard_mask(p if discriminant is None else discriminant.refine(p, prompt), previous, prompt)

        def changed(p: Float) -> int:
            return int(np.count_nonzero((p > 0.5) != previous.binary))

        found = refined(probability)
        if around is None or len(prompt.points) < LATE or changed(found) <= LARGE * previous.binary.sum():
            return found
        near: Mask | None = around(current.state, prompt, previous)
        return found if near is None else min(found, refined(near.probability), key=changed)

    def _answer_in_turn(self, current: Encoded, prompt: Prompt) -> Mask | None:
        """The answer to all clicks of a prompt but the last, each from the mask before it."""
        count, mask = len(prompt.points) - 1, None
        cached = count <= MOST_IN_TURN
        for end in range(max(1, count - MOST_IN_TURN + 1), count + 1):
            clicks = replace(prompt, points=prompt.points[:end], labels=prompt.labels[:end])
            key = (clicks.points.tobytes(), clicks.labels.tobytes(), clicks.level, clicks.view)
            with current.lock:
                known = current.answered.pop(key, None) if cached else None
            mask = known or self._answer(current, clicks, mask)
            if cached:
                with current.lock:
                    current.answered[key] = mask
                    while len(current.answered) > max(1, CACHED_PIXELS // mask.probability.size):
                        del current.answered[next(iter(current.answered))]
        return mask


def reduced(image: UInt8) -> UInt8:
    """The H x W x 3 image that clicks on it are answered at: the same, or shrunk to 2 megapixels."""
    height, width = image.shape[:2]
    scale = (MOST_PIXELS / (height * width)) ** 0.5
    return image if scale >= 1 else resize(image, (max(round(height * scale), 1), max(round(width * scale), 1)))


def _shrunk(mask: Mask, encoded: Encoded) -> Mask:
    """A mask of the image at the size that clicks are answered at."""
    if isinstance(mask.state, Mask) and mask.state.binary.shape == encoded.image.shape[:2]:
        return mask.state  # answered at this size, enlarged for the caller
    size = encoded.image.shape[1::-1]
    return Mask(cv2.resize(mask.of_size(encoded.size), size, interpolation=cv2.INTER_AREA), score=mask.score)


def _enlarged(mask: Mask, encoded: Encoded) -> Mask:
    """A mask at the size of the image; it carries the small one along for the next click."""
    (x, y), roi = encoded.scale, mask.roi
    return Mask(
        lambda: cv2.resize(mask.probability, encoded.size[::-1], interpolation=cv2.INTER_LINEAR),
        score=mask.score,
        level=mask.level,
        roi=roi and (roi[0] / x, roi[1] / y, roi[2] / x, roi[3] / y),
        alternatives=lambda: [_enlarged(other, encoded) for other in mask.alternatives],
        state=mask,
    )


def _ends_inside(mask: Mask, part: tuple[int, int, int, int], size: Size) -> bool:
    """Whether the mask of an XYXY part of an (H, W) image takes something, and that ends before the part does."""
    found, (left, top, right, bottom) = mask.binary, part
    edges = found[0], found[-1], found[:, 0], found[:, -1]
    within = top > 0, bottom < size[0], left > 0, right < size[1]
    return bool(found.any()) and not any(edge.any() for edge, inner in zip(edges, within) if inner)


def _placed(mask: Mask, part: tuple[int, int, int, int], size: Size) -> Mask:
    """The mask of an XYXY part of an (H, W) image as one of the whole image."""
    left, top, right, bottom = part

    def whole() -> Float:
        canvas = np.zeros(size, np.float32)
        canvas[top:bottom, left:right] = mask.probability
        return canvas

    return Mask(whole, score=mask.score, level=mask.level)
