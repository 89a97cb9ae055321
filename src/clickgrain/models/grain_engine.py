"""Answering clicks with a trained `grain` model."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from clickgrain.clicks.maps import Canvas, click_maps, leaf_colors
from clickgrain.features import FeatureExtractor
from clickgrain.images import fit_size, guided_upsample, resize
from clickgrain.models.engine import check_previous_size, obey, previous_probability
from clickgrain.models.grain import GrainModel
from clickgrain.tree import MergeTree, build_tree, edge_tree
from clickgrain.types import Float, Mask, Prompt, Size, UInt8

MOST_REPLAYED = 16
"""Clicks that are given at once and answered one after the other; of more, the first ones count as one."""
REMEMBERED = 64
OTHER_LEVELS = (0.45, 0.65, 0.85)
"""Levels offered as alternatives when none is asked for."""


Clicks = tuple[bytes, bytes, float | None]
"""Points, labels and level of a prompt of clicks alone."""


@dataclass(frozen=True)
class GrainImage:
    """All that a click needs of an image: features, tree and canvas; work is the (H, W) they were made at.

    `replayed` remembers answers to the first few clicks of prompts without a previous mask.
    """

    image: UInt8
    work: tuple[int, int]
    tree: MergeTree
    canvas: Canvas
    features: tuple[Tensor, ...]
    replayed: dict[Clicks, Mask] = field(default_factory=dict)


@dataclass(frozen=True)
class GrainState:
    """What a mask keeps for the next click: h x w logits at map resolution, and the (H, W) of its image."""

    size: Size
    logits: Tensor


class GrainEngine:
    """Encodes an image once, then runs maps and decoder per click.

    Args:
        model: the network; moved to the device, in eval mode.
        extractor: gives the features of the merge tree (`model.config.tree`).
        device: torch device.
    """

    def __init__(self, model: GrainModel, extractor: FeatureExtractor, device: str = "cpu") -> None:
        self.model = model.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.extractor, self.device = extractor, device

    @torch.inference_mode()
    def encode(self, image: UInt8) -> GrainImage:
        """Tree, canvas and features of an H x W x 3 uint8 RGB image."""
        work = fit_size((image.shape[0], image.shape[1]), self.model.config.long_side, 32)
        tree = build_tree(self.extractor(image), image.shape[:2])
        resized = np.require(resize(image, work), np.uint8, ["C", "W"])
        pixels = torch.from_numpy(resized).to(self.device).permute(2, 0, 1)[None].float()
        canvas = Canvas.of(
            pixels, self.model.map_spec, [tree], [leaf_colors(image, tree)], edges=[edge_tree(image, tree.grid)]
        )
        return GrainImage(image, work, tree, canvas, self.model.encode(pixels))

    @torch.inference_mode()
    def answer(self, encoded: GrainImage, prompt: Prompt, previous: Mask | None) -> Mask:
        """The mask of a prompt; without a level, readings at three levels are its alternatives.

        Several clicks at once, without a previous mask, are answered as if they had been made one after the other:
        each corrects what the ones before it gave.

        Raises:
            PromptError: for a previous mask of another image's size.
        """
        if previous is None and len(prompt.points) > 1 and prompt.box is None and not prompt.scribbles:
            previous = self._replayed(encoded, prompt)
        before = _previous(encoded, previous)
        if before is not None:
            before = before.to(self.device)
        mask = self._decoded(encoded, [prompt], before)[0]
        if prompt.level is None:
            mask = self._with_alternatives(encoded, prompt, before, mask)
        return mask

    def _replayed(self, encoded: GrainImage, prompt: Prompt) -> Mask:
        """The answer to all clicks of a prompt but the last."""
        count = len(prompt.points) - 1
        mask: Mask | None = None
        for end in range(max(1, count - MOST_REPLAYED + 1), count + 1):
            clicks = replace(prompt, points=prompt.points[:end], labels=prompt.labels[:end])
            key = (clicks.points.tobytes(), clicks.labels.tobytes(), clicks.level)
            known = encoded.replayed.get(key) if count <= MOST_REPLAYED else None
            before = _previous(encoded, mask)
            mask = (
                known or self._decoded(encoded, [clicks], before if before is None else before.to(self.device))[0]
            )
            if count <= MOST_REPLAYED and len(encoded.replayed) < REMEMBERED:
                encoded.replayed[key] = mask
        assert mask is not None
        return mask

    def _with_alternatives(self, encoded: GrainImage, prompt: Prompt, before: Tensor | None, mask: Mask) -> Mask:
        def others() -> list[Mask]:
            prompts = [replace(prompt, level=level) for level in OTHER_LEVELS]
            repeated = None if before is None else before.expand(len(prompts), -1, -1, -1)
            with torch.inference_mode():
                return sorted(self._decoded(encoded, prompts, repeated), key=lambda m: -m.score)

        mask.offer(others)
        return mask

    def _decoded(self, encoded: GrainImage, prompts: list[Prompt], before: Tensor | None) -> list[Mask]:
        scale_y, scale_x = (w / s for w, s in zip(encoded.work, encoded.image.shape[:2]))
        scaled = [prompt.scaled(scale_x, scale_y) for prompt in prompts]
        index = [0] * len(prompts)
        maps = click_maps(self.model.map_spec, encoded.canvas, scaled, before, index)
        features = tuple(f.expand(len(prompts), -1, -1, -1) for f in encoded.features)
        decoded = self.model.decode(features, maps)
        logits = decoded.logits.float().cpu()
        return [_mask(encoded, prompt, logits[i, 0], float(decoded.score[i])) for i, prompt in enumerate(prompts)]


def _mask(encoded: GrainImage, prompt: Prompt, logits: Tensor, score: float) -> Mask:
    def render() -> Float:
        low = logits.sigmoid().numpy()
        fine = guided_upsample(low, encoded.image, radius=2, eps=1e-4)
        return obey(fine, prompt, radius=max(2.0, encoded.image.shape[1] / low.shape[1]))

    return Mask(render, score=score, level=prompt.level, state=GrainState(_size(encoded), logits))


def _size(encoded: GrainImage) -> Size:
    return encoded.image.shape[0], encoded.image.shape[1]


def _previous(encoded: GrainImage, previous: Mask | None) -> Tensor | None:
    """1 x 1 x h x w previous probability at map resolution."""
    if previous is None:
        return None
    size, state = encoded.canvas.lab.shape[2:], previous.state
    if isinstance(state, GrainState) and state.logits.shape == size:
        check_previous_size(state.size, _size(encoded))
        return state.logits.sigmoid()[None, None]
    probability = torch.from_numpy(previous_probability(previous, _size(encoded)))[None, None]
    return functional.interpolate(probability, size, mode="bilinear", antialias=True)
