"""Self-contained pages: Jinja2 templates, charts by matplotlib, images as data URIs.

Templates show the plain values below; `templates/macros.html` draws them.
"""

import io
import platform
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import matplotlib
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from clickgrain import __version__
from clickgrain.errors import DataError
from clickgrain.evaluation.drawing import data_uri
from clickgrain.files import core_count, write_or_raise
from clickgrain.types import UInt8

TEMPLATES = Path(__file__).parent / "templates"
COLORS = 6  # number of different colors of series; further series repeat them


@dataclass(frozen=True)
class Cell:
    """A cell of a table: its text, small text and a bar below it, and whether it is shaded."""

    text: str
    small: str = ""
    best: bool = False
    share: float | None = None  # length of the bar, 0..1; None: no bar
    color: int | None = None  # its number; None: that of the row


@dataclass(frozen=True)
class Row:
    """A row of a table: its name, cells, and the number of its color (None: no color); `badge` follows the name."""

    name: str
    cells: Sequence[Cell]
    color: int | None = None
    badge: str = ""


@dataclass(frozen=True)
class Table:
    """A table: headings (the first is that of the names) and rows."""

    heads: Sequence[str]
    rows: Sequence[Row]
    groups: Sequence[tuple[str, str]] = ()  # (title, remark) above equally many columns each
    parts: Sequence[tuple[str, Sequence[Row]]] = ()  # (title, rows) that follow, hatched: not measured here


@dataclass(frozen=True)
class Figure:
    """An h x w x 3 uint8 RGB image with a caption: a few words in bold, then more."""

    image: UInt8
    title: str
    text: str = ""
    alt: str = ""
    quality: int = 84

    @property
    def uri(self) -> str:
        """The image as a data URI."""
        return data_uri(self.image, quality=self.quality)


@dataclass(frozen=True)
class Line:
    """A line of a chart: its name, its (x, y) points in order, the number of its color."""

    name: str
    points: Sequence[tuple[float, float]]
    color: int = 0


@dataclass(frozen=True)
class Chart:
    """A drawn chart: its title for screen readers, its SVG, and the lines of the legend."""

    title: str
    svg: Markup
    lines: Sequence[Line] = ()


WIDTH, HEIGHT, NAMES = 720.0, 400.0, 160.0  # of a chart, and of the space on its right for names, in pixels
_SERIES, _GRID = "#00010", "#000200"  # placeholders for the colors of the page, which has two themes
_DASHES: tuple[tuple[int, tuple[int, ...]] | str, ...] = (  # lines also differ in dashes
    "-", (0, (8, 4)), (0, (2, 4)), (0, (10, 3, 2, 3)), (0, (5, 3)), (0, (1, 3)),
)  # fmt: skip
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 13,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    **{f"axes.spines.{side}": False for side in ("left", "right", "top", "bottom")},
}


def line_chart(
    lines: Sequence[Line],  # at least one, each with at least one point
    *,
    x: str,  # what the axes show
    y: str,
    title: str,  # for screen readers
    y_range: tuple[float, float] | None = None,  # of values shown; from 0 or below to the largest when None
    dots: bool = True,  # mark every point
) -> Chart:
    """A chart of lines, named at their ends if there are several."""
    values = [value for line in lines for _, value in line.points]
    low, high = y_range or (min(0.0, *values), max(values))
    high = max(high, low + 1e-9)
    several = len(lines) > 1
    right = (WIDTH - NAMES) / WIDTH if several else 0.97
    with matplotlib.rc_context(_STYLE):
        canvas = Canvas((WIDTH / 72, HEIGHT / 72), dpi=72)
        axes = canvas.add_axes((0.12, 0.15, right - 0.12, 0.81), facecolor="none")
        for i, line in enumerate(lines):
            color = f"{_SERIES}{line.color % COLORS}"
            mark = "os^"[i % 3] if dots else ""
            axes.plot(*zip(*line.points), color=color, ls=_DASHES[i % 6], lw=2.5, marker=mark, ms=7, clip_on=False)
        axes.set_xlabel(x, labelpad=9)
        axes.set_ylabel(y, labelpad=12)
        axes.set_ylim(low, high)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=x == "clicks"))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.grid(axis="y", color=_GRID, clip_on=False)
        if several:
            _name(axes, lines, low, high)
        return Chart(title, _svg(canvas), lines if several else ())


def _name(axes: Axes, lines: Sequence[Line], low: float, high: float) -> None:
    """Write the names at the ends; those that are too close move down, and all move up again at the bottom."""
    step, ranked = 0.055 * (high - low), sorted(lines, key=lambda line: -line.points[-1][1])
    places: list[float] = []
    for line in ranked:
        places.append(min(line.points[-1][1], places[-1] - step if places else high))
    up = max(0.0, low - places[-1])
    style: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "va": "center", "weight": "bold", "gid": "name"}
    for place, line in zip(places, ranked):
        name = _printable(line.name if len(line.name) < 20 else f"{line.name[:18]}…")
        color = f"{_SERIES}{line.color % COLORS}"
        axes.annotate(name, (1.03, place + up), color=color, annotation_clip=False, **style)


def _svg(canvas: Canvas) -> Markup:
    """SVG without fonts and colors, so that those of the page apply, in both themes."""
    text = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # the browser has the glyphs
        unsaid = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        canvas.savefig(text, format="svg", transparent=True, metadata=unsaid)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    for pattern, wanted in (
        (r"<defs>\s*<style.*?</style>\s*</defs>", ""),
        (r' xmlns(:xlink)?="[^"]*"| (width|height)="[\d.]+pt"', ""),
        (r"font-family: [^;\"]*;? ?", ""),
        (r' id="name"', ' class="name"'),
        (r' id="(?!m[0-9a-f]{10}")[^"]*"', ""),
        (rf"{_SERIES}(\d)", r"var(--s\1)"),
        (_GRID, "var(--line)"),
    ):
        svg = re.sub(pattern, wanted, svg, flags=re.DOTALL)
    return Markup(svg)


def write_page(path: str | Path, template: Path, **context: object) -> Path:
    """Fill a template and write the page whole or not at all; returns its absolute path.

    The template may extend `page.html` and import `macros.html`. All that it shows is escaped. Raises DataError: if
    the disk is full or the folder cannot be written.
    """
    path = Path(path)
    loader = FileSystemLoader([template.parent, TEMPLATES])
    pages = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    text = pages.get_template(template.name).render(**context, version=__version__)
    write_or_raise(path, _printable(text).encode(), DataError, "make room or choose another folder")
    return path.absolute()


def machine() -> dict[str, str]:
    """Processor, cores, versions and time, by name; neither user nor host."""
    import cv2
    import numpy
    import torch

    listed = Path("/proc/cpuinfo")
    text = listed.read_text(errors="replace") if listed.exists() else ""
    found = re.search(r"^model name\s*: (.*)$", text, re.M | re.I)
    processor = found[1] if found else platform.processor() or platform.machine()
    return {
        "Processor": f"{processor}, {core_count()} cores used",
        "System": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "Versions": f"torch {torch.__version__}, numpy {numpy.__version__}, OpenCV {cv2.__version__}",
        "clickgrain": __version__,
        "Time": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    }


def _printable(text: str) -> str:
    """Escape bytes in file names that are not text (lone surrogates)."""
    return text.encode("utf-8", "backslashreplace").decode()
