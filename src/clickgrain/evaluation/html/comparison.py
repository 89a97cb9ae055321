"""The comparison table: measured rows, and published ones that cannot be mistaken for them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from clickgrain.evaluation.anchors import KINDS, Anchor, Published
from clickgrain.evaluation.html.markup import Html, joined, tag
from clickgrain.evaluation.html.tables import color, paragraph
from clickgrain.evaluation.result import Result

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Column:
    """One figure of the comparison.

    Attributes:
        name: in `Result.summary`, and at the head of the column.
        form: how a value is written.
        sign: whether more (1) or less (-1) is better.
        scale: factor to the shown unit.
        twin: name of a second count, shown behind a stroke where it differs.
    """

    name: str
    form: str
    sign: int
    scale: float = 1.0
    twin: str = ""

    def text(self, figures: Figures) -> str:
        """The value as it is shown."""
        first = self.form.format(figures[self.name] * self.scale)
        second = self.form.format(figures.get(self.twin, figures[self.name]) * self.scale)
        return first if first == second else f"{first} / {second}"


COLUMNS = (
    *(Column(f"NoC{t}", "{:.2f}", -1) for t in (80, 85, 90, 95)),
    *(Column(f"NoF{t}", "{:.0f}", -1, twin=f"NoF{t}_at_max") for t in (85, 90)),
    *(Column(f"mIoU@{k}", "{:.3f}", 1) for k in (1, 3, 5)),
    *(Column(f"bIoU@{k}", "{:.3f}", 1) for k in (1, 3, 5)),
    Column("disobeyed", "{:.1f} %", -1, scale=100),
    Column("s/click", "{:.3f}", -1),
    Column("s/image", "{:.3f}", -1),
)

LEGEND = (
    "NoC: mean clicks until the mask reaches that IoU in %. NoF: targets that never reach it; behind a stroke those"
    " that need every click allowed, where that is another number. mIoU@k and bIoU@k: mean IoU of masks and of"
    " their boundaries after k clicks. Disobeyed: share of clicks on the wrong side of the mask that answers them."
    " s/click and s/image: seconds for one answer and for taking in an image. The best measured value of a column"
    " is marked."
)

Interval = Callable[[Result, str], tuple[float, float] | None]
"""Bounds of a figure of `Result.summary`, or None."""


def comparison_table(
    results: Sequence[Result],
    labels: Sequence[str] | None = None,
    *,
    published: Published | None = None,
    interval: Interval | None = None,
) -> Html:
    """One row per result, the best value of each column marked; results should share benchmark and settings.

    Args:
        results: in the order of the report; a result's place gives its colour.
        labels: shown instead of the models' names.
        published: rows that follow the measured ones, marked as what they are.
        interval: where it gives bounds, they stand below the figure.
    """
    names = list(labels or [result.model for result in results])
    summaries = [result.summary() for result in results]
    shown = [column for column in COLUMNS if all(column.name in summary for summary in summaries)]
    head = tag("tr", tag("th", "model"), *(tag("th", column.name) for column in shown))
    rows = []
    for i, (name, summary) in enumerate(zip(names, summaries)):
        cells = [_cell(summary, summaries, column, _bounds(interval, results[i], column)) for column in shown]
        rows.append(tag("tr", tag("th", tag("span", class_="key"), name, class_=color(i)), *cells))
    anchors = _groups(published, shown) if published else []
    table = tag("table", tag("thead", head), tag("tbody", *rows), *anchors, class_="comparison")
    return joined(tag("div", table, class_="scroll"), paragraph(LEGEND, soft=True), *_about(published))


def _cell(summary: Figures, all_: Sequence[Figures], column: Column, bounds: Html) -> Html:
    forms = [column.form.format(other[column.name] * column.scale) for other in all_]
    best = max(other[column.name] * column.sign for other in all_) * column.sign * column.scale
    own = column.form.format(summary[column.name] * column.scale)
    marked = own == column.form.format(best) and len(set(forms)) > 1
    return tag("td", column.text(summary), bounds, class_="best" if marked else None)


def _bounds(interval: Interval | None, result: Result, column: Column) -> Html:
    found = interval(result, column.name) if interval else None
    if found is None:
        return Html("")
    low, high = (column.form.format(bound * column.scale) for bound in found)
    return tag("small", f"{low}–{high}")  # noqa: RUF001


def _groups(published: Published, shown: Sequence[Column]) -> list[Html]:
    """One body of the table per kind, headed by what it is."""
    bodies = []
    for kind, title in KINDS.items():
        anchors = [anchor for anchor in published.anchors if anchor.kind == kind]
        if not anchors:
            continue
        head = tag("tr", tag("th", title, class_="kind"), *(tag("td") for _ in shown))
        rows = [_anchor_row(anchor, shown) for anchor in anchors]
        bodies.append(tag("tbody", head, *rows, class_=f"published {kind}"))
    return bodies


def _anchor_row(anchor: Anchor, shown: Sequence[Column]) -> Html:
    cells = []
    for column in shown:
        text = column.text(anchor.figures) if column.name in anchor.figures else ""
        cells.append(tag("td", text if anchor.compares or not text else f"({text})"))
    return tag("tr", tag("th", anchor.method, tag("small", "published")), *cells)


def _about(published: Published | None) -> list[Html]:
    """What is said about the published rows: caveats in the open, sources folded away."""
    if published is None:
        return []
    caveats = [tag("li", caveat, ".") for caveat in published.caveats]
    warning = tag("div", tag("b", "Not the same set."), tag("ul", *caveats), class_="caveat") if caveats else ""
    lines = [
        tag("li", tag("b", anchor.method), f": {anchor.source}", f"; {anchor.remark}." if anchor.remark else ".")
        for anchor in published.anchors
    ]
    told = paragraph(
        f"Rows marked published are figures of others on {published.name}, as printed in their papers; nobody ran"
        " them here. RITM and SimpleClick publish with a threshold of 0.49."
        " Figures in brackets are of another task.",
        soft=True,
    )
    sources = tag("details", tag("summary", "Where the published rows come from"), tag("ul", *lines))
    return [joined(warning), told, sources]
