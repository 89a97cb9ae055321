"""All targets of one image: read, encode once, click each. The unit of work that processes share out."""

import sys
from collections.abc import Iterator
from time import perf_counter

from clickgrain.clicks.robot import User, split_target
from clickgrain.evaluation.clicking import Attempt, click_target, said
from clickgrain.evaluation.datasets import Target, load_group, size_class
from clickgrain.evaluation.result import TargetResult
from clickgrain.evaluation.settings import EvaluationSettings
from clickgrain.types import Predictor, UInt8

Found = TargetResult | str
"""A row, or why a target cannot be used."""


def click_image(
    predictor: Predictor, group: list[Target], settings: EvaluationSettings, user: User
) -> Iterator[Found]:
    """Rows of the targets of one image as they are finished; a line of text for every unusable one.

    Args:
        predictor: its errors are recorded in the rows.
        group: targets that share their image.
        settings: of the protocol.
        user: who clicks; told when a target begins.
    """
    skipped: list[str] = []
    image, masks = load_group(group, skipped)
    yield from skipped
    if image is None or not masks:
        return
    encode_seconds, error = _encode(predictor, image)
    for target, mask in masks:
        attempt = Attempt(error=error)
        if error is None:
            user.start(target.id)
            attempt = click_target(predictor, mask, settings, user)
        yield _row(target, mask, attempt, encode_seconds)


def _encode(predictor: Predictor, image: UInt8) -> tuple[float, str | None]:
    start = perf_counter()
    try:
        predictor.set_image(image)
        _wait_for_gpu()
    except Exception as error:  # anybody's predictor may raise anything
        return perf_counter() - start, said(error)
    return perf_counter() - start, None


def _row(target: Target, mask: UInt8, attempt: Attempt, encode_seconds: float) -> TargetResult:
    area = float(split_target(mask)[0].mean())
    return TargetResult(
        id=target.id,
        image=target.image_id,
        area=area,
        size=size_class(area),
        ious=tuple(attempt.ious),
        boundary_ious=tuple(attempt.boundary_ious),
        disobeyed=tuple(attempt.disobeyed),
        clicks=attempt.clicks,
        click_seconds=tuple(attempt.seconds),
        encode_seconds=encode_seconds,
        error=attempt.error,
        drawn=attempt.drawn,
    )


def _wait_for_gpu() -> None:
    """Let queued GPU work end, so that encoding is not timed with the first click."""
    torch = sys.modules.get("torch")  # not imported here: a predictor may do without it
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()
