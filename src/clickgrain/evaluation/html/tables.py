"""Figures as tables, tiles and lists."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clickgrain.evaluation.html.markup import Html, joined, tag
from clickgrain.evaluation.result import Result


def paragraph(*content: object, soft: bool = False) -> Html:
    """A paragraph of text (escaped) or markup."""
    return tag("p", *content, class_="soft" if soft else None)


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


COLORS = 6
"""Series that are told apart by colour; the next ones start anew."""


@dataclass(frozen=True)
class Cell:
    """A cell of `bar_table`.

    Attributes:
        text: what it says.
        share: length of its bar, 0..1.
        remark: in small letters below.
    """

    text: str
    share: float
    remark: str = ""


def bar_table(
    corner: str,
    groups: Sequence[tuple[str, str]],
    heads: Sequence[str],
    rows: Sequence[tuple[str, Sequence[Cell | None]]],
    *,
    keys: bool = True,
) -> Html:
    """A table of figures with bars behind them.

    Args:
        corner: what the first column holds.
        groups: title and remark of each group of columns.
        heads: of the columns of every group; empty for one column a group.
        rows: name and cells (one per group and head).
        keys: whether a row's place gives its colour; otherwise a cell's place does.
    """
    span = max(len(heads), 1)
    titles = [tag("th", title, tag("small", remark), colspan=span, class_="group") for title, remark in groups]
    columns = tag("tr", *(tag("th", head) for _ in groups for head in heads)) if heads else Html("")
    head_rows = joined(tag("tr", tag("th", corner, rowspan=2 if heads else None), *titles), columns)
    body = [_bar_row(name, cells, color(i) if keys else None) for i, (name, cells) in enumerate(rows)]
    table = tag("table", tag("thead", head_rows), tag("tbody", *body), class_="bars")
    return tag("div", table, class_="scroll")


def same_colors(names: Sequence[str], all_: Sequence[str], *blocks: Html) -> Html:
    """Blocks in which every name has the colour of its place in `all_`, though only some are there.

    Args:
        names: those of the blocks, in their order.
        all_: those of the whole page.
        blocks: made with places in `names`.
    """
    colors = ((i, all_.index(name) % COLORS) for i, name in enumerate(names[:COLORS]))
    return tag("div", *blocks, style=";".join(f"--p{i}:var(--s{place})" for i, place in colors))


def _bar_row(name: str, cells: Sequence[Cell | None], key: str | None) -> Html:
    label = tag("th", tag("span", class_="key") if key else "", name)
    return tag("tr", label, *(_bar(cell, key or color(i)) for i, cell in enumerate(cells)), class_=key)


def _bar(cell: Cell | None, key: str) -> Html:
    if cell is None:
        return tag("td", "–")  # noqa: RUF001
    remark = tag("small", cell.remark) if cell.remark else ""
    share = f"{min(max(cell.share, 0), 1):.3f}"
    return tag("td", cell.text, remark, class_=f"bar {key}", style=f"--share:{share}")


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
    return f"c{i % COLORS}"


def _clicks(result: Result, iou: float) -> list[str]:
    best = result.curves.max(axis=1)
    return [f"{count}" if top >= iou else "never" for count, top in zip(result.clicks_to(iou), best)]
