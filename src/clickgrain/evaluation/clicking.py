"""All targets of one image under the protocol: encode once; click, predict, compare until the mask is right."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from clickgrain.clicks.robot import Drawn, Given, User, split_target
from clickgrain.errors import DataError
from clickgrain.evaluation.config import ENOUGH_CLICKS, ENOUGH_IOU, EvaluationSettings
from clickgrain.evaluation.datasets import Target, load_group, size_class
from clickgrain.evaluation.result import TargetResult
from clickgrain.evaluation.scores import Scorer, disobeyed
from clickgrain.types import Mask, Predictor, Scribble, UInt8

Found = TargetResult | str
"""A row, or why a target cannot be used."""


def click_image(
    predictor: Predictor, group: list[Target], settings: EvaluationSettings, user: User
) -> Iterator[Found]:
    """Rows of the targets of one image as they are finished; a line of text for every unusable one.

    Args:
        predictor: whatever it raises is recorded in the rows.
        group: targets that share their image.
        settings: of the protocol.
        user: who clicks; told when a target begins.
    """
    skipped: list[str] = []
    image, masks = load_group(group, skipped)
    yield from skipped
    if image is None or not masks:
        return
    start, error = perf_counter(), None
    try:
        predictor.set_image(image)
        torch = sys.modules.get("torch")  # not imported here: a predictor may do without it
        if torch is not None and torch.cuda.is_initialized():
            torch.cuda.synchronize()  # so that encoding is not timed with the first click
    except Exception as problem:  # a predictor may raise anything
        error = said(problem)
    seconds = perf_counter() - start
    for target, mask in masks:
        attempt = _Attempt(error=error)
        if error is None:
            user.start(target.id)
            attempt = _click(predictor, mask, settings, user)
        area = float(split_target(mask)[0].mean())
        yield TargetResult(
            id=target.id,
            image=target.image_id,
            area=area,
            size=size_class(area),
            ious=tuple(attempt.ious),
            boundary_ious=tuple(attempt.boundary_ious),
            disobeyed=tuple(attempt.disobeyed),
            clicks=tuple(one for one in attempt.given if not isinstance(one, Drawn)),
            click_seconds=tuple(attempt.seconds),
            encode_seconds=seconds,
            error=attempt.error,
            drawn=tuple((at, one) for at, one in enumerate(attempt.given) if isinstance(one, Drawn)),
        )


@dataclass
class _Attempt:
    """What was given on one target, what each answer reached, and what the predictor raised."""

    given: list[Given] = field(default_factory=list)
    ious: list[float] = field(default_factory=list)
    boundary_ious: list[float] = field(default_factory=list)
    disobeyed: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    error: str | None = None


def _click(predictor: Predictor, target: UInt8, settings: EvaluationSettings, user: User) -> _Attempt:
    """Click one target (H x W uint8: 0 background, 128 ignore, 255 object) of the image that is set."""
    attempt, scorer = _Attempt(), Scorer(target)
    mask: Mask | None = None
    prediction = np.zeros(target.shape, np.bool_)
    while len(attempt.ious) < settings.max_clicks:
        right = len(attempt.ious) >= ENOUGH_CLICKS and attempt.ious[-1] >= ENOUGH_IOU
        one = None if right and not settings.full_curves else user(target, prediction, _pixels(attempt.given))
        if one is None:
            break
        attempt.given.append(one)
        prompt = prompt_of(attempt.given)
        points, labels = prompt.pop("points"), prompt.pop("labels")
        start = perf_counter()
        try:
            mask = predictor.predict(points, labels, previous=mask, **prompt)
            probability = mask.probability
            attempt.seconds.append(perf_counter() - start)
            if probability.shape != target.shape:
                raise DataError(
                    f"the prediction has shape {probability.shape}; it must be that of the image, {target.shape}"
                )
            if not np.isfinite(probability).all():
                raise DataError("the predicted probability holds NaN or infinity; it must lie in 0..1")
        except Exception as error:  # a predictor may raise anything; many know clicks only
            kinds = sorted({one.kind for one in attempt.given if isinstance(one, Drawn)})
            attempt.error = f"given a {' and a '.join(kinds)}: {said(error)}" if kinds else said(error)
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


def said(error: Exception) -> str:
    """An error in one line: its class and message."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
