"""Pictures of how far a run has come."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from clickgrain.clicks.robot import next_click
from clickgrain.errors import TrainingError
from clickgrain.files import atomic_write
from clickgrain.segmenter import Segmenter
from clickgrain.training.validation import Pair
from clickgrain.types import Bool, UInt8

PREVIEWS = "previews"
"""Sub-folder of a run's folder."""
TILE = 192
CLICKS = (1, 3, 5)
GREEN, RED, WHITE = (40, 200, 80), (230, 60, 50), (255, 255, 255)


def write_preview(path: Path, segmenter: Segmenter, pairs: Sequence[Pair]) -> None:
    """A PNG with one row per target: the wanted mask, then what 1, 3 and 5 robot clicks give.

    Raises:
        TrainingError: if it cannot be written.
    """
    rows = [np.concatenate(_row(segmenter, image, target), axis=1) for image, target in pairs]
    _, encoded = cv2.imencode(".png", np.concatenate(rows)[..., ::-1])
    try:
        atomic_write(path, encoded.tobytes())
    except OSError as error:
        raise TrainingError(
            f"{path}: the preview cannot be written ({error.strerror or error}); free some space or choose another"
            " --out (the last training state is still there)"
        ) from error


def _row(segmenter: Segmenter, image: UInt8, target: Bool) -> list[UInt8]:
    tiles = [_tile(image, target, [])]
    encoded = segmenter.encode(image)
    clicks: list[tuple[int, int, int]] = []
    mask, shown = None, np.zeros_like(target)
    for count in range(1, max(CLICKS) + 1):
        click = next_click(target, shown, np.array([c[:2] for c in clicks]).reshape(-1, 2))
        if click is not None:
            clicks.append(click)
            points, labels = [c[:2] for c in clicks], [c[2] for c in clicks]
            mask = segmenter.predict(points, labels, previous=mask, encoded=encoded)
            shown = mask.binary
        if count in CLICKS:
            tiles.append(_tile(image, shown, clicks))
    return tiles


def _tile(image: UInt8, mask: Bool, clicks: Sequence[tuple[int, int, int]]) -> UInt8:
    """TILE x TILE x 3: the image, darkened outside the mask, with its outline and the clicks."""
    dimmed = np.where(mask[..., None], image, image // 3)
    scale = TILE / max(image.shape[:2])
    size = (max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1))
    small = np.ascontiguousarray(cv2.resize(dimmed, size, interpolation=cv2.INTER_AREA))
    outline = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(outline, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(small, contours, -1, WHITE, 1)
    for x, y, label in clicks:
        centre = (round(x * scale), round(y * scale))
        cv2.circle(small, centre, 4, WHITE, -1, cv2.LINE_AA)
        cv2.circle(small, centre, 3, GREEN if label else RED, -1, cv2.LINE_AA)
    pad = ((0, TILE - small.shape[0]), (0, TILE - small.shape[1]), (0, 0))
    return np.pad(small, pad)
