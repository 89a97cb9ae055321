"""How soon the command line answers: best of 5 fresh processes. Wanted: `--help` and `--version` under 0.3 s.

The first lines are the shares of what cannot be avoided (Python itself) and of what commands need (tyro, rich).
"""

import subprocess
import sys
from resource import RUSAGE_CHILDREN, getrusage
from time import perf_counter

from clickgrain.cli import COMMANDS

LIMIT = 0.3


def best_of_5(*arguments: str) -> tuple[float, float]:
    """Clock and processor seconds, the least of five runs of this Python, after one that fills the file cache."""
    clock, processor = [], []
    for _ in range(6):
        start, before = perf_counter(), getrusage(RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        clock.append(perf_counter() - start)
        after = getrusage(RUSAGE_CHILDREN)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(clock[1:]), min(processor[1:])


def main() -> None:
    """Print one line per command line."""
    runs = {
        "python": ["-c", "pass"],
        "import tyro": ["-c", "import tyro"],
        "import rich": ["-c", "import rich.progress"],
        "import clickgrain": ["-c", "import clickgrain"],
    }
    lines = [["--help"], ["--version"], *([command.name, "--help"] for command in COMMANDS)]
    asked = {f"clickgrain {' '.join(line)}": ["-m", "clickgrain", *line] for line in lines}
    slow = []
    for name, arguments in (runs | asked).items():
        seconds, used = best_of_5(*arguments)
        print(f"{name:32s} {1000 * seconds:6.0f} ms, {1000 * used:6.0f} ms of the processor", flush=True)
        if name in asked and seconds > LIMIT:
            slow.append(name)
    print(f"over {1000 * LIMIT:.0f} ms: {', '.join(slow) or 'none'}")


if __name__ == "__main__":
    main()
