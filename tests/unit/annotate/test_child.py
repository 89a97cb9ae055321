"""Training ends with the server that started it, even when that is killed."""

import subprocess
import sys
import time

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
