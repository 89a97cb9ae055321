"""Size and time of an installation from nothing: `python tools/install_size.py [EXTRA ...]`.

Installs clickgrain from this checkout (a wheel, not editable) with its dependencies, in the versions of
constraints.txt, into an empty environment, and prints seconds, megabytes and the ten largest packages.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).parents[1]


def size_of(path: Path) -> int:
    """Bytes of a file or of all files below a folder."""
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())


def main() -> None:
    """Install, measure, remove."""
    extras = f"[{','.join(sys.argv[1:])}]" if len(sys.argv) > 1 else ""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
        start = perf_counter()
        subprocess.run(
            [*pip, "install", "-qq", "--no-compile", "-c", str(ROOT / "constraints.txt"), f"{ROOT}{extras}"],
            check=True,
        )
        seconds = perf_counter() - start
        site = next(folder.rglob("site-packages"))
        sizes = {path.name: size_of(path) for path in site.iterdir()}
        largest = sorted(sizes.items(), key=lambda item: -item[1])[:10]
        print(f"clickgrain{extras}: {sum(sizes.values()) / 1e6:.0f} MB in {seconds:.0f} s, {len(sizes)} entries")
        print(", ".join(f"{key} {value / 1e6:.0f}" for key, value in largest))


if __name__ == "__main__":
    main()
