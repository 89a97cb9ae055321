"""Figures as tables, tiles and lists."""

from collections.abc import Mapping, Sequence

from clickgrain.evaluation.html.markup import Html, joined, tag
from clickgrain.evaluation.result import Result

Row = tuple[str, list[float | None]]

COLUMNS: tuple[tuple[str, str, int], ...] = (
    ("NoC80", "{:.2f}", -1),
    ("NoC85", "{:.2f}", -1),
    ("NoC90", "{:.2f}", -1),
    ("NoC95", "{:.2f}", -1),
    ("NoF85", "{:.0f}", -1),
    ("NoF90", "{:.0f}", -1),
    ("mIoU@1", "{:.3f}", 1),
    ("mIoU@3", "{:.3f}", 1),
    ("mIoU@5", "{:.3f}", 1),
    ("s/click", "{:.3f}", -1),
    ("s/image", "{:.3f}", -1),
)
"""Name in `Result.summary`, how it is shown, and whether more (1) or less (-1) is better."""

LEGEND = (
    "NoC: mean clicks until the mask reaches that IoU in %. NoF: targets that never reach it. mIoU@k: mean IoU"
    " after k clicks. s/click and s/image: seconds for one answer and for taking in an image. The best value of a"
    " column is marked."
)


def paragraph(*content: object, soft: bool = False) -> Html:
    """A paragraph of text (escaped) or markup."""
    return tag("p", *content, class_="soft" if soft else None)


def comparison_table(results: Sequence[Result], labels: Sequence[str] | None = None) -> Html:
    """One row per result, the best value of each column marked; results should share benchmark and settings.

    Args:
        results: in the order of the report; a result's place gives its colour.
        labels: shown instead of the models' names.
    """
    names = list(labels or [result.model for result in results])
    summaries = [result.summary() for result in results]
    shown = [column for column in COLUMNS if all(column[0] in summary for summary in summaries)]
    head = tag("tr", tag("th", "model"), *(tag("th", name) for name, _, _ in shown))
    rows = []
    for i, (name, summary) in enumerate(zip(names, summaries)):
        cells = [_cell(summary, summaries, column) for column in shown]
        rows.append(tag("tr", tag("th", tag("span", class_="key"), name, class_=color(i)), *cells))
    table = tag("table", tag("thead", head), tag("tbody", *rows), class_="comparison")
    return joined(tag("div", table, class_="scroll"), paragraph(LEGEND, soft=True))


def target_table(results: Sequence[Result], labels: Sequence[str] | None = None, *, iou: float = 0.9) -> Html:
    """Every target with the clicks that each model needs for an IoU, folded away; or "never"."""
    names = list(labels or [result.model for result in results])
    reached = [dict(zip((row.id for row in r.rows), _clicks(r, iou))) for r in results]
    head = tag("tr", *(tag("th", name) for name in ("target", "size", "area", *names)))
    rows = [
        tag(
            "tr",
            tag("th", row.id),
            tag("td", row.size),
            tag("td", f"{100 * row.area:.1f} %"),
            *(tag("td", counts.get(row.id, "-")) for counts in reached),
        )
        for row in (results[0].rows if results else ())
    ]
    table = tag("table", tag("thead", head), tag("tbody", *rows), class_="targets")
    title = f"All {len(rows)} targets: clicks to IoU {iou:.2f}"
    return tag("details", tag("summary", title), tag("div", table, class_="scroll"))


def headline(tiles: Sequence[tuple[str, str, str]]) -> Html:
    """A few large figures: (figure, what it is, remark); their place gives their colour."""
    drawn = [
        tag("div", tag("b", value), tag("span", name), tag("small", remark), class_=f"tile {color(i)}")
        for i, (value, name, remark) in enumerate(tiles)
    ]
    return tag("div", *drawn, class_="tiles")


def facts(values: Mapping[str, object]) -> Html:
    """Names and values below each other."""
    pairs = [joined(tag("dt", name), tag("dd", value)) for name, value in values.items()]
    return tag("dl", *pairs, class_="facts")


def commands(lines: Sequence[str]) -> Html:
    """Command lines to copy."""
    return tag("pre", "\n".join(lines))


def color(i: int) -> str:
    """CSS class that gives the i-th series its colour."""
    return f"c{i % 6}"


def _cell(summary: Mapping[str, float], all_: Sequence[Mapping[str, float]], column: tuple[str, str, int]) -> Html:
    name, form, sign = column
    texts = [form.format(other[name]) for other in all_]
    best = form.format(max(other[name] * sign for other in all_) * sign)
    text = form.format(summary[name])
    marked = text == best and len(set(texts)) > 1
    return tag("td", text, class_="best" if marked else None)


def _clicks(result: Result, iou: float) -> list[str]:
    best = result.curves.max(axis=1)
    return [f"{count}" if top >= iou else "never" for count, top in zip(result.clicks_to(iou), best)]
