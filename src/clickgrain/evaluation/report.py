"""`write_report`: the page at the end of an evaluation; `docs/report.md` says what it shows."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from clickgrain.errors import ClickgrainError, DataError
from clickgrain.evaluation.datasets import SIZE_CLASSES, Benchmark, data_hash
from clickgrain.evaluation.examples import Entry, border_contact, examples, groups_of, hardest, places
from clickgrain.evaluation.page import COLORS, TEMPLATES, Cell, Line, Row, Table, line_chart, machine, write_page
from clickgrain.evaluation.published import KINDS, PublishedResult, is_development, measured_before, published
from clickgrain.evaluation.result import COMPARED, DROPS, Result, differences
from clickgrain.types import Predictor

CLICKS, PATIENCE = 5, 30.0  # shown on every example; most seconds to make the masks of one result again
BOUNDS = {"small": "below 3 % of the image", "medium": "3 to 15 %", "large": "above 15 %"}
WANTED = 0.9  # IoU that a target must reach; otherwise it counts as a failure


@dataclass(frozen=True)
class Column:
    """One figure of the comparison."""

    name: str  # in `Result.summary`, and the heading of the column
    form: str  # format of a value
    pick: Callable[..., Mapping[str, float]]  # `max` or `min`: the best of figures
    scale: float = 1.0  # factor to the shown unit
    twin: str = ""  # name of a second count, shown after a slash if it differs
    ends: str = "{:.1f}"  # format of the ends of an interval
    head: str = ""  # heading of the column instead of `name`

    def value(self, figures: Mapping[str, float]) -> str:
        """The value as it is compared."""
        return self.form.format(figures[self.name] * self.scale)

    def cell(self, figures: Mapping[str, float], best: str = "") -> Cell:
        """The value with its twin, if that differs, and its interval, if known; shaded if it is `best`."""
        first = self.value(figures)
        second = self.form.format(figures.get(self.twin, figures[self.name]) * self.scale)
        ends = [figures[key] for key in (f"{self.name}_low", f"{self.name}_high") if key in figures]
        small = "–".join(self.ends.format(end * self.scale) for end in ends)  # noqa: RUF001
        return Cell(first if first == second else f"{first} / {second}", small, first == best)

    def best(self, summaries: Sequence[Mapping[str, float]]) -> str:
        """The best value as it is compared; "" if all are the same."""
        if len({self.value(figures) for figures in summaries}) == 1:
            return ""
        return self.value(self.pick(summaries, key=lambda figures: figures[self.name]))


TABLES = (  # columns of the three: clicks; masks; drops and seconds
    (
        *(Column(f"NoC{t}", "{:.2f}", min) for t in (80, 85, 90, 95)),
        *(Column(f"NoF{t}", "{:.0f}", min, twin=f"NoF{t}_at_max") for t in (85, 90)),
    ),
    (
        *(Column(f"mIoU@{k}", "{:.3f}", max, ends="{:.2f}") for k in (1, 3, 5, 10, 20)),
        *(Column(f"bIoU@{k}", "{:.3f}", max) for k in (1, 3, 5)),
    ),
    (
        *(Column(name, "{:.1f}", min) for name in DROPS),
        Column("disobeyed", "{:.1f} %", min, scale=100),
        Column("s/click", "{:.3f}", min),
        Column("s/click_median", "{:.3f}", min, twin="s/click_p95", head="median / 95 %"),
        Column("s/image", "{:.3f}", min),
    ),
)
NOTHING = Cell("–")  # noqa: RUF001
INEXACT = ("mIoU@10", "mIoU@20")  # lower bounds unless clicking continues after IoU 0.95


def write_report(
    results: Sequence[Result],
    benchmarks: Mapping[str, Benchmark],
    path: str | Path,
    *,
    commands: Sequence[str] = (),
    notes: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
    loaders: Mapping[str, Callable[[], Predictor]] | None = None,
) -> Path:
    """Write one self-contained HTML page about an evaluation, a section per benchmark; returns its absolute path.

    Results of one benchmark share a section, in this order; one that `benchmarks` lacks has no images. `commands`
    repeat the figures; `notes` are shown besides those of the results, `labels` instead of `Result.model`.
    `loaders` (by `Result.model`) make masks again on a few targets; for models without one, or that would take over
    half a minute, clicks are drawn without masks. Every target mask is read once, to find those that touch the
    image's border. Raises DataError: without results, or when the page cannot be written.
    """
    if not results:
        raise DataError("no result to report; evaluate at least one model on one data set")
    sets = _by_benchmark(results, labels or {})

    @cache
    def load(model: str) -> Predictor | None:
        with suppress(ClickgrainError):  # the figures exist; the page goes without this model's masks
            return loaders[model]() if loaders and model in loaders else None
        return None

    sections = []
    for name, own in sets.items():
        leader = min(range(len(own)), key=lambda i: own[i].result.noc(WANTED))
        ids = {id_ for _, id_ in places(own[leader].result)}
        for i, one in enumerate(own):
            shown = [row for row in one.result.rows if row.id in ids]
            if sum(row.encode_seconds + sum(row.click_seconds[:CLICKS]) for row in shown) <= PATIENCE:
                own[i] = replace(one, predictor=load(one.result.model))
        sections.append(section(own, benchmarks.get(name), leader=leader))
    names = {one.label: one.color for own in sets.values() for one in own}
    targets = sum(len(own[0].result.rows) for own in sets.values())
    methods = f"{len(names)} methods" if len(names) > 1 else next(iter(names))
    where = f"{len(sets)} sets" if len(sets) > 1 else next(iter(sets))
    return write_page(
        path,
        TEMPLATES / "evaluation.html",
        lead=f"{methods}, {targets} targets of {where}: how many clicks until the mask is right?",
        users=list(dict.fromkeys(result.user for result in results)),
        most=max(result.settings.max_clicks for result in results),
        tuned=any(is_development(name) for name in sets),
        overview=_overview(sets, names) if len(sets) > 1 else None,
        sections=sections,
        commands=commands,
        notes=notes,
        machine=machine(),
    )


def _by_benchmark(results: Sequence[Result], labels: Mapping[str, str]) -> dict[str, list[Entry]]:
    """The results of each benchmark with names and colors; if several users clicked, the name has the user."""
    users, colors = {result.user for result in results}, dict[str, int]()
    sets: dict[str, list[Entry]] = {}
    for result in results:
        label = labels.get(result.model, result.model) + (f", {result.user}" if len(users) > 1 else "")
        own = sets.setdefault(result.benchmark, [])
        if any(label == other.label for other in own):
            label = f"{label} [{len(own) + 1}]"
        own.append(Entry(result, label, colors.setdefault(label, len(colors)) % COLORS))
    return sets


def _heading(name: str) -> str:
    return f"{name}: development set" if is_development(name) else name


def _overview(sets: Mapping[str, Sequence[Entry]], names: Mapping[str, int]) -> Table:
    """Mean clicks of every model (name -> color) on every set."""
    groups = {}
    for name, own in sets.items():
        groups[_heading(name), f"{len(own[0].result.rows)} targets"] = {one.label: one.result for one in own}
    return _bars(names, groups)


def _bars(names: Mapping[str, int], groups: Mapping[tuple[str, str], Mapping[str, Result]]) -> Table:
    """Mean clicks of every model (name -> color) as bars, full at max_clicks, in groups of results by name."""
    rows = []
    for name, color in names.items():
        cells = []
        for own in groups.values():
            if result := own.get(name):
                most = result.settings.max_clicks
                cells += [Cell(f"{noc:.2f}", share=noc / most) for noc in map(result.noc, (0.85, 0.90))]
            else:
                cells += [NOTHING] * 2
        rows.append(Row(name, cells, color))
    return Table(["model", *("NoC85", "NoC90") * len(groups)], rows, [*groups])


def section(
    entries: Sequence[Entry],
    benchmark: Benchmark | None,  # for images and border contact; None: neither
    *,
    leader: int = 0,  # whose best, median and worst targets are shown
    clicks: int = CLICKS,  # how many are shown on them
) -> dict[str, Any]:
    """The results of one benchmark as the macro `clicks` in `templates/macros.html` takes them."""
    results = [one.result for one in entries]
    skipped = list(dict.fromkeys(reason for result in results for reason in result.skipped))
    folded = [(f"{len(skipped)} targets could not be used and are excluded", skipped)] if skipped else []
    for one in entries:
        if errors := [f"target {row.id}: {row.error}" for row in one.result.failed]:
            folded.append((f"{one.label} failed on {len(errors)} targets, which count as never reached", errors))
    name, others, caveats = _published(results, benchmark)
    groups = groups_of(results, border_contact(benchmark) if benchmark else {})
    curves = [
        Line(one.label, [(k + 1, iou) for k, iou in enumerate(one.result.curves.mean(0).tolist())], one.color)
        for one in entries
    ]
    title, load = "Mean IoU by number of clicks", benchmark.load if benchmark else None
    return {
        "title": _heading(results[0].benchmark),
        "warnings": _warnings(entries),
        "notes": list(dict.fromkeys(note for result in results for note in result.notes)),
        "folded": folded,
        "caveats": caveats,
        "tables": [_comparison(entries, columns, others, name) for columns in TABLES],
        "published": name,
        "sources": others,
        "base": entries[0].label,
        "differences": _differences(entries),
        "curves": line_chart(curves, x="clicks", y="mean IoU", y_range=(0.0, 1.0), title=title),
        "stopped": not all(result.settings.full_curves for result in results),
        "sizes": _sizes(entries),
        "leader": entries[leader].label,
        "clicks": clicks,
        "unmasked": [one.label for one in entries if one.drawn and one.predictor is None],
        "examples": examples(entries, load, leader=leader, clicks=clicks) if load else [],
        "failures": _failures(entries, groups),
        "hardest": [(title, hardest(results, ids, load, WANTED)) for title, ids in groups.items() if load],
        "targets": _targets(entries),
    }


def _warnings(entries: Sequence[Entry]) -> list[str]:
    """Why the figures of one benchmark may not be comparable."""
    lines, name = [], entries[0].result.benchmark
    if is_development(name):
        lines.append(f"{name} is a development set: methods were tuned on it. Compare methods elsewhere.")
    ids = [{row.id for row in one.result.rows} for one in entries]
    common = set.intersection(*ids)
    if any(len(own) != len(common) for own in ids):
        counts = ", ".join(f"{one.label} {len(own)}" for one, own in zip(entries, ids))
        lines.append(f"The methods faced different targets, so rows do not compare: {counts}; all {len(common)}.")
    if len({one.result.settings for one in entries}) > 1:
        settings = "; ".join(
            f"{label} threshold {own.threshold:g}, at most {own.max_clicks} clicks"
            + (", full curves" if own.full_curves else "")
            for label, own in ((one.label, one.result.settings) for one in entries)
        )
        lines.append(f"The methods ran with different settings: {settings}.")
    return lines


def _published(results: Sequence[Result], data: Benchmark | None) -> tuple[str, list[PublishedResult], list[str]]:
    """The set's published name, rows that were not measured here, and why they may not compare directly."""
    count, first = min(len(result.rows) for result in results), results[0]
    known, robot = published(first.benchmark, count), all(result.user == "robot" for result in results)
    rows, caveats = list(known.rows), list(known.caveats)
    if rows and not robot:
        caveats.append("They were clicked by the robot alone")
    if rows and any(result.settings.max_clicks != 20 for result in results):
        caveats.append("They allow 20 clicks")
    if data is not None and len(data) == count and robot:
        before = measured_before(data_hash(data), first.settings)
        rows = [row for row in before if row.method not in {result.model for result in results}] + rows
    return known.name, rows, caveats


def _comparison(
    entries: Sequence[Entry], columns: Sequence[Column], others: Sequence[PublishedResult], set_name: str
) -> Table:
    """A row per result, the best measured value of each column marked, then rows that were not measured here."""
    summaries = [one.result.summary() for one in entries]
    exact = all(one.result.settings.full_curves for one in entries)
    common = set.intersection(*map(set, summaries))
    shown = [one for one in columns if one.name in common and (exact or one.name not in INEXACT)]
    best = [column.best(summaries) for column in shown]
    rows = [
        Row(one.label, [column.cell(figures, top) for column, top in zip(shown, best)], one.color)
        for one, figures in zip(entries, summaries)
    ]
    parts = []
    for kind, title in KINDS.items():
        badge, where = ("before", entries[0].result.benchmark) if kind == "before" else ("published", set_name)
        own = [row for row in others if row.kind == kind and any(column.name in row.figures for column in shown)]
        if own:
            made = [Row(row.method, [_other(row, column) for column in shown], badge=badge) for row in own]
            parts.append((f"{title}, on {where}", made))
    return Table(["model", *(column.head or column.name for column in shown)], rows, parts=parts)


def _other(row: PublishedResult, column: Column) -> Cell:
    """A figure that was not measured here; in brackets when it is of another task."""
    if column.name not in row.figures:
        return Cell("")
    cell = column.cell(row.figures)
    return cell if row.compares else replace(cell, text=f"({cell.text})")


def _differences(entries: Sequence[Entry]) -> Table | None:
    """Every other method minus the first on the targets of both; shaded if the interval excludes 0."""
    rows, first = [], entries[0]
    for one in entries[1:]:
        if {row.id for row in one.result.rows} & {row.id for row in first.result.rows}:
            cells = []
            for found in differences(one.result, first.result).values():
                low, high = found.interval or (0.0, 0.0)
                small = f"{low:+.2f} to {high:+.2f}" if found.interval else ""
                cells.append(Cell(f"{found.value:+.2f}", small, best=low * high > 0))
            rows.append(Row(one.label, cells, one.color))
    return Table([f"minus {first.label}", *COMPARED], rows) if rows else None


def _sizes(entries: Sequence[Entry]) -> Table:
    """Mean clicks of every model on small, medium and large targets, without empty classes."""
    groups = {}
    for size in SIZE_CLASSES:
        if found := {one.label: part for one in entries if (part := one.result.of_size(size))}:
            most = max(len(part.rows) for part in found.values())
            groups[f"{size}, {BOUNDS[size]}", f"{most} targets"] = found
    return _bars({one.label: one.color for one in entries}, groups)


def _failures(entries: Sequence[Entry], groups: Mapping[str, frozenset[str]]) -> Table:
    """Targets that never reach `WANTED`, by group."""
    rows = []
    for title, ids in groups.items():
        cells = []
        for one in entries:
            cell = NOTHING
            if own := one.result.part(row for row in one.result.rows if row.id in ids):
                failed, of = own.nof(WANTED).never, len(own.rows)
                cell = Cell(f"{100 * failed / of:.0f} %", f"{failed} of {of}", share=failed / of, color=one.color)
            cells.append(cell)
        rows.append(Row(f"{title} ({len(ids)})", cells))
    return Table(["targets", *(one.label for one in entries)], rows)


def _targets(entries: Sequence[Entry]) -> Table:
    """Every target with the clicks that each model needs, or "never"."""
    needed = []
    for one in entries:
        counts = zip(one.result.rows, one.result.clicks_to(WANTED), one.result.curves.max(1))
        needed.append({row.id: f"{count}" if top >= WANTED else "never" for row, count, top in counts})
    rows = []
    for row in entries[0].result.rows:
        texts = [row.size, f"{100 * row.area:.1f} %", *(own.get(row.id, "-") for own in needed)]
        rows.append(Row(row.id, [Cell(text) for text in texts]))
    return Table(["target", "size", "area", *(one.label for one in entries)], rows)
