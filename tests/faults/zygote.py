"""Run by conftest.py: imports everything once, and forks a process for every command that it is told.

So a kill costs no start of Python, yet hits the real command in a process of its own. A line of JSON on stdin is a
request: {"argv": ..., "said": file, ...} is answered by a process id, {"wait": id} by that process's exit status.
"""

import ctypes
import gc
import json
import os
import resource
import subprocess
import sys
import time

import tiny
import tyro  # noqa: F401
import uvicorn  # noqa: F401

import clickgrain.annotate.app
import clickgrain.annotate.server
import clickgrain.commands.annotate
import clickgrain.commands.console
import clickgrain.commands.learn
import clickgrain.commands.parsing
import clickgrain.training.learn  # noqa: F401
from clickgrain.annotate import learning
from clickgrain.cli import main
from clickgrain.proposals import pipeline
from clickgrain.training import config as recipes


def obey_permissions():
    """Give up root's right to bypass permission bits, as other users cannot."""
    if os.geteuid() == 0:
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3 of the call, this process
        if ctypes.CDLL(None, use_errno=True).capset(header, (ctypes.c_uint32 * 6)()):
            raise OSError(ctypes.get_errno(), "capset")


def turn_clock_back(seconds):
    """Let the time of day fall by so many seconds each time that it is asked for."""
    now = [time.time()]

    def earlier():
        now[0] -= seconds
        return now[0]

    time.time, time.time_ns = earlier, lambda: int(earlier() * 1e9)


def start_tiny(arguments, output, place):
    """`learning.start` for *Learn* in the page, with the tiny recipe."""
    command = [sys.executable, tiny.__file__, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=output, cwd=place)


def become(argv, said, environment, largest_file=None, obeys=False, clock=None):
    """In the fork: break what is asked for, and run the command; all that it says goes to the file `said`."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    target = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.environ.update(environment)
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    if clock is not None:
        turn_clock_back(clock)
    if obeys:
        obey_permissions()
    sys.argv[1:] = argv
    sys.exit(main())


recipes.RECIPES["grain-small"] = tiny.tiny_recipe
learning.start = start_tiny
pipeline.COMMIT_ROWS = 1  # so that kills fall between transactions and into them
gc.freeze()  # forks share the memory
while request := sys.stdin.readline():
    order = json.loads(request)
    if "wait" in order:
        answer = os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1])
    elif (answer := os.fork()) == 0:
        become(**order)
    print(answer, flush=True)
