"""One target under the protocol: click, predict, compare, until the mask is right or the clicks are used up."""

from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
import numpy.typing as npt

from clickgrain.clicks.robot import Click, User
from clickgrain.errors import DataError
from clickgrain.evaluation.scores import Scorer, disobeyed
from clickgrain.evaluation.settings import EvaluationSettings
from clickgrain.types import Float, Mask, Predictor, UInt8

ENOUGH_IOU, ENOUGH_CLICKS = 0.95, 5
"""NoC@80..95 and mIoU@1,3,5 are exact when clicking stops here."""


@dataclass
class Attempt:
    """What happened on one target.

    Attributes:
        clicks: (x, y, label) in image pixels; one more than `ious` when the predictor failed on the last.
        ious: after each click.
        boundary_ious: after each click.
        disobeyed: after each click, how many of the clicks so far the prediction disobeys.
        seconds: of each prediction.
        error: what the predictor raised, or None.
    """

    clicks: list[Click] = field(default_factory=list)
    ious: list[float] = field(default_factory=list)
    boundary_ious: list[float] = field(default_factory=list)
    disobeyed: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    error: str | None = None


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
        click = user(target, prediction, [(x, y) for x, y, _ in attempt.clicks])
        if click is None:
            break
        attempt.clicks.append(click)
        try:
            mask, probability = _predict(predictor, attempt, mask, target.shape)
        except Exception as error:  # anybody's predictor may raise anything
            attempt.error = said(error)
            break
        prediction = probability > settings.threshold
        attempt.ious.append(scorer.iou(prediction))
        attempt.boundary_ious.append(scorer.boundary_iou(prediction))
        attempt.disobeyed.append(disobeyed(prediction, attempt.clicks))
    return attempt


def _enough(attempt: Attempt, settings: EvaluationSettings) -> bool:
    made = len(attempt.ious)
    right = made >= ENOUGH_CLICKS and attempt.ious[-1] >= ENOUGH_IOU
    return made >= settings.max_clicks or (right and not settings.full_curves)


def _predict(
    predictor: Predictor, attempt: Attempt, previous: Mask | None, shape: tuple[int, ...]
) -> tuple[Mask, Float]:
    points: npt.NDArray[np.float32] = np.array([click[:2] for click in attempt.clicks], np.float32)
    labels: npt.NDArray[np.uint8] = np.array([click[2] for click in attempt.clicks], np.uint8)
    start = perf_counter()
    mask = predictor.predict(points, labels, previous=previous)
    probability = mask.probability
    attempt.seconds.append(perf_counter() - start)
    if probability.shape != shape:
        raise DataError(f"the prediction has shape {probability.shape}; it must be that of the image, {shape}")
    if not np.isfinite(probability).all():
        raise DataError("the predicted probability holds NaN or infinity; it must lie in 0..1")
    return mask, probability


def said(error: Exception) -> str:
    """An error in one line: its class and message."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
