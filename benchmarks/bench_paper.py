"""Time of one click of the published model: `python benchmarks/bench_paper.py [--size b] [--side 448]`.

Prints the best of five passes over one image (no flip averaging), in milliseconds, on all cores torch uses.
"""

import time
from dataclasses import dataclass
from typing import Literal

import torch
import tyro

from clickgrain.models.config import PaperConfig
from clickgrain.models.paper import PaperModel

REPEATS = 5


@dataclass(frozen=True)
class Args:
    """What to time.

    Args:
        size: "b", "s" or "ti".
        side: height and width of the image in pixels.
    """

    size: Literal["b", "s", "ti"] = "b"
    side: int = 448


@torch.inference_mode()
def best_ms(model: PaperModel, side: int) -> float:
    """Best time of one click in milliseconds; weights do not matter for it."""
    encoded, maps = model.encode(torch.zeros(1, 3, side, side)), torch.zeros(1, 3, side, side)
    model.decode(encoded, maps)
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        model.decode(encoded, maps)
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def main() -> None:
    """Print one line."""
    args = tyro.cli(Args, description=__doc__)
    model = PaperModel(PaperConfig(size=args.size)).eval()
    threads = torch.get_num_threads()
    print(f"paper-{args.size} at {args.side}: {best_ms(model, args.side):.0f} ms a click, {threads} threads")


if __name__ == "__main__":
    main()
