"""What it saves to answer clicks from what the user sees: `python -m benchmarks.bench_view --data NAME=DIR`.

A person enlarges the image until the object fills a part of the screen (drawn at random between the two of
`--fill`) and clicks; clicks are answered from the whole image, and from what the person sees. Prints a
table with the differences and their 95 % intervals (bootstrap over images), over the targets for which the image
was enlarged enough to matter. Without `--data` it draws micrographs three times as high and wide as
`bench_foreign` does, with cells as large in pixels.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from benchmarks.bench_foreign import MODEL, draw_domain, table
from benchmarks.bench_foreign import Args as Domain
from clickgrain.evaluation import Target, evaluate, load_benchmark
from clickgrain.segmenter import MOST_SEEN, Segmenter
from clickgrain.types import Bool, Box, Mask, UInt8

SCREEN = 4 / 3  # width over height
OBJECT = 255


@dataclass(frozen=True)
class Args:
    """Where to, and on what.

    Attributes:
        out: folder for drawn images and results.
        data: NAME=DIR of a benchmark to click on; drawn micrographs when None.
        model: to click with.
        fill: least and largest share of the screen's width or height that an object fills; over 1 the person sees
            only a part of it.
        every: takes every so-many-th target.
        images: to draw.
        seed: of drawing and of what is seen.
    """

    out: Path = Path("view")
    data: str | None = None
    model: str = MODEL
    fill: tuple[float, float] = (0.1, 0.6)
    every: int = 1
    images: int = 20
    seed: int = 0


def seen(mask: Bool, fill: float, rng: np.random.Generator) -> Box:
    """XYXY pixels on the screen of a person who looks at the object in an H x W mask: it lies anywhere in them, or,
    where it does not fit, they lie anywhere in it."""
    ends = []
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    lengths = [int(np.ptp(places)) + 1 for places in (rows, columns)]
    height = max(lengths[0], lengths[1] / SCREEN) / fill
    for places, side, most in ((columns, height * SCREEN, mask.shape[1]), (rows, height, mask.shape[0])):
        side = min(side, most)
        first = rng.uniform(*sorted((float(places[0]), places[-1] + 1 - side)))
        first = float(np.clip(first, 0, most - side))
        ends.append((first, first + side))
    return ends[0][0], ends[1][0], ends[0][1], ends[1][1]


class Enlarging:
    """A person who sees one view of each object, from the first click on; None is the whole image."""

    def __init__(self, segmenter: Segmenter, views: Iterator[Box | None]) -> None:
        self.segmenter, self.views = segmenter, views
        self.view: Box | None = None

    def set_image(self, image: UInt8) -> None:
        """Encode the next image."""
        self.segmenter.set_image(image)

    def predict(self, points: Any, labels: Any, *rest: Any, **named: Any) -> Mask:
        """As `Segmenter.predict`; a first click begins the next view."""
        if len(points) == 1:
            self.view = next(self.views)
        return self.segmenter.predict(points, labels, *rest, view=self.view, **named)


def enlarged(target: Target, args: Args, number: int) -> Box | None:
    """What is seen around a target; None if that is nearly the whole image."""
    image = target.image()
    rng = np.random.default_rng([args.seed, number])
    fill = float(np.exp(rng.uniform(*np.log(args.fill))))
    left, top, right, bottom = view = seen(target.mask(image.shape[:2]) == OBJECT, fill, rng)
    sides = np.ceil(right) - np.floor(left), np.ceil(bottom) - np.floor(top)
    return view if max(sides) <= MOST_SEEN * max(image.shape[:2]) else None


def main() -> None:
    """Print the table."""
    args = tyro.cli(Args, description=__doc__)
    name, _, folder = (args.data or "").partition("=")
    if args.data is None:
        domain = Domain(args.out, photos=1, images=args.images, seed=args.seed, fields=3, minutes=1)
        name, folder = "micrographs", str(draw_domain(domain)[1])
    benchmark = load_benchmark(name, folder)
    benchmark = benchmark.select(benchmark.ids[:: args.every])
    views = {target.id: enlarged(target, args, number) for number, target in enumerate(benchmark)}
    chosen = benchmark.select([id_ for id_, view in views.items() if view is not None])
    print(f"{name}: {len(chosen)} of {len(benchmark)} targets are seen enlarged", file=sys.stderr, flush=True)
    results, segmenter = {}, Segmenter.load(args.model)
    for shown, order in ((MODEL, [None] * len(chosen)), ("enlarged", [views[target.id] for target in chosen])):
        person = Enlarging(segmenter, iter(order))
        rows = args.out / "results" / f"{name}-{shown}.jsonl"
        results[shown] = evaluate(person, chosen, model=shown, jsonl=rows, resume=False)
    print(table(results))


if __name__ == "__main__":
    main()
