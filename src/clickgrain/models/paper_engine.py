"""Answering clicks with the published `paper` model, zooming in as its authors do.

Source: the inference of RITM (Sofiiuk et al., arXiv 2102.06583), as SimpleClick and MIS (arXiv 2303.13399) use it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from clickgrain.clicks.maps import Canvas, click_maps
from clickgrain.models.base import ClickModel
from clickgrain.models.engine import previous_probability
from clickgrain.models.paper import PaperModel
from clickgrain.types import Bool, Box, Float, Mask, Prompt, Size, UInt8

THRESHOLD = 0.5
"""Of the previous probability, for its bounding box."""


class Region(NamedTuple):
    """Rows top..bottom and columns left..right of an image, both ends included."""

    top: int
    bottom: int
    left: int
    right: int

    @classmethod
    def of_box(cls, box: Box) -> "Region":
        """The pixels that an XYXY box touches."""
        return cls(int(box[1]), int(np.ceil(box[3])) - 1, int(box[0]), int(np.ceil(box[2])) - 1)

    @property
    def box(self) -> Box:
        """XYXY pixels, from the outer edge of the first pixel to that of the last."""
        return (float(self.left), float(self.top), float(self.right + 1), float(self.bottom + 1))

    @property
    def size(self) -> Size:
        """(height, width)."""
        return self.bottom - self.top + 1, self.right - self.left + 1

    def holds(self, points: Float) -> bool:
        """Whether every one of N x 2 (x, y) points lies inside."""
        column, row = np.floor(points).astype(np.int64).T
        inside = (self.top <= row) & (row <= self.bottom) & (self.left <= column) & (column <= self.right)
        return bool(inside.all())

    def overlap(self, other: "Region") -> float:
        """IoU of the rows times IoU of the columns, 0..1; not the IoU of the areas."""
        rows = _segment_iou(self.top, self.bottom, other.top, other.bottom)
        return rows * _segment_iou(self.left, self.right, other.left, other.right)


def _segment_iou(a: int, b: int, c: int, d: int) -> float:
    return max(0, min(b, d) - max(a, c) + 1) / (max(b, d) - min(a, c) + 1)


@dataclass(frozen=True)
class Zoom:
    """The rule that says where the network looks; the defaults are the published ones.

    Args:
        expansion: of the bounding box, about its centre.
        min_side: pixels that the expanded box has at least, before it is clamped to the image.
        keep: the last region stays while its overlap with the new one is at least this much.
    """

    expansion: float = 1.4
    min_side: int = 200
    keep: float = 0.5

    def region(
        self, before: Bool | None, positives: Float, box: Box | None, last: Region | None, size: Size
    ) -> Region:
        """The region to look at.

        Args:
            before: H x W, the previous mask; None or empty shows the whole image (click 1), unless there is a box.
            positives: P x 2 (x, y) pixels.
            box: the prompt's XYXY box; counts as part of the mask (ours: the paper knows none).
            last: the region of the previous answer.
            size: (H, W) of the image.
        """
        new = self._fresh(before, positives, box, size)
        if last is None or not last.holds(positives) or last.overlap(new) < self.keep:
            return new
        return last

    def _fresh(self, before: Bool | None, positives: Float, box: Box | None, size: Size) -> Region:
        found = None if before is None else _bounds(before)
        regions = [r for r in (found, box and Region.of_box(box)) if r is not None]
        if not regions:
            return Region(0, size[0] - 1, 0, size[1] - 1)
        regions += [Region(row, row, column, column) for column, row in np.floor(positives).astype(int).tolist()]
        tops, bottoms, lefts, rights = zip(*regions)
        top, bottom = self._widened(min(tops), max(bottoms), size[0])
        return Region(top, bottom, *self._widened(min(lefts), max(rights), size[1]))

    def _widened(self, first: int, last: int, length: int) -> tuple[int, int]:
        centre, side = (first + last) / 2, max(self.expansion * (last - first + 1), self.min_side)
        return max(0, round(centre - side / 2)), min(length - 1, round(centre + side / 2))


def _bounds(mask: Bool) -> Region | None:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows) == 0:
        return None
    return Region(int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1]))


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

    Click 1 sees the whole image. Scribbles count as rows of clicks. Without positive clicks the centre of a box
    stands for one, and a box is zoomed in on from the start. The level is ignored. Clicks are not enforced: the
    mask is what the network says. `previous` may be a Mask, whose `roi` is gone on from, or one without a `roi`
    (a plain probability), which has it computed afresh.

    Args:
        model: the network (any `ClickModel` whose maps need no tree); moved to the device, in eval mode.
        device: torch device.
        flip: average the logits with those of the mirrored image: twice the time, published figures use it.
        image_size: side in pixels that the region is resized to, aspect not kept; the model's own when None
            (published: 448, and 672 on DAVIS).
        zoom: where to look.
    """

    def __init__(
        self,
        model: PaperModel | ClickModel,
        device: str = "cpu",
        *,
        flip: bool = False,
        image_size: int | None = None,
        zoom: Zoom | None = None,
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
        """The mask of a prompt; `roi` says what the network looked at.

        Raises:
            PromptError: for a previous mask of another image's size.
        """
        before = None if previous is None else previous_probability(previous, encoded.size)
        # close enough for the disks to touch even where a region of the smallest side is enlarged
        spacing = self.model.map_spec.radius * min(1.0, self.zoom.min_side / self.image_size)
        clicks = _clicks(prompt, spacing)
        last = Region.of_box(previous.roi) if previous is not None and previous.roi is not None else None
        binary = None if before is None else before > THRESHOLD
        region = self.zoom.region(binary, clicks.positives, prompt.box, last, encoded.size)
        logits, score = self._decoded(encoded, clicks, before, region)
        return Mask(_pasting(logits, region, encoded.size), score=score, roi=region.box)

    def _decoded(
        self, encoded: PaperImage, clicks: Prompt, before: Float | None, region: Region
    ) -> tuple[Tensor, float]:
        """1 x 1 x S x S logits on the CPU, and the score."""
        pixels = self._seen(encoded.pixels, region)
        seen = torch.zeros_like(pixels[:, :1])
        if before is not None:
            seen = self._seen(torch.from_numpy(before)[None, None].to(self.device), region)
        prompts = [_moved(clicks, region, self.image_size)]
        if self.flip:
            pixels, seen = torch.cat([pixels, pixels.flip(3)]), torch.cat([seen, seen.flip(3)])
            prompts.append(_mirrored(prompts[0], self.image_size))
        spec = self.model.map_spec
        decoded = self.model(pixels, click_maps(spec, Canvas.of(pixels, spec), prompts, seen))
        logits = self._full(decoded.logits.float())
        if self.flip:
            logits = (logits[:1] + logits[1:].flip(3)) / 2
        return logits.cpu(), float(decoded.score.mean())

    def _seen(self, maps: Tensor, region: Region) -> Tensor:
        """The region of 1 x C x H x W maps at the network's resolution, float32."""
        rows, columns = _slices(region)
        return self._full(maps[:, :, rows, columns].float())

    def _full(self, maps: Tensor) -> Tensor:
        return _resized(maps, (self.image_size, self.image_size))


def _clicks(prompt: Prompt, spacing: float) -> Prompt:
    """The prompt as clicks alone: strokes as points, a box without positive clicks as its centre."""
    negatives, positives = prompt.sides(spacing)
    if prompt.box is not None and len(positives) == 0:
        x1, y1, x2, y2 = prompt.box
        positives = np.array([[(x1 + x2 - 1) / 2, (y1 + y2 - 1) / 2]], np.float32).clip(0)
    labels = np.repeat(np.array([0, 1], np.uint8), [len(negatives), len(positives)])
    return Prompt(np.concatenate([negatives, positives]), labels)


def _moved(clicks: Prompt, region: Region, side: int) -> Prompt:
    """Clicks in pixels of the enlarged region; negative ones may lie outside it, as published."""
    corner = np.array([region.left, region.top], np.float32)
    scale = side / np.array(region.size[::-1], np.float32)
    return Prompt(((clicks.points - corner) * scale).astype(np.float32), clicks.labels)


def _mirrored(clicks: Prompt, side: int) -> Prompt:
    points = clicks.points.copy()
    points[:, 0] = side - 1 - points[:, 0]
    return Prompt(points, clicks.labels)


def _pasting(logits: Tensor, region: Region, size: Size) -> Callable[[], Float]:
    """A function that gives the H x W probability: that of the logits within the region, 0 outside."""

    def render() -> Float:
        with torch.inference_mode():
            inside = _resized(logits.sigmoid(), region.size)[0, 0].numpy()
        probability = np.zeros(size, np.float32)
        probability[_slices(region)] = inside.clip(0, 1)
        return probability

    return render


def _resized(maps: Tensor, size: Size) -> Tensor:
    if maps.shape[2:] == size:
        return maps
    return functional.interpolate(maps, size, mode="bilinear", align_corners=True)


def _slices(region: Region) -> tuple[slice, slice]:
    return slice(region.top, region.bottom + 1), slice(region.left, region.right + 1)
