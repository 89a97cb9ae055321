"""Build the documentation site into `site/`; warnings are errors.

`python tools/build_docs.py`. Zensical's strict mode ends at broken links and anchors; what griffe says of
docstrings (a parameter that the function does not have) is only printed, so it is looked for here.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main() -> int:
    """Exit status: 0, or 1 with all warnings printed."""
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    done = subprocess.run(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    warnings = [line for line in done.stdout.splitlines() if line.startswith("griffe:")]
    print("\n".join(warnings) if warnings and not done.returncode else done.stdout, end="")
    return 1 if done.returncode or warnings else 0


if __name__ == "__main__":
    sys.exit(main())
