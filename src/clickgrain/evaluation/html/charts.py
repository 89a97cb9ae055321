"""Line charts as SVG."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from clickgrain.evaluation.html.markup import Html, joined, tag
from clickgrain.evaluation.html.tables import color
from clickgrain.evaluation.result import Result

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 72, 160, 18, 62
DASHES = (None, "8 4", "2 4", "10 3 2 3", "5 3", "1 3")
"""Lines differ in dashes as well as in colour."""


@dataclass(frozen=True)
class Series:
    """A line: its name and its (x, y) points in order."""

    name: str
    points: Sequence[tuple[float, float]]


def iou_curves(results: Sequence[Result], labels: Sequence[str] | None = None) -> Html:
    """Mean IoU after every click, one line a result, up to the most clicks that were made."""
    names = list(labels or [result.model for result in results])
    lines = [
        Series(name, [(k, result.iou_at(k)) for k in range(1, result.settings.max_clicks + 1)])
        for name, result in zip(names, results)
    ]
    return line_chart(lines, x="clicks", y="mean IoU", y_range=(0.0, 1.0), title="Mean IoU by number of clicks")


def line_chart(
    lines: Sequence[Series],
    *,
    x: str,
    y: str,
    title: str,
    y_range: tuple[float, float] | None = None,
    dots: bool = True,
) -> Html:
    """A chart with its legend; lines are also named at their ends where there is room.

    Args:
        lines: at least one, each with at least one point.
        x: what the horizontal axis shows.
        y: what the vertical axis shows.
        title: read aloud instead of the picture.
        y_range: smallest and largest value shown; from the points when None.
        dots: mark every point.
    """
    scale = _Scale.of(lines, y_range)
    parts = [_grid(scale, x, y), *(_curve(i, line, scale, dots) for i, line in enumerate(lines))]
    names = _names(lines, scale) if len(lines) > 1 else Html("")
    svg = tag("svg", tag("title", title), *parts, names, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img")
    legend = _legend(lines) if len(lines) > 1 else ""
    return tag("div", legend, tag("div", svg, class_="plot named" if legend else "plot"), class_="chart")


@dataclass(frozen=True)
class _Scale:
    """From values to SVG units."""

    x0: float
    x1: float
    y0: float
    y1: float
    right: int

    @classmethod
    def of(cls, lines: Sequence[Series], y_range: tuple[float, float] | None) -> "_Scale":
        xs = [px for line in lines for px, _ in line.points]
        ys = [py for line in lines for _, py in line.points]
        y0, y1 = y_range or (min(0.0, *ys), max(ys))
        right = RIGHT if len(lines) > 1 else 24
        return cls(min(xs), max(max(xs), min(xs) + 1e-9), y0, max(y1, y0 + 1e-9), right)

    def x(self, value: float) -> float:
        return LEFT + (WIDTH - LEFT - self.right) * (value - self.x0) / (self.x1 - self.x0)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - self.y0) / (self.y1 - self.y0)


def _grid(scale: _Scale, x: str, y: str) -> Html:
    parts: list[Html] = []
    left, right, floor = LEFT, WIDTH - scale.right, HEIGHT - BOTTOM
    for value in _ticks(scale.y0, scale.y1, 5):
        height = f"{scale.y(value):.1f}"
        parts.append(tag("line", class_="grid", x1=left, x2=right, y1=height, y2=height))
        parts.append(
            tag("text", f"{value:g}", x=left - 10, y=height, text_anchor="end", dominant_baseline="middle")
        )
    for value in _ticks(scale.x0, scale.x1, 8):
        parts.append(tag("text", f"{value:g}", x=f"{scale.x(value):.1f}", y=floor + 22, text_anchor="middle"))
    parts.append(tag("text", x, x=(left + right) / 2, y=HEIGHT - 10, text_anchor="middle"))
    middle = (TOP + floor) / 2
    turned = f"rotate(-90 20 {middle})"
    parts.append(tag("text", y, x=20, y=middle, text_anchor="middle", transform=turned))
    return joined(*parts)


def _curve(i: int, line: Series, scale: _Scale, dots: bool) -> Html:
    places = [(f"{scale.x(px):.1f}", f"{scale.y(py):.1f}") for px, py in line.points]
    drawn = tag("polyline", class_="curve", points=" ".join(map(",".join, places)), stroke_dasharray=DASHES[i % 6])
    marks = [_mark(i, float(px), float(py)) for px, py in places] if dots else []
    return tag("g", drawn, *marks, class_=color(i))


def _mark(i: int, x: float, y: float) -> Html:
    """A disk, a square or a triangle, by the line's number."""
    if i % 3 == 0:
        return tag("circle", class_="dot", cx=x, cy=y, r=4)
    if i % 3 == 1:
        return tag("rect", class_="dot", x=f"{x - 3.5:.1f}", y=f"{y - 3.5:.1f}", width=7, height=7)
    return tag("path", class_="dot", d=f"M{x:.1f} {y - 5:.1f}l4.8 8.4h-9.6z")


def _names(lines: Sequence[Series], scale: _Scale) -> Html:
    """Names at the lines' ends, pushed apart so that none covers another."""
    ends = sorted((scale.y(line.points[-1][1]), i) for i, line in enumerate(lines))
    places: list[float] = []
    for height, _ in ends:
        places.append(max(height, places[-1] + 18) if places else height)
    over = max(0.0, places[-1] - (HEIGHT - BOTTOM)) if places else 0.0
    return joined(
        *(
            tag(
                "text",
                _short(lines[i].name),
                class_=f"name {color(i)}",
                x=WIDTH - scale.right + 12,
                y=f"{at - over + 4:.1f}",
            )
            for at, (_, i) in zip(places, ends)
        )
    )


def _legend(lines: Sequence[Series]) -> Html:
    items = [tag("li", tag("span", class_=f"key {color(i)}"), line.name) for i, line in enumerate(lines)]
    return tag("ul", *items, class_="legend")


def _short(name: str) -> str:
    return name if len(name) <= 19 else name[:18] + "…"


def _ticks(low: float, high: float, most: int) -> list[float]:
    """At most about `most` round numbers in low..high."""
    rough = max(high - low, 1e-9) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]
