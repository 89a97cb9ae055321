"""The command line: a table of commands, and what they all share (help, errors, interruption).

The top-level help needs neither tyro nor rich, and a command imports only what it uses: help must answer within
0.3 s, half of which a laptop needs before the first heavy import.
"""

import atexit
import difflib
import gc
import importlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from typing import Any

from clickgrain import __version__, events
from clickgrain.commands.console import say
from clickgrain.errors import ClickgrainError, ConfigError, is_interruption

FAILED, MISUSED, INTERRUPTED, PIPE_CLOSED = 1, 2, 130, 141
"""Exit statuses; the last two are what a shell reports for SIGINT and SIGPIPE."""
HELP = """usage: clickgrain COMMAND [OPTIONS]

Click segmentation learned from unlabelled images.

commands:
{commands}

options:
  -h, --help     show this help, or after a command its own
  -V, --version  show the version
  --debug        show where an error came from
  --log-json     messages and progress on stderr as JSON, one object a line"""


@dataclass(frozen=True)
class Command:
    """One entry of the table."""

    name: str  # as typed
    help: str  # one line for the top-level help
    # "module:function". The function takes one dataclass, whose fields are the flags; its module imports neither
    # torch, cv2, numba nor transformers, so that `clickgrain NAME --help` answers at once.
    target: str

    def function(self) -> Callable[[Any], None]:
        """The function behind the command; its module is imported now."""
        module, _, name = self.target.partition(":")
        return getattr(importlib.import_module(module), name)


COMMANDS = tuple(
    Command(name, help_, f"clickgrain.commands.{target}")
    for name, help_, target in (
        ("demo", "see the whole story on bundled photos", "demo:demo"),
        ("learn", "make a click model from a folder of unlabelled photos", "learn:learn"),
        ("annotate", "cut out and label objects in the browser", "annotate:annotate"),
        ("replay", "make masks again from the annotator's clicks", "annotate:replay"),
        ("export", "write annotations for other tools", "export:export"),
        ("import", "take in annotations of other tools", "export:import_"),
        ("export-model", "write a model as ONNX files that need no torch", "export:export_model"),
        ("serve", "answer clicks inside Label Studio or CVAT", "serve:serve"),
        ("segment", "cut something out of a photo with clicks", "segment:segment"),
        ("track", "carry an object through the frames of a video", "track:track"),
        ("propose", "build the merge trees of a folder of photos", "learn:propose"),
        ("store", "check, join or shrink stores of merge trees", "learn:store"),
        ("train", "train on photos that have their trees", "learn:train"),
        ("finetune", "train on photos with masks, all or few of them", "learn:finetune"),
        ("evaluate", "count the clicks that models need", "evaluate:evaluate"),
        ("bench", "measure every stage on this machine", "bench:bench"),
        ("evaluate-tree", "measure how well merge trees match known objects", "evaluate:evaluate_tree"),
    )
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line on `argv` (without the program's name) and return the exit status.

    0: finished · 1: an error, its message alone on stderr · 2: not a valid command line, a `ConfigError` too ·
    130: interrupted · 141: the reader of the output closed it.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    events.use("--log-json" in arguments)
    # Threads that wait by spinning starve each other when anything else runs: training on two busy cores was seven
    # times slower. Read when torch loads, so it must be set before.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # With torch loaded, the last garbage collections take a second in which a stopped run seems to hang.
    atexit.register(gc.freeze)
    if isinstance(sys.stdout, TextIOWrapper):  # file names may hold bytes that are not text: escape them
        sys.stdout.reconfigure(errors="backslashreplace")
    if threading.current_thread() is threading.main_thread():
        # a machine shuts down: save finished work, as on Ctrl-C
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        status = _dispatch([one for one in arguments if one not in ("--debug", "--log-json")])
        sys.stdout.flush()
        return status
    except (Exception, KeyboardInterrupt) as error:
        if is_interruption(error):
            return _refuse("interrupted; finished work is kept", INTERRUPTED)
        if isinstance(error, ClickgrainError):
            if debug:
                traceback.print_exc()
            return _refuse(str(error), MISUSED if isinstance(error, ConfigError) else FAILED)
        if not isinstance(error, BrokenPipeError):
            raise
        nowhere = os.open(os.devnull, os.O_WRONLY)  # so that Python's flush at exit meets no closed pipe
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        return PIPE_CLOSED
    finally:
        if argv is None:  # all is done and said: a signal while Python ends is no traceback from somewhere inside
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _dispatch(arguments: list[str]) -> int:
    first = arguments[0] if arguments else "--help"
    if first in ("-h", "--help"):
        width = max(len(command.name) for command in COMMANDS)
        listed = "\n".join(f"  {command.name:{width}}  {command.help}" for command in COMMANDS)
        print(HELP.format(commands=listed))
        return 0
    if first in ("-V", "--version"):
        print(f"clickgrain {__version__}")
        return 0
    for command in COMMANDS:
        if command.name == first:
            from clickgrain.commands.parsing import run

            return run(command.function(), arguments[1:], prog=f"clickgrain {command.name}")
    kind, names = "command", [command.name for command in COMMANDS]
    if first.startswith("-"):
        kind, names = "option", ["--help", "--version", "--debug", "--log-json"]
    close = difflib.get_close_matches(first, names, n=1)
    guess = f"did you mean {close[0]!r}?" if close else f"choose from: {', '.join(names)}"
    return _refuse(f"there is no {kind} {first!r}; {guess}", MISUSED)


def _refuse(message: str, status: int) -> int:
    say(message, style="red")
    return status
