"""What must be said beside figures: how to read them, and what keeps them from comparing."""

from collections.abc import Sequence

from clickgrain.evaluation.html.comparison import WORDS
from clickgrain.evaluation.html.markup import Html, joined, tag
from clickgrain.evaluation.html.tables import facts
from clickgrain.evaluation.published import is_development
from clickgrain.evaluation.result import Result

SHOWN = 8
"""Lines of a list before the rest is counted."""


def how_to_read(results: Sequence[Result]) -> Html:
    """A few lines for someone who sees such a page for the first time."""
    users = ", ".join(dict.fromkeys(result.user for result in results))
    most = max(result.settings.max_clicks for result in results)
    lines = [
        f"For every target a simulated user ({users}) clicks where the mask is wrong, sees the new mask, and clicks"
        f" again, at most {most} times. Fewer clicks are better.",
        "Begin with NoC90, the mean number of clicks to an overlap of 90 %; then NoF90, the targets that never get"
        " there; then s/click, the time that a person would wait.",
        "A target that a method never gets right, or breaks down on, counts with every click allowed.",
        "Rows marked published are printed in papers and were not measured here. Where the set is not the same, a"
        " line says so.",
    ]
    if any(is_development(result.benchmark) for result in results):
        lines.append("Methods were tuned on development sets: figures there show progress and prove nothing.")
    words = tag("details", tag("summary", "What the columns mean"), facts(WORDS))
    return joined(tag("ul", *(tag("li", line) for line in lines), class_="remarks"), words)


def section_remarks(results: Sequence[Result], labels: Sequence[str]) -> list[Html]:
    """What a reader must know before the table of one benchmark."""
    warnings = _tuned(results[0].benchmark) + _unlike_targets(results, labels) + _unlike_settings(results, labels)
    blocks = [tag("div", *(tag("p", line) for line in warnings), class_="caveat")] if warnings else []
    notes = list(dict.fromkeys(note for result in results for note in result.notes))
    blocks += _list(notes)
    skipped = list(dict.fromkeys(reason for result in results for reason in result.skipped))
    blocks += _folded(f"{len(skipped)} targets could not be used and count nowhere", skipped)
    for result, label in zip(results, labels):
        errors = [f"target {row.id}: {row.error}" for row in result.failed]
        blocks += _folded(f"{label} failed on {len(errors)} targets, which count as never reached", errors)
    return blocks


def _tuned(name: str) -> list[str]:
    if not is_development(name):
        return []
    return [f"{name} is a development set: methods were tuned on it. Compare methods elsewhere."]


def _unlike_targets(results: Sequence[Result], labels: Sequence[str]) -> list[str]:
    ids = [{row.id for row in result.rows} for result in results]
    common = set.intersection(*ids)
    if all(len(own) == len(common) for own in ids):
        return []
    counts = ", ".join(f"{label} {len(own)}" for label, own in zip(labels, ids))
    return [f"The methods faced different targets, so their rows do not compare: {counts}; all {len(common)}."]


def _unlike_settings(results: Sequence[Result], labels: Sequence[str]) -> list[str]:
    if len({result.settings for result in results}) == 1:
        return []
    told = "; ".join(
        f"{label} threshold {result.settings.threshold:g}, at most {result.settings.max_clicks} clicks"
        + (", full curves" if result.settings.full_curves else "")
        for label, result in zip(labels, results)
    )
    return [f"The methods ran with different settings: {told}."]


def _list(lines: Sequence[str]) -> list[Html]:
    if not lines:
        return []
    more = [tag("li", f"and {len(lines) - SHOWN} more")] if len(lines) > SHOWN else []
    return [tag("ul", *(tag("li", line) for line in lines[:SHOWN]), *more, class_="remarks")]


def _folded(title: str, lines: Sequence[str]) -> list[Html]:
    return [tag("details", tag("summary", title), joined(*_list(lines)))] if lines else []
