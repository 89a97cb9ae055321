"""The best, median and worst targets of an evaluation, with the masks made again."""

from collections.abc import Callable, Mapping, Sequence

from clickgrain.errors import ClickgrainError
from clickgrain.evaluation.html.figures import example_gallery, examples, places
from clickgrain.evaluation.html.markup import Html, tag
from clickgrain.evaluation.html.tables import paragraph
from clickgrain.evaluation.pictures import Pictures
from clickgrain.evaluation.result import Result
from clickgrain.types import Predictor

Loaders = Mapping[str, Callable[[], Predictor]]
"""`Result.model` -> function that loads its predictor."""

CLICKS = 5
"""Clicks shown on every example."""
PATIENCE = 30.0
"""Seconds that the masks of one result may take to be made again."""


class PredictorPool:
    """Predictors that are loaded when they are first needed, and only once.

    Args:
        loaders: `Result.model` -> function that loads its predictor.
    """

    def __init__(self, loaders: Loaders) -> None:
        self._loaders = loaders
        self._loaded: dict[str, Predictor | None] = {}

    def get(self, model: str) -> Predictor | None:
        """The predictor of a model; None if there is no loader, or if it fails."""
        if model not in self._loaded:
            self._loaded[model] = self._load(model)
        return self._loaded[model]

    def _load(self, model: str) -> Predictor | None:
        try:
            return self._loaders[model]() if model in self._loaders else None
        except ClickgrainError:  # the figures are there; the page goes without this model's masks
            return None


def example_report(
    results: Sequence[Result], labels: Sequence[str], pictures: Pictures, pool: PredictorPool
) -> list[Html]:
    """The targets on which the leader (fewest clicks to 0.90) does best, middling and worst, all methods shown."""
    leader = min(range(len(results)), key=lambda i: results[i].noc(0.9))
    ids = [id_ for _, id_ in places(results[leader])]
    predictors = [pool.get(result.model) if _soon(result, ids) else None for result in results]
    shown = examples(results, predictors, pictures, leader=leader, clicks=CLICKS, labels=labels)
    if not shown:
        return []
    missing = [label for label, predictor in zip(labels, predictors) if predictor is None]
    clause = f" Clicks without a mask: {', '.join(missing)}." if missing else ""
    text = paragraph(
        "The targets on which ", tag("b", labels[leader]), " does best, middling and worst, and what every method"
        f" made of them with up to {CLICKS} of its own clicks. Dashed: the wanted outline. Blue: the mask. Green"
        f" disks are clicks on the object, red squares on the background.{clause}",
    )  # fmt: skip
    return [tag("h3", "What it looks like"), text, example_gallery(shown)]


def _soon(result: Result, ids: Sequence[str]) -> bool:
    """Whether these targets' clicks can be answered again within `PATIENCE`."""
    rows = [row for row in result.rows if row.id in ids]
    seconds = sum(row.encode_seconds + sum(row.click_seconds[:CLICKS]) for row in rows)
    return seconds <= PATIENCE
