import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from clickgrain.clicks.users import NoisyUser
from clickgrain.errors import ConfigError, DataError
from clickgrain.evaluation import Benchmark, Method, evaluate
from clickgrain.evaluation.workers import THREADS, quiet_start
from clickgrain.files import core_count

SIZE = (20, 20)

MODULE = '''
import os, signal, sys, time
import numpy as np
from clickgrain.types import Mask


class Disks:
    """Disks of 4 px around positive clicks; pixels nearer to a negative click are left out."""

    name = "disks"

    def set_image(self, image):
        self.size, self.number = image.shape[:2], int(image[0, 0, 0])

    def predict(self, points, labels, previous=None):
        y, x = np.mgrid[: self.size[0], : self.size[1]]
        distance = np.stack([np.hypot(x - cx, y - cy) for cx, cy in points])
        near = (distance.min(0) <= 4) & (labels[distance.argmin(0)] == 1)
        return Mask(near.astype(np.float32))


class Mortal(Disks):
    def set_image(self, image):
        super().set_image(image)
        if self.number == 3:
            while len(open(os.environ["ROWS"]).readlines()) < 7:  # the other images are done
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)


class Threads(Disks):
    def predict(self, points, labels, previous=None):
        import cv2
        raise RuntimeError(f"{cv2.getNumThreads()} {os.environ['OMP_NUM_THREADS']}")


def refuses():
    from clickgrain.errors import WeightsError
    raise WeightsError("no weights here; get some")


def fails():
    raise ZeroDivisionError("oh")
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "small_predictors.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "small_predictors", raising=False)
    import small_predictors

    yield small_predictors
    sys.modules.pop("small_predictors", None)


def benchmark(count=4, targets=2):
    pairs = []
    for number in range(count):
        image = np.full((*SIZE, 3), number, np.uint8)
        for k in range(targets):
            mask = np.zeros(SIZE, bool)
            mask[2 + k : 10 + number, 3 : 12 + k] = True
            pairs.append((image, mask))
    pairs.append((np.full((*SIZE, 3), count, np.uint8), np.zeros(SIZE, bool)))  # no object in it
    return Benchmark.of(pairs, "drawn")


def without_seconds(result):
    return [{k: v for k, v in row.to_dict().items() if "seconds" not in k} for row in result.rows]


def test_rows_are_those_of_one_process_and_the_file_resumes(module, tmp_path):
    seen, path, user = [], tmp_path / "rows.jsonl", NoisyUser(1)
    alone = evaluate(module.Disks, benchmark(), user=user)
    shared = evaluate(
        module.Disks, benchmark(), user=user, processes=2, jsonl=path, progress=lambda *args: seen.append(args)
    )
    assert shared.model == "disks"
    assert without_seconds(shared) == without_seconds(alone)
    assert shared.skipped == alone.skipped
    assert seen == [(k, 9) for k in range(1, 10)]
    lines = path.read_text().splitlines(keepends=True)
    assert len(lines) == 9
    path.write_text("".join(lines[:4]))
    resumed = evaluate(module.Disks, benchmark(), user=user, processes=2, jsonl=path)
    assert without_seconds(resumed) == without_seconds(alone)
    assert path.read_text().startswith("".join(lines[:4]))


def test_a_process_that_dies_ends_the_evaluation_and_costs_no_finished_row(module, tmp_path, monkeypatch):
    path = tmp_path / "rows.jsonl"
    monkeypatch.setenv("ROWS", str(path))
    with pytest.raises(DataError, match=r"one of the images '6'.* \(exit codes \[.*-9\b"):
        evaluate(module.Mortal, benchmark(), processes=2, jsonl=path)
    assert len(path.read_text().splitlines()) == 1 + 6


def test_a_predictor_by_name_and_its_share_of_threads(module, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    result = evaluate(Method("python:small_predictors:Threads"), benchmark(2, 1), processes=2)
    share = max(1, core_count() // 2)
    assert {row.error for row in result.rows} == {f"RuntimeError: {share} {share}"}
    assert "OMP_NUM_THREADS" not in os.environ


@pytest.mark.parametrize(("name", "message"), [("refuses", "^no weights here"), ("fails", "ZeroDivisionError: oh")])
def test_a_predictor_that_cannot_be_made(module, name, message):
    with pytest.raises(DataError, match=message):
        evaluate(getattr(module, name), benchmark(2), processes=2)


def test_what_cannot_be_handed_over(module):
    with pytest.raises(ConfigError, match="cannot be handed to another process"):
        evaluate(lambda: module.Disks(), benchmark(2), model="x", processes=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"processes": -1}, "-1 is negative"),
        ({"processes": 2}, "not a Disks"),
    ],
)
def test_what_makes_no_sense(module, arguments, message):
    with pytest.raises(ConfigError, match=message):
        evaluate(module.Disks(), benchmark(2), **arguments)


def test_processes_are_for_the_cpu():
    with pytest.raises(ConfigError, match="is for --device cpu, not cuda"):
        evaluate(Method("tree", device="cuda"), benchmark(2), processes=2)


def test_own_settings_of_threads_are_kept_where_they_are_lower(monkeypatch):
    for name in THREADS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("MKL_NUM_THREADS", "64")
    with quiet_start(2):
        assert [os.environ[name] for name in THREADS] == ["1", "2", "2", "2", "2"]
    assert (os.environ["OMP_NUM_THREADS"], os.environ["MKL_NUM_THREADS"]) == ("1", "64")


SCRIPT = """
import numpy as np
from pathlib import Path
from clickgrain.evaluation import Benchmark, evaluate
import slow_predictor

if __name__ == "__main__":
    mask = np.zeros((20, 20), bool)
    mask[5:9, 5:9] = True
    images = [np.full((20, 20, 3), n, np.uint8) for n in range(4)]
    evaluate(slow_predictor.Slow, Benchmark.of([(i, mask) for i in images]), processes=2, jsonl=Path("rows.jsonl"))
"""
SLOW = """
import os, time
from pathlib import Path
import numpy as np
from clickgrain.types import Mask

class Slow:
    def set_image(self, image):
        self.number = int(image[0, 0, 0])

    def predict(self, points, labels, previous=None):
        if self.number > 1:
            Path(f"pid-{os.getpid()}").touch()
            time.sleep(60)
        mask = np.zeros((20, 20), np.float32)
        mask[5:9, 5:9] = 1
        return Mask(mask)
"""


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals of POSIX")
def test_ctrl_c_ends_every_process_and_keeps_the_rows(tmp_path):
    (tmp_path / "slow_predictor.py").write_text(SLOW)
    (tmp_path / "script.py").write_text(SCRIPT)
    run = subprocess.Popen(
        [sys.executable, "script.py"], cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while len(pids := list(tmp_path.glob("pid-*"))) < 2 and time.monotonic() < deadline:
        assert run.poll() is None
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGINT)  # a terminal sends it to all of them
    said = run.communicate(timeout=30)[1]
    assert said.count("Traceback") == 1  # that of the script alone
    assert said.rstrip().endswith("KeyboardInterrupt")
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 3
    for path in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.name.removeprefix("pid-")), 0)
