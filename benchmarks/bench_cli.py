"""How soon the command line answers: best of 5 fresh processes. Wanted: `--help` and `--version` under 0.3 s.

The first lines are the shares of what cannot be avoided (Python itself) and of what commands need (tyro, rich).
"""

import subprocess
import sys
from time import perf_counter

from clickgrain.cli import COMMANDS

LIMIT = 0.3


def best_of_5(*arguments: str) -> float:
    """Seconds of the fastest of five runs of this Python, after one that fills the file cache."""
    times = []
    for _ in range(6):
        start = perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        times.append(perf_counter() - start)
    return min(times[1:])


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
        seconds = best_of_5(*arguments)
        print(f"{name:32s} {1000 * seconds:6.0f} ms", flush=True)
        if name in asked and seconds > LIMIT:
            slow.append(name)
    print(f"over {1000 * LIMIT:.0f} ms: {', '.join(slow) or 'none'}")


if __name__ == "__main__":
    main()
