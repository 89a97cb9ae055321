"""Answers clicks with a trained `grain` model; torch or ONNX Runtime computes its network."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import cv2
import numpy as np

from clickgrain.clicks.centre import MIN_AREA, Evidence, centre_map, decided, nested_regions
from clickgrain.clicks.leaf_maps import Leaves
from clickgrain.clicks.maps import ClickMaps, MapContext, click_maps, leaf_colors, resized
from clickgrain.cut import obey
from clickgrain.features import FeatureExtractor
from clickgrain.images import Guide, fit_size, resize
from clickgrain.models.config import GrainConfig
from clickgrain.models.zoom import Window, Zoom, bounds
from clickgrain.tree import (
    FLAT,
    MergeTree,
    build_tree,
    edge_strength,
    edge_tree,
    region_contrast,
    semantic_cells,
    semantic_tree,
    semantic_vectors,
)
from clickgrain.types import Float, Mask, Prompt, Size, UInt8

OTHER_LEVELS = (0.45, 0.65, 0.85)  # levels of the alternatives when none is asked for
ZOOM_FROM = 5  # clicks from which on a zoom crop is used; a box around a wrong early mask would cut off the rest
SMALL_FROM, SMALL = 2, 0.2  # the same for small objects: the mask's box is at most this part of the long side
ZOOM_EXPANSION = 2.0  # size of a zoom crop over that of the last mask's box
ZOOM_LEAST, ZOOM_MOST = 0.25, 0.8  # its least part of the image's long side, and the greatest that is worth a crop
SMALLEST_PART = 32  # its least size in pixels
AROUND, AROUND_LEAST = 0.5, 96  # side of a crop around the last click: part of the long side, and pixels
RIM = 0.1  # part of that side over which its answer fades into the previous mask
UNSURE, VOTE_SLOPE, VOTE_MOST = 0.6, 2.0, 0.7
"""Expected IoU under which the regions around a first click vote, growth of their share below it, largest share."""
CLEAR = 2.0
"""Up to a region contrast of `FLAT` regions alone answer a first click, from this on that expected IoU decides."""


@dataclass(frozen=True)
class GrainImage:
    """All that a click needs of an image: features, tree and context."""

    image: UInt8
    work: Size  # that it was encoded at
    tree: MergeTree
    leaf_features: Float  # h x w x d that the tree was built on
    context: MapContext
    features: tuple[Any, ...]
    cells: Float | None  # from `semantic_cells`
    close: "dict[Window, GrainImage]" = field(default_factory=dict)  # the last zoom crop
    drawn: list[tuple[Prompt, ClickMaps]] = field(default_factory=list)  # those of the last prompt, at most one

    @property
    def size(self) -> Size:
        """(H, W) of the image."""
        return self.image.shape[0], self.image.shape[1]

    @property
    def vectors(self) -> Float | None:
        """h x w x d `semantic_vectors` of the leaves."""
        return self.context.leaves[0].vectors

    @cached_property
    def guide(self) -> Guide:
        """For masks at the resolution of click maps."""
        return Guide.of(self.image, self.context.size, radius=2, eps=1e-4)

    @cached_property
    def strength(self) -> Float:
        """h x w edge strength of the leaves."""
        return edge_strength(self.image, self.tree.grid)

    @cached_property
    def region_contrast(self) -> float:
        """How clearly a large region stands out."""
        return region_contrast(self.tree, self.strength)

    def vote(self, point: Float) -> Float:
        """h x w probability that a leaf belongs to what one click at (x, y) means, by the regions around it."""
        leaves, leaf = self.context.leaves[0], self.tree.leaf_at(*point)
        evidence = Evidence(divmod(leaf, self.tree.grid[1]), np.ones(self.tree.grid, np.bool_))
        return decided(centre_map(nested_regions(leaves.trees, leaves.vectors, leaf), evidence, self.strength))


class GrainNetwork(Protocol):
    """The network of a `grain` model on one image: torch's (`TorchGrain`) or ONNX Runtime's (`OnnxGrain`)."""

    config: GrainConfig

    def encode(self, pixels: Float) -> tuple[Any, ...]:
        """What `decode` wants of 1 x 3 x H x W RGB in 0..255, H and W multiples of 32."""

    def decode(self, features: tuple[Any, ...], maps: Float) -> tuple[Float, Float]:
        """M x H/2 x W/2 logits and M expected IoUs for M x C x H/2 x W/2 click maps."""


class GrainEngine:
    """Encodes an image once, then runs maps and decoder per click.

    Each answer corrects the previous mask: of clicks given at once, `Segmenter` hands it one after the other.
    """

    one_by_one = True

    def __init__(self, network: GrainNetwork, extractor: FeatureExtractor) -> None:
        self.network, self.extractor = network, extractor

    def encode(self, image: UInt8) -> GrainImage:
        """Trees, context and features of an H x W x 3 uint8 RGB image."""
        return self._encoded(image, semantic_cells(image), whole=True)

    def _encoded(self, image: UInt8, cells: Float | None, *, whole: bool) -> GrainImage:
        """`encode`; a part of an image has no semantic tree."""
        config = self.network.config
        work = fit_size(image.shape[:2], config.long_side, 32)
        leaf_features = self.extractor(image)
        tree = build_tree(leaf_features, image.shape[:2])
        pixels = np.asarray(resize(image, work), np.float32).transpose(2, 0, 1)[None]
        semantic = semantic_tree(image, tree, cells) if whole else None
        others = edge_tree(image, tree.grid), semantic_vectors(cells, tree), semantic
        context = MapContext.of(pixels, config.map_spec, [Leaves(tree, leaf_colors(image, tree), *others)])
        return GrainImage(image, work, tree, leaf_features, context, self.network.encode(pixels), cells)

    def answer(self, encoded: GrainImage, prompt: Prompt, previous: Mask | None) -> Mask:
        """The mask of a prompt; without a level, the masks at three levels are its alternatives.

        From the fifth click on (the second for small objects) a zoom crop around the last mask is answered instead
        of the whole image, if the prompt has clicks alone: no box, scribbles or level.
        """
        window = _close_window(encoded.size, prompt, previous)
        before = None if previous is None else previous.of_size(encoded.size)
        whole = None if before is None else resized(before[None, None], encoded.context.size)
        if window is None or before is None:
            mask = self._decoded(encoded, [prompt], whole)[0]
        else:
            if (part := encoded.close.get(window)) is None:
                part = self._encode_window(encoded, window)
                encoded.close.clear()
                encoded.close[window] = part
            inner = self._answer_in(part, window, prompt, before)
            mask = Mask(lambda: window.paste(inner.probability, encoded.size), score=inner.score, roi=window.box)

        def at_other_levels() -> list[Mask]:
            prompts = [replace(prompt, level=level) for level in OTHER_LEVELS]
            repeated = None if whole is None else np.repeat(whole, len(prompts), 0)
            return sorted(self._decoded(encoded, prompts, repeated), key=lambda mask: -mask.score)

        if prompt.level is None:
            mask.offer(at_other_levels)
        return mask

    def answer_around(self, encoded: GrainImage, prompt: Prompt, previous: Mask) -> Mask | None:
        """The previous mask with the answer of a crop around the last click; None where that is nearly all."""
        height, width = size = encoded.size
        side = max(round(AROUND * max(size)), AROUND_LEAST)
        if side > ZOOM_MOST * max(size):
            return None
        column, row = (int(value) - side // 2 for value in prompt.points[-1])
        top, left = max(0, min(row, height - side)), max(0, min(column, width - side))
        window = Window(top, min(top + side, height) - 1, left, min(left + side, width) - 1)
        before = previous.of_size(size)
        inner = self._answer_in(self._encode_window(encoded, window), window, prompt, before)

        def render() -> Float:
            weight = np.outer(*(_ramp(*ends, RIM * side) for ends in zip(window[::2], window[1::2], size)))
            whole = before.copy()
            whole[window.slices] += weight * (inner.probability - whole[window.slices])
            return whole

        return Mask(render, score=inner.score)

    def _encode_window(self, encoded: GrainImage, window: Window) -> GrainImage:
        """Encode a window as a separate image."""
        cells = None if encoded.cells is None else _cut_out(encoded.cells, window, encoded.size)
        return self._encoded(np.ascontiguousarray(encoded.image[window.slices]), cells, whole=False)

    def _answer_in(self, part: GrainImage, window: Window, prompt: Prompt, before: Float) -> Mask:
        """The mask of a window, by the clicks in it and the previous probability (H x W, of the whole image)."""
        moved = prompt.points - np.array([window.left, window.top], np.float32)
        inside = ((moved >= 0) & (moved < window.size[::-1])).all(1)
        clicks = replace(prompt, points=moved[inside], labels=prompt.labels[inside])
        return self._decoded(part, [clicks], resized(before[None, None, *window.slices], part.context.size))[0]

    def _decoded(self, encoded: GrainImage, prompts: list[Prompt], before: Float | None) -> list[Mask]:
        scale_y, scale_x = (w / s for w, s in zip(encoded.work, encoded.size))
        scaled = [prompt.scaled(scale_x, scale_y) for prompt in prompts]
        maps = self._maps(encoded, scaled, before)
        logits, scores = self.network.decode(encoded.features, maps)
        if self.network.config.decoder_for(maps)[0]:
            votes = (encoded.vote(prompt.points[0]) for prompt in prompts)
            logits = _voted(logits, scores, votes, encoded.region_contrast)
        return [_mask(encoded, prompt, logits[i], float(scores[i])) for i, prompt in enumerate(prompts)]

    def _maps(self, encoded: GrainImage, prompts: list[Prompt], before: Float | None) -> Float:
        """Click maps; those of the last single prompt grow if the new one only adds clicks to it."""
        spec = self.network.config.map_spec
        if len(prompts) != 1:
            return click_maps(spec, encoded.context, prompts, before, [0] * len(prompts))
        maps = None
        with suppress(IndexError):  # taken out: another thread that clicks on this image draws new ones
            last, maps = encoded.drawn.pop()
            if not prompts[0].extends(last):
                maps = None
        maps = maps or ClickMaps(spec, encoded.context, [0])
        maps.draw([0], prompts, before)
        encoded.drawn[:] = [(prompts[0], maps)]
        return maps.of([0])


def _voted(logits: Float, scores: Float, votes: Iterable[Float], contrast: float) -> Float:
    """M x h x w logits of first answers, blended with the vote of nested regions (M maps of any size).

    The vote counts where the network is unsure, and alone where no large region stands out: what the network
    learned of whole things helps on photos like those that it saw; else the image knows better. What is smaller
    than all regions that vote, such as a bird in the sky, is the network's.
    """
    network = 0.5 + 0.5 * np.tanh(0.5 * logits)
    least = np.clip((CLEAR - contrast) / (CLEAR - FLAT), 0, 1)
    share = np.maximum(least, np.clip(VOTE_SLOPE * (UNSURE - scores), 0, VOTE_MOST))
    share = np.where((network > 0.5).mean((1, 2)) < MIN_AREA, 0, share)[:, None, None]
    if not share.any():
        return logits
    wide = np.stack([cv2.resize(vote, logits.shape[:0:-1], interpolation=cv2.INTER_LINEAR) for vote in votes])
    mean = np.clip(network + share * (wide - network), 1e-4, 1 - 1e-4)
    return np.where(share > 0, np.log(mean / (1 - mean)), logits).astype(np.float32)


def _close_window(size: Size, prompt: Prompt, previous: Mask | None) -> Window | None:
    """The window of the zoom crop, or None for the whole image."""
    clicks_alone = prompt.box is None and not prompt.scribbles and prompt.level is None
    if previous is None or len(prompt.points) < SMALL_FROM or not clicks_alone:
        return None
    previous.check_size(size)
    found = bounds(previous.binary)
    if found is None or (len(prompt.points) < ZOOM_FROM and max(found.size) > SMALL * max(size)):
        return None
    zoom = Zoom(ZOOM_EXPANSION, max(round(ZOOM_LEAST * max(size)), SMALLEST_PART))
    last = None if previous.roi is None else Window.of_box(previous.roi)
    window = zoom.window(None, prompt.positives, found.box, last, size)
    return window if max(window.size) <= ZOOM_MOST * max(size) else None


def _cut_out(cells: Float, window: Window, size: Size) -> Float:
    """h x w x d: the cells of an image of `size` that a window shows, at about their own resolution."""
    sampled = []
    for axis, first in enumerate((window.top, window.left)):
        length, scale = cells.shape[axis], cells.shape[axis] / size[axis]
        count = int(np.ceil(window.size[axis] * scale)) + 1
        places = (first + (np.arange(count) + 0.5) * window.size[axis] / count) * scale - 0.5
        distance = np.abs(np.clip(places, 0, length - 1)[:, None] - np.arange(length))
        sampled.append(np.maximum(0, 1 - distance).astype(np.float32))  # weights of linear interpolation
    return np.einsum("ya,xb,abd->yxd", *sampled, cells, optimize=True)


def _ramp(first: int, last: int, length: int, rim: float) -> Float:
    """Weights of the pixels first..last of an axis: 1, falling to 0 at both ends unless the image ends there."""
    pixels = np.arange(first, last + 1, dtype=np.float32) + 0.5
    low = 1 if first == 0 else (pixels - first) / rim
    high = 1 if last == length - 1 else (last + 1 - pixels) / rim
    return np.clip(np.minimum(low, high) * np.ones_like(pixels), 0, 1)


def _mask(encoded: GrainImage, prompt: Prompt, logits: Float, score: float) -> Mask:
    def render() -> Float:
        low = 0.5 + 0.5 * np.tanh(0.5 * logits)  # the sigmoid, which cannot overflow
        return obey(encoded.guide.upsample(low), prompt, radius=max(2.0, encoded.image.shape[1] / low.shape[1]))

    return Mask(render, score=score, level=prompt.level)
