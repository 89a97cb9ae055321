import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import clickgrain
from clickgrain import jit

SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
import doubled
print(doubled.twice(21), doubled.twice._cache_hits)
"""
MODULE = """
from clickgrain.jit import njit
@njit(nogil=True)
def twice(value):
    return 2 * value
"""


@pytest.fixture
def run(tmp_path):
    """Call a compiled function in a new process: its answer, and whether it came from the cache."""
    (tmp_path / "doubled.py").write_text(MODULE)

    def run():
        paths = os.pathsep.join([str(Path(clickgrain.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": paths}
        command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        answer, hits = done.stdout.split(maxsplit=1)
        return int(answer), "1" in hits

    return run


@pytest.mark.parametrize("ending", [".nbi", ".nbc"])
@pytest.mark.parametrize("damage", ["empty", "cut", "noise"])
def test_a_damaged_cache_is_made_again(run, tmp_path, ending, damage):
    assert run() == (42, False)
    assert run() == (42, True)
    (file,) = (tmp_path / "cache").rglob(f"*{ending}")
    content = file.read_bytes()
    noise = np.random.default_rng(0).integers(0, 256, len(content), dtype=np.uint8).tobytes()
    file.write_bytes({"empty": b"", "cut": content[: len(content) // 2], "noise": noise}[damage])
    assert run() == (42, False)
    assert run() == (42, True)


def test_a_cache_that_cannot_be_written_is_done_without(run, tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(
        "from numba.core.caching import IndexDataCacheFile\n"
        "def full(*_): raise OSError(28, 'No space left on device')\n"
        "IndexDataCacheFile.save = full\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert run() == (42, False)
    assert run() == (42, False)


def test_where_no_folder_can_be_written_functions_are_compiled_all_the_same(monkeypatch):
    def nowhere(_self, _function):
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(jit.FunctionCache, "__init__", nowhere)
    assert jit.njit(nogil=True)(lambda value: 2 * value)(21) == 42
