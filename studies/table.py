"""A study's table: its figures with their uncertainty, as Markdown, JSON and a page."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from clickgrain.errors import TrainingError
from clickgrain.evaluation import Result, page
from clickgrain.evaluation.result import bootstrap_means
from clickgrain.files import atomic_write

CLICKS, MOST = (1, 3, 5), 20
"""mIoU is shown after so many clicks; NoC is at most 20."""
Series = tuple[str, list[tuple[float, float]]]
"""Name of a line, and its (x, y) points."""


@dataclass(frozen=True)
class Row:
    """One variant in a table.

    Attributes:
        name: of the variant.
        figures: by name; empty when the variant failed.
        interval: 95 % interval of NoC85 by a bootstrap over images; None for a single image.
        difference: NoC85 minus that of the first variant on the same targets; None for the first.
        difference_interval: the same interval, of the difference.
        seeds: NoC85 of each seed.
        seconds: of training, mean over seeds.
        error: why there are no figures, or None.
    """

    name: str
    figures: dict[str, float] = field(default_factory=dict)
    interval: tuple[float, float] | None = None
    difference: float | None = None
    difference_interval: tuple[float, float] | None = None
    seeds: tuple[float, ...] = ()
    seconds: float = 0.0
    error: str | None = None


def row_of(
    name: str, results: Sequence[Result], seconds: Sequence[float], first: Sequence[Result] | None, **more: float
) -> Row:
    """A row from the results of a variant's seeds.

    Args:
        name: of the variant.
        results: one per seed.
        seconds: of training, one per seed.
        first: results of the variant that all are compared with; None if this is it.
        more: further figures.
    """
    figures = {f"NoC{t}": _mean([result.noc(t / 100) for result in results]) for t in (85, 90)}
    shown = [k for k in CLICKS if k <= results[0].settings.max_clicks]
    figures |= {f"mIoU@{k}": _mean([result.iou_at(k) for result in results]) for k in shown}
    clicks = clicks_by_target(results)
    row = Row(name, figures | more, interval(clicks), seeds=tuple(result.noc(0.85) for result in results))
    row = replace(row, seconds=_mean(seconds))
    if first is None:
        return row
    other = clicks_by_target(first)
    pairs = {key: clicks[key] - other[key] for key in clicks if key in other}
    if not pairs:
        return row
    return replace(row, difference=_mean(list(pairs.values())), difference_interval=interval(pairs))


def clicks_by_target(results: Sequence[Result], iou: float = 0.85) -> dict[tuple[str, str], float]:
    """(image, target) -> clicks to an IoU, mean over the results that have the target."""
    found: dict[tuple[str, str], list[float]] = {}
    for result in results:
        for row, clicks in zip(result.rows, result.clicks_to(iou)):
            found.setdefault((row.image, row.id), []).append(float(clicks))
    return {key: _mean(values) for key, values in found.items()}


def interval(values: dict[tuple[str, str], float]) -> tuple[float, float] | None:
    """95 % interval of a mean over targets, by a bootstrap over images; None for a single image."""
    ends = bootstrap_means(np.array([[value] for value in values.values()]), [image for image, _ in values])
    return None if ends is None else (float(ends[0, 0]), float(ends[0, 1]))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


@dataclass
class Table:
    """What a study has found so far.

    Attributes:
        study: its name.
        title: its heading.
        question: what it asks.
        size: how large the study is, for readers of the figures.
        planned: number of variants in all.
        rows: of the variants that are done.
        curves: lines over the share of labels, in the study `labels`.
        settings: of the study, for the JSON.
    """

    study: str
    title: str
    question: str
    size: str
    planned: int
    rows: list[Row] = field(default_factory=list)
    curves: list[Series] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)

    def save(self, out: Path) -> Path:
        """Write STUDY.md, STUDY.json and STUDY.html; returns the first.

        Raises:
            TrainingError: if they cannot be written.
        """
        made = {".json": self.json(), ".md": self.markdown()}
        for suffix, text in made.items():
            try:
                atomic_write(out / f"{self.study}{suffix}", text.encode())
            except OSError as error:
                raise TrainingError(
                    f"{out / self.study}{suffix} cannot be written: {error.strerror or error}; free some space or"
                    " choose another --out (finished variants are kept)"
                ) from error
        self._write_page(out / f"{self.study}.html")
        return out / f"{self.study}.md"

    def _write_page(self, path: Path) -> None:
        """The table with bars of NoC85, and in the study `labels` the curves."""
        names, texts = self.cells()
        rows = []
        for row, (name, first, *others) in zip(self.rows, texts):
            share = row.figures["NoC85"] / MOST if row.figures else None
            cells = [page.Cell(first, share=share, color=0), *(page.Cell(text) for text in others)]
            rows.append(page.Row(name, cells))
        lines = [page.Line(name, points, i) for i, (name, points) in enumerate(self.curves)]
        across = "share of the labels, % (log10)"
        page.write_page(
            path,
            Path(__file__).with_name("study.html"),
            heading=self.title,
            lead=self.question,
            size=self.size.replace("`", ""),
            table=page.Table(names, rows),
            curves=page.line_chart(lines, x=across, y="NoC85", title="Label efficiency") if lines else None,
        )

    def json(self) -> str:
        """All figures."""
        head = {"study": self.study, "size": self.size, "planned": self.planned, "settings": self.settings}
        return json.dumps({**head, "rows": [asdict(row) for row in self.rows]}, indent=1, default=str)

    def markdown(self) -> str:
        """Heading, size, and the table."""
        lines = [f"## {self.title}", "", f"{self.question} {self.size}", ""]
        names, rows = self.cells()
        lines += [_line(names), _line(["---", *["---:"] * (len(names) - 1)]), *map(_line, rows)]
        if len(self.rows) < self.planned:
            lines += ["", f"{len(self.rows)} of {self.planned} variants are done."]
        return "\n".join([*lines, ""])

    def cells(self) -> tuple[list[str], list[list[str]]]:
        """Names of the columns, and the cells of every row."""
        figures = list(dict.fromkeys(name for row in self.rows for name in row.figures))
        several = any(len(row.seeds) > 1 for row in self.rows)
        names = ["variant", "NoC85 [95 %]", "difference [95 %]", *figures[1:]]
        names += [*(["sd of seeds"] if several else []), "training s"]
        return names, [self._cells(row, figures, several) for row in self.rows]

    def _cells(self, row: Row, figures: list[str], several: bool) -> list[str]:
        if row.error is not None:
            return [row.name, f"not run: {row.error}", *[""] * (len(figures) + 1 + several)]
        difference = "" if row.difference is None else f"{row.difference:+.2f}{_ends(row.difference_interval, '+')}"
        cells = [row.name, f"{row.figures[figures[0]]:.2f}{_ends(row.interval)}", difference]
        cells += [_figure(row.figures.get(name)) for name in figures[1:]]
        if several:
            cells.append(f"{np.std(row.seeds, ddof=1):.2f}" if len(row.seeds) > 1 else "")
        return [*cells, f"{row.seconds:.0f}"]


def _ends(interval: tuple[float, float] | None, sign: str = "") -> str:
    return "" if interval is None else f" [{interval[0]:{sign}.1f}, {interval[1]:{sign}.1f}]"


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if abs(value) < 2 else f"{value:.2f}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
