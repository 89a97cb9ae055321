"""An image with its mask and the prompt drawn on it, at full size; `evaluation.drawing` draws those of reports."""

from pathlib import Path

import cv2
import numpy as np

from clickgrain.errors import ImageError
from clickgrain.files import write_or_raise
from clickgrain.types import Bool, Prompt, UInt8

TINT, WHITE = (30, 144, 255), (255, 255, 255)
COLORS = (230, 50, 50), (40, 200, 80)  # by label: background, object


def draw_overlay(image: UInt8, mask: Bool, prompt: Prompt) -> UInt8:
    """The image with the mask tinted and outlined, positive clicks and strokes green, negative ones red."""
    canvas = image.copy()
    tint: UInt8 = np.array(TINT, np.uint8)
    canvas[mask] = (0.55 * image[mask] + 0.45 * tint).astype(np.uint8)
    size = max(2, round(max(mask.shape) / 150))
    outline, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(canvas, outline, -1, TINT, max(1, size // 2))
    if prompt.box is not None:
        x1, y1, x2, y2 = (round(value) for value in prompt.box)
        cv2.rectangle(canvas, (x1, y1), (x2 - 1, y2 - 1), WHITE, max(1, size // 2))
    for stroke in prompt.scribbles:
        cv2.polylines(canvas, [np.rint(stroke.points).astype(np.int32)], False, COLORS[stroke.label], size)
    for point, label in zip(prompt.points, prompt.labels):
        center = (round(float(point[0])), round(float(point[1])))
        cv2.circle(canvas, center, 2 * size, WHITE, cv2.FILLED, cv2.LINE_AA)
        cv2.circle(canvas, center, max(2 * size - max(1, size // 2), 1), COLORS[label], cv2.FILLED, cv2.LINE_AA)
    return canvas


def save_overlay(path: Path, image: UInt8) -> None:
    """Write an H x W x 3 uint8 RGB image in the format of the path's suffix, atomically."""
    done, content = cv2.imencode(path.suffix.lower(), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not done:
        raise ImageError(f"{path}: {image.shape[1]} x {image.shape[0]} pixels are too many for it; use .png")
    write_or_raise(path, content.tobytes(), ImageError, "choose another folder")
