"""Settings of an evaluation; imports nothing heavy, so that the command line can show them."""

from dataclasses import dataclass
from typing import Literal

from clickgrain.errors import ConfigError

UserName = Literal["robot", "noisy", "box-first", "scribble"]  # who clicks; see `clickgrain.clicks.users.make_user`

ENOUGH_IOU, ENOUGH_CLICKS = 0.95, 5
"""A target is finished at this IoU, but not before so many clicks: NoC80..95 and mIoU@1, 3, 5 stay exact."""


@dataclass(frozen=True)
class EvaluationSettings:
    """Settings of the click protocol."""

    max_clicks: int = 20  # clicks per target; a target that needs more counts as this many.
    # a pixel is object when its probability is above this (published RITM and SimpleClick figures: 0.49).
    threshold: float = 0.5
    full_curves: bool = False  # click on to max_clicks even after IoU 0.95; needed for mIoU at 10 and 20 clicks.

    def __post_init__(self) -> None:
        if self.max_clicks < 1:
            raise ConfigError(f"--max-clicks {self.max_clicks} is below 1; the protocol says 20")
        if not 0.0 < self.threshold < 1.0:
            raise ConfigError(f"--threshold {self.threshold} is not between 0 and 1; the protocol says 0.5")


def check_processes(processes: int, device: str) -> None:
    """Refuse a number of processes that cannot work on a torch device, with a ConfigError."""
    if processes < 0:
        raise ConfigError(f"--processes {processes} is negative; 0 and 1 stay in one process")
    if processes > 1 and not device.startswith("cpu"):
        raise ConfigError(f"--processes {processes} is for --device cpu, not {device}; leave one out")
