"""Hostile input: a few of a fixed seed in `make test`, new ones for FUZZ_MINUTES per target in `make fuzz`."""

import copy
import itertools
import os
import resource
import time
from contextlib import suppress

import psutil
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.corpus import LARGEST, Corpus, Lines, as_text

MINUTES = float(os.environ.get("FUZZ_MINUTES", "0"))
GROWS = os.environ.get("FUZZ_CORPUS") == "grow"
FIRST = time.time_ns() % 1_000_000 if MINUTES else 0
MEMORY = 1_500_000_000  # bytes that an input may take at most, beyond those in use before
COUNTS: dict[str, tuple[int, int, float]] = {}


def pytest_terminal_summary(terminalreporter):
    for name, (known, tried, seconds) in COUNTS.items():
        terminalreporter.write_line(f"{name}: {known} inputs of the corpus, {tried} new in {seconds:.0f} s")
    seconds = sum(seconds for *_, seconds in COUNTS.values())
    inputs = sum(known + tried for known, tried, _ in COUNTS.values())
    terminalreporter.write_line(f"{len(COUNTS)} targets: {inputs} inputs in {seconds / 60:.1f} minutes")


@pytest.fixture(autouse=True)
def little_memory():
    """An input that asks for more is an error like any other."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + MEMORY, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture(scope="session", autouse=True)
def lines():
    """Which lines run, where the corpus is to grow; slow."""
    return Lines() if GROWS else None


@pytest.fixture
def search(request, lines):
    """Call `check` with the inputs of the corpus, then with drawn ones; hypothesis makes what breaks it small.

    That is shown and kept in the corpus.
    """
    corpus = Corpus(request.node.nodeid)

    def known(check):
        for where, value in corpus.inputs():
            try:
                check(value)
            except BaseException as error:
                error.add_note(f"the input is that of {where}")
                raise

    def run(strategy, check, examples=30):
        start, tried, broken = time.monotonic(), 0, None

        def is_over():
            return time.monotonic() >= start + 60 * MINUTES

        def one(value):
            nonlocal tried, broken
            if MINUTES and is_over() and broken is None:
                return  # hypothesis ends only after all inputs of a seed
            tried += 1
            as_drawn = copy.deepcopy(value)
            try:
                check(value)
            except Exception as error:
                broken = as_drawn, f"{type(error).__name__}: {error}"
                raise
            if lines and lines.are_new() and len(as_text(as_drawn)) <= LARGEST:
                corpus.add(as_drawn)

        profile = settings(
            max_examples=100 if MINUTES else examples, deadline=None, database=None, report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink],
        )  # fmt: skip
        if lines:
            lines.forget()
        try:
            known(check)
            if lines:
                lines.are_new()  # those of the corpus are known from now on
            for number in itertools.count(FIRST):
                seed(number)(profile(given(strategy)(one)))()
                if is_over():
                    break
        except Exception as error:
            with suppress(OSError):  # a checkout that cannot be written to
                if broken is not None and corpus.add(*broken):
                    error.add_note(f"the input is kept in {corpus.path}: repair the cause and commit that file")
            raise
        finally:
            COUNTS[request.node.nodeid.split("::")[-1]] = len(corpus.lines()), tried, time.monotonic() - start

    return run
