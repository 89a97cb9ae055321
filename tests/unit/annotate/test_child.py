"""Training ends with the server that started it, even when that is killed."""

import signal
import subprocess
import sys
import threading
import time

from filelock import FileLock

from clickgrain.annotate import learn_child
from clickgrain.training.run_dir import LOCK

PARENT = """
import sys, time
from pathlib import Path
from clickgrain.annotate import learning
process = learning.start([sys.argv[1], "60", ""], sys.stdout.buffer, Path(sys.argv[2]))
print("child", process.pid, flush=True)
time.sleep(600)
"""


def test_training_ends_when_its_server_is_killed(photos, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    command = [sys.executable, "-c", PARENT, str(photos), str(run)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline().startswith(b"child")
        end = time.monotonic() + 200
        while not (run / "progress.json").exists():  # it runs
            assert time.monotonic() < end
            assert process.poll() is None
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    process.stdout.read()  # ends only when the child is gone too: it writes there
    process.stdout.close()


def test_training_waits_until_that_of_a_killed_server_has_saved(photos, tmp_path, monkeypatch):
    order, held = [], threading.Event()

    def save():
        with FileLock(tmp_path / LOCK):
            held.set()
            time.sleep(0.3)  # so long a save takes
            order.append("saved")

    monkeypatch.setattr(learn_child, "end_with_parent", lambda: None)
    monkeypatch.setattr("clickgrain.training.learn.learn", lambda *_, **__: order.append("learned"))
    monkeypatch.chdir(tmp_path)
    before, saving = signal.getsignal(signal.SIGTERM), threading.Thread(target=save)
    saving.start()
    held.wait()
    try:
        assert learn_child.main(str(photos), "5", "") == 0
    finally:
        signal.signal(signal.SIGTERM, before)
        saving.join()
    assert order == ["saved", "learned"]
