"""From decoded values of any depth and any number of channels to H x W x 3 uint8 RGB."""

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from clickgrain.images.guard import quiet_pillow
from clickgrain.types import UInt8

PERCENTILES = (0.5, 99.5)
Window = tuple[float, float]
"""Values of a file that are shown black and white."""
_SAMPLE = 4_000_000  # values looked at for the percentiles; more change them by less than one grey step


def to_rgb(
    values: npt.NDArray[Any],
    notes: list[str],
    *,
    alpha: bool = False,
    no_data: float | None = None,
    inverted: bool = False,
    window: Window | None = None,
) -> UInt8:
    """Fold H x W x C values (1 grey, 3 or more RGB first) into H x W x 3 uint8, alpha composited over white.

    Values of more than 8 bits are scaled so that `window`, or their percentiles, becomes 0 and 255; those equal to
    `no_data` stand for no value: as not-a-number they are black and count nowhere. `alpha`: the last channel is
    opacity (0 to the type's maximum, 0..1 for floats). `inverted`: small values are bright. `notes` takes a line if
    values were scaled, without a value, or channels left out.
    """
    color, opacity = (values[..., :-1], values[..., -1:]) if alpha else (values, None)
    if color.shape[2] not in (1, 3):
        kept = 1 if color.shape[2] == 2 else 3
        notes.append(f"{color.shape[2]} channels; the first {kept} shown as {'grey' if kept == 1 else 'RGB'}")
        color = color[..., :kept]
    rgb = _scaled(color, notes, no_data, inverted, window)
    rgb = np.repeat(rgb, 3, axis=2) if rgb.shape[2] == 1 else rgb
    if opacity is None:
        return rgb
    top = 1.0 if opacity.dtype.kind in "fb" else float(np.iinfo(opacity.dtype).max)
    share = np.clip(np.nan_to_num(opacity[..., 0].astype(np.float32) / top), 0.0, 1.0)
    mixed = np.empty_like(rgb)
    for channel in range(3):
        mixed[..., channel] = np.rint(255.0 + (rgb[..., channel] - np.float32(255.0)) * share)
    return mixed


def orientation_of(exif: bytes) -> int:
    """EXIF orientation 1..8 of an EXIF block; 1 where there is none or it is damaged."""
    value: Any = None
    with quiet_pillow(), suppress(Exception):  # damaged blocks raise anything
        block = Image.Exif()
        block.load(exif)
        value = block.get(ExifTags.Base.Orientation)
    return value if value in range(1, 9) else 1


def orient(image: UInt8, orientation: int) -> UInt8:
    """Turn an H x W x 3 image as EXIF `orientation` (1..8) asks, so that it stands upright."""
    if orientation in (5, 6, 7, 8):
        image = image.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return image


def scaled_range(notes: Iterable[str]) -> tuple[str, float, float] | None:
    """(type, lowest, highest) of the values that were scaled to 0..255, as a note of `to_rgb` says."""
    found = re.search(r"(\w+) values (\S+) to (\S+) \(percentiles", "\n".join(notes))
    return None if found is None else (found[1], float(found[2]), float(found[3]))


def _scaled(
    values: npt.NDArray[Any], notes: list[str], no_data: float | None, inverted: bool, window: Window | None
) -> UInt8:
    if values.dtype in (np.bool_, np.uint8):
        grey = values * np.uint8(255) if values.dtype == np.bool_ else values
        return 255 - grey if inverted else grey
    if values.dtype.kind not in "iuf":
        raise ValueError(f"values of type {values.dtype} are not supported")
    low, high = window or _range(values, no_data)
    if window is None:
        notes.append(f"{values.dtype} values {low:g} to {high:g} (percentiles 0.5 and 99.5) scaled to 0..255")
    scaled, missing = np.empty(values.shape, np.uint8), 0
    factor = 255.0 / (high - low) if high > low else 0.0
    for row, source in zip(scaled, values):  # row by row: a float copy of 200 megapixels would need 2.4 GB
        absent = _absent(source, no_data)
        real = np.nan_to_num(_floats(source), nan=low, posinf=high, neginf=low)
        grey = np.rint((np.clip(real, low, high) - low) * factor)
        row[:] = np.where(absent, 0, 255 - grey if inverted else grey)
        missing += int(np.count_nonzero(absent))
    if missing:
        name = "not a number" if no_data is None else f"no data ({no_data:g})"
        notes.append(f"{100 * missing / values.size:.3g} % of the values are {name}; shown black")
    return scaled


def _floats(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return values.astype(np.float32 if values.dtype.itemsize < 4 else np.float64)


def _absent(values: npt.NDArray[Any], no_data: float | None) -> npt.NDArray[np.bool_]:
    """Where there is no value; the tag may say it with fewer digits than the values have, or with more."""
    real, slack = _floats(values), 0.0
    absent = np.isnan(real)
    if no_data is not None and np.isfinite(no_data):
        if values.dtype.kind == "f":
            limits = np.finfo(values.dtype)
            no_data = float(np.clip(no_data, limits.min, limits.max).astype(values.dtype))
            slack = 1e-6 * abs(no_data)
        absent |= (real >= no_data - slack) & (real <= no_data + slack)
    return absent


def _range(values: npt.NDArray[Any], no_data: float | None) -> tuple[float, float]:
    pixels = values.reshape(-1, values.shape[2])
    for step in (max(1, values.size // _SAMPLE), 1):  # few values may be valid, and no sample of them
        sample = pixels[::step].reshape(-1)
        sample = sample[np.isfinite(sample) & ~_absent(sample, no_data)].astype(np.float64)
        if sample.size:
            break
    low, high = np.percentile(sample, PERCENTILES) if sample.size else (0.0, 0.0)
    if low == high and sample.size:  # nearly constant: the few other values would vanish
        low, high = sample.min(), sample.max()
    return float(low), float(high)
