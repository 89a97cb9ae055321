"""The comparison table: measured rows, and published ones that cannot be mistaken for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clickgrain.evaluation.differences import FIGURES, differences
from clickgrain.evaluation.html.markup import Html, joined, tag
from clickgrain.evaluation.html.tables import color, facts, paragraph
from clickgrain.evaluation.published import KINDS, Published, PublishedResult
from clickgrain.evaluation.result import DROPS, Result

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
        ends: how the ends of an interval are written.
        head: at the head of the column instead of `name`.
    """

    name: str
    form: str
    sign: int
    scale: float = 1.0
    twin: str = ""
    ends: str = "{:.1f}"
    head: str = ""

    def text(self, figures: Figures) -> str:
        """The value as it is shown."""
        first = self.form.format(figures[self.name] * self.scale)
        second = self.form.format(figures.get(self.twin, figures[self.name]) * self.scale)
        return first if first == second else f"{first} / {second}"


CLICKS = (
    *(Column(f"NoC{t}", "{:.2f}", -1) for t in (80, 85, 90, 95)),
    *(Column(f"NoF{t}", "{:.0f}", -1, twin=f"NoF{t}_at_max") for t in (85, 90)),
    Column("disobeyed", "{:.1f} %", -1, scale=100),
    *(Column(name, "{:.1f}", -1) for name in DROPS),
    Column("s/click", "{:.3f}", -1),
    Column("s/click_median", "{:.3f}", -1, twin="s/click_p95", head="median / 95 %"),
    Column("s/image", "{:.3f}", -1),
)
MASKS = (
    *(Column(f"mIoU@{k}", "{:.3f}", 1, ends="{:.2f}") for k in (1, 3, 5, 10, 20)),
    *(Column(f"bIoU@{k}", "{:.3f}", 1) for k in (1, 3, 5)),
)
INEXACT = ("mIoU@10", "mIoU@20")
"""Lower bounds unless clicking goes on after IoU 0.95."""

WORDS = {
    "NoC85": "mean number of clicks until mask and target overlap by 85 % (IoU 0.85)",
    "NoF85": "targets that never reach it; behind a stroke, where it is another number, those that need every click"
    " allowed, as papers count",
    "disobeyed": "share of clicks on the wrong side of the mask that answers them",
    "drops05, drops20": "clicks of a hundred (a target's first left out) after which the overlap is lower than"
    " before by more than .05, and by more than .2",
    "s/click, s/image": "seconds for one answer (mean; then median / 95th percentile), and for taking in an image",
    "mIoU@3, bIoU@3": "mean IoU after 3 clicks, of the masks and of their boundaries",
    "small figures": "bootstrap 95 % interval over images; differences much smaller than it may be chance",
    "shaded": "the best measured value of a column",
}
"""The columns, for people."""


def comparison_table(
    results: Sequence[Result],
    labels: Sequence[str] | None = None,
    *,
    published: Published | None = None,
    legend: bool = True,
) -> Html:
    """Two tables with a row per result, one of clicks and one of masks, the best value of each column marked.

    Args:
        results: in the order of the report; a result's place gives its colour. They should share benchmark and
            settings.
        labels: shown instead of the models' names.
        published: rows that follow the measured ones, marked as what they are.
        legend: whether the columns are explained below.
    """
    names = list(labels or [result.model for result in results])
    exact = all(result.settings.full_curves for result in results)
    masks = tuple(column for column in MASKS if exact or column.name not in INEXACT)
    tables = [_table(results, names, columns, published) for columns in (CLICKS, masks)]
    words = tag("details", tag("summary", "What the columns mean"), facts(WORDS)) if legend else ""
    return joined(_caveats(published), *tables, words, *_about(published))


def _table(
    results: Sequence[Result], names: Sequence[str], columns: Sequence[Column], published: Published | None
) -> Html:
    summaries = [result.summary() for result in results]
    shown = [column for column in columns if all(column.name in summary for summary in summaries)]
    head = tag("tr", tag("th", "model"), *(tag("th", column.head or column.name) for column in shown))
    rows = []
    for i, (name, summary) in enumerate(zip(names, summaries)):
        cells = [_cell(summary, summaries, column, results[i].intervals.get(column.name)) for column in shown]
        rows.append(tag("tr", tag("th", tag("span", class_="key"), name, class_=color(i)), *cells))
    anchors = _groups(published, shown) if published else []
    table = tag("table", tag("thead", head), tag("tbody", *rows), *anchors, class_="comparison")
    return tag("div", table, class_="scroll")


def _cell(summary: Figures, all_: Sequence[Figures], column: Column, interval: tuple[float, float] | None) -> Html:
    forms = [column.form.format(other[column.name] * column.scale) for other in all_]
    best = max(other[column.name] * column.sign for other in all_) * column.sign * column.scale
    own = column.form.format(summary[column.name] * column.scale)
    marked = own == column.form.format(best) and len(set(forms)) > 1
    return tag("td", column.text(summary), _bounds(interval, column), class_="best" if marked else None)


def _bounds(interval: tuple[float, float] | None, column: Column) -> Html:
    if interval is None:
        return Html("")
    low, high = (column.ends.format(bound * column.scale) for bound in interval)
    return tag("small", f"{low}–{high}")  # noqa: RUF001


def _groups(published: Published, shown: Sequence[Column]) -> list[Html]:
    """One body of the table per kind, headed by what it is; kinds without a figure in these columns have none."""
    names = {column.name for column in shown}
    bodies = []
    for kind, title in KINDS.items():
        anchors = [one for one in published.rows if one.kind == kind and names & set(one.figures)]
        if anchors:
            head = tag("tr", tag("th", f"{title}, on {published.name}", class_="kind", colspan=len(shown) + 1))
            rows = [_anchor_row(anchor, shown) for anchor in anchors]
            bodies.append(tag("tbody", head, *rows, class_=f"published {kind}"))
    return bodies


def _anchor_row(anchor: PublishedResult, shown: Sequence[Column]) -> Html:
    cells = []
    for column in shown:
        text = column.text(anchor.figures) if column.name in anchor.figures else ""
        cells.append(tag("td", text if anchor.compares or not text else f"({text})"))
    return tag(
        "tr", tag("th", anchor.method, tag("small", "before" if anchor.kind == "before" else "published")), *cells
    )


def differences_table(results: Sequence[Result], labels: Sequence[str]) -> Html:
    """Every other method minus the first, on the targets of both; shaded where the interval leaves out 0."""
    rows = []
    for i, result in enumerate(results[1:], 1):
        if not {row.id for row in result.rows} & {row.id for row in results[0].rows}:
            continue
        cells = []
        for name, found in differences(result, results[0]).items():
            low, high = found.interval or (0.0, 0.0)
            small = _bounds(found.interval, Column(name, "", -1, ends="{:+.2f}"))
            cells.append(tag("td", f"{found.value:+.2f}", small, class_="best" if low * high > 0 else None))
        rows.append(tag("tr", tag("th", tag("span", class_="key"), labels[i], class_=color(i)), *cells))
    if not rows:
        return Html("")
    head = tag("tr", tag("th", f"minus {labels[0]}"), *(tag("th", name) for name in FIGURES))
    told = paragraph(
        "Differences on the same targets, with bootstrap 95 % intervals over images; below 0 is better than ",
        tag("b", labels[0]),
        ". Shaded: the interval leaves out 0.",
        soft=True,
    )
    table = tag("table", tag("thead", head), tag("tbody", *rows), class_="comparison")
    return joined(tag("h3", "Differences"), told, tag("div", table, class_="scroll"))


def _caveats(published: Published | None) -> Html:
    """Why the published rows do not compare, said before they are seen."""
    if published is None or not published.caveats:
        return Html("")
    text = "".join(f" {caveat}." for caveat in published.caveats)
    return tag("div", tag("p", tag("b", "Published rows do not compare directly."), text), class_="caveat")


def _about(published: Published | None) -> list[Html]:
    """What is said about the published rows."""
    if published is None:
        return []
    lines = [
        tag("li", tag("b", anchor.method), f": {anchor.source}", f"; {anchor.remark}." if anchor.remark else ".")
        for anchor in published.rows
    ]
    told = paragraph(
        f"Rows marked published are figures of others on {published.name}, as printed in papers; nobody ran them"
        " here. RITM and SimpleClick publish with a threshold of 0.49. Figures in brackets are of another task.",
        soft=True,
    )
    return [tag("details", tag("summary", "Where the published rows come from"), told, tag("ul", *lines))]
