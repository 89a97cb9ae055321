"""`grain`: an image encoder that runs once, and a small decoder that runs at every click."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from clickgrain.clicks.config import FIRST
from clickgrain.errors import ConfigError
from clickgrain.features.grain import GrainEncoder, stage
from clickgrain.models.base import ClickModel, Decoded
from clickgrain.models.config import GrainConfig
from clickgrain.types import Float

# Logistic regression of pseudo masks on the maps alone, rounded (100 unlabelled photos): training starts from a
# rule that already segments, instead of spending its first thousand steps on finding it.
PRIOR = {
    "previous": 1.6, "disk+": 0.9, "level+": 3.6, "level-": -1.6, "geodesic+": 1.0, "posterior": 1.4, "centre": 3.0,
    "ball": 1.0, "correction+": 1.4, "box": 1.4, "level": 4.4, "level?": -2.1,
}  # fmt: skip
PRIOR_BIAS = -4.6
MAP_WEIGHTS = ("decoder.downs.0.weight", "decoder.shortcut.weight")  # those that have a column per click map


class GrainDecoder(nn.Module):
    """A U-Net over click maps that meets the image's features at strides 2, 4, 8 and 16 (`widths` channels)."""

    def __init__(self, maps: tuple[str, ...], widths: tuple[int, ...]) -> None:
        super().__init__()
        inner = (len(maps), *widths[:-1])
        strides = (1, 2, 2, 2)
        self.downs = nn.ModuleList(nn.Conv2d(a, b, 3, s, padding=1) for a, b, s in zip(inner, widths, strides))
        self.stages = nn.ModuleList(stage(w, 2 if i == 3 else 1) for i, w in enumerate(widths))
        self.ups = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(widths))
        self.merges = nn.ModuleList(stage(w, 1) for w in widths[:-1])
        self.head = nn.Conv2d(widths[0], 1, 3, padding=1)
        self.shortcut = nn.Conv2d(len(maps), 1, 1)
        self.score = nn.Sequential(nn.Linear(2 * widths[3], 64), nn.ReLU(), nn.Linear(64, 1))
        nn.init.zeros_(self.head.weight)
        with torch.no_grad():
            self.shortcut.bias.fill_(PRIOR_BIAS)  # type: ignore[union-attr]
            self.shortcut.weight.copy_(torch.tensor([PRIOR.get(name, 0.0) for name in maps]).view(1, -1, 1, 1))

    def forward(self, features: tuple[Tensor, ...], maps: Tensor) -> Decoded:
        """Features at strides 2, 4, 8, 16 (projected to `widths`) and M x C x h x w maps at stride 2."""
        skips: list[Tensor] = []
        x = maps
        for down, blocks, feature in zip(self.downs, self.stages, features):
            x = blocks(down(x) + feature)
            skips.append(x)
        deepest = x
        for up, merge, skip in reversed(list(zip(self.ups, self.merges, skips))):
            x = merge(skip + functional.interpolate(up(x), scale_factor=2.0))
        logits = self.head(x) + self.shortcut(maps)
        # the IoU that the mask is expected to reach, from features inside it and overall
        inside = functional.avg_pool2d(logits.detach().sigmoid(), 8)  # from stride 2 to 16
        within = (deepest * inside).sum((2, 3)) / inside.sum((2, 3)).clamp_min(1e-3)
        score: Tensor = self.score(torch.cat([within, deepest.mean((2, 3))], dim=1))
        return Decoded(logits, score.float().sigmoid().squeeze(1))


class GrainModel(ClickModel):
    """Encoder and decoder; `encode` returns the features already projected to the decoder's widths.

    With `first_maps` in its config, a second decoder answers first clicks.
    """

    config: GrainConfig
    obeys = True

    def __init__(self, config: GrainConfig | None = None) -> None:
        super().__init__()
        self.config = config or GrainConfig()
        self.map_spec = self.config.map_spec
        self.encoder = GrainEncoder(self.config.encoder)
        widths = zip(self.config.encoder.widths, self.config.decoder_widths)
        self.projections = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in widths)
        self.decoder = GrainDecoder(self.config.maps, self.config.decoder_widths)
        first = self.config.first_maps
        self.first = GrainDecoder(first, self.config.decoder_widths) if first else None

    def with_first(self, names: Sequence[str]) -> "GrainModel":
        """A copy with a second decoder on the click maps `names`: its answers are the same until it has learned."""
        twin = GrainModel(replace(self.config, first_maps=tuple(names)))
        state = self.with_maps(names).decoder.state_dict()
        twin.load_state_dict({**self.state_dict(), **{f"first.{key}": value for key, value in state.items()}})
        return twin

    def with_maps(self, names: Sequence[str]) -> "GrainModel":
        """A copy that sees other click maps, too: its answers stay the same until it has learned to use them."""
        if missing := [name for name in self.config.maps if name not in names]:
            raise ConfigError(f"a model cannot unlearn its click maps; add {', '.join(missing)}")
        wider = GrainModel(replace(self.config, maps=tuple(names)))
        state, columns = self.state_dict(), [list(names).index(name) for name in self.config.maps]
        for key in MAP_WEIGHTS:
            widened = torch.zeros_like(wider.state_dict()[key])
            widened[:, columns] = state[key]
            state[key] = widened
        wider.load_state_dict(state)
        return wider

    def encode(self, images: Tensor) -> tuple[Tensor, ...]:
        """B x 3 x H x W float32 in 0..255, H and W multiples of 32, to maps at strides 2, 4, 8, 16."""
        features = self.encoder(images.contiguous(memory_format=torch.channels_last))
        return tuple(project(f) for project, f in zip(self.projections, features))

    def decode(self, encoded: tuple[Tensor, ...], maps: Tensor) -> Decoded:
        """Logits at stride 2 and expected IoU for M prompts; `encoded` holds one row per prompt."""
        if self.first is None:
            return self.decoder(encoded, maps.contiguous(memory_format=torch.channels_last))
        new = maps[:, self.map_spec.names.index(FIRST)].amax((1, 2)) > 0
        answers: list[Decoded] = []
        for decoder, columns, rows in zip((self.decoder, self.first), self.config.columns, (~new, new)):
            if rows.all():
                return decoder(encoded, maps[:, columns].contiguous(memory_format=torch.channels_last))
            part = maps[rows][:, columns].contiguous(memory_format=torch.channels_last)
            answers.append(decoder(tuple(each[rows] for each in encoded), part))
        order = torch.cat([(~new).nonzero(), new.nonzero()])[:, 0].argsort()
        logits, scores = (torch.cat(parts)[order] for parts in zip(*answers))
        return Decoded(logits, scores)


class TorchGrain:
    """The network computed by torch, on a device and in eval mode: a `GrainNetwork` (`models.grain_engine`).

    A call alone uses all cores; calls at the same time, from several threads, a core each, which costs them less.
    """

    def __init__(self, model: GrainModel, device: str = "cpu") -> None:
        self.model = model.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.device, self.config = device, model.config
        self._lock, self._calls, self._cores = threading.Lock(), 0, torch.get_num_threads()

    def encode(self, pixels: Float) -> tuple[Tensor, ...]:
        """Features of 1 x 3 x H x W RGB in 0..255."""
        with self._share_of_cores(), torch.inference_mode():
            return self.model.encode(torch.from_numpy(pixels).to(self.device))

    def decode(self, features: tuple[Tensor, ...], maps: Float) -> tuple[Float, Float]:
        """M x h x w logits and M expected IoUs for M x C x h x w click maps."""
        with self._share_of_cores(), torch.inference_mode():
            repeated = tuple(feature.expand(len(maps), -1, -1, -1) for feature in features)
            first, columns = self.config.decoder_for(maps)
            decoder = (first and self.model.first) or self.model.decoder
            # channels last, as the decoder works; numpy turns the maps six times as fast as torch
            turned = torch.from_numpy(np.ascontiguousarray(maps[:, columns].transpose(0, 2, 3, 1)))
            decoded: Decoded = decoder(repeated, turned.to(self.device).permute(0, 3, 1, 2))
            return decoded.logits[:, 0].float().cpu().numpy(), decoded.score.float().cpu().numpy()

    @contextmanager
    def _share_of_cores(self) -> Iterator[None]:
        """Set torch's number of threads, which all threads of the process share."""
        with self._lock:
            self._calls += 1
            torch.set_num_threads(1 if self._calls > 1 else self._cores)
        try:
            yield
        finally:
            with self._lock:
                self._calls -= 1
                torch.set_num_threads(1 if self._calls > 1 else self._cores)
