"""From words to a command's dataclass, by tyro; and the values of flags that have a form of their own."""

import io
import math
import os
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import tyro

from clickgrain.commands.console import stderr
from clickgrain.errors import ClickgrainError, ConfigError, DataError, PromptError
from clickgrain.files import write_or_raise

if TYPE_CHECKING:
    from clickgrain.types import Prompt, Size

Point = tuple[float, float]
Level = Annotated[float | None, tyro.conf.arg(metavar="LEVEL", help_behavior_hint="(default: the model's choice)")]
ModelExtractor = Annotated[
    str | None, tyro.conf.arg(metavar="E", help_behavior_hint="(default: what the model was trained with)")
]


def arguments_of(function: Callable[[Any], None]) -> type[Any]:
    """The dataclass that a command's function takes."""
    (arguments,) = (hint for name, hint in get_type_hints(function).items() if name != "return")
    return arguments


def run(function: Callable[[Any], None], argv: Sequence[str], *, prog: str) -> int:
    """Call a command with what `argv` says; returns the exit status (0 when it finished, 2 for a wrong flag)."""
    stop, arguments = parse(arguments_of(function), argv, prog=prog)
    if stop is None:
        function(arguments)
    return stop or 0


def parse(kind: type[Any], argv: Sequence[str], *, prog: str) -> tuple[int | None, Any]:
    """(None, the dataclass), or (exit status, None) once help or a usage error has been shown."""
    # tyro checks only whether stdout is a terminal, and may drop this switch (it is marked experimental).
    getattr(tyro, "_experimental_options", {})["ansi_codes"] = not os.environ.get("NO_COLOR")
    complaint = io.StringIO()
    try:
        with redirect_stderr(complaint):
            return None, tyro.cli(kind, args=argv, prog=prog, config=(tyro.conf.OmitArgPrefixes,))
    except SystemExit as stop:
        # tyro turns a ValueError of __post_init__, which ConfigError is, into a box that names the class.
        cause: BaseException | None = stop
        while cause is not None and not isinstance(cause, ClickgrainError):
            cause = cause.__cause__ or cause.__context__
        if cause is not None:
            raise cause from None
        if complaint.getvalue():
            from rich.text import Text

            # Colored if stdout is a terminal; rich takes the codes out again unless stderr is one too.
            stderr().print(Text.from_ansi(complaint.getvalue().rstrip()), soft_wrap=True)
        return stop.code if isinstance(stop.code, int) else 1, None


def parse_data(text: str) -> tuple[str, Path]:
    """ "NAME=DIR" as its two parts; ConfigError for anything else."""
    name, _, folder = text.partition("=")
    if not name.strip() or not folder:
        raise ConfigError(f"--data {text!r} is not NAME=DIR; write e.g. mine=photos/eval")
    return name.strip(), Path(folder).expanduser()


def check_limit(limit: int | None) -> None:
    """Refuse a number of targets below 1 with a ConfigError."""
    if limit is not None and limit < 1:
        raise ConfigError(f"--limit {limit} leaves no target; give 1 or more, or leave it out for all")


def parse_click(text: str) -> tuple[Point, int]:
    """ "120,80" or "120,80,+" marks object (1), "120,80,-" background (0); ConfigError for anything else."""
    rest, label = _label(text)
    try:
        x, y = _numbers(rest)
    except ValueError:
        raise ConfigError(f"--click {text!r} is not X,Y; write e.g. 120,80, or 120,80,- for background") from None
    return (x, y), label


def parse_scribble(text: str) -> tuple[tuple[Point, ...], int]:
    """ "10,10 20,15 30,30": points along a stroke; with ",-" at the end, on the background; else ConfigError."""
    rest, label = _label(text)
    try:
        points = tuple((x, y) for x, y in map(_numbers, rest.split()))
        if not points:
            raise ValueError("no point")
    except ValueError:
        raise ConfigError(
            f"--scribble {text!r} is not a list of points; write e.g. '10,10 20,15 30,30', and ',-' at its end"
            " for background"
        ) from None
    return points, label


def parse_box(text: str) -> tuple[float, float, float, float]:
    """ "10,20,110,90" is x1, y1, x2, y2 in pixels; ConfigError for anything else."""
    try:
        x1, y1, x2, y2 = _numbers(text)
    except ValueError:
        raise ConfigError(f"--box {text!r} is not X1,Y1,X2,Y2; write e.g. 10,20,110,90 in pixels") from None
    return x1, y1, x2, y2


def parse_prompt(click: Iterable[str], box: str | None, scribble: Iterable[str] = ()) -> tuple[Any, Any, Any]:
    """(clicks, strokes, corners of the box or None) of these flags; ConfigError for what has another form."""
    return [*map(parse_click, click)], [*map(parse_scribble, scribble)], None if box is None else parse_box(box)


def read_prompt(
    size: "Size", click: Iterable[str], box: str | None, scribble: Iterable[str] = (), level: float | None = None
) -> "Prompt":
    """What these flags say of an image of (height, width) `size`; ConfigError where that cannot be."""
    import numpy as np

    from clickgrain.types import Prompt, Scribble

    clicks, drawn, corners = parse_prompt(click, box, scribble)
    strokes = [Scribble(np.array(points, np.float32), label) for points, label in drawn]
    points, labels = [point for point, _ in clicks], [label for _, label in clicks]
    try:
        return Prompt.of(points, labels, size=size, box=corners, scribbles=strokes, level=level)
    except PromptError as error:
        raise ConfigError(str(error)) from error


def _label(text: str) -> tuple[str, int]:
    rest, comma, sign = text.strip().rpartition(",")
    if comma and sign.strip() in ("+", "-"):
        return rest, int(sign.strip() == "+")
    return text, 1


def _numbers(text: str) -> list[float]:
    numbers = [float(part) for part in text.split(",")]
    if not all(map(math.isfinite, numbers)):
        raise ValueError("not finite")
    return numbers


def file_name(text: str) -> str:
    """A valid file name for any text: letters, digits and a few signs."""
    return re.sub(r"[^\w.@-]+", "-", text).strip("-")


def save_json(path: Path, text: str) -> None:
    """Write a result, whole or not at all; DataError if that fails."""
    write_or_raise(path, text.encode(), DataError, "choose another place with --out")
