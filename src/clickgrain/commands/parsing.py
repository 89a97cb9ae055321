"""From words to a command's dataclass, by tyro."""

import io
import os
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from typing import Any, get_type_hints

from clickgrain.errors import ClickgrainError


def arguments_of(function: Callable[[Any], None]) -> type[Any]:
    """The dataclass that a command's function takes."""
    hints = get_type_hints(function)
    hints.pop("return", None)
    (arguments,) = hints.values()
    found: type[Any] = arguments
    return found


def run(function: Callable[[Any], None], argv: Sequence[str], *, prog: str) -> int:
    """Call a command with what `argv` says; returns the exit status (0 when it finished, 2 for a wrong flag).

    Raises:
        ClickgrainError: what the dataclass or the command raises.
    """
    stop, arguments = parse(arguments_of(function), argv, prog=prog)
    if stop is None:
        function(arguments)
    return stop or 0


def parse(kind: type[Any], argv: Sequence[str], *, prog: str) -> tuple[int | None, Any]:
    """(None, the dataclass), or (exit status, None) once help or a usage error has been shown.

    Raises:
        ClickgrainError: what `kind` raises for settings that contradict each other.
    """
    import tyro

    # tyro asks only whether stdout is a terminal; this is its own, if provisional, switch.
    getattr(tyro, "_experimental_options", {})["ansi_codes"] = not os.environ.get("NO_COLOR")
    complaint = io.StringIO()
    try:
        with redirect_stderr(complaint):
            config = (tyro.conf.HelptextFromCommentsOff, tyro.conf.OmitArgPrefixes)
            return None, tyro.cli(kind, args=argv, prog=prog, config=config)
    except SystemExit as stop:
        # tyro turns a ValueError of __post_init__, which ConfigError is, into a box that names the class.
        if (error := _ours(stop)) is not None:
            raise error from None
        if complaint.getvalue():
            _show(complaint.getvalue())
        return stop.code if isinstance(stop.code, int) else 1, None


def _ours(stop: BaseException) -> ClickgrainError | None:
    cause: BaseException | None = stop
    while cause is not None and not isinstance(cause, ClickgrainError):
        cause = cause.__cause__ or cause.__context__
    return cause


def _show(complaint: str) -> None:
    from rich.text import Text

    from clickgrain.commands.console import stderr

    # tyro colours by whether stdout is a terminal; rich takes the codes out again where stderr is none.
    stderr().print(Text.from_ansi(complaint.rstrip()), soft_wrap=True)
