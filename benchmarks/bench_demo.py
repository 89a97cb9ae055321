"""Wall time, processor time and peak memory of `clickgrain demo` in an empty folder.

Asked for: within 5 minutes and under 2 GB on two cores (issue: the main job). Run:

    python benchmarks/bench_demo.py [MINUTES OF TRAINING]

Stages in seconds and the peak also stand at the end of every demo's report.
"""

import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

MOST_SECONDS, MOST_MEMORY = 300.0, 2e9


def main() -> None:
    """Run the demo in a separate process and print what it took."""
    minutes = sys.argv[1] if len(sys.argv) > 1 else "2"
    with TemporaryDirectory() as folder:
        out = Path(folder) / "demo"
        command = [sys.executable, "-m", "clickgrain", "demo", "--out", str(out), "--minutes", minutes]
        started = time.perf_counter()
        finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        seconds = time.perf_counter() - started
        size = Path(finished.stdout.strip().splitlines()[-1]).stat().st_size
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(f"wall       {seconds:7.1f} s   (asked: under {MOST_SECONDS:.0f})")
    print(f"processor  {usage.ru_utime + usage.ru_stime:7.1f} s")
    print(f"peak       {peak / 1e9:7.2f} GB  (asked: under {MOST_MEMORY / 1e9:.0f})")
    print(f"report     {size / 1e6:7.2f} MB")


if __name__ == "__main__":
    main()
