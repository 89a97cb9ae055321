"""Inputs that every run tries first: a file a target in `corpus`, a line an input, as a Python expression.

What breaks a target is written there by itself. `make fuzz-corpus` adds inputs that reach lines of clickgrain which
none before them reached, so that `make test` meets every odd branch that was ever found, in seconds.
"""

import base64
import math
import sys
import threading
import zlib
from pathlib import Path

import clickgrain

FOLDER = Path(__file__).with_name("corpus")
LONG = 400  # bytes that are written packed
LARGEST = 6_000  # characters of an input that only reaches new lines
HEAD = "# Inputs of {}: tried first by every run; see tests/fuzz/corpus.py.\n"


def unpacked(text):
    """The bytes that `as_text` packed."""
    return zlib.decompress(base64.b85decode(text))


NAMES = {"__builtins__": {}, "inf": math.inf, "nan": math.nan, "unpacked": unpacked}


def as_text(value):
    """An input as an expression in a line of ASCII."""
    if isinstance(value, bytes) and len(value) > LONG:
        return f"unpacked({base64.b85encode(zlib.compress(value, 9)).decode()!r})"
    if isinstance(value, tuple):
        return f"({''.join(f'{as_text(one)}, ' for one in value)})"
    if isinstance(value, list):
        return f"[{', '.join(map(as_text, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{as_text(key)}: {as_text(one)}' for key, one in value.items())}}}"
    return ascii(value)


class Corpus:
    """The inputs of one target, a test by its pytest id."""

    def __init__(self, target, folder=FOLDER):
        module, _, name = target.rpartition("/")[2].partition(".py::")
        self.target = target.rpartition("/")[2]
        self.path = folder / module / f"{name.replace('[', '-').rstrip(']')}.txt"

    def lines(self):
        """(number, text) of the inputs."""
        text = self.path.read_text("ascii") if self.path.is_file() else ""
        numbered = enumerate(text.split("\n"), start=1)
        return [(number, line) for number, line in numbered if line and not line.startswith("#")]

    def inputs(self):
        """(where, input) of all."""
        return [(f"{self.path}, line {number}", eval(line, NAMES)) for number, line in self.lines()]

    def add(self, value, why=""):
        """Write an input, with the reason above it; False if it is there already."""
        text = as_text(value)
        eval(text, NAMES)  # a SyntaxError here: the target draws what has no expression, such as functions
        if text in [line for _, line in self.lines()]:
            return False
        self.path.parent.mkdir(parents=True, exist_ok=True)
        head = "" if self.path.is_file() else HEAD.format(self.target)
        reason = f"# {ascii(why)[1:-1][:200]}\n" if why else ""
        with self.path.open("a", encoding="ascii") as file:
            file.write(f"{head}{reason}{text}\n")
        return True


class Lines:
    """Which lines of clickgrain run, in all threads from now on."""

    def __init__(self):
        self.source, self.known, self.new = str(Path(clickgrain.__file__).parent), set(), False
        threading.settrace(self.call)
        sys.settrace(self.call)

    def call(self, frame, event, arg):
        return self.line if frame.f_code.co_filename.startswith(self.source) else None

    def line(self, frame, event, arg):
        place = frame.f_code, frame.f_lineno
        if event == "line" and place not in self.known:
            self.known.add(place)
            self.new = True
        return self.line

    def forget(self):
        """Every line is new again, for another target."""
        self.known.clear()

    def are_new(self):
        """Whether there was one that never ran before; asks about what comes from now on."""
        new, self.new = self.new, False
        return new
