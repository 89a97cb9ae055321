"""Clicks, strokes and boxes as they are typed."""

import math

from clickgrain.errors import ConfigError

Point = tuple[float, float]
Click = tuple[Point, int]
Stroke = tuple[tuple[Point, ...], int]


def parse_click(text: str) -> Click:
    """ "120,80" or "120,80,+" marks object (1), "120,80,-" background (0).

    Raises:
        ConfigError: for anything else.
    """
    rest, label = _label(text)
    try:
        return _point(rest), label
    except ValueError:
        raise ConfigError(
            f"--click {text!r} is not X,Y; write e.g. 120,80 in pixels, and 120,80,- for background"
        ) from None


def parse_scribble(text: str) -> Stroke:
    """ "10,10 20,15 30,30": points along a stroke on the object; with ",-" at the end, on the background.

    Raises:
        ConfigError: for anything else.
    """
    rest, label = _label(text)
    try:
        points = tuple(_point(point) for point in rest.split())
        if not points:
            raise ValueError("no point")
        return points, label
    except ValueError:
        raise ConfigError(
            f"--scribble {text!r} is not a list of points; write e.g. '10,10 20,15 30,30', and ',-' at its end"
            " for background"
        ) from None


def parse_box(text: str) -> tuple[float, float, float, float]:
    """ "10,20,110,90" is x1, y1, x2, y2 in pixels.

    Raises:
        ConfigError: for anything else.
    """
    try:
        x1, y1, x2, y2 = _numbers(text)
    except ValueError:
        raise ConfigError(f"--box {text!r} is not X1,Y1,X2,Y2; write e.g. 10,20,110,90 in pixels") from None
    return x1, y1, x2, y2


def _label(text: str) -> tuple[str, int]:
    rest, comma, sign = text.strip().rpartition(",")
    if comma and sign.strip() in ("+", "-"):
        return rest, int(sign.strip() == "+")
    return text, 1


def _point(text: str) -> Point:
    x, y = _numbers(text)
    return x, y


def _numbers(text: str) -> list[float]:
    numbers = [float(part) for part in text.split(",")]
    if not all(map(math.isfinite, numbers)):
        raise ValueError("not finite")
    return numbers
