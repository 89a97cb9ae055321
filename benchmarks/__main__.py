"""`python -m benchmarks [NAME ...]`: every benchmark, each in a separate process. Pause other work first.

Those in `LONG` take ten minutes to hours, or need an extra, and run only when named.
"""

import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
LONG = {"foreign", "ray", "usual_level"}


def main() -> int:
    """Run the named benchmarks (without names all but the long ones); 1 if one fails."""
    there = sorted(path.stem.removeprefix("bench_") for path in FOLDER.glob("bench_*.py"))
    wanted = sys.argv[1:] or [name for name in there if name not in LONG]
    unknown = [name for name in wanted if name not in there]
    if unknown:
        print(f"no benchmark {unknown[0]!r}; choose from: {', '.join(there)}", file=sys.stderr)
        return 2
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f}" + (" (busy: times will be too long)" if load > 0.5 else ""))
    failed = []
    for name in wanted:
        print(f"\n== {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.bench_{name}"], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
