"""What the usual level of finished objects saves: `python -m benchmarks.bench_usual_level --out DIR`.

Draws cells and nuclei as `bench_foreign` does and clicks on them with the model in the package, image by image as a
person would, once as it is and once with first clicks at the level that the objects before ask for (as in
`clickgrain annotate`). Prints a table with the differences and their 95 % intervals (bootstrap over images). With
`--labels` cells and nuclei are labelled, so that each kind has its usual level. `--data NAME=DIR` takes images of a
benchmark instead, such as photos, where levels differ.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import tyro

from benchmarks.bench_foreign import MODEL, draw_domain, table
from benchmarks.bench_foreign import Args as Domain
from clickgrain.annotate.usual_level import UsualLevels
from clickgrain.evaluation import evaluate, load_benchmark
from clickgrain.segmenter import Encoded, Segmenter
from clickgrain.types import Bool, Float, Mask, Predictor, Scribble, UInt8


@dataclass(frozen=True)
class Args:
    """Where to, and on what.

    Attributes:
        out: folder for the drawn images and the results.
        images: to draw.
        seed: of drawing.
        data: NAME=DIR of a benchmark to click on instead.
        labels: whether cells and nuclei have labels.
        model: to click with.
    """

    out: Path = Path("usual-level")
    images: int = 60
    seed: int = 0
    data: str | None = None
    labels: bool = False
    model: str = MODEL


class Session:
    """A person who outlines one object after another; the first click on the next one finishes an object."""

    def __init__(self, segmenter: Segmenter, labels: Iterator[int | None]) -> None:
        self.segmenter, self.usual, self.labels = segmenter, UsualLevels(), labels
        self.finished: tuple[int | None, tuple[float, float], Bool, Encoded] | None = None
        self.label: int | None = None
        self.first = (0.0, 0.0)

    def set_image(self, image: UInt8) -> None:
        """Encode the next image."""
        self.encoded = self.segmenter.encode(image)

    def predict(
        self,
        points: Any,
        labels: Any,
        box: Any = None,
        scribbles: Sequence[Scribble] | None = None,
        level: float | None = None,
        previous: Mask | Float | None = None,
    ) -> Mask:
        """As `Segmenter.predict`, with first clicks at the usual level."""
        begins = len(points) == 1
        if begins:
            self.label, self.first = next(self.labels), (float(points[0][0]), float(points[0][1]))
            level = self.usual.of(self.label)
        answer = self.segmenter.predict(points, labels, box, scribbles, level, previous, encoded=self.encoded)
        if begins and self.finished is not None:  # as the server does, after its answer to the next object's click
            label, point, mask, encoded = self.finished
            self.usual.learn(
                label, mask, lambda at: self.segmenter.predict([point], [1], level=at, encoded=encoded).binary
            )
        self.finished = self.label, self.first, answer.binary, self.encoded
        return answer


def main() -> None:
    """Print the table."""
    args = tyro.cli(Args, description=__doc__)
    name, _, folder = (args.data or "").partition("=")
    if args.data is None:
        name, folder = (
            "cells",
            str(draw_domain(Domain(args.out, photos=1, images=args.images, seed=args.seed, minutes=1))[1]),
        )
    benchmark, segmenter = load_benchmark(name, folder), Segmenter.load(args.model)
    labels: Iterator[int | None] = repeat(None)
    if args.labels:
        labels = iter(["#nucleus" in target.id for group in benchmark.by_image() for target in group])
    predictors: dict[str, Predictor] = {MODEL: segmenter, "usual level": Session(segmenter, labels)}
    results = {}
    for shown, predictor in predictors.items():
        print(f"clicking: {shown}", file=sys.stderr, flush=True)
        # sessions depend on the order of targets, so that a broken run cannot be resumed
        rows = args.out / "results" / f"{name}-{shown}.jsonl"
        results[shown] = evaluate(predictor, benchmark, model=shown, jsonl=rows, resume=False)
    print(table(results))


if __name__ == "__main__":
    main()
