"""Hostile input: a few of a fixed seed in `make test`, new ones for FUZZ_MINUTES per target in `make fuzz`."""

import itertools
import os
import resource
import time

import psutil
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

MINUTES = float(os.environ.get("FUZZ_MINUTES", "0"))
FIRST = time.time_ns() % 1_000_000 if MINUTES else 0
MEMORY = 1_500_000_000  # bytes that an input may take at most, beyond those in use before
COUNTS: dict[str, int] = {}


def pytest_terminal_summary(terminalreporter):
    for name, tried in COUNTS.items():
        terminalreporter.write_line(f"{name}: {tried} inputs")


@pytest.fixture(autouse=True)
def little_memory():
    """An input that asks for more is an error like any other."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + MEMORY, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture
def search(request):
    """Call `check` with drawn inputs; hypothesis makes what breaks it small and shows it."""

    def run(strategy, check, examples=30):
        end, tried = time.monotonic() + 60 * MINUTES, 0

        def one(value):
            nonlocal tried
            tried += 1
            check(value)

        profile = settings(
            max_examples=1000 if MINUTES else examples, deadline=None, database=None,
            suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink],
        )  # fmt: skip
        for number in itertools.count(FIRST):
            seed(number)(profile(given(strategy)(one)))()
            if time.monotonic() >= end:
                break
        COUNTS[request.node.nodeid.split("::")[-1]] = tried

    return run
