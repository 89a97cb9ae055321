"""Run the tests that need other tools for real: `make real-tools`, or `python tools/real_tools.py napari datumaro`.

Each tool has an environment in .real-tools, made on the first call, which sees the packages of this one and adds or
replaces what the tool wants. Label Studio runs as a server, in an environment to itself.
"""

import os
import subprocess
import sys
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Tool:
    """What to install, and the tests that then run instead of being skipped."""

    packages: tuple[str, ...]
    tests: tuple[str, ...]
    # variable that names the tool's program to the tests, which then run in this environment, not in the tool's
    apart: str = ""


TOOLS = {
    "label-studio": Tool(
        ("label-studio",), ("tests/e2e/test_click_in_label_studio.py",), apart="CLICKGRAIN_LABEL_STUDIO"
    ),
    "label-studio-sdk": Tool(("label-studio-sdk",), ("tests/unit/export/test_brush_rle.py",)),
    "napari": Tool(("napari", "PySide6-Essentials"), ("tests/unit/napari",)),
    "labelme": Tool(("labelme",), ("tests/unit/export/test_labelme.py",)),
    "datumaro": Tool(("datumaro",), ("tests/unit/export/test_datumaro.py",)),
    "rasterio": Tool(("rasterio",), ("tests/unit/export/test_geojson.py",)),
    "nuclio": Tool(("nuclio-sdk",), ("tests/unit/integrations/test_cvat_nuclio.py",)),
}
# Warnings of the tools are theirs, and napari's plugins of pytest start a window system.
PYTEST = (
    "-m",
    "pytest",
    "-n",
    "0",
    "-rs",
    "-W",
    "ignore",
    "-p",
    "no:napari",
    "-p",
    "no:napari-plugin",
    "-p",
    "no:pytest-qt",
)


def environment(name: str, tool: Tool) -> Path:
    """The tool's environment, made if it is not there; its Python."""
    folder = ROOT / ".real-tools" / name
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        start = time.monotonic()
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        if not tool.apart:
            (site,) = folder.glob("lib/python*/site-packages")
            (site / "outer.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
        subprocess.run([python, "-m", "pip", "install", "--quiet", *tool.packages], check=True)
        (folder / "ready").touch()
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
        print(f"{name}: installed in {time.monotonic() - start:.0f} s, {size:,.0f} MB", flush=True)
    return python


def run(name: str, tool: Tool) -> bool:
    """Run the tool's tests; whether all passed."""
    python = environment(name, tool)
    settings = {"QT_QPA_PLATFORM": "offscreen", "PYTHONPATH": str(ROOT / "src")}
    if tool.apart:
        settings[tool.apart], python = str(python.with_name(name)), Path(sys.executable)
    start = time.monotonic()
    done = subprocess.run([python, *PYTEST, *tool.tests], cwd=ROOT, env=os.environ | settings, check=False)
    passed = done.returncode == 0
    print(f"{name}: {'passed' if passed else 'FAILED'} in {time.monotonic() - start:.0f} s", flush=True)
    return passed


if __name__ == "__main__":
    results = [run(name, TOOLS[name]) for name in sys.argv[1:] or TOOLS]
    sys.exit(not all(results))
