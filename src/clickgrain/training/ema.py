"""Moving average of a model's weights."""

import torch
from torch import Tensor, nn


class MovingAverage:
    """Exponential moving average of parameters; its memory grows from a few steps to 1 / (1 - decay).

    Args:
        model: whose weights are followed.
        decay: of the average once it is warm.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after step `step` (0-based)."""
        keep = min(self.decay, (1 + step) / (10 + step))
        now = model.state_dict()
        averaged = [name for name, value in self.weights.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.weights[n] for n in averaged], [now[n] for n in averaged], 1 - keep)
        for name in self.weights.keys() - set(averaged):  # counters
            self.weights[name].copy_(now[name])

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights."""
        return self.weights

    def load_state_dict(self, weights: dict[str, Tensor]) -> None:
        """Go on from saved weights."""
        for name, value in self.weights.items():
            value.copy_(weights[name])
