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
COUNTS: dict[str, tuple[int, float]] = {}


def pytest_terminal_summary(terminalreporter):
    for name, (tried, seconds) in COUNTS.items():
        terminalreporter.write_line(f"{name}: {tried} inputs in {seconds:.0f} s")
    seconds = sum(seconds for _, seconds in COUNTS.values())
    terminalreporter.write_line(f"{len(COUNTS)} targets: {seconds / 60:.1f} minutes")


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
        start, tried, failed = time.monotonic(), 0, False

        def is_over():
            return time.monotonic() >= start + 60 * MINUTES

        def one(value):
            nonlocal tried, failed
            if MINUTES and is_over() and not failed:
                return  # hypothesis ends only after all inputs of a seed
            tried += 1
            try:
                check(value)
            except BaseException:
                failed = True
                raise

        profile = settings(
            max_examples=100 if MINUTES else examples, deadline=None, database=None,
            suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink],
        )  # fmt: skip
        try:
            for number in itertools.count(FIRST):
                seed(number)(profile(given(strategy)(one)))()
                if is_over():
                    break
        finally:
            COUNTS[request.node.nodeid.split("::")[-1]] = tried, time.monotonic() - start

    return run
