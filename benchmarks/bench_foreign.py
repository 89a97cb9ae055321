"""What `clickgrain learn` is worth on a foreign domain: drawn cells (benchmarks/cells.py), exact masks known.

    python -m benchmarks.bench_foreign --out DIR --photos 200 --minutes 60

Draws unlabelled photos and, apart from them, labelled images; clicks the labelled ones with tree mode and the model
in the package; learns on the unlabelled ones, from the model in the package on; clicks again. Prints a table with
the differences from the model in the package and their 95 % intervals (bootstrap over images), and the same by kind
of target and by style. The same call continues where it was stopped. It takes an hour and more, so that
`python -m benchmarks` leaves it out unless it is named.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import tyro

from benchmarks.cell_styles import Labels
from benchmarks.cells import Micrograph, draw
from clickgrain.errors import ConfigError, DataError
from clickgrain.evaluation import Method, Result, evaluate, load_benchmark
from clickgrain.evaluation.result import bootstrap_means
from clickgrain.files import atomic_write
from clickgrain.images import save_mask
from clickgrain.training.config import LearnArgs
from clickgrain.training.learn import learn
from clickgrain.types import Bool, UInt8

LEAST_AREA = 0.003
"""Smaller cells and nuclei are no targets; a share of a field."""
TRAIN, LABELLED = 0, 1
FIGURES: Mapping[str, Callable[[Result], Sequence[float]]] = {
    "NoC85": lambda result: [float(n) for n in result.clicks_to(0.85)],
    "NoC90": lambda result: [float(n) for n in result.clicks_to(0.9)],
    "mIoU@1": lambda result: [float(iou) for iou in result.curves[:, 0]],
}
MODEL, LEARNED = "default", "learned"


@dataclass(frozen=True)
class Args:
    """What is drawn, and how long is learned.

    Attributes:
        out: folder for the drawn domain, the results and the learned model.
        photos: unlabelled images to learn on.
        images: labelled images to click on.
        cells: at most so many cells of a labelled image are targets.
        nuclei: at most so many nuclei.
        minutes: of training; 60 if neither this nor steps is given.
        steps: of training, instead of minutes.
        lr: peak learning rate; what `learn` takes when not given.
        seed: of drawing and learning.
        side: height and width of the images; 256 to 512, drawn again for each, when not given.
        fields: images so many times as high and wide, with cells as large in pixels: small things in large images.
        compare: more models to click with: names or folders, such as runs with other settings.
    """

    out: Path = Path("foreign")
    photos: int = 200
    images: int = 60
    cells: int = 2
    nuclei: int = 1
    minutes: float | None = None
    steps: int | None = None
    lr: float | None = None
    seed: int = 0
    side: int | None = None
    fields: int = 1
    compare: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if min(self.photos, self.images, self.fields) < 1 or self.cells + self.nuclei < 1:
            raise ConfigError(
                "--photos, --images and --fields must be 1 or more, and so must --cells and --nuclei together"
            )


def run(args: Args) -> str:
    """Everything; the tables as Markdown, which `DIR/foreign.md` keeps.

    Raises:
        DataError: the folder holds another domain, or no target was drawn.
        TrainingError: the folder holds a model with other settings.
    """
    train, labelled = draw_domain(args)
    results = {name: _clicked(name, name, labelled, args.out) for name in ("tree", MODEL)}
    model = args.out / "model"
    minutes = 60.0 if args.minutes is None and args.steps is None else args.minutes
    learn(LearnArgs(train, model, minutes=minutes, steps=args.steps, lr=args.lr, seed=args.seed))
    results[LEARNED] = _clicked(LEARNED, str(model), labelled, args.out)
    results |= {name: _clicked(Path(name).name, name, labelled, args.out) for name in args.compare}
    text = f"{table(results)}\n\n{parts_table(results[LEARNED], results[MODEL])}\n"
    atomic_write(args.out / "foreign.md", text.encode())
    return text


def draw_domain(args: Args) -> tuple[Path, Path]:
    """Folders of the unlabelled photos and of the labelled images (generic layout), drawn where not yet there.

    Photo i and image i come of seeds that no other has, so that the two parts share no picture. A target is called
    `<image>#cell<k>` or `<image>#nucleus<k>`; the masks of the photos are never written.

    Raises:
        DataError: the folder holds a domain of other settings.
    """
    domain = args.out / "domain"
    train, labelled, note = domain / "photos", domain / "labelled", domain / "domain.json"
    asked = {key: asdict(args)[key] for key in ("photos", "images", "cells", "nuclei", "seed", "side", "fields")}
    if note.exists():
        if json.loads(note.read_text()) != asked:
            raise DataError(f"{domain} was drawn with other settings: {note.read_text()}; choose another --out")
        return train, labelled
    for i in range(args.photos):
        _save(train / f"{i:04d}.png", draw([args.seed, TRAIN, i], side=args.side, fields=args.fields).image)
    for i in range(args.images):
        _save_labelled(labelled, i, draw([args.seed, LABELLED, i], side=args.side, fields=args.fields), args)
    atomic_write(note, json.dumps(asked).encode())
    return train, labelled


def _save(path: Path, image: UInt8) -> None:
    atomic_write(path, cv2.imencode(".png", image[..., ::-1])[1].tobytes())


def _save_labelled(folder: Path, i: int, drawn: Micrograph, args: Args) -> None:
    name = f"{i:04d}-{drawn.style}"
    _save(folder / "images" / f"{name}.png", drawn.image)
    rng = np.random.default_rng([args.seed, 2, i])
    for kind, labels, wanted in (("cell", drawn.cells, args.cells), ("nucleus", drawn.nuclei, args.nuclei)):
        for k in sorted(rng.permutation(usable_targets(labels, args.fields))[:wanted]):
            save_mask(folder / "masks" / f"{name}#{kind}{k}.png", np.asarray(labels == int(k)))


def is_target(mask: Bool, fields: int = 1) -> bool:
    """Whether the H x W mask is large enough, and in one piece."""
    return bool(mask.mean() >= LEAST_AREA / fields**2) and cv2.connectedComponents(mask.astype(np.uint8))[0] == 2


def usable_targets(labels: Labels, fields: int = 1) -> list[int]:
    """Numbers of the regions in H x W labels that are targets."""
    return [k for k in range(1, int(labels.max()) + 1) if is_target(labels == k, fields)]


def _clicked(shown: str, name: str, labelled: Path, out: Path) -> Result:
    """The model's result on the labelled images; targets that were clicked before are not clicked again."""
    method = Method(name)
    rows = out / "results" / f"{shown}{method.stamp}.jsonl"
    print(f"clicking: {shown}", file=sys.stderr, flush=True)
    benchmark = load_benchmark("cells", labelled)
    return evaluate(method, benchmark, model=f"{shown}{method.stamp}", jsonl=rows)


def table(results: Mapping[str, Result]) -> str:
    """Markdown: a row per model with its figures; in brackets the differences from the model in the package."""
    head = f"| {len(results[MODEL].rows)} targets | {' | '.join(FIGURES)} |\n|---|{'---|' * len(FIGURES)}"
    return "\n".join([head, *(_row(name, result, results[MODEL]) for name, result in results.items())])


def parts_table(result: Result, base: Result) -> str:
    """Markdown: figures of a result by kind of target and by style, with the differences from `base`."""
    head = f"| {LEARNED} on | targets | {' | '.join(FIGURES)} |\n|---|---|{'---|' * len(FIGURES)}"
    names = sorted({part for row in base.rows for part in _parts(row.id)})
    lines = []
    for name in names:
        chosen = [name in _parts(row.id) for row in base.rows]
        lines.append(f"| {name} | {sum(chosen)} | {' | '.join(_cells(result, base, chosen))} |")
    return "\n".join([head, *lines])


def _row(name: str, result: Result, base: Result) -> str:
    everything = [True] * len(base.rows)
    return f"| {name} | {' | '.join(_cells(result, None if result is base else base, everything))} |"


def _cells(result: Result, base: Result | None, chosen: Sequence[bool]) -> list[str]:
    return [_cell(figure, result, base, chosen) for figure in FIGURES.values()]


def _cell(
    figure: Callable[[Result], Sequence[float]], result: Result, base: Result | None, chosen: Sequence[bool]
) -> str:
    values = np.array(figure(result))[np.array(chosen)]
    if base is None:
        return f"{values.mean():.3f}"
    differences = values - np.array(figure(base))[np.array(chosen)]
    images = [row.image for row, one in zip(base.rows, chosen) if one]
    ends = bootstrap_means(differences[:, None], images)
    spread = "" if ends is None else f", {ends[0, 0]:+.3f} to {ends[0, 1]:+.3f}"
    return f"{values.mean():.3f} ({differences.mean():+.3f}{spread})"


def _parts(target: str) -> tuple[str, str, str]:
    """What a target belongs to, by its id: kind, style, and both."""
    image, _, kind = target.rpartition("#")
    style, kind = image.rpartition("-")[2], kind.rstrip("0123456789")
    return kind, style, f"{style}, {kind}"


def main() -> None:
    """Print the tables."""
    print(run(tyro.cli(Args, description=__doc__)), end="")


if __name__ == "__main__":
    main()
