"""Answers clicks with the published `paper` model, zooming in as its authors do (source: `models.zoom`)."""

from typing import Any, Protocol

import numpy as np

from clickgrain.clicks.color import Array, library, to_numpy
from clickgrain.clicks.config import MapSpec
from clickgrain.clicks.maps import MapContext, click_maps
from clickgrain.models.zoom import Window, Zoom
from clickgrain.types import Float, Mask, Prompt, Size, UInt8


class PaperNetwork(Protocol):
    """The network of a `paper` model: torch's (`TorchPaper`) or ONNX Runtime's (`OnnxPaper`)."""

    config: Any  # a `PaperConfig`
    map_spec: MapSpec

    def put(self, values: Float | UInt8) -> Array:
        """An array where the network computes."""

    def decode(self, pixels: Array, maps: Array) -> tuple[Array, Float]:
        """B x 1 x S x S logits in main memory and B scores for B x 3 x S x S RGB in 0..255 and click maps."""


class PaperEngine:
    """Zooms in on the object, runs the whole network at every click, and pastes the answer back.

    Click 1 sees the whole image. Scribbles count as rows of clicks. Without positive clicks the center of a box
    stands for one, and a box is zoomed in on from the start. The level is ignored, and clicks are not enforced. The
    `roi` of `previous` is where the last answer zoomed in; without one (a plain probability) it is computed again.
    """

    one_by_one = False

    def __init__(
        self,
        network: PaperNetwork,
        *,
        flip: bool = False,  # average the logits with the mirrored image's: twice the time, as published figures
        # side in pixels that the window is resized to, aspect not kept; None is the model's (448, 672 on DAVIS)
        image_size: int | None = None,
        zoom: Zoom | None = None,  # where to look
    ) -> None:
        self.network, self.flip, self.zoom = network, flip, zoom or Zoom()
        self.image_size: int = image_size or network.config.image_size

    def encode(self, image: UInt8) -> Array:
        """1 x 3 x H x W uint8 where the network computes: early fusion leaves nothing else to keep."""
        return self.network.put(np.require(image.transpose(2, 0, 1)[None], np.uint8, ["C", "W"]))

    def answer(self, encoded: Array, prompt: Prompt, previous: Mask | None) -> Mask:
        """The mask of a prompt; `roi` says what the network looked at."""
        size: Size = (encoded.shape[2], encoded.shape[3])
        before = binary = last = None
        if previous is not None:
            before, binary = previous.of_size(size), previous.binary
            last = previous.roi and Window.of_box(previous.roi)
        # close enough for the disks to touch even where a window of the smallest side is enlarged
        spacing = self.network.map_spec.radius * min(1.0, self.zoom.min_side / self.image_size)
        clicks = _clicks(prompt, spacing)
        window = self.zoom.window(binary, clicks.positives, prompt.box, last, size)
        logits, score = self._decoded(encoded, clicks, before, window)

        def render() -> Float:
            probability = 0.5 + 0.5 * library(logits).tanh(0.5 * logits)  # the sigmoid, which cannot overflow
            return window.paste(to_numpy(_aligned(probability, window.size)[0, 0]).clip(0, 1), size)

        return Mask(render, score=score, roi=window.box)

    def _decoded(self, encoded: Array, clicks: Prompt, before: Float | None, window: Window) -> tuple[Array, float]:
        """1 x 1 x S x S logits in main memory, and the score."""
        full, spec, (rows, columns) = (self.image_size, self.image_size), self.network.map_spec, window.slices
        pixels = _aligned(encoded[:, :, rows, columns], full)
        xp = library(pixels)
        seen = xp.zeros_like(pixels[:, :1])
        if before is not None:
            seen = _aligned(self.network.put(before[None, None])[:, :, rows, columns], full)
        # clicks in pixels of the enlarged window; negative ones may lie outside it, as published
        scale = self.image_size / np.array(window.size[::-1], np.float32)
        points = ((clicks.points - np.array([window.left, window.top], np.float32)) * scale).astype(np.float32)
        prompts = [Prompt(points, clicks.labels)]
        if self.flip:
            pixels, seen = (xp.concat([maps, xp.flip(maps, (3,))]) for maps in (pixels, seen))
            mirrored = np.stack([self.image_size - 1 - points[:, 0], points[:, 1]], 1)
            prompts.append(Prompt(mirrored, clicks.labels))
        maps = click_maps(spec, MapContext.of(pixels, spec), prompts, seen)
        decoded, scores = self.network.decode(pixels, maps)
        logits = _aligned(decoded, full)
        if self.flip:
            logits = (logits[:1] + library(logits).flip(logits[1:], (3,))) / 2
        return logits, float(scores.mean())


def _clicks(prompt: Prompt, spacing: float) -> Prompt:
    """The prompt as clicks alone: strokes as points, a box without positive clicks as its center."""
    negatives, positives = prompt.by_label(spacing)
    if prompt.box is not None and len(positives) == 0:
        x1, y1, x2, y2 = prompt.box
        positives = np.array([[(x1 + x2 - 1) / 2, (y1 + y2 - 1) / 2]], np.float32).clip(0)
    labels = np.repeat(np.array([0, 1], np.uint8), [len(negatives), len(positives)])
    return Prompt(np.concatenate([negatives, positives]), labels)


def _aligned(maps: Array, size: Size) -> Array:
    """B x C x h x w at another size, float32, bilinearly with corner pixels on corner pixels."""
    if not isinstance(maps, np.ndarray):
        from torch.nn import functional

        maps = maps.float()
        same = tuple(maps.shape[2:]) == size
        return maps if same else functional.interpolate(maps, size, mode="bilinear", align_corners=True)
    maps = maps.astype(np.float32)
    for axis, length in zip((2, 3), size):
        if (count := maps.shape[axis]) == length:
            continue
        where = np.linspace(0, count - 1, length)
        low = np.minimum(where.astype(np.int64), max(count - 2, 0))
        share = (where - low).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(4)])
        first = maps.take(low, axis)
        maps = first + (maps.take(np.minimum(low + 1, count - 1), axis) - first) * share
    return maps
