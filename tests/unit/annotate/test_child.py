"""Commands that the server starts end with it, even when it is killed."""

import subprocess
import sys

PARENT = """
import sys, time
from clickgrain.annotate import child
process = child.start(["clickgrain", "annotate", sys.argv[1], "--no-browser", "--port", "0"], sys.stdout.buffer)
print("child", process.pid, flush=True)
time.sleep(600)
"""


def test_a_command_ends_when_its_parent_is_killed(photos):
    process = subprocess.Popen([sys.executable, "-c", PARENT, str(photos)], stdout=subprocess.PIPE)
    lines = [process.stdout.readline() for _ in range(2)]
    assert lines[0].startswith(b"child")
    assert b"http://" in lines[1]  # it runs
    process.kill()
    process.wait()
    process.stdout.read()  # ends only when the child is gone too: it writes there
    process.stdout.close()
