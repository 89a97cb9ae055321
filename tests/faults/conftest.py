"""Real processes to break, and how often: the short half, or all of it where CLICKGRAIN_FAULTS=all."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

EVERYTHING = os.environ.get("CLICKGRAIN_FAULTS") == "all"
ZYGOTE = Path(__file__).with_name("zygote.py")
COUNTS: dict[str, str] = {}


def pytest_terminal_summary(terminalreporter):
    for name, counts in COUNTS.items():
        terminalreporter.write_line(f"{name}: {counts}")


@pytest.fixture(scope="session")
def everything():
    """Whether this is the long half too."""
    return EVERYTHING


@pytest.fixture
def rng(request):
    """Random moments and places; pytest shows the seed of a test that fails, CLICKGRAIN_SEED repeats it."""
    seed = int(os.environ.get("CLICKGRAIN_SEED") or (time.time_ns() % 1_000_000 if EVERYTHING else 0))
    print(f"CLICKGRAIN_SEED={seed}")
    return random.Random(f"{seed} {request.node.name}")


@pytest.fixture
def count(request):
    """Note what a test did for the end of the output."""

    def note(text):
        COUNTS[request.node.name] = text

    return note


class Job:
    """A command that runs in a process of its own."""

    def __init__(self, machine, pid, said):
        self.machine, self.pid, self.said, self.process = machine, pid, said, psutil.Process(pid)

    def used(self):
        """Seconds of processor time until now, which unlike the clock's do not depend on who else is busy."""
        times = self.process.cpu_times()
        return times.user + times.system

    def text(self):
        """All that it has said."""
        return self.said.read_text(errors="replace")

    def is_over(self):
        """Whether it has ended; its number stays taken until `wait`."""
        return self.process.status() == psutil.STATUS_ZOMBIE

    def kill_after(self, seconds, number):
        """Send a signal once it has used so much processor time; it may have ended before."""
        self.watch(lambda: self.used() >= seconds)
        return self.kill(number)

    def watch(self, happened):
        """Wait until something happened, or it is over."""
        while not self.is_over() and not happened():
            time.sleep(0.005)

    def kill(self, number=signal.SIGKILL):
        """Send a signal, and the exit status."""
        os.kill(self.pid, number)
        return self.wait()

    def wait(self):
        """The exit status; minus the number of the signal that ended it."""
        self.machine.running.discard(self)
        return self.machine.ask(wait=self.pid)


class Machine:
    """Starts commands, each in a fork of one process (see zygote.py)."""

    def __init__(self, folder):
        self.folder, self.running, self.number = folder, set(), 0
        environment = {**os.environ, "CLICKGRAIN_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
        self.zygote = subprocess.Popen(
            [sys.executable, ZYGOTE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self, **request):
        self.zygote.stdin.write(json.dumps(request) + "\n")
        self.zygote.stdin.flush()
        return int(self.zygote.stdout.readline())

    def start(self, *argv, environment=(), **faults):
        """A job; `faults` are those of `become` in zygote.py."""
        self.number += 1
        said = self.folder / f"said-{self.number}.txt"
        said.touch()
        argv = [str(word) for word in argv]
        job = Job(self, self.ask(argv=argv, said=str(said), environment=dict(environment), **faults), said)
        self.running.add(job)
        return job

    def run(self, *argv, **faults):
        """(exit status, what it said) of a command that is left alone."""
        job = self.start(*argv, **faults)
        return job.wait(), job.text()

    def close(self):
        for job in list(self.running):
            job.kill()
        self.zygote.communicate()


@pytest.fixture(scope="session")
def machine(tmp_path_factory):
    machine = Machine(tmp_path_factory.mktemp("machine"))
    yield machine
    machine.close()


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """Eight photos of a few coloured boxes and disks, 48 x 64; nothing may change them."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(8):
        rng = np.random.default_rng(number)
        image = np.clip(rng.uniform(40, 200, 3) + rng.normal(0, 8, (48, 64, 1)), 0, 255).astype(np.uint8)
        for _ in range(3):
            centre, size = rng.integers((8, 8), (56, 40)), rng.integers(6, 16, 2)
            cv2.ellipse(image, centre.tolist(), size.tolist(), 0, 0, 360, rng.uniform(0, 255, 3).tolist(), -1)
        assert cv2.imwrite(str(folder / f"{number}.png"), image)
    return folder


TINY = ("--recipe", "grain-small", "--extractor", "color-texture", "--precision", "float32", "--device", "cpu")


@pytest.fixture(scope="session")
def commands(photos):
    """Command lines by name; each takes the folder that it writes to, where `train` expects the trees."""
    return {
        "propose": lambda folder: (
            "propose", photos, "--out", folder / "trees.db", "--extractor", "color-texture", "--batch", 2
        ),
        "train": lambda folder: (
            "train", photos, "--store", folder / "trees.db", "--out", folder / "model", *TINY
        ),
        "learn": lambda folder: ("learn", photos, "--out", folder / "model", *TINY),
        "annotate": lambda folder: (
            "annotate", photos, "--project", folder / "project.db", "--model", "tree", "--no-browser", "--port", 0
        ),
    }  # fmt: skip


@pytest.fixture(scope="session")
def whole(machine, commands, tmp_path_factory):
    """What undisturbed runs leave: a folder with `trees.db` and `model`, and seconds of processor by command."""
    folder, used = tmp_path_factory.mktemp("whole"), {}
    # The first run compiles what the others load: measured there, most kills would come after the end.
    status, said = machine.run(*commands["learn"](tmp_path_factory.mktemp("warm")))
    assert status == 0, said
    for name, place in (("propose", folder), ("train", folder), ("learn", tmp_path_factory.mktemp("learnt"))):
        job = machine.start(*commands[name](place))
        job.watch(lambda job=job, name=name: used.update({name: job.used()}))
        assert job.wait() == 0, job.text()
    return folder, used
