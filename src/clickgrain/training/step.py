"""One training step: crops, targets, click maps, rounds of corrective clicks, loss."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.dropout import _DropoutNd

from clickgrain.clicks.maps import Canvas, ClickMaps
from clickgrain.clicks.simulation import corrective_click
from clickgrain.models.base import ClickModel, Decoded
from clickgrain.models.losses import total_loss
from clickgrain.training.args import TrainArgs
from clickgrain.training.samples import Batch, with_click
from clickgrain.types import Float, Prompt

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
        self.dropouts = [module for module in model.modules() if isinstance(module, _DropoutNd)]

    def forward(self, crops: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of a batch.

        Clicks that no loss looks at are answered without gradients and dropout, and those after a prompt's last
        supervised one not at all.

        Args:
            crops: B x 3 x S x S float32 in 0..255, on the model's device.
            batch: what was drawn for them.

        Returns:
            The mean over prompts of the mean loss over their supervised clicks, and its parts, averaged likewise.
        """
        with torch.autocast(crops.device.type, enabled=False), torch.no_grad():
            generator = np.random.default_rng([self.args.seed, 4, batch.step, batch.first])
            images = jitter(crops, self.args.data.color, generator)
            targets = _targets(batch, images)
            valid = batch.valid.to(crops.device)[batch.index] * _sure(batch, targets, self.args.rim)
            spec = self.model.map_spec
            canvas = Canvas.of(images, spec, batch.trees, batch.leaf_lab, batch.to_tree, batch.edge_trees)
            maps = ClickMaps(spec, canvas, batch.index)
            scene = _Scene(images, targets, valid)
        encoded = self.model.encode(images)
        shares, prompts, learned = self._shares(batch), list(batch.prompts), _Learned()
        shown: Tensor | None = None
        for turn in range(shares.shape[1]):
            rows = np.flatnonzero(shares[:, turn:].any(1)).tolist()
            with torch.autocast(crops.device.type, enabled=False):
                before = batch.before if shown is None else shown
                given = None if before is None else before[rows].to(crops.device)
                maps.draw(rows, [prompts[row] for row in rows], given)
            for counts in (True, False):
                part = [row for row in rows if (shares[row, turn] > 0) == counts]
                if not part:
                    continue
                decoded = self._decode(encoded, [batch.index[row] for row in part], maps.of(part), counts)
                if counts:
                    learned.add(part, decoded, shares[part, turn])
                if shown is None:
                    scene = scene.shrunk(decoded.logits.shape[2:])
                    shown = scene.targets.new_zeros(scene.targets.shape)
                shown[part] = decoded.logits.detach().float().sigmoid()
            unfinished = np.flatnonzero(shares[:, turn + 1 :].any(1)).tolist()
            if unfinished and shown is not None:
                self._correct(batch, prompts, unfinished, shown, scene, turn)
        with torch.autocast(crops.device.type, enabled=False):
            index = [batch.index[row] for row in learned.rows]
            return total_loss(
                learned.decoded(),
                scene.targets[learned.rows],
                scene.images[index],
                self.args.losses,
                scene.valid[learned.rows],
                torch.from_numpy(np.concatenate(learned.shares)).to(crops.device) / len(prompts),
            )

    def _shares(self, batch: Batch) -> Float:
        """M x turns: what the loss after each click counts among those of its prompt; they add up to 1."""
        shares = np.zeros((len(batch.prompts), max(batch.rounds) + 1), np.float32)
        for i, rounds in enumerate(batch.rounds):
            turns = np.arange(rounds + 1)
            if self.args.supervise == "last":
                turns = turns[-1:]
            elif self.args.supervise == "two":
                rng = np.random.default_rng([self.args.seed, 2, batch.step, _number(batch, i)])
                turns = rng.permutation(turns)[:2]
            shares[i, turns] = 1 / len(turns)
        return shares

    def _decode(self, encoded: tuple[Tensor, ...], index: list[int], maps: Tensor, learns: bool) -> Decoded:
        """Answers to maps on the images `index`, with gradients and dropout only where something is learned."""
        if index != list(range(len(encoded[0]))):
            chosen = torch.tensor(index, device=maps.device)
            # channels last, as a decoder on a CPU wants them: no copy more
            encoded = tuple(e.movedim(1, -1).index_select(0, chosen).movedim(-1, 1) for e in encoded)
        for dropout in self.dropouts:
            dropout.train(self.training and learns)
        with torch.set_grad_enabled(learns and torch.is_grad_enabled()):
            return self.model.decode(encoded, maps)

    def _correct(
        self, batch: Batch, prompts: list[Prompt], rows: list[int], shown: Tensor, scene: "_Scene", turn: int
    ) -> None:
        """Add one more click to some prompts, placed at the answer's resolution."""
        wanted, usable, answers = ((t[rows, 0] > 0.5).cpu().numpy() for t in (scene.targets, scene.valid, shown))
        scale = batch.masks.shape[2] / wanted.shape[1]
        centre = self.args.clicks.share_centre_corrective
        for i, row in enumerate(rows):
            rng = np.random.default_rng([self.args.seed, 5, batch.step, turn, _number(batch, row)])
            if wanted[i].any():
                click = corrective_click(wanted[i], answers[i], rng, share_centre=centre, valid=usable[i])
                prompts[row] = prompts[row] if click is None else with_click(prompts[row], click, scale)


@dataclass(frozen=True)
class _Scene:
    """B x 3 x h x w images, and of M prompts the M x 1 x h x w targets and pixels that count."""

    images: Tensor
    targets: Tensor
    valid: Tensor

    def shrunk(self, size: Sequence[int]) -> "_Scene":
        """At the logits' own resolution: fewer pixels, and area means keep the targets' soft edges right."""
        with torch.autocast(self.images.device.type, enabled=False), torch.no_grad():
            planes = (self.images, self.targets, self.valid)
            return _Scene(*(functional.interpolate(t, tuple(size), mode="area") for t in planes))


@dataclass
class _Learned:
    """Supervised answers: their prompts, logits, scores and shares in the loss."""

    rows: list[int] = field(default_factory=list)
    answers: list[Decoded] = field(default_factory=list)
    shares: list[Float] = field(default_factory=list)

    def add(self, rows: list[int], decoded: Decoded, shares: Float) -> None:
        self.rows += rows
        self.answers.append(decoded)
        self.shares.append(shares)

    def decoded(self) -> Decoded:
        """All of them, one after the other, in float32."""
        logits, scores = (torch.cat(parts).float() for parts in zip(*self.answers))
        return Decoded(logits, scores)


def _number(batch: Batch, row: int) -> int:
    """Number of a prompt among those of the step: other processes have the others."""
    return batch.first * len(batch.prompts) // len(batch.pictures) + row


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

    def total(x: Tensor) -> Tensor:  # sums of slices: a tenth of the time of avg_pool2d on a CPU
        for axis, pad in ((3, (radius, radius)), (2, (0, 0, radius, radius))):
            padded, size = functional.pad(x, pad), x.shape[axis]
            x = sum((padded.narrow(axis, i, size) for i in range(1, 2 * radius + 1)), padded.narrow(axis, 0, size))
        return x

    count = total(torch.ones_like(guide[:1]))

    def mean(x: Tensor) -> Tensor:
        return total(x) / count

    mean_guide, mean_mask = mean(guide), mean(masks)
    covariance = mean(guide * masks) - mean_guide * mean_mask
    slope = covariance / (mean(guide * guide) - mean_guide**2 + eps)
    offset = mean_mask - slope * mean_guide
    snapped = (mean(slope) * guide + mean(offset)).clamp(0, 1)
    return (1.5 * (snapped - 0.5) + 0.5).clamp(0, 1)  # undoes the filter's blur
