"""Composites: a piece of one photo blended into another gives an exact mask without a label."""

from typing import NamedTuple

import cv2
import numpy as np

from clickgrain.errors import ImageError
from clickgrain.images import check_image, to_lab
from clickgrain.proposals.config import CompositeSettings
from clickgrain.proposals.cutouts import Cutout, cropped
from clickgrain.types import Float, Size, UInt8

Rng = np.random.Generator
Corner = tuple[int, int]
"""(y, x) of a piece's top left pixel on the canvas; parts of the piece may lie outside."""
VISIBLE = 0.5  # part of a piece that stays inside the image at least
HIDDEN = (0.05, 0.6)  # part of the object that an occluder must hide at least, and may hide at most
TRIES = 12
MARGIN = 4  # pixels around a piece for turning and feathering


class Composite(NamedTuple):
    """H x W x 3 uint8 RGB, and the H x W float32 share of the pasted object in every pixel, 0..1."""

    image: UInt8
    mask: Float


def composite(
    background: UInt8,
    foreground: UInt8,
    alpha: Float,
    rng: Rng,
    settings: CompositeSettings | None = None,
    *,
    occluder: Cutout | None = None,
) -> Composite:
    """Scale, turn, mirror and recolor a piece and blend it into another photo; the mask is exact.

    `foreground` is the h x w x 3 photo or crop that holds the piece, `alpha` h x w float32 in 0..1 the piece itself
    (see `plain_background_object`, `MergeTree.upsample`). A second piece, the `occluder`, is put partly over the
    first, and the mask excludes what it hides; it is left out where no place is found for it. Raises ImageError:
    arrays of wrong types or shapes, or an alpha without an object.
    """
    settings = settings or CompositeSettings()
    canvas = check_image(background).astype(np.float32)
    size = (canvas.shape[0], canvas.shape[1])
    piece = _changed(_piece(foreground, alpha), size, rng, settings)
    mask = _blend(canvas, piece, _corner(piece.alpha, size, rng, settings), rng, settings)
    if occluder is not None:
        mask = _occluded(canvas, mask, _piece(*occluder), rng, settings)
    return Composite(_finished(np.rint(canvas).astype(np.uint8), rng, settings), mask)


def _piece(foreground: UInt8, alpha: Float) -> Cutout:
    check_image(foreground)
    if alpha.shape != foreground.shape[:2]:
        raise ImageError(f"alpha has shape {alpha.shape}, its image {foreground.shape[:2]}; give both in one size")
    if not np.isfinite(alpha).all() or alpha.min() < 0 or not 0.5 < alpha.max() <= 1:
        raise ImageError("alpha holds no object, or values outside 0..1; give 1 inside the object and 0 outside")
    return cropped(foreground, alpha)


def _changed(piece: Cutout, size: Size, rng: Rng, settings: CompositeSettings) -> Cutout:
    """The piece at its new size and angle, its edge softened."""
    scale = _scale(piece.alpha, size, rng, settings)
    height, width = (max(1, round(side * scale)) for side in piece.alpha.shape)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    scaled = cv2.resize(piece.image, (width, height), interpolation=how)
    image = cv2.copyMakeBorder(scaled, *(MARGIN,) * 4, cv2.BORDER_REPLICATE).astype(np.uint8)
    alpha = np.clip(cv2.resize(piece.alpha, (width, height), interpolation=how), 0, 1)
    alpha = np.pad(alpha, MARGIN).astype(np.float32)
    if rng.random() < settings.flip:
        image, alpha = np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(alpha[:, ::-1])
    image, alpha = _turned(image, alpha, rng.uniform(-settings.rotation, settings.rotation))
    sigma, softness = rng.uniform(0.3, 0.8), rng.uniform(0.4, 1.0) * settings.feather
    if rng.random() < settings.blur:
        image = cv2.GaussianBlur(image, (0, 0), sigma).astype(np.uint8)
    if softness > 0:
        alpha = cv2.GaussianBlur(alpha, (0, 0), softness).astype(np.float32)
    return Cutout(image, np.clip(alpha, 0, 1))


def _scale(alpha: Float, size: Size, rng: Rng, settings: CompositeSettings) -> float:
    """Log-uniform side or area within the range, limited by `max_upscale`, the area also by the image's sides and
    `min_area`; never less than three pixels at the thickest place, which are still there after feathering."""
    radius = float(cv2.distanceTransform(np.pad(alpha > 0.5, 1).astype(np.uint8), cv2.DIST_L2, 3).max())
    if settings.sides is not None:
        wanted = float(np.exp(rng.uniform(*np.log(settings.sides)))) * max(size) / max(alpha.shape)
        return max(min(wanted, settings.max_upscale), 1.5 / radius)
    pixels, weight = size[0] * size[1], float(alpha.sum())
    area = float(np.exp(rng.uniform(np.log(settings.min_area), np.log(settings.max_area)))) * pixels
    sides = min(1.1 * size[0] / alpha.shape[0], 1.1 * size[1] / alpha.shape[1])
    least = max(np.sqrt(settings.min_area * pixels / weight), 1.5 / radius)
    return float(max(min(np.sqrt(area / weight), settings.max_upscale, sides), least))


def _turned(image: UInt8, alpha: Float, degrees: float) -> tuple[UInt8, Float]:
    """Rotated about the center, on a canvas that holds it all."""
    if degrees == 0:
        return image, alpha
    height, width = alpha.shape
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    cosine, sine = abs(matrix[0, 0]), abs(matrix[0, 1])
    size = (int(np.ceil(width * cosine + height * sine)), int(np.ceil(width * sine + height * cosine)))
    matrix[:, 2] += [(size[0] - width) / 2, (size[1] - height) / 2]
    turned = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return turned.astype(np.uint8), cv2.warpAffine(alpha, matrix, size).astype(np.float32)


def _corner(alpha: Float, size: Size, rng: Rng, settings: CompositeSettings) -> Corner:
    """Mostly inside the canvas, sometimes cut by its border; a piece too long for it is centered on some part."""
    rooms = [side - own for side, own in zip(size, alpha.shape)]
    top, left = (int(rng.integers(min(0, room), max(0, room) + 1)) for room in rooms)
    y, x = (int(rng.uniform(0, side) - own / 2) for side, own in zip(size, alpha.shape))
    enough = max(VISIBLE * float(alpha.sum()), settings.min_area * size[0] * size[1])
    for corner in ((y, x), (top, left)) if rng.random() < 0.3 else ((top, left),):
        if _share(alpha, corner, size).sum() >= 0.99 * enough:
            return corner
    solid = np.argwhere(alpha >= 0.9 * alpha.max())
    y, x = solid[int(rng.integers(len(solid)))]
    return size[0] // 2 - int(y), size[1] // 2 - int(x)


def _blend(canvas: Float, piece: Cutout, corner: Corner, rng: Rng, settings: CompositeSettings) -> Float:
    """Recolor a piece and blend it into the H x W x 3 image in place; returns its H x W share."""
    size = (canvas.shape[0], canvas.shape[1])
    here, there = _overlap(piece.alpha, corner, size)
    share = _share(piece.alpha, corner, size)
    colors = _recolored(piece, canvas[here], share[here], rng, settings)
    if settings.light > 0:
        colors = _lit(colors, piece.alpha, canvas[here], rng, settings)
    if settings.shadow > 0 and rng.random() < settings.shadow:
        canvas *= 1 - _shadow(piece.alpha, corner, size, rng)[..., None]
    canvas[here] += share[here][..., None] * (colors[there] - canvas[here])
    return share


def _recolored(piece: Cutout, around: Float, share: Float, rng: Rng, settings: CompositeSettings) -> Float:
    """h x w x 3 RGB 0..255: brightness, contrast, saturation, hue changed; the mean drawn to the surroundings'."""
    brightness, contrast, saturation, hue = rng.uniform(-1, 1, 4) * settings.jitter * [15, 0.35, 0.6, 0.5]
    draw = rng.uniform(0, settings.match)
    lab = to_lab(piece.image)
    mean = _mean(lab, piece.alpha)
    shift = draw * (_mean(to_lab(around), share) - mean)
    turn = np.array([[np.cos(hue), -np.sin(hue)], [np.sin(hue), np.cos(hue)]], np.float32)
    lab[..., 0] = (lab[..., 0] - mean[0]) * (1 + contrast) + mean[0] + brightness
    lab[..., 1:] = lab[..., 1:] @ turn.T * np.float32(1 + saturation)
    rgb = cv2.cvtColor((lab + shift).astype(np.float32), cv2.COLOR_LAB2RGB)
    return np.clip(rgb * 255, 0, 255).astype(np.float32)


def _lit(colors: Float, alpha: Float, around: Float, rng: Rng, settings: CompositeSettings) -> Float:
    """h x w x 3 RGB 0..255 with a gradient of light, contrast and saturation drawn to those of the surroundings."""
    lab, other = to_lab(colors), to_lab(around)
    mean, inside = _mean(lab, alpha), alpha > 0.5 * alpha.max()
    draw = rng.uniform(0, 1, 2) * min(1.0, 1.6 * settings.light)
    for channels, pull in ((slice(0, 1), draw[0]), (slice(1, 3), draw[1])):
        own, theirs = float(lab[inside][:, channels].std()), float(other[..., channels].std())
        ratio = np.clip((theirs + 2) / (own + 2), 0.4, 1.4)
        lab[..., channels] = mean[channels] + (lab[..., channels] - mean[channels]) * ratio**pull
    chroma = [float(np.hypot(*np.moveaxis(x, -1, 0)).mean()) for x in (lab[inside][:, 1:], other[..., 1:])]
    lab[..., 1:] *= np.clip((chroma[1] + 4) / (chroma[0] + 4), 0.3, 1.2) ** draw[1]
    rgb = cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB) * 255
    y, x = np.mgrid[-1 : 1 : alpha.shape[0] * 1j, -1 : 1 : alpha.shape[1] * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    gain = np.exp(rng.uniform(0, settings.light) * (np.cos(angle) * x + np.sin(angle) * y))
    return np.clip(rgb * gain[..., None], 0, 255).astype(np.float32)


def _shadow(alpha: Float, corner: Corner, size: Size, rng: Rng) -> Float:
    """H x W part of the light that a piece takes away: close around its lower edge, or cast on the ground."""
    rows, columns = np.flatnonzero(alpha.max(1) > 0.5), np.flatnonzero(alpha.max(0) > 0.5)
    if not len(rows):
        return np.zeros(size, np.float32)
    long = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    flat, lean = rng.uniform(0.08, 0.5), rng.uniform(-0.8, 0.8)
    bottom, (top, left) = float(rows[-1]), corner
    # (x, y) of the piece -> canvas: lying on the ground, the lower edge kept where it is
    matrix = np.array([[1, -lean * flat, left + lean * flat * bottom], [0, flat, top + bottom * (1 - flat)]])
    if rng.random() < 0.4:  # nothing to stand on: around it, a little lower
        x, y = left + rng.uniform(-0.04, 0.04) * long, top + rng.uniform(0, 0.05) * long
        matrix = np.array([[1, 0, x], [0, 1, y]])
    cast = cv2.warpAffine(alpha, matrix, size[::-1])
    cast = cv2.GaussianBlur(cast, (0, 0), max(0.6, rng.uniform(0.015, 0.06) * long))
    return np.asarray(rng.uniform(0.2, 0.65) * cast, np.float32)


def _occluded(canvas: Float, mask: Float, piece: Cutout, rng: Rng, settings: CompositeSettings) -> Float:
    """Put a second piece over the edge of the object, in place; returns what is left of the mask."""
    size, total = (mask.shape[0], mask.shape[1]), float(mask.sum())
    edge = np.argwhere((mask > 0.5) & (cv2.erode(mask, np.ones((3, 3), np.uint8)) <= 0.5))
    for _ in range(TRIES if len(edge) else 0):
        changed = _changed(piece, size, rng, settings)
        height, width = changed.alpha.shape
        y, x = edge[int(rng.integers(len(edge)))]
        corner = (int(y) - height // 2, int(x) - width // 2)
        left = mask * (1 - _share(changed.alpha, corner, size))
        hidden = 1 - float(left.sum()) / total
        if HIDDEN[0] <= hidden <= HIDDEN[1] and left.sum() >= settings.min_area * mask.size:
            _blend(canvas, changed, corner, rng, settings)
            return left
    return mask


def _finished(image: UInt8, rng: Rng, settings: CompositeSettings) -> UInt8:
    """A camera's last steps over the whole canvas: object and surroundings get the same grain."""
    if settings.noise > 0:
        grain = rng.normal(0, 1, image.shape) + rng.normal(0, 1, (*image.shape[:2], 1))
        grain = rng.uniform(0, 8) * settings.noise * cv2.GaussianBlur(grain, (0, 0), rng.uniform(0.3, 0.8))
        image = np.clip(np.rint(image + grain), 0, 255).astype(np.uint8)
    wanted, compressed = rng.random() < settings.finish, rng.random() < 0.5
    sigma, quality = rng.uniform(0.3, 0.6), int(rng.integers(70, 96))
    if not wanted:
        return image
    if not compressed:
        return cv2.GaussianBlur(image, (0, 0), sigma).astype(np.uint8)
    _, jpeg = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])


def _overlap(alpha: Float, corner: Corner, size: Size) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """The common rectangle, in the canvas's and in the piece's own coordinates."""
    here, there = [], []
    for start, side, piece in zip(corner, size, alpha.shape):
        first, last = min(max(0, start), side), max(0, min(side, start + piece))
        here.append(slice(first, max(first, last)))
        there.append(slice(first - start, max(first, last) - start))
    return (here[0], here[1]), (there[0], there[1])


def _share(alpha: Float, corner: Corner, size: Size) -> Float:
    """H x W share of a piece in every pixel of the canvas."""
    here, there = _overlap(alpha, corner, size)
    share = np.zeros(size, np.float32)
    share[here] = alpha[there]
    return share


def _mean(lab: Float, weight: Float) -> Float:
    """Weighted mean color, 3."""
    return np.asarray(np.einsum("hwc,hw->c", lab, weight) / max(float(weight.sum()), 1e-6), np.float32)
