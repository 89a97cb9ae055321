"""Images for reports: masks, clicks, regions and features drawn over images."""

import base64
import io
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from clickgrain.clicks.robot import Drawn, Given
from clickgrain.images import check_image, fit_size, resize_long_side
from clickgrain.types import Bool, Float, Size, UInt8

Color = tuple[int, int, int]

BLUE: Color = (0, 132, 255)
GREEN: Color = (0, 158, 96)
RED: Color = (213, 40, 40)
ORANGE: Color = (255, 140, 0)
WHITE: Color = (255, 255, 255)
BLACK: Color = (0, 0, 0)

TINT, DASH = 0.35, 7  # share of the color inside a mask; visible, and the image below it too; pixels of a dash


def overlay(
    image: UInt8,  # H x W x 3 uint8 RGB
    mask: Bool | None = None,  # H x W
    clicks: Sequence[Given] = (),  # positive ones become green disks, negative ones red squares
    *,
    target: Bool | None = None,  # H x W bool whose outline is drawn in dashed white, or None
    color: Color = BLUE,  # RGB of the mask
    long_side: int = 480,  # of the result, in pixels
) -> UInt8:
    """The image with a mask tinted and outlined, the wanted outline dashed, and numbered clicks."""
    shown = resize_long_side(check_image(image), long_side)
    size = shown.shape[:2]
    if mask is not None:
        inside = _enlarged(mask, size) > 0.5
        tinted = (shown * (1 - TINT) + np.array(color) * TINT).astype(np.uint8)
        shown = _outlined(np.where(inside[..., None], tinted, shown), inside, color)
    if target is not None:
        shown = _outlined(shown, _enlarged(target, size) > 0.5, WHITE, dashed=True)
    return _with_clicks(shown, clicks, size[1] / image.shape[1], size[0] / image.shape[0])


def region_map(image: UInt8, labels: npt.NDArray[np.integer], *, long_side: int = 480) -> UInt8:
    """The regions of h x w labels 0..k-1 over an image, in their mean color, with borders between them."""
    shown = resize_long_side(check_image(image), long_side)
    size = shown.shape[:2]
    # of the enlarged labels every pixel takes the one with the largest interpolated share
    step = max(size[0] / labels.shape[0], size[1] / labels.shape[1])
    best, smooth = np.full(size, -1, np.float32), np.zeros(size, np.int64)
    for label in np.unique(labels):
        share = _enlarged(labels == label, size)
        if step > 1:
            share = cv2.GaussianBlur(share, (0, 0), step / 2)
        larger = share > best
        best[larger], smooth[larger] = share[larger], label
    count = np.maximum(np.bincount(smooth.ravel()), 1)
    means = np.stack([np.bincount(smooth.ravel(), shown[..., c].ravel()) / count for c in range(3)], axis=1)
    drawn = means[smooth].astype(np.uint8)
    border = np.zeros(size, bool)
    border[:, 1:] |= smooth[:, 1:] != smooth[:, :-1]
    border[1:] |= smooth[1:] != smooth[:-1]
    # Visible on dark and on light regions: shifted towards the other end of the grey scale.
    light = drawn.mean(2, keepdims=True) > 128
    edges = np.where(light, drawn // 3, 255 - (255 - drawn) // 3)
    return np.where(border[..., None], edges, drawn).astype(np.uint8)


def feature_map(features: Float, image_size: Size, *, long_side: int = 480) -> UInt8:
    """Three leading principal components of h x w x d features as red, green and blue, in the image's shape."""
    h, w, d = features.shape
    centered = features.reshape(h * w, d) - features.reshape(h * w, d).mean(0)
    _, _, axes = np.linalg.svd(centered[:: max(1, h * w // 2000)], full_matrices=False)
    parts = centered @ axes[:3].T
    parts = np.pad(parts, ((0, 0), (0, 3 - parts.shape[1])))
    low, high = np.percentile(parts, [2, 98], axis=0)
    scaled = np.clip((parts - low) / np.maximum(high - low, 1e-6), 0, 1) * 255
    shown, size = scaled.reshape(h, w, 3).astype(np.uint8), fit_size(image_size, long_side)
    return np.asarray(cv2.resize(shown, size[::-1], interpolation=cv2.INTER_NEAREST), np.uint8)


def data_uri(shown: UInt8, *, quality: int = 84) -> str:
    """An image as a JPEG in a data URI: about 30 KB at 480 pixels."""
    buffer = io.BytesIO()
    Image.fromarray(shown).save(buffer, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _enlarged(mask: Bool, size: Size) -> Float:
    return np.asarray(cv2.resize(mask.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def _outlined(shown: UInt8, mask: Bool, color: Color, *, dashed: bool = False) -> UInt8:
    """An outline with a dark casing, visible on any background."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    drawn = shown.copy()
    cv2.drawContours(drawn, contours, -1, BLACK, 3, cv2.LINE_AA)
    for contour in contours:
        dashes = [contour[start : start + DASH] for start in range(0, len(contour), 2 * DASH)]
        lines, width = (dashes, 1) if dashed else ([contour], 2)
        cv2.polylines(drawn, lines, not dashed, color, width, cv2.LINE_AA)
    return np.asarray(drawn, np.uint8)


def _with_clicks(shown: UInt8, clicks: Sequence[Given], scale_x: float, scale_y: float) -> UInt8:
    """Numbered marks, drawn at four times the size and shrunk, so that they are smooth."""
    if not clicks:
        return shown
    height, width = shown.shape[:2]
    zoom, radius = 4, max(8.0, max(height, width) / 36)
    layer = Image.new("RGBA", (width * zoom, height * zoom))
    draw = ImageDraw.Draw(layer)
    font = ImageFont.load_default(size=1.25 * radius * zoom)
    for number, one in enumerate(clicks, start=1):
        points, label = (one.points, one.label) if isinstance(one, Drawn) else ((one[:2],), one[2])
        places = [((x + 0.5) * scale_x * zoom, (y + 0.5) * scale_y * zoom) for x, y in points]
        ink = GREEN if label else RED
        if isinstance(one, Drawn):
            for pen, color in ((4 * zoom, WHITE), (2 * zoom, ink)):  # cased in white
                if one.kind == "box":
                    draw.rectangle(places, outline=color, width=pen)
                else:
                    draw.line(places, fill=color, width=pen, joint="curve")
        (x, y), shape = places[0], draw.ellipse if label else draw.rectangle
        for reach, color in ((radius * zoom, WHITE), ((radius - 1.5) * zoom, ink)):
            shape([x - reach, y - reach, x + reach, y + reach], fill=color)
        draw.text((x, y), str(number), font=font, fill=WHITE, anchor="mm")
    small = layer.resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(Image.alpha_composite(Image.fromarray(shown).convert("RGBA"), small).convert("RGB"))
