"""What commands say besides their results, on stderr. Loads rich only to say something: help must be quick."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from clickgrain import events

if TYPE_CHECKING:
    from rich.console import Console

SHOWN = 20  # lines of a list before "and N more"


def stderr() -> "Console":
    """A console on stderr; rich leaves out colors for NO_COLOR, a dumb terminal or a file."""
    from rich.console import Console

    return Console(stderr=True)


def say(message: str, *, style: str = "") -> None:
    """Print a message as it is: no markup, no wrapping, so that a path in it can be copied or searched for."""
    if events.is_on():
        level = {"red": "error", "yellow": "warning"}.get(style, "info")
        return events.emit("message", level=level, message=message)
    from rich.text import Text

    return stderr().print(Text(message), style=style, soft_wrap=True)


def say_all(lines: Sequence[str], *, style: str = "yellow") -> None:
    """Print lines, the first 20 in full."""
    for line in lines[:SHOWN]:
        say(line, style=style)
    if len(lines) > SHOWN:
        say(f"... and {len(lines) - SHOWN} more", style=style)


@contextmanager
def bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar that takes (done, total) and disappears at the end; shown on terminals only."""
    from clickgrain.progress import Bar

    with Bar(transient=True) as shown:
        shown.start(label, 0)
        yield shown.reach
