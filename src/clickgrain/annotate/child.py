"""`python -m clickgrain.annotate.child COMMAND ...`: a clickgrain command that ends when its parent is gone.

The parent holds the other end of the command's stdin; whatever ends the parent, be it kill -9, closes it.
"""

import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import IO

PATIENCE = 60.0
"""Seconds that the command has to save its work."""


def start(arguments: Sequence[str], output: int | IO[bytes]) -> "subprocess.Popen[bytes]":
    """Run `clickgrain ARGUMENTS` in a process that does not outlive this one; its output goes to a file."""
    command = [sys.executable, "-m", "clickgrain.annotate.child", *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output)


def _watch() -> None:
    while os.read(0, 4096):
        pass
    threading.Timer(PATIENCE, os._exit, (1,)).start()
    os.kill(os.getpid(), signal.SIGTERM)  # as Ctrl-C: finished work is saved


if __name__ == "__main__":
    threading.Thread(target=_watch, name="parent", daemon=True).start()
    runpy.run_module("clickgrain", run_name="__main__", alter_sys=True)
