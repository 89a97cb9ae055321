"""One training step: crops, targets, click maps, rounds of corrective clicks, loss."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from clickgrain.clicks.maps import Canvas, click_maps
from clickgrain.clicks.simulation import corrective_click
from clickgrain.models.base import ClickModel, Decoded
from clickgrain.models.losses import total_loss
from clickgrain.training.args import TrainArgs
from clickgrain.training.samples import Batch
from clickgrain.types import Prompt

LUMA = (0.299, 0.587, 0.114)


class ClickStep(nn.Module):
    """A click model with everything between a batch and its loss, so that one forward call serves DDP.

    Args:
        model: the network to train.
        args: of the run.
    """

    def __init__(self, model: ClickModel, args: TrainArgs) -> None:
        super().__init__()
        self.model, self.args = model, args

    def forward(self, crops: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of a batch.

        Args:
            crops: B x 3 x S x S float32 in 0..255, on the model's device.
            batch: what was drawn for them.

        Returns:
            The mean loss over supervised clicks, and its parts.
        """
        with torch.autocast(crops.device.type, enabled=False), torch.no_grad():
            generator = np.random.default_rng([self.args.seed, 4, batch.step, batch.first])
            images = jitter(crops, self.args.data.color, generator)
            targets = _targets(batch, images)
            valid = batch.valid.to(crops.device)[batch.index] * _sure(batch, targets, self.args.rim)
            spec = self.model.map_spec
            canvas = Canvas.of(images, spec, batch.trees, batch.leaf_lab, batch.to_tree, batch.edge_trees)
        encoded = tuple(e[batch.index] for e in self.model.encode(images))
        prompts, previous = batch.prompts, None
        losses: list[Tensor] = []
        parts: dict[str, Tensor] = {}
        for turn in range(batch.rounds + 1):
            last = turn == batch.rounds
            counts = last or self.args.supervise == "all"
            with torch.autocast(crops.device.type, enabled=False):
                maps = click_maps(self.model.map_spec, canvas, prompts, previous, batch.index)
            with torch.set_grad_enabled(counts and torch.is_grad_enabled()):
                decoded = self.model.decode(encoded, maps)
            if counts:
                loss, parts = self._loss(decoded, targets, images[batch.index], valid)
                losses.append(loss)
            if not last:
                previous = decoded.logits.detach().float().sigmoid()
                prompts = self._corrected(batch, prompts, previous, targets, valid, turn)
        return torch.stack(losses).mean(), parts

    def _loss(
        self, decoded: Decoded, targets: Tensor, images: Tensor, valid: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.autocast(targets.device.type, enabled=False):
            exact = Decoded(decoded.logits.float(), decoded.score.float())
            size = (exact.logits.shape[2], exact.logits.shape[3])
            # At the logits' own resolution: fewer pixels, and area means keep the targets' soft edges right.
            small = [functional.interpolate(t, size, mode="area") for t in (targets, images, valid)]
            return total_loss(exact, small[0], small[1], self.args.losses, small[2])

    def _corrected(
        self, batch: Batch, prompts: list[Prompt], previous: Tensor, targets: Tensor, valid: Tensor, turn: int
    ) -> list[Prompt]:
        """Prompts with one more click each, placed at the prediction's resolution."""
        size = (previous.shape[2], previous.shape[3])
        wanted = (functional.interpolate(targets, size, mode="area")[:, 0] > 0.5).cpu().numpy()
        usable = (functional.interpolate(valid, size, mode="area")[:, 0] > 0.5).cpu().numpy()
        shown = (previous[:, 0] > 0.5).cpu().numpy()
        scale = batch.masks.shape[2] / size[0]
        corrected = []
        centre = self.args.clicks.share_centre_corrective
        first = batch.first * len(prompts) // len(batch.pictures)
        for i, prompt in enumerate(prompts):
            rng = np.random.default_rng([self.args.seed, 5, batch.step, turn, first + i])
            click = (
                corrective_click(wanted[i], shown[i], rng, share_centre=centre, valid=usable[i])
                if wanted[i].any()
                else None
            )
            corrected.append(prompt if click is None else _with_click(prompt, click, scale))
        return corrected


def _targets(batch: Batch, images: Tensor) -> Tensor:
    """M x 1 x S x S targets, drawn to the edges of their crops except where they are exact."""
    masks = batch.masks.to(images.device)
    if all(batch.exact):
        return masks
    snapped = snap_targets(masks, images[batch.index])
    exact = torch.tensor(batch.exact, device=masks.device)[:, None, None, None]
    return torch.where(exact, masks, snapped) if any(batch.exact) else snapped


def _sure(batch: Batch, targets: Tensor, rim: int) -> Tensor:
    """M x 1 x S x S: 0 within `rim` pixels of the outline of a mask that is not exact, else 1.

    A leaf of a merge tree lies on one side as a whole: what its outline says of the image's edge is an accident.
    """
    exact = torch.tensor(batch.exact, device=targets.device).view(-1, 1, 1, 1)
    if rim == 0 or bool(exact.all()):
        return torch.ones_like(targets)
    inside = (targets > 0.5).float()
    grown, shrunk = (s * functional.max_pool2d(s * inside, 2 * rim + 1, 1, rim) for s in (1.0, -1.0))
    return ((grown == shrunk) | exact).float()


def _with_click(prompt: Prompt, click: tuple[int, int, int], scale: float) -> Prompt:
    point = np.array([[(click[0] + 0.5) * scale - 0.5, (click[1] + 0.5) * scale - 0.5]], np.float32)
    points = np.concatenate([prompt.points, point])
    return replace(prompt, points=points, labels=np.append(prompt.labels, np.uint8(click[2])))


def jitter(images: Tensor, strength: float, rng: np.random.Generator) -> Tensor:
    """Random brightness, contrast and saturation of each of B x 3 x H x W images in 0..255; some turn grey."""
    if strength == 0:
        return images
    draw = images.new_tensor(rng.uniform(-strength, strength, (3, len(images))))[:, :, None, None, None]
    grey = (images * images.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    colorless = images.new_tensor(rng.random(len(images)) < 0.05)[:, None, None, None]
    saturated = grey + (images - grey) * (1 + 1.5 * draw[0]) * (1 - colorless)
    mean = grey.mean((2, 3), keepdim=True)
    return ((saturated - mean) * (1 + draw[1]) + mean + 255 * 0.5 * draw[2]).clamp(0, 255)


def snap_targets(masks: Tensor, images: Tensor, radius: int = 2, eps: float = 60.0) -> Tensor:
    """Soft masks drawn to the edges of their crops by a guided filter with a grey guide (He et al., 2013).

    Pseudo masks are staircases of leaves; their outline is what the image's edges say, not what the grid says.

    Args:
        masks: M x 1 x S x S in 0..1.
        images: M x 3 x S x S in 0..255.
        radius: of the window in pixels.
        eps: variance in grey levels² below which the guide counts as flat.
    """
    guide = (images * images.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)

    def mean(x: Tensor) -> Tensor:
        side = 2 * radius + 1  # rows, then columns: a ninth of the work of one square window
        rows = functional.avg_pool2d(x, (1, side), 1, (0, radius), count_include_pad=False)
        return functional.avg_pool2d(rows, (side, 1), 1, (radius, 0), count_include_pad=False)

    mean_guide, mean_mask = mean(guide), mean(masks)
    covariance = mean(guide * masks) - mean_guide * mean_mask
    slope = covariance / (mean(guide * guide) - mean_guide**2 + eps)
    offset = mean_mask - slope * mean_guide
    snapped = (mean(slope) * guide + mean(offset)).clamp(0, 1)
    return (1.5 * (snapped - 0.5) + 0.5).clamp(0, 1)  # undoes the filter's blur
