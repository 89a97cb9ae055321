"""`python -m clickgrain.annotate.child MODULE ...`: runs a module that ends when its parent is gone.

The parent holds the other end of the module's stdin; whatever ends the parent, be it kill -9, closes it.
"""

import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

PATIENCE = 60.0
"""Seconds that the module has to save its work."""
PROGRESS = "progress.json"
"""File in its folder that tells how far it is."""


def start(
    arguments: Sequence[str], output: int | IO[bytes], folder: Path | None = None
) -> "subprocess.Popen[bytes]":
    """Run `python -m ARGUMENTS` in `folder`, in a process that does not outlive this one; output goes to a file."""
    command = [sys.executable, "-m", "clickgrain.annotate.child", *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output, cwd=folder)


def _watch() -> None:
    try:
        while os.read(0, 4096):
            pass
    finally:  # a parent that cannot be heard counts as gone
        threading.Timer(PATIENCE, os._exit, (1,)).start()
        os.kill(os.getpid(), signal.SIGTERM)  # as Ctrl-C: finished work is saved


if __name__ == "__main__":
    del sys.argv[0]
    threading.Thread(target=_watch, name="parent", daemon=True).start()
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
