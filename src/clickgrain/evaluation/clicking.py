"""One target under the protocol: click, predict, compare, until the mask is right or the clicks are used up."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from clickgrain.clicks.robot import Click, Drawn, Given, User
from clickgrain.errors import DataError
from clickgrain.evaluation.scores import Scorer, disobeyed
from clickgrain.evaluation.settings import ENOUGH_CLICKS, ENOUGH_IOU, EvaluationSettings
from clickgrain.types import Float, Mask, Predictor, Scribble, UInt8


@dataclass
class Attempt:
    """What happened on one target.

    Attributes:
        given: clicks, boxes and strokes in order; one more than `ious` when the predictor failed on the last.
        ious: after each of them.
        boundary_ious: after each of them.
        disobeyed: after each of them, how many of the clicks and strokes so far the prediction disobeys.
        seconds: of each prediction.
        error: what the predictor raised, or None.
    """

    given: list[Given] = field(default_factory=list)
    ious: list[float] = field(default_factory=list)
    boundary_ious: list[float] = field(default_factory=list)
    disobeyed: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    error: str | None = None

    @property
    def clicks(self) -> tuple[Click, ...]:
        """(x, y, label) of the clicks alone."""
        return tuple(one for one in self.given if not isinstance(one, Drawn))

    @property
    def drawn(self) -> tuple[tuple[int, Drawn], ...]:
        """Boxes and strokes with their places among all that was given, from 0."""
        return tuple((at, one) for at, one in enumerate(self.given) if isinstance(one, Drawn))


def click_target(predictor: Predictor, target: UInt8, settings: EvaluationSettings, user: User) -> Attempt:
    """Click one target of the image that `predictor` has been given.

    Args:
        predictor: after `set_image`; whatever it raises ends the attempt and is recorded in it.
        target: H x W uint8 (0 background, 128 ignore, 255 object).
        settings: of the protocol.
        user: who clicks, started on this target.
    """
    attempt = Attempt()
    scorer = Scorer(target)
    mask: Mask | None = None
    prediction = np.zeros(target.shape, np.bool_)
    while not _enough(attempt, settings):
        one = user(target, prediction, _pixels(attempt.given))
        if one is None:
            break
        attempt.given.append(one)
        try:
            mask, probability = _predict(predictor, attempt, mask, target.shape)
        except Exception as error:  # anybody's predictor may raise anything
            attempt.error = _blamed(error, attempt.given)
            break
        prediction = probability > settings.threshold
        attempt.ious.append(scorer.iou(prediction))
        attempt.boundary_ious.append(scorer.boundary_iou(prediction))
        attempt.disobeyed.append(disobeyed(prediction, attempt.given))
    return attempt


def prompt_of(given: Sequence[Given]) -> dict[str, Any]:
    """Arguments of `Predictor.predict`: `points` and `labels`, and only where they were given `box`, `scribbles`.

    Args:
        given: interactions in order; of several boxes the last counts.
    """
    clicks = [one for one in given if not isinstance(one, Drawn)]
    values = np.array(clicks, np.float32).reshape(-1, 3)
    prompt: dict[str, Any] = {"points": values[:, :2], "labels": values[:, 2].astype(np.uint8)}
    drawn = [one for one in given if isinstance(one, Drawn)]
    for box in (one for one in drawn if one.kind == "box"):
        prompt["box"] = tuple(value for point in box.points for value in point)
    strokes = [Scribble(np.array(one.points, np.float32), one.label) for one in drawn if one.kind == "scribble"]
    return {**prompt, "scribbles": strokes} if strokes else prompt


def _pixels(given: Sequence[Given]) -> list[tuple[float, float]]:
    """(x, y) of clicks and strokes."""
    pixels: list[tuple[float, float]] = []
    for one in given:
        if not isinstance(one, Drawn):
            pixels.append(one[:2])
        elif one.kind == "scribble":
            pixels += one.points
    return pixels


def _enough(attempt: Attempt, settings: EvaluationSettings) -> bool:
    made = len(attempt.ious)
    right = made >= ENOUGH_CLICKS and attempt.ious[-1] >= ENOUGH_IOU
    return made >= settings.max_clicks or (right and not settings.full_curves)


def _predict(
    predictor: Predictor, attempt: Attempt, previous: Mask | None, shape: tuple[int, ...]
) -> tuple[Mask, Float]:
    prompt = prompt_of(attempt.given)
    points, labels = prompt.pop("points"), prompt.pop("labels")
    start = perf_counter()
    mask = predictor.predict(points, labels, previous=previous, **prompt)
    probability = mask.probability
    attempt.seconds.append(perf_counter() - start)
    if probability.shape != shape:
        raise DataError(f"the prediction has shape {probability.shape}; it must be that of the image, {shape}")
    if not np.isfinite(probability).all():
        raise DataError("the predicted probability holds NaN or infinity; it must lie in 0..1")
    return mask, probability


def _blamed(error: Exception, given: Sequence[Given]) -> str:
    """The error, and what was drawn: many predictors know clicks only."""
    kinds = sorted({one.kind for one in given if isinstance(one, Drawn)})
    return f"given a {' and a '.join(kinds)}: {said(error)}" if kinds else said(error)


def said(error: Exception) -> str:
    """An error in one line: its class and message."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
