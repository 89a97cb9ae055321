"""Answering clicks with a trained `grain` model."""

from dataclasses import dataclass, field, replace
from math import ceil, floor

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from clickgrain.clicks.maps import Canvas, click_maps, leaf_colors
from clickgrain.features import FeatureExtractor
from clickgrain.images import fit_size, guided_upsample, resize
from clickgrain.models.engine import check_previous_size, obey, previous_probability
from clickgrain.models.grain import GrainModel
from clickgrain.models.zoom import Region, Zoom, bounds
from clickgrain.tree import MergeTree, build_tree, edge_tree
from clickgrain.types import Float, Mask, Prompt, Size, UInt8

MOST_REPLAYED = 16
"""Clicks that are given at once and answered one after the other; of more, the first ones count as one."""
REMEMBERED = 64
OTHER_LEVELS = (0.45, 0.65, 0.85)
"""Levels offered as alternatives when none is asked for."""
ZOOM_FROM = 5
"""Clicks from which on objects are looked at closely; a box around a wrong early mask would cut off the rest."""
SMALL_FROM, SMALL = 2, 0.2
"""Clicks from which on small objects are looked at closely: the box of the mask takes so much of the long side."""
ZOOM_EXPANSION = 2.0
"""How much wider than the last mask's box the part is that is looked at."""
ZOOM_LEAST, ZOOM_MOST = 0.25, 0.8
"""Its least part of the image's long side, and the greatest that is worth it."""
SMALLEST_PART = 32
"""Pixels."""


Clicks = tuple[bytes, bytes, float | None]
"""Points, labels and level of a prompt of clicks alone."""


@dataclass(frozen=True)
class GrainImage:
    """All that a click needs of an image: features, tree and canvas; work is the (H, W) they were made at.

    `replayed` remembers answers to the first few clicks of prompts without a previous mask; `close` holds the
    part of the image that was looked at closely last.
    """

    image: UInt8
    work: tuple[int, int]
    tree: MergeTree
    canvas: Canvas
    features: tuple[Tensor, ...]
    replayed: dict[Clicks, Mask] = field(default_factory=dict)
    close: "dict[Region, GrainImage]" = field(default_factory=dict)

    @property
    def size(self) -> Size:
        """(H, W) of the image."""
        return self.image.shape[0], self.image.shape[1]


@dataclass(frozen=True)
class GrainState:
    """What a mask keeps for the next click.

    Attributes:
        size: (H, W) of its image.
        logits: h x w at map resolution.
        region: the part of the image that they show, None for all of it.
    """

    size: Size
    logits: Tensor
    region: Region | None = None


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

        From the fifth click on an object that fills a part of the image is looked at closely, a small one from the
        second (clicks alone: no box, scribbles or level).

        Several clicks at once, without a previous mask, are answered as if they had been made one after the other:
        each corrects what the ones before it gave.

        Raises:
            PromptError: for a previous mask of another image's size.
        """
        if previous is None and len(prompt.points) > 1 and prompt.box is None and not prompt.scribbles:
            previous = self._replayed(encoded, prompt)
        mask = self._next(encoded, prompt, previous)
        if prompt.level is None:
            mask = self._with_alternatives(encoded, prompt, previous, mask)
        return mask

    def _replayed(self, encoded: GrainImage, prompt: Prompt) -> Mask:
        """The answer to all clicks of a prompt but the last."""
        count = len(prompt.points) - 1
        mask: Mask | None = None
        for end in range(max(1, count - MOST_REPLAYED + 1), count + 1):
            clicks = replace(prompt, points=prompt.points[:end], labels=prompt.labels[:end])
            key = (clicks.points.tobytes(), clicks.labels.tobytes(), clicks.level)
            known = encoded.replayed.get(key) if count <= MOST_REPLAYED else None
            mask = known or self._next(encoded, clicks, mask)
            if count <= MOST_REPLAYED and len(encoded.replayed) < REMEMBERED:
                encoded.replayed[key] = mask
        assert mask is not None
        return mask

    def _next(self, encoded: GrainImage, prompt: Prompt, previous: Mask | None) -> Mask:
        """The answer to one more click, from the whole image or a closer look."""
        region = _close_region(encoded.size, prompt, previous)
        if region is None or previous is None:
            return self._decoded(encoded, [prompt], self._before(encoded, previous))[0]
        corner = np.array([region.left, region.top], np.float32)
        moved = prompt.points - corner
        inside = ((moved >= 0) & (moved < region.size[::-1])).all(1)
        part = self._closer(encoded, region)
        clicks = replace(prompt, points=moved[inside], labels=prompt.labels[inside])
        before = self._before(part, previous, region, encoded.size)
        return _pasted(self._decoded(part, [clicks], before)[0], region, encoded.size)

    def _closer(self, encoded: GrainImage, region: Region) -> GrainImage:
        """A part of the image, encoded like an image of its own; the last one is kept."""
        known = encoded.close.get(region)
        if known is None:
            known = self.encode(np.ascontiguousarray(encoded.image[region.slices]))
            encoded.close.clear()
            encoded.close[region] = known
        return known

    def _before(
        self, encoded: GrainImage, previous: Mask | None, region: Region | None = None, size: Size | None = None
    ) -> Tensor | None:
        """1 x 1 x h x w previous probability at map resolution, of a region of an image of `size` where given."""
        if previous is None:
            return None
        expected, shape, state = size or encoded.size, encoded.canvas.lab.shape[2:], previous.state
        if isinstance(state, GrainState) and state.logits.shape == shape and state.region == region:
            check_previous_size(state.size, expected)
            return state.logits.sigmoid()[None, None].to(self.device)
        probability = previous_probability(previous, expected)
        if region is not None:
            probability = np.ascontiguousarray(probability[region.slices])
        planes = torch.from_numpy(probability)[None, None]
        return functional.interpolate(planes, shape, mode="bilinear", antialias=True).to(self.device)

    def _with_alternatives(self, encoded: GrainImage, prompt: Prompt, previous: Mask | None, mask: Mask) -> Mask:
        def others() -> list[Mask]:
            prompts = [replace(prompt, level=level) for level in OTHER_LEVELS]
            with torch.inference_mode():
                before = self._before(encoded, previous)
                repeated = None if before is None else before.expand(len(prompts), -1, -1, -1)
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


def _close_region(size: Size, prompt: Prompt, previous: Mask | None) -> Region | None:
    """What to look at closely, or None for the whole image."""
    clicks_alone = prompt.box is None and not prompt.scribbles and prompt.level is None
    if previous is None or len(prompt.points) < SMALL_FROM or not clicks_alone:
        return None
    found = _bounds(previous, size)
    if found is None or (len(prompt.points) < ZOOM_FROM and max(found.size) > SMALL * max(size)):
        return None
    zoom = Zoom(ZOOM_EXPANSION, max(round(ZOOM_LEAST * max(size)), SMALLEST_PART))
    last = previous.state.region if isinstance(previous.state, GrainState) else None
    region = zoom.region(None, prompt.positives, found.box, last, size)
    return region if max(region.size) <= ZOOM_MOST * max(size) else None


def _bounds(previous: Mask, size: Size) -> Region | None:
    """The part of an image of `size` that holds a mask, by its logits where there are any: nothing is rendered."""
    state = previous.state
    if not isinstance(state, GrainState):
        check_previous_size((previous.binary.shape[0], previous.binary.shape[1]), size)
        return bounds(previous.binary)
    check_previous_size(state.size, size)
    found, part = bounds(state.logits.numpy() > 0), state.region or Region(0, size[0] - 1, 0, size[1] - 1)
    if found is None:
        return None
    scale_y, scale_x = (pixels / cells for pixels, cells in zip(part.size, state.logits.shape))
    return Region(
        part.top + floor(found.top * scale_y),
        part.top + ceil((found.bottom + 1) * scale_y) - 1,
        part.left + floor(found.left * scale_x),
        part.left + ceil((found.right + 1) * scale_x) - 1,
    )


def _pasted(mask: Mask, region: Region, size: Size) -> Mask:
    """A region's mask as one of its image, nothing outside the region."""

    def render() -> Float:
        probability = np.zeros(size, np.float32)
        probability[region.slices] = mask.probability
        return probability

    state = GrainState(size, mask.state.logits, region)
    return Mask(render, score=mask.score, roi=region.box, state=state)


def _mask(encoded: GrainImage, prompt: Prompt, logits: Tensor, score: float) -> Mask:
    def render() -> Float:
        low = logits.sigmoid().numpy()
        fine = guided_upsample(low, encoded.image, radius=2, eps=1e-4)
        return obey(fine, prompt, radius=max(2.0, encoded.image.shape[1] / low.shape[1]))

    return Mask(render, score=score, level=prompt.level, state=GrainState(encoded.size, logits))
