"""`write_report`: the page that an evaluation ends with."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from clickgrain import __version__
from clickgrain.errors import DataError
from clickgrain.evaluation.datasets import Benchmark, data_hash
from clickgrain.evaluation.html.cases import Loaders, PredictorPool, example_report
from clickgrain.evaluation.html.charts import iou_curves
from clickgrain.evaluation.html.comparison import comparison_table, differences_table
from clickgrain.evaluation.html.failures import border_contact, failure_report
from clickgrain.evaluation.html.machine import machine
from clickgrain.evaluation.html.markup import Html, tag
from clickgrain.evaluation.html.page import Report
from clickgrain.evaluation.html.remarks import how_to_read, section_remarks
from clickgrain.evaluation.html.sizes import overview_table, size_table
from clickgrain.evaluation.html.tables import commands as command_lines
from clickgrain.evaluation.html.tables import facts, paragraph, same_colors, target_table
from clickgrain.evaluation.pictures import target_pictures
from clickgrain.evaluation.published import Published, PublishedResult, is_development, measured_before, published
from clickgrain.evaluation.result import Result


def write_report(
    results: Sequence[Result],
    benchmarks: Mapping[str, Benchmark],
    path: str | Path,
    *,
    commands: Sequence[str] = (),
    notes: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
    loaders: Loaders | None = None,
) -> Path:
    """Write one self-contained HTML page about an evaluation: a section per benchmark.

    Each has the comparison table with what is published on that set, IoU curves, clicks by size, the best, median
    and worst targets, and failures by size and border contact. Every target mask is read once for the latter.

    Args:
        results: at least one; those of one benchmark stand in one section, in this order.
        benchmarks: by `Result.benchmark`; a section without its own has no pictures.
        path: of the page.
        commands: command lines that repeat the figures.
        notes: what a reader must know beside the notes of the results.
        labels: `Result.model` -> name shown instead.
        loaders: `Result.model` -> function that loads its predictor, to draw its masks on a few targets again;
            where there is none, or where it would take over half a minute, clicks are drawn without masks.

    Returns:
        The absolute path of the page.

    Raises:
        DataError: without results, or when the page cannot be written.
    """
    if not results:
        raise DataError("no result to report; evaluate at least one model on one data set")
    sections = _sections(results, labels or {})
    pool = PredictorPool(loaders or {})
    report = Report("Evaluation by clicks", lead=_lead(sections), footer=_footer())
    report.add("How to read this", how_to_read([result for result, _ in _pairs(sections)]))
    if len(sections) > 1:
        overview = [(_heading(name), [(label, r) for r, label in pairs]) for name, pairs in sections.items()]
        report.add("All sets", overview_table(overview))
    shown = list(dict.fromkeys(label for _, label in _pairs(sections)))
    for name, pairs in sections.items():
        blocks = _section(pairs, benchmarks.get(name), pool)
        report.add(_heading(name), same_colors([label for _, label in pairs], shown, *blocks))
    report.add("Make it again", *_again(commands, notes))
    return report.write(path)


Pair = tuple[Result, str]
"""A result and the name that it is shown under."""


def _sections(results: Sequence[Result], labels: Mapping[str, str]) -> dict[str, list[Pair]]:
    """The results of each benchmark; where several users clicked, the name tells which."""
    users = {result.user for result in results}
    sections: dict[str, list[Pair]] = {}
    for result in results:
        label = labels.get(result.model, result.model)
        shown = f"{label}, {result.user}" if len(users) > 1 else label
        pairs = sections.setdefault(result.benchmark, [])
        taken = any(shown == other for _, other in pairs)
        pairs.append((result, f"{shown} [{len(pairs) + 1}]" if taken else shown))
    return sections


def _pairs(sections: Mapping[str, Sequence[Pair]]) -> list[Pair]:
    return [pair for pairs in sections.values() for pair in pairs]


def _heading(name: str) -> str:
    return f"{name}: development set" if is_development(name) else name


def _lead(sections: Mapping[str, Sequence[Pair]]) -> str:
    models = list(dict.fromkeys(label for _, label in _pairs(sections)))
    targets = sum(len(pairs[0][0].rows) for pairs in sections.values())
    sets = f"{len(sections)} sets" if len(sections) > 1 else f"{next(iter(sections))}"
    count = f"{len(models)} methods" if len(models) > 1 else models[0]
    return f"{count}, {targets} targets of {sets}: how many clicks until the mask is right?"


def _section(pairs: Sequence[Pair], benchmark: Benchmark | None, pool: PredictorPool) -> list[Html]:
    results, labels = [result for result, _ in pairs], [label for _, label in pairs]
    known = _published(results, benchmark)
    pictures = target_pictures(benchmark) if benchmark else None
    contact = border_contact(benchmark) if benchmark else None
    return [
        *section_remarks(results, labels),
        comparison_table(results, labels, published=known, legend=False),
        differences_table(results, labels),
        tag("h3", "How the masks grow better with clicks"),
        iou_curves(results, labels),
        *_resting(results),
        tag("h3", "Clicks by size of the target"),
        size_table(results, labels),
        *(example_report(results, labels, pictures, pool) if pictures else ()),
        tag("h3", "Where they fail"),
        failure_report(results, labels, contact=contact, pictures=pictures),
        target_table(results, labels),
    ]


def _published(results: Sequence[Result], benchmark: Benchmark | None) -> Published | None:
    """Rows that were not measured here, with what sets the measured ones apart."""
    count, first = min(len(result.rows) for result in results), results[0]
    known = published(first.benchmark, count)
    caveats = list(known.caveats) if known else []
    if known and any(result.user != "robot" for result in results):
        caveats.append("They were clicked by the robot alone")
    if known and any(result.settings.max_clicks != 20 for result in results):
        caveats.append("They allow 20 clicks")
    before: tuple[PublishedResult, ...] = ()
    if benchmark is not None and len(benchmark) == count and all(r.user == "robot" for r in results):
        measured = {result.model for result in results}
        rows = measured_before(data_hash(benchmark), first.settings)
        before = tuple(row for row in rows if row.method not in measured)
    if known is None and not before:
        return None
    rows = (*before, *(known.rows if known else ()))
    return Published(known.name if known else first.benchmark, rows, tuple(caveats))


def _resting(results: Sequence[Result]) -> list[Html]:
    if all(result.settings.full_curves for result in results):
        return []
    text = "A target rests once its mask reaches 0.95, so that the curves are lower bounds beyond click 5."
    return [paragraph(text, soft=True)]


def _again(commands: Sequence[str], notes: Sequence[str]) -> list[Html]:
    blocks = [paragraph("These figures come from:"), command_lines(commands)] if commands else []
    if notes:
        blocks.append(tag("ul", *(tag("li", note) for note in notes), class_="remarks"))
    return [*blocks, paragraph("The page was made on:"), facts(machine())]


def _footer() -> str:
    return f"Made by clickgrain {__version__}. This file needs no network and no other file."
