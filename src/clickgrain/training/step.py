"""One training step: crops, targets, click maps, rounds of corrective clicks, loss."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.dropout import _DropoutNd

from clickgrain.clicks.maps import ClickMaps, MapContext
from clickgrain.clicks.simulation import corrective_click
from clickgrain.cut import obey
from clickgrain.models.base import ClickModel, Decoded
from clickgrain.models.losses import total_loss
from clickgrain.training.config import TrainArgs
from clickgrain.training.samples import Batch, with_click
from clickgrain.types import Float, Prompt

LUMA = (0.299, 0.587, 0.114)


class ClickStep(nn.Module):
    """A click model with everything between a batch and its loss, so that one forward call serves DDP."""

    def __init__(self, model: ClickModel, args: TrainArgs) -> None:
        super().__init__()
        self.model, self.args = model, args
        self.dropouts = [module for module in model.modules() if isinstance(module, _DropoutNd)]

    def forward(self, crops: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean over prompts of the mean loss over their supervised clicks, and its parts, averaged likewise.

        `crops` are B x 3 x S x S float32 in 0..255 on the model's device. Clicks that no loss looks at are answered
        without gradients and dropout, and those after a prompt's last supervised one not at all.
        """
        with torch.autocast(crops.device.type, enabled=False), torch.no_grad():
            generator = np.random.default_rng([self.args.seed, 4, batch.step, 0])
            crops = jitter(crops, self.args.data.color, generator, batch.first, self.args.batch)
            scene = self._scene(crops, batch)
        encoded, shares = self.model.encode(crops), self._shares(batch)
        supervised, answers, weights, before = list[int](), list[Decoded](), list[Float](), list[Tensor]()
        for turn in range(shares.shape[1]):
            rows = np.flatnonzero(shares[:, turn:].any(1)).tolist()
            with torch.autocast(crops.device.type, enabled=False):
                scene.maps.draw(rows, [scene.prompts[row] for row in rows], scene.shown[rows])
            right = scene.answered & ((scene.shown > 0.5) == (scene.targets > 0.5))
            for learns in (True, False):
                part = [row for row in rows if (shares[row, turn] > 0) == learns]
                if part:
                    index = [batch.index[row] for row in part]
                    decoded = self._decode(encoded, index, scene.maps.of(part), learns)
                    scene.shown[part] = decoded.logits.detach().float().sigmoid()
                if part and learns:
                    supervised += part
                    answers.append(decoded)
                    weights.append(shares[part, turn])
                    before.append(right[part])
            scene.answered[rows] = True
            self._correct(batch, scene, np.flatnonzero(shares[:, turn + 1 :].any(1)).tolist(), turn)
        with torch.autocast(crops.device.type, enabled=False):
            logits, scores = (torch.cat(parts).float() for parts in zip(*answers))
            return total_loss(
                Decoded(logits, scores),
                scene.targets[supervised],
                scene.images[[batch.index[row] for row in supervised]],
                self.args.losses,
                scene.valid[supervised],
                shares=torch.from_numpy(np.concatenate(weights)).to(crops.device) / len(scene.prompts),
                right=torch.cat(before),
            )

    def _scene(self, crops: Tensor, batch: Batch) -> "_Scene":
        """What a step works on, at the maps' resolution: area means preserve the targets' soft edges."""
        targets, valid = batch.masks.to(crops.device), batch.valid.to(crops.device)[batch.index]
        spec = self.model.map_spec
        context = MapContext.of(crops, spec, [one.leaves for one in batch.shown], batch.to_tree)
        before = torch.zeros_like(targets) if batch.before is None else batch.before.to(crops.device)
        size = context.lab.shape[2:]
        images, targets, valid, shown = (
            functional.interpolate(planes, size, mode="area") for planes in (crops, targets, valid, before)
        )
        maps = ClickMaps(spec, context, batch.index)
        return _Scene(images, targets, valid, maps, list(batch.prompts), shown, before.amax((1, 2, 3), True) > 0)

    def _shares(self, batch: Batch) -> Float:
        """M x turns: weight of the loss after each click of a prompt; the weights of a prompt add up to 1."""
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
            # channels last, which saves the decoder a copy on a CPU
            encoded = tuple(e.movedim(1, -1).index_select(0, chosen).movedim(-1, 1) for e in encoded)
        for dropout in self.dropouts:
            dropout.train(self.training and learns)
        with torch.set_grad_enabled(learns and torch.is_grad_enabled()):
            return self.model.decode(encoded, maps)

    def _correct(self, batch: Batch, scene: "_Scene", rows: list[int], turn: int) -> None:
        """Add one more click to some prompts, made on the mask that their users see."""
        planes = (scene.targets, scene.valid, scene.shown)
        wanted, usable, shown = (p[rows, 0].cpu().numpy() for p in planes)
        scale, center = batch.masks.shape[2] / wanted.shape[1], self.args.clicks.share_centre_corrective
        for row, target, valid, seen in zip(rows, wanted, usable, shown):
            prompt = scene.prompts[row]
            if self.model.obeys:
                seen = obey(seen, prompt.scaled(1 / scale, 1 / scale), radius=1.0)
            rng = np.random.default_rng([self.args.seed, 5, batch.step, turn, _number(batch, row)])
            if (target > 0.5).any():
                click = corrective_click(target, seen, rng, share_centre=center, valid=valid)
                scene.prompts[row] = prompt if click is None else with_click(prompt, click, scale)


@dataclass
class _Scene:
    """Images, targets and clicks of a step."""

    images: Tensor  # B x 3 x h x w in 0..255
    targets: Tensor  # M x 1 x h x w, as `valid`
    valid: Tensor
    maps: ClickMaps  # of the M prompts
    prompts: list[Prompt]  # with all their clicks so far
    shown: Tensor  # M x 1 x h x w, the last answer; zeros before the first
    answered: Tensor  # M x 1 x 1 x 1 bool, whether `shown` is an answer


def _number(batch: Batch, row: int) -> int:
    """Number of a prompt among those of the step: other processes have the others."""
    return batch.first * len(batch.prompts) // len(batch.images) + row


def jitter(images: Tensor, strength: float, rng: np.random.Generator, first: int = 0, of: int = 0) -> Tensor:
    """Random brightness, contrast and saturation of each of B x 3 x H x W images in 0..255; some turn gray.

    `first` is the number of the first image among `of` that are drawn for, by several processes or in parts.
    """
    if strength == 0:
        return images
    count, own = max(of, first + len(images)), slice(first, first + len(images))
    draw = images.new_tensor(rng.uniform(-strength, strength, (3, count))[:, own])[:, :, None, None, None]
    gray = (images * images.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    colorless = images.new_tensor(rng.random(count)[own] < 0.05)[:, None, None, None]
    saturated = gray + (images - gray) * (1 + 1.5 * draw[0]) * (1 - colorless)
    mean = gray.mean((2, 3), keepdim=True)
    return ((saturated - mean) * (1 + draw[1]) + mean + 255 * 0.5 * draw[2]).clamp(0, 255)
