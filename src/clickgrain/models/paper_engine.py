"""Answers clicks with the published `paper` model, zooming in as its authors do.

Source: the inference of RITM (Sofiiuk et al., arXiv 2102.06583), as SimpleClick and MIS (arXiv 2303.13399) use it.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from clickgrain.clicks.maps import MapContext, click_maps
from clickgrain.models.base import ClickModel
from clickgrain.models.engine import previous_probability
from clickgrain.models.paper import PaperModel
from clickgrain.models.zoom import Window, Zoom
from clickgrain.types import Float, Mask, Prompt, Size, UInt8

THRESHOLD = 0.5  # of the previous probability, for its bounding box


@dataclass(frozen=True)
class PaperImage:
    """1 x 3 x H x W uint8 RGB on the engine's device: early fusion leaves nothing else to keep."""

    pixels: Tensor

    @property
    def size(self) -> Size:
        """(H, W)."""
        return self.pixels.shape[2], self.pixels.shape[3]


class PaperEngine:
    """Zooms in on the object, runs the whole network at every click, and pastes the answer back.

    Click 1 sees the whole image. Scribbles count as rows of clicks. Without positive clicks the center of a box
    stands for one, and a box is zoomed in on from the start. The level is ignored. Clicks are not enforced: the
    mask is what the network says. The `roi` of `previous` is where the last answer zoomed in; without one (a plain
    probability) it is computed again.
    """

    one_by_one = False

    def __init__(
        self,
        model: PaperModel | ClickModel,
        device: str = "cpu",
        *,
        # average the logits with those of the mirrored image: twice the time, published figures use it
        flip: bool = False,
        # side in pixels that the window is resized to, aspect not kept; the model's own when None (published: 448,
        # and 672 on DAVIS)
        image_size: int | None = None,
        zoom: Zoom | None = None,  # where to look
    ) -> None:
        self.model = model.to(device).eval()
        self.device, self.flip, self.zoom = device, flip, zoom or Zoom()
        self.image_size: int = image_size or model.config.image_size

    def encode(self, image: UInt8) -> PaperImage:
        """Keep an H x W x 3 uint8 RGB image."""
        pixels = torch.from_numpy(np.require(image, np.uint8, ["C", "W"]))
        return PaperImage(pixels.to(self.device).permute(2, 0, 1)[None])

    @torch.inference_mode()
    def answer(self, encoded: PaperImage, prompt: Prompt, previous: Mask | None) -> Mask:
        """The mask of a prompt; `roi` says what the network looked at."""
        before = None if previous is None else previous_probability(previous, encoded.size)
        # close enough for the disks to touch even where a window of the smallest side is enlarged
        spacing = self.model.map_spec.radius * min(1.0, self.zoom.min_side / self.image_size)
        clicks = _clicks(prompt, spacing)
        last = Window.of_box(previous.roi) if previous is not None and previous.roi is not None else None
        binary = None if before is None else before > THRESHOLD
        window = self.zoom.window(binary, clicks.positives, prompt.box, last, encoded.size)
        logits, score = self._decoded(encoded, clicks, before, window)

        def render() -> Float:
            with torch.inference_mode():
                inside = _resized(logits.sigmoid(), window.size)[0, 0].numpy()
            return window.paste(inside.clip(0, 1), encoded.size)

        return Mask(render, score=score, roi=window.box)

    def _decoded(
        self, encoded: PaperImage, clicks: Prompt, before: Float | None, window: Window
    ) -> tuple[Tensor, float]:
        """1 x 1 x S x S logits on the CPU, and the score."""

        def cropped(maps: Tensor) -> Tensor:
            """The window of 1 x C x H x W maps at the network's resolution, float32."""
            rows, columns = window.slices
            return _resized(maps[:, :, rows, columns].float(), full)

        full = (self.image_size, self.image_size)
        pixels = cropped(encoded.pixels)
        seen = torch.zeros_like(pixels[:, :1])
        if before is not None:
            seen = cropped(torch.from_numpy(before)[None, None].to(self.device))
        prompts = [_moved(clicks, window, self.image_size)]
        if self.flip:
            pixels, seen = torch.cat([pixels, pixels.flip(3)]), torch.cat([seen, seen.flip(3)])
            points = prompts[0].points.copy()
            points[:, 0] = self.image_size - 1 - points[:, 0]
            prompts.append(Prompt(points, prompts[0].labels))
        spec = self.model.map_spec
        decoded = self.model(pixels, click_maps(spec, MapContext.of(pixels, spec), prompts, seen))
        logits = _resized(decoded.logits.float(), full)
        if self.flip:
            logits = (logits[:1] + logits[1:].flip(3)) / 2
        return logits.cpu(), float(decoded.score.mean())


def _clicks(prompt: Prompt, spacing: float) -> Prompt:
    """The prompt as clicks alone: strokes as points, a box without positive clicks as its center."""
    negatives, positives = prompt.by_label(spacing)
    if prompt.box is not None and len(positives) == 0:
        x1, y1, x2, y2 = prompt.box
        positives = np.array([[(x1 + x2 - 1) / 2, (y1 + y2 - 1) / 2]], np.float32).clip(0)
    labels = np.repeat(np.array([0, 1], np.uint8), [len(negatives), len(positives)])
    return Prompt(np.concatenate([negatives, positives]), labels)


def _moved(clicks: Prompt, window: Window, side: int) -> Prompt:
    """Clicks in pixels of the enlarged window; negative ones may lie outside it, as published."""
    corner = np.array([window.left, window.top], np.float32)
    scale = side / np.array(window.size[::-1], np.float32)
    return Prompt(((clicks.points - corner) * scale).astype(np.float32), clicks.labels)


def _resized(maps: Tensor, size: Size) -> Tensor:
    if maps.shape[2:] == size:
        return maps
    return functional.interpolate(maps, size, mode="bilinear", align_corners=True)
